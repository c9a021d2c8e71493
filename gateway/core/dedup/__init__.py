"""Dedup: what stands in a raw topic any number of times stands in its clean topic once."""
