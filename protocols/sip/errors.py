"""What can go wrong in the SIP wing, by whose fault it is.

`LocalProtocolError` means that our own code asked for what the specification or the state
forbids: it is raised where it was asked. What a peer does wrong is raised only while its message
is being read, as `RemoteProtocolError`; what leaves `codec` is a value.
"""


class ProtocolError(Exception):
    """SIP was broken."""


class LocalProtocolError(ProtocolError):
    """Our side asked for what the specification or the state forbids."""


class RemoteProtocolError(ProtocolError):
    """The peer wrote what can't be understood.

    `status` is the code that fits as an answer to a request, `header` the header at fault, ""
    if it is none.
    """

    def __init__(self, reason: str, *, status: int = 400, header: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.header = header
