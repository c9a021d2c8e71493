"""Browsers: the WebSockets that they come by, who of them is there, and what they say of calls."""
