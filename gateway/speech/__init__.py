"""Text to speech, and sounds from URLs: prompts as files that a media worker can play."""
