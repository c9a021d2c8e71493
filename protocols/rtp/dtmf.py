"""Digits as events of RFC 4733: heard from a peer's packets, and pressed towards it.

An event is known by the SSRC and the timestamp that all its packets share: whichever of them get
lost, come late or come twice, it is one digit. The marker bit decides nothing.
"""

from collections import deque
from math import ceil, inf
from struct import Struct
from typing import Final

import msgspec

from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.events import DigitEnded, DigitEvent, DigitStarted
from protocols.rtp.packet import Octets, sequences_ahead

DIGITS: Final = "0123456789*#ABCD"  # by their codes (§3.2)
PAUSES: Final = {"w": 0.5, "W": 1.0}  # seconds
DURATION: Final = 0.1  # seconds that a key is pressed
GAP: Final = 0.08  # seconds between two keys
PACKET_TIME: Final = 0.02
VOLUME: Final = 10  # -10 dBm0
MAX_DURATION: Final = 0xFFFF  # units that one packet can tell of
FINAL_PACKETS: Final = 3  # §2.5.1.4
SILENT_PACKETS: Final = 3  # missing ones after which an event is over
MEMORY: Final = 2.0  # seconds for which packets of an event that is over are known as such

_END: Final = 0x80
_PAYLOAD: Final = Struct(">BBH")
_REMEMBERED: Final = 16


def units(payload: Octets) -> int:
    """For how many units a packet says that its key is pressed (§2.3.5); 0 if it is too short."""
    return _PAYLOAD.unpack_from(payload)[2] if len(payload) >= _PAYLOAD.size else 0


class _Pressed:
    """The event that is going on."""

    __slots__ = ("code", "earlier", "heard", "sequence", "ssrc", "timestamp", "units")

    def __init__(self, ssrc: int, timestamp: int, code: int, sequence: int) -> None:
        self.ssrc = ssrc
        self.timestamp = timestamp
        self.code = code
        self.sequence = sequence  # of the newest packet
        self.units = 0
        self.earlier = 0  # units of the segments before this one
        self.heard = 0.0


class DigitReceiver:
    """What a peer presses; one for each direction of a call.

    `clock_rate` is that of the payload type telephone-event, in Hz; `packet_time` the time
    between two packets in seconds, until theirs is seen.
    """

    def __init__(self, *, clock_rate: int, packet_time: float = PACKET_TIME) -> None:
        self.ignored = 0  # packets that were too short or told of another event than a digit
        self.late = 0  # packets of an event that was overtaken whole by the next one
        self._clock_rate = clock_rate
        self._packet_time = packet_time
        self._pressed: _Pressed | None = None
        self._over: dict[tuple[int, int, int], float] = {}  # and when they were last heard
        self._newest = (0, 0, -inf)  # SSRC and sequence number of the newest packet, and when
        self._events: deque[DigitEvent] = deque()

    def receive(
        self, payload: Octets, *, ssrc: int, sequence: int, timestamp: int, now: float
    ) -> None:
        """Take a packet of the payload type telephone-event."""
        if len(payload) < _PAYLOAD.size or payload[0] >= len(DIGITS):
            self.ignored += 1
            return
        code, flags, units = _PAYLOAD.unpack_from(payload)
        key = (ssrc, timestamp, code)
        if now - self._over.get(key, -inf) < MEMORY:
            self._over[key] = now
            return
        pressed = self._pressed
        if pressed is None or key != (pressed.ssrc, pressed.timestamp, pressed.code):
            if self._is_late(ssrc, sequence, now):
                self.late += 1
                return
            pressed = self._begin(ssrc, sequence, timestamp, code)
        self._go_on(pressed, sequence, units, now)
        if flags & _END:
            self._end(now)

    def _is_late(self, ssrc: int, sequence: int, now: float) -> bool:
        source, newest, at = self._newest
        recent = ssrc == source and now - at < MEMORY
        return recent and sequences_ahead(sequence, newest) < 0

    def _begin(self, ssrc: int, sequence: int, timestamp: int, code: int) -> _Pressed:
        before = self._pressed
        begun = _Pressed(ssrc, timestamp, code, sequence)
        if before is not None and before.ssrc == ssrc and before.code == code:
            step = (timestamp - before.timestamp) & 0xFFFF_FFFF
            if step in (MAX_DURATION, before.units):  # the next segment of it (§2.5.1.3)
                begun.earlier = before.earlier + step
                self._remember(before)
                self._pressed = begun
                return begun
        if before is not None:
            self._end(before.heard)
        self._pressed = begun
        self._events.append(DigitStarted(digit=DIGITS[code]))
        return begun

    def _go_on(self, pressed: _Pressed, sequence: int, units: int, now: float) -> None:
        ahead = sequences_ahead(sequence, pressed.sequence)
        if ahead == 1 and units > pressed.units > 0:
            step = (units - pressed.units) / self._clock_rate
            self._packet_time = min(max(step, PACKET_TIME), 0.1)
        if ahead >= 0:
            pressed.sequence = sequence
            self._newest = (pressed.ssrc, sequence, now)
        pressed.units = max(pressed.units, units)
        pressed.heard = now

    def _end(self, now: float) -> None:
        pressed = self._pressed
        if pressed is None:
            return
        self._pressed = None
        pressed.heard = now
        self._remember(pressed)
        duration = (pressed.earlier + pressed.units) / self._clock_rate
        self._events.append(DigitEnded(digit=DIGITS[pressed.code], duration=duration))

    def _remember(self, pressed: _Pressed) -> None:
        self._over[pressed.ssrc, pressed.timestamp, pressed.code] = pressed.heard
        while len(self._over) > _REMEMBERED:
            del self._over[next(iter(self._over))]

    def next_event(self) -> DigitEvent | None:
        """The oldest event not yet read."""
        return self._events.popleft() if self._events else None

    def timer(self) -> float | None:
        """When `handle_timer` wants to be called, at the latest; None for never."""
        if self._pressed is None:
            return None
        return self._pressed.heard + SILENT_PACKETS * self._packet_time

    def handle_timer(self, now: float) -> None:
        """End the digit whose packets stopped; harmless when none did."""
        due = self.timer()
        if due is not None and due <= now:
            self._end(now)


