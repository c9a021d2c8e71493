"""RTP and what belongs to it: the wire, the machines that follow a stream, and audio as numbers."""
