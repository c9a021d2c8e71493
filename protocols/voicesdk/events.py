"""What a client of the Voice SDK did: values in the past tense, read with `Session.next_event`."""

from enum import StrEnum

import msgspec


class Listened(msgspec.Struct, frozen=True, kw_only=True):
    """It showed a token, at first or a newer one; `agent` is what browser and SDK are called."""

    token: str
    agent: str = ""

    def __repr__(self) -> str:
        """Everything but the token."""
        return f"Listened(agent={self.agent!r})"


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """It takes calls from now on; said again and again while it does."""


class Unregistered(msgspec.Struct, frozen=True, kw_only=True):
    """It takes no calls any more."""


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """It calls, under a name of its own for the call, with parameters of its app's."""

    callsid: str
    sdp: str
    parameters: tuple[tuple[str, str], ...] = ()


class Reconnected(msgspec.Struct, frozen=True, kw_only=True):
    """It is back with a call that had another socket, and proves that by `reconnect`."""

    callsid: str
    reconnect: str
    sdp: str

    def __repr__(self) -> str:
        """Everything but the proof."""
        return f"Reconnected(callsid={self.callsid!r})"


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """It takes a call of ours."""

    callsid: str
    sdp: str


class Reinvited(msgspec.Struct, frozen=True, kw_only=True):
    """It offers anew, as its network changed."""

    callsid: str
    sdp: str


class Pressed(msgspec.Struct, frozen=True, kw_only=True):
    """Its user pressed keys, "w" being half a second's wait."""

    callsid: str
    digits: str


class Messaged(msgspec.Struct, frozen=True, kw_only=True):
    """Its app sends a message in a call; `content` is JSON."""

    callsid: str
    content: bytes
    content_type: str
    message_type: str
    voice_event_sid: str


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """It does not take a call of ours."""

    callsid: str


class HungUp(msgspec.Struct, frozen=True, kw_only=True):
    """It ended a call; `message` says why if something else than its user did."""

    callsid: str
    message: str = ""


class CloseReason(StrEnum):
    """Why a session ended; the value is the sentence for a person."""

    NEVER_LISTENED = "no token came in time"
    SILENT = "the client answers no heartbeat"
    REFUSED = "the token was refused"
    EXPIRED = "the token is none any more, and no newer one came"
    TOO_OFTEN = "the client sends more than may be"
    MALFORMED = "the client sends what can't be read"
    CLOSED = "we closed it"


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """The session is over, and its socket is to be closed with `status` (RFC 6455 §7.4.1)."""

    reason: CloseReason
    status: int


Event = (
    Listened
    | Registered
    | Unregistered
    | Invited
    | Reconnected
    | Answered
    | Reinvited
    | Pressed
    | Messaged
    | Rejected
    | HungUp
    | Closed
)
