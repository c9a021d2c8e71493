"""The wire and nothing but the wire: codecs, state machines without I/O, and one endpoint per wing."""
