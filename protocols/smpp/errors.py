"""What can go wrong in the SMPP wing, by whose fault it is.

`LocalProtocolError` means that our own code asked for something the specification forbids: it is
raised where it was asked. What a peer does wrong is never raised: it is a value, `codec.Malformed`
or an event of the session.
"""


class ProtocolError(Exception):
    """SMPP was broken."""


class LocalProtocolError(ProtocolError):
    """Our side asked for what the specification, the state or the window forbids."""


class RemoteProtocolError(ProtocolError):
    """The peer could not be understood where only an exception can say so.

    `status` is the command_status that fits as an answer, `recoverable` whether the session can
    go on.
    """

    def __init__(self, reason: str, *, status: int, recoverable: bool) -> None:
        super().__init__(reason)
        self.status = status
        self.recoverable = recoverable
