"""What can go wrong in the SDP wing, by whose fault it is.

`LocalProtocolError` means that our own code asked for what the specification or the state
forbids. `RemoteProtocolError` is raised only while a description is being read; what offer and
answer can't agree on is a value, `Refused`.
"""

from enum import IntEnum


class WarningCode(IntEnum):
    """Why a session is not to be had, as the header Warning numbers it (RFC 3261 §20.43)."""

    NETWORK_PROTOCOL = 300
    ADDRESS_FORMAT = 301
    TRANSPORT_PROTOCOL = 302
    MEDIA_TYPE = 304
    MEDIA_FORMAT = 305
    MULTICAST = 330
    MISCELLANEOUS = 399


class ProtocolError(Exception):
    """SDP was broken."""


class LocalProtocolError(ProtocolError):
    """Our side asked for what the specification or the state forbids."""


class RemoteProtocolError(ProtocolError):
    """The peer wrote what can't be understood.

    `status` is the code of SIP that fits as an answer to the request that carried it, `warning`
    the code for its header Warning.
    """

    def __init__(
        self, reason: str, *, status: int = 400, warning: WarningCode = WarningCode.MISCELLANEOUS
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.warning = warning