class DigitPacket(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A packet to send now under the stream's own SSRC and next sequence number."""

    timestamp: int
    marker: bool
    payload: bytes


class DigitSender:
    """Keys pressed one after the other; while `busy`, no audio goes out beside them.

    Times are in seconds; `duration` is rounded up to whole packets. `volume` is in -dBm0, 0 to 63.
    """

    def __init__(
        self,
        *,
        clock_rate: int,
        packet_time: float = PACKET_TIME,
        duration: float = DURATION,
        gap: float = GAP,
        volume: int = VOLUME,
    ) -> None:
        self._units = round(packet_time * clock_rate)
        self._updates = max(1, ceil(round(duration / packet_time, 6)))
        if self._updates * self._units > MAX_DURATION:
            raise LocalProtocolError(f"a digit lasts at most {MAX_DURATION / clock_rate:.2f} s")
        if not 0 <= volume <= 0x3F:
            raise LocalProtocolError(f"a volume is 0 to 63, not {volume}")
        self._clock_rate = clock_rate
        self._packet_time = packet_time
        self._gap = gap
        self._volume = volume
        self._waiting: deque[tuple[str, int]] = deque()  # keys, and their packets
        self._code: int | None = None  # of the digit that is going out
        self._sent = 0  # packets of it
        self._length = self._updates  # packets until it is let go
        self._begun = 0  # its timestamp
        self._at = inf  # when the next packet is due, or the last pause is over
        self._anchor = (0.0, 0)  # a time, and the stream's timestamp then

    @property
    def busy(self) -> bool:
        """Whether keys or pauses are still under way."""
        return self._at < inf

    def press(
        self, keys: str, *, timestamp: int, now: float, duration: float | None = None
    ) -> None:
        """Press keys, after those that are under way; `timestamp` is the stream's at `now`.

        Keys are 0-9, *, #, A-D; w waits half a second, W a second. Another character is a
        `LocalProtocolError`. `duration` is that of these keys, as far as one packet can tell of it.
        """
        for key in keys:
            if key not in PAUSES and key.upper() not in DIGITS:
                raise LocalProtocolError(f"{key!r} is neither a digit nor a pause")
        if not keys:
            return
        updates = self._updates if duration is None else self._packets_of(duration)
        self._waiting.extend((key if key in PAUSES else key.upper(), updates) for key in keys)
        if not self.busy:
            self._at = now
            self._anchor = (now, timestamp)

    def _packets_of(self, duration: float) -> int:
        packets = max(1, ceil(round(duration / self._packet_time, 6)))
        return min(packets, MAX_DURATION // self._units)

    def stop(self) -> None:
        """Press no more; a key that is down is let go with its next packet."""
        self._waiting.clear()
        if self._code is None:
            self._at = inf
        else:
            self._length = min(self._length, self._sent + 1)

    def timer(self) -> float | None:
        """When `next_packet` wants to be called, at the latest; None for never."""
        return self._at if self.busy else None

    def next_packet(self, now: float) -> DigitPacket | None:
        """A packet that is due by `now`; called until there is none."""
        while self._at <= now:
            if self._code is not None or self._take_key(now):
                return self._packet(now)
        return None

    def _take_key(self, now: float) -> bool:
        """Whether a digit is to begin now, not a pause or nothing."""
        if not self._waiting:
            self._at = inf
            return False
        key, updates = self._waiting.popleft()
        if key in PAUSES:
            self._at += PAUSES[key]
            return False
        self._catch_up(now)
        at, timestamp = self._anchor
        self._begun = (timestamp + round((self._at - at) * self._clock_rate)) & 0xFFFF_FFFF
        self._code = DIGITS.index(key)
        self._sent, self._length = 0, updates
        return True

    def _packet(self, now: float) -> DigitPacket:
        self._catch_up(now)
        code, self._sent = self._code or 0, self._sent + 1
        ended = self._sent >= self._length
        packet = DigitPacket(
            timestamp=self._begun,
            marker=self._sent == 1,
            payload=_PAYLOAD.pack(
                code,
                self._volume | (_END if ended else 0),
                min(self._sent, self._length) * self._units,
            ),
        )
        self._at += self._packet_time
        if self._sent == self._length + FINAL_PACKETS - 1:  # its end was told often enough
            self._code = None
            repeated = (FINAL_PACKETS - 1) * self._packet_time
            self._at += max(0.0, self._gap - repeated)
        return packet

    def _catch_up(self, now: float) -> None:
        """A driver that comes late stretches the digit, for a burst would be heard as a click."""
        if now - self._at > self._packet_time:
            self._at = now
