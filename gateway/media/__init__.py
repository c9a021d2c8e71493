"""Media of calls: a plane that signalling asks for what it wants, and the workers that do it."""
