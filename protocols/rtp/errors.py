"""What can go wrong in the RTP wing, by whose fault it is.

`LocalProtocolError` means that our own code asked for what the specification or the state
forbids: it is raised where it was asked. What a peer does wrong is never raised: it is a value,
`packet.Malformed`, or a verdict of the machine that read it.
"""


class ProtocolError(Exception):
    """RTP was broken."""


class LocalProtocolError(ProtocolError):
    """Our side asked for what the specification or the state forbids."""
