"""The core: jobs that must happen, and what is counted of what happened."""
