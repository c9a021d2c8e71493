"""Keys in SIP's INFO: as bodies, and one after the other towards a peer that hears them so.

What is written is application/dtmf-relay, which trunks that ask for INFO mean by it; what is read
is that and application/dtmf, whose body is the key alone. Requests in a dialog may overtake each
other, and a peer refuses one that is overtaken (RFC 3261 §12.2.2): so the next key waits for the
answer to the one before.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from gateway.media.graph import WebRtc
from protocols.rtp.dtmf import DIGITS, DURATION
from protocols.sdp.media import DtmfMode, MediaPolicy, Stream
from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import InfoReceived, RequestId, Responded, SessionId
from protocols.sip.session_offers import Body
from protocols.sip.station import Station

RELAY: Final = "application/dtmf-relay"
PLAIN: Final = "application/dtmf"
MOST_WAITING: Final = 64
MOST_OCTETS: Final = 256  # a key takes thirty
SHORTEST: Final = 0.06  # seconds, as keys are said to be pressed
LONGEST: Final = 5.0

_OK: Final = 200
_BY_CODE: Final = {str(code): digit for code, digit in enumerate(DIGITS)}
_SIGNAL: Final = re.compile(r"^\s*signal\s*=\s*(\S+)\s*$", re.IGNORECASE | re.MULTILINE)
_DURATION: Final = re.compile(r"^\s*duration\s*=\s*([0-9]{1,6})\s*$", re.IGNORECASE | re.MULTILINE)


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key, pressed for `duration` seconds."""

    digit: str
    duration: float = DURATION


def read(body: Body | None) -> Key | None:
    """The key in the body of an INFO; None if there is none."""
    if body is None or len(body.octets) > MOST_OCTETS:
        return None
    kind = body.type.partition(";")[0].strip().lower()
    text = body.octets.decode("ascii", "replace")
    if kind == PLAIN:
        return _key(text.strip(), None)
    if kind != RELAY:
        return None
    signal, duration = _SIGNAL.search(text), _DURATION.search(text)
    if signal is None:
        return None
    return _key(signal[1], None if duration is None else int(duration[1]) / 1000)


def _key(written: str, duration: float | None) -> Key | None:
    """A key by its name, or by its code (RFC 4733 §3.2), as some write * and #."""
    digit = written.upper()
    digit = _BY_CODE.get(digit, digit)
    if len(digit) != 1 or digit not in DIGITS:
        return None
    return Key(digit=digit, duration=DURATION if duration is None else _within_reason(duration))


def write(key: Key) -> Body:
    """The body of an INFO with a key."""
    milliseconds = round(_within_reason(key.duration) * 1000)
    text = f"Signal={key.digit}\r\nDuration={milliseconds}\r\n"
    return Body(octets=text.encode(), type=RELAY)


def _within_reason(duration: float) -> float:
    return min(max(duration, SHORTEST), LONGEST)


class Peer(Protocol):
    """A leg, as far as its keypad needs to know it."""

    id: str
    session: SessionId
    policy: MediaPolicy
    webrtc: WebRtc | None
    is_up: bool

    @property
    def stream(self) -> Stream | None:
        """What was agreed on; None before that."""
        ...


class Keypad:
    """The keys of one leg's peer in INFO; `pressed` takes those that it presses."""

    def __init__(self, peer: Peer, station: Station, pressed: Callable[[str, Key], None]) -> None:
        self._peer = peer
        self._station = station
        self._pressed = pressed
        self._waiting: deque[Key] = deque()
        self._asked: RequestId | None = None

    def receive(self, event: InfoReceived) -> None:
        """Take an INFO of the peer.

        A key in it counts unless keys are to come otherwise: some peers press each in two ways.
        Browsers press it in one, whatever their descriptions say of events.
        """
        self._station.agent.respond(event.key, Reply(status=_OK), self._station.now())
        key, stream = read(event.body), self._peer.stream
        if key is None or stream is None or (stream.events and self._peer.webrtc is None):
            return
        if self._peer.policy.dtmf is not DtmfMode.INBAND:
            self._pressed(self._peer.id, key)

    def press(self, key: Key) -> None:
        """Press a key towards the peer, after those that wait; what is too much is dropped."""
        if self._peer.is_up and len(self._waiting) < MOST_WAITING:
            self._waiting.append(key)
            self._next()

    def answered(self, event: Responded) -> None:
        """A request in the session has its final response, whatever that is."""
        if event.request == self._asked:
            self._asked = None
            self._next()

    def _next(self) -> None:
        if self._asked is None and self._waiting:
            station = self._station
            body = write(self._waiting.popleft())
            self._asked = station.agent.info(self._peer.session, body, station.now())
            station.wake()
