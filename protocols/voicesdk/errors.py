"""What can go wrong in the Voice SDK's signalling, by whose fault it is, with Twilio's codes.

The SDK makes an exception of its own of each code that it knows, see
https://www.twilio.com/docs/api/errors; codes of SIP stand behind 31.
"""

from enum import IntEnum
from typing import Final

import msgspec


class Code(IntEnum):
    """Codes that the SDK knows."""

    UNKNOWN = 31000
    APPLICATION_NOT_FOUND = 31001
    CONNECTION_DECLINED = 31002
    CONNECTION_TIMEOUT = 31003
    CONNECTION = 31005
    CANCELLED = 31008
    TRANSPORT = 31009
    MALFORMED = 31100
    NO_PARAMETERS = 31101
    NO_TOKEN = 31102
    PARAMETERS_TOO_LONG = 31103
    BAD_IDENTITY = 31105
    BAD_RECONNECT = 31107
    UNAUTHORIZED = 31201
    BAD_SIGNATURE = 31202
    NO_ACCOUNT = 31203
    BAD_TOKEN = 31204
    TOKEN_EXPIRED = 31205
    TOO_OFTEN = 31206
    TOKEN_TOO_LONG = 31207
    NOT_RECONNECTED = 31209
    BAD_MESSAGE_TYPE = 31210
    MESSAGE_TOO_LARGE = 31212
    BAD_REQUEST = 31400
    NOT_FOUND = 31404
    UNAVAILABLE = 31480
    BUSY = 31486
    NOT_ACCEPTABLE = 31488
    FAULT = 31500
    OVERLOADED = 31503
    DECLINED = 31603


_SIP: Final = 31000
_OF_SIP: Final = range(400, 700)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An error as the client is told: a code and a sentence."""

    code: int
    message: str


def fault_of_sip(status: int, reason: str) -> Fault:
    """What a client is told of a final code of SIP."""
    code = _SIP + status if status in _OF_SIP else Code.CONNECTION.value
    return Fault(code=code, message=reason)


class ProtocolError(Exception):
    """The protocol was broken."""


class LocalProtocolError(ProtocolError):
    """Our side asked for what the state forbids."""


class RemoteProtocolError(ProtocolError):
    """The client sent what can't be understood; `code` is what it is told."""

    def __init__(self, reason: str, *, code: int = Code.MALFORMED) -> None:
        super().__init__(reason)
        self.code = code
