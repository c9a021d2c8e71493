"""Frames of the Voice SDK's signalling to values and back.

A frame is a line feed, which is the heartbeat, or JSON: `{"type", "payload", "version"}`. What the
client says comes as `events`; what is told to it is written by `write` as a payload under a type.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from protocols.voicesdk import events
from protocols.voicesdk.errors import Code, RemoteProtocolError
from protocols.voicesdk.events import Event

VERSION: Final = "1.6"
HEARTBEAT: Final = "\n"

MOST_PARAMETERS: Final = 100
LONGEST_PARAMETERS: Final = 8192  # characters, as they are written
LARGEST_MESSAGE: Final = 10 * 1024  # octets of a call message's content
LONGEST_KEYS: Final = 100
LONGEST_SDP: Final = 32 * 1024
_LONGEST_NAME: Final = 64  # characters of a call's name
_LONGEST_TOKEN: Final = 16 * 1024
_LONGEST_TEXT: Final = 256
_KEYS: Final = frozenset("0123456789*#ABCDabcdwW")


class _Frame(msgspec.Struct, frozen=True):
    type: str
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    version: str = VERSION


class _Browser(msgspec.Struct, frozen=True):
    user_agent: str = msgspec.field(name="userAgent", default="")


class _BrowserInfo(msgspec.Struct, frozen=True):
    browser: _Browser = _Browser()
    v: str = ""


class _Listen(msgspec.Struct, frozen=True):
    """Its `reconnectTimeout` is not read: the SDK says 0 by default, and is back all the same."""

    token: str = ""
    browserinfo: _BrowserInfo = _BrowserInfo()


class _Media(msgspec.Struct, frozen=True):
    audio: bool = False


class _Register(msgspec.Struct, frozen=True):
    media: _Media = _Media()


class _Twilio(msgspec.Struct, frozen=True):
    params: str = ""


class _Invite(msgspec.Struct, frozen=True):
    callsid: str
    sdp: str
    reconnect: str | None = None
    twilio: _Twilio = _Twilio()


class _Described(msgspec.Struct, frozen=True):
    callsid: str
    sdp: str


class _Dtmf(msgspec.Struct, frozen=True):
    callsid: str
    dtmf: str


class _Message(msgspec.Struct, frozen=True):
    callsid: str
    voiceeventsid: str
    content: msgspec.Raw = msgspec.Raw(b"null")
    contenttype: str = "application/json"
    messagetype: str = ""


class _Left(msgspec.Struct, frozen=True):
    callsid: str
    message: str | None = None


_frame: Final = msgspec.json.Decoder(_Frame)
_encode: Final = msgspec.json.Encoder().encode


def read(text: str) -> Event | None:
    """What a frame says; None for a type that is not known. Raises `RemoteProtocolError`."""
    try:
        frame = _frame.decode(text)
        handled = _READERS.get(frame.type)
        if handled is None:
            return None
        shape, event_of = handled
        return event_of(msgspec.json.decode(frame.payload, type=shape))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RemoteProtocolError(f"a message can't be read: {error}") from error


def write(kind: str, payload: Mapping[str, Any]) -> str:
    """A message to the client."""
    return _encode({"type": kind, "payload": payload, "version": VERSION}).decode()


def read_parameters(text: str) -> tuple[tuple[str, str], ...]:
    """Parameters of an app, as they stand in a query. Raises `RemoteProtocolError`."""
    if len(text) > LONGEST_PARAMETERS:
        raise RemoteProtocolError(
            f"parameters may have {LONGEST_PARAMETERS} characters", code=Code.PARAMETERS_TOO_LONG
        )
    try:
        found = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError as error:
        raise RemoteProtocolError(
            f"there may be {MOST_PARAMETERS} parameters", code=Code.PARAMETERS_TOO_LONG
        ) from error
    return tuple(found)


def write_parameters(parameters: tuple[tuple[str, str], ...]) -> str:
    """As a query; spaces as %20, which is all that the SDK reads."""
    return urlencode(parameters, quote_via=quote)


def _listened(said: _Listen) -> Event:
    if not said.token:
        raise RemoteProtocolError("a token is missing", code=Code.NO_TOKEN)
    _bounded("token", said.token, _LONGEST_TOKEN)
    info = said.browserinfo
    return events.Listened(
        token=said.token,
        agent=f"{info.v[:20]} {info.browser.user_agent[:_LONGEST_TEXT]}".strip(),
    )


def _registered(said: _Register) -> Event:
    return events.Registered() if said.media.audio else events.Unregistered()


def _invited(said: _Invite) -> Event:
    callsid, sdp = _named(said.callsid), _bounded("sdp", said.sdp, LONGEST_SDP)
    if said.reconnect is not None:
        _bounded("reconnect", said.reconnect, _LONGEST_TEXT)
        return events.Reconnected(callsid=callsid, reconnect=said.reconnect, sdp=sdp)
    parameters = read_parameters(said.twilio.params)
    return events.Invited(callsid=callsid, sdp=sdp, parameters=parameters)


def _answered(said: _Described) -> Event:
    sdp = _bounded("sdp", said.sdp, LONGEST_SDP)
    return events.Answered(callsid=_named(said.callsid), sdp=sdp)


def _reinvited(said: _Described) -> Event:
    sdp = _bounded("sdp", said.sdp, LONGEST_SDP)
    return events.Reinvited(callsid=_named(said.callsid), sdp=sdp)


def _pressed(said: _Dtmf) -> Event:
    _bounded("dtmf", said.dtmf, LONGEST_KEYS)
    if not _KEYS.issuperset(said.dtmf):
        raise RemoteProtocolError("dtmf has keys 0 to 9, A to D, *, # and w for a wait")
    return events.Pressed(callsid=_named(said.callsid), digits=said.dtmf)


def _messaged(said: _Message) -> Event:
    return events.Messaged(
        callsid=_named(said.callsid),
        content=bytes(said.content),
        content_type=_bounded("contenttype", said.contenttype, _LONGEST_TEXT),
        message_type=_bounded("messagetype", said.messagetype, _LONGEST_TEXT),
        voice_event_sid=_bounded("voiceeventsid", said.voiceeventsid, _LONGEST_TEXT),
    )


def _rejected(said: _Left) -> Event:
    return events.Rejected(callsid=_named(said.callsid))


def _hung_up(said: _Left) -> Event:
    message = (said.message or "")[:_LONGEST_TEXT]
    return events.HungUp(callsid=_named(said.callsid), message=message)


def _named(callsid: str) -> str:
    return _bounded("callsid", callsid, _LONGEST_NAME)


def _bounded(name: str, text: str, most: int) -> str:
    if not text or len(text) > most:
        raise RemoteProtocolError(f"{name} should have 1 to {most} characters, not {len(text)}")
    return text


_READERS: Final[Mapping[str, tuple[Any, Callable[[Any], Event]]]] = {
    "listen": (_Listen, _listened),
    "register": (_Register, _registered),
    "invite": (_Invite, _invited),
    "answer": (_Described, _answered),
    "reinvite": (_Described, _reinvited),
    "dtmf": (_Dtmf, _pressed),
    "message": (_Message, _messaged),
    "reject": (_Left, _rejected),
    "hangup": (_Left, _hung_up),
}
