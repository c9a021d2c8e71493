"""Recordings of calls and conferences: their rows, their files, and who is told of them."""
