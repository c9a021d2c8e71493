"""The wire and nothing but the wire: codecs, machines without I/O, and one endpoint per wing."""
