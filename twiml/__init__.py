"""TwiML: what a document said, as values, and in which order to do it. Fetches nothing."""
