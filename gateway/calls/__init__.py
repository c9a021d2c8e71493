"""Calls: legs, what joins them, the documents that they run, and what is kept of them."""
