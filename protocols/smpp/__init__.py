"""SMPP v3.4 and v5.0."""
