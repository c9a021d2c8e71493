"""What goes out on one leg: whoever speaks, the peer hears one stream.

Packets are passed on as they are but for their numbers. Those are the leg's own: one SSRC while
the leg lasts, a sequence and a clock that go on when another source takes over, after a hold and
when the source changes its SSRC. Within one source they keep their distances, so that the peer
sees what was lost on the way and its reports tell of the whole of it; and SRTP never sees one
number twice under one key.
"""

from collections.abc import Callable
from typing import Final

from protocols.rtp import dtmf, formats
from protocols.rtp.endpoint import PortPair
from protocols.rtp.packet import HEADER, HEADER_OCTETS, Malformed, payload_bounds
from protocols.rtp.session import Session
from protocols.rtp.srtp import Refusal, SrtpSender
from protocols.sdp.media import Stream

_NOBODY: Final = -1
_REMEMBERED: Final = 8  # SSRCs of one source whose clocks are known
_SOON: Final = 0.02  # seconds; who is later than that has left a gap, which stays one
_LOSSY: Final = 5  # of 256 packets that the peer missed since its last report: 2 %
_LONGEST: Final = formats.LONGEST / 1000  # seconds that a packet lasts
_WORD: Final = 0xFFFF_FFFF

Head = tuple[int, int, int, int, int]
"""A packet's head as `HEADER` has it: flags, marker and payload type, sequence, timestamp, SSRC."""

_unpack: Final = HEADER.unpack_from
_pack: Final = HEADER.pack


class Outlet:
    """A leg's way out; `chance` gives numbers evenly spread over 0 to 1, 1 excluded."""

    __slots__ = (
        "_ahead",
        "_alone",
        "_at",
        "_clock",
        "_clocks",
        "_followed",
        "_latch",
        "_newest",
        "_packet",
        "_ports",
        "_reporter",
        "_send",
        "_shift",
        "_stream",
        "clock_rate",
        "is_open",
        "refused",
        "sealer",
        "tap",
    )

    def __init__(self, session: Session, ports: PortPair, chance: Callable[[], float]) -> None:
        self.sealer: SrtpSender | None = None
        self.tap: Callable[[bytes, float], object] | None = None  # hears all that goes out
        self.is_open = False  # the peer wants to hear something
        self.clock_rate = 8000
        self.refused = 0  # packets that SRTP did not take
        self._latch = session.latch
        self._reporter = session.reporter
        self._ports = ports
        self._send = ports.rtp.sendto
        self._newest = int(chance() * 0x10000)
        self._clock = int(chance() * (1 << 32))  # the timestamp of the newest packet
        self._at: float | None = None  # when the first of that timestamp went out
        self._packet = b""  # the newest one, unsealed
        self._stream: Stream | None = None
        self._followed = _NOBODY
        self._alone = _NOBODY
        self._ahead = 0  # of the followed source's numbers
        self._shift = 0  # the same of timestamps
        self._clocks: dict[int, int] = {}  # of which each SSRC has its own

    @property
    def loses(self) -> bool:
        """Whether the peer says that packets are lost on their way to it."""
        block = self._reporter.heard
        return block is not None and block.fraction_lost >= _LOSSY

    def tune(self, stream: Stream) -> None:
        """What goes out is as `stream` has it from now on."""
        self._stream = stream
        self.is_open = stream.direction.sends
        self.clock_rate = stream.codecs[0].sent.clock_rate

    def turn(self) -> None:
        """From now on another source speaks, or after the one that has this for itself."""
        if self._alone == _NOBODY:
            self._forget()

    def keep_to(self, ssrc: int | None) -> None:
        """Let nobody but this source through from now on; None for whoever speaks."""
        self._alone = _NOBODY if ssrc is None else ssrc
        self._forget()

    def _forget(self) -> None:
        self._followed = _NOBODY
        self._clocks.clear()

    def follows(self, ssrc: int) -> bool:
        """Whether this is the source that spoke last."""
        return self._followed == ssrc

    def over(self, now: float) -> float | None:
        """When the newest packet is over, as far as is known by `now`; None before the first."""
        return None if self._at is None else self._at + self._lasts(now) / self.clock_rate

    def next(self, now: float) -> float:
        """When what begins now is to say its first packet.

        That is when the last one is over that went out, so that the two meet.
        """
        over = self.over(now)
        return now if over is None or now - over >= _SOON else over

    def relay(self, payload_type: int, octets: bytes, now: float) -> None:
        """Pass a packet on, under the payload type that this peer has for it.

        Another source's timestamps begin no sooner than this packet is over.
        """
        flags, second, sequence, timestamp, ssrc = _unpack(octets)
        head = flags, second & 0x80 | payload_type, sequence, timestamp, ssrc
        self.say(head, octets[HEADER_OCTETS:], now)

    def say(self, head: Head, payload: bytes, now: float) -> None:
        """The same for a packet in two parts, with this peer's payload type in its head."""
        destination = self._latch.goes_to if self.is_open else None
        if destination is None:
            self._followed = _NOBODY
            return
        flags, second, sequence, timestamp, ssrc = head
        if ssrc != self._followed:
            if self._alone not in (_NOBODY, ssrc):
                return
            self._follow(ssrc, sequence, timestamp, now)
            second |= 0x80
        sequence = (sequence + self._ahead) & 0xFFFF
        timestamp = (timestamp + self._shift) & _WORD
        reporter = self._reporter
        packet = _pack(flags, second, sequence, timestamp, reporter.ssrc) + payload
        if (sequence - self._newest) & 0x8000 == 0:
            if timestamp != self._clock or self._at is None:
                self._at = now
            self._newest, self._clock, self._packet = sequence, timestamp, packet
        if self.tap is not None:
            self.tap(packet, now)
        if self.sealer is not None:
            sealed = self.sealer.protect(packet)
            if isinstance(sealed, Refusal):
                self.refused += 1
                return
            packet = sealed
        try:
            self._send(packet, destination)
        except OSError:
            self._ports.unsent += 1  # lost, as the network may lose any
        reporter.count(timestamp, len(payload), now)

    def _follow(self, ssrc: int, sequence: int, timestamp: int, now: float) -> None:
        """Go on from the last packet that went out with the first of another SSRC.

        A source that speaks under two by turns, as for digits, keeps the clock of each.
        """
        self._followed = ssrc
        self._ahead = (self._newest + 1 - sequence) & 0xFFFF
        if ssrc in self._clocks:
            self._shift = self._clocks[ssrc]
            return
        passed = 0 if self._at is None else round((now - self._at) * self.clock_rate)
        continued = self._clock + max(passed, self._lasts(now))
        self._shift = self._clocks[ssrc] = (continued - timestamp) & _WORD
        if len(self._clocks) > _REMEMBERED:
            del self._clocks[next(iter(self._clocks))]

    def _lasts(self, now: float) -> int:
        """For how many ticks the newest packet is heard; 0 if that can't be told.

        That is no longer than the longest packet, and a key no longer than it was pressed by `now`,
        whatever they say of themselves.
        """
        stream, bounds = self._stream, payload_bounds(self._packet)
        if stream is None or self._at is None or isinstance(bounds, Malformed):
            return 0
        most = round(_LONGEST * self.clock_rate)
        payload_type, payload = self._packet[1] & 0x7F, self._packet[bounds[0] : bounds[1]]
        for each in stream.codecs:
            if each.sent.payload_type == payload_type:
                format = formats.find(each.sent.name, each.sent.clock_rate)
                return 0 if format is None else min(most, format.ticks(payload))
        for each in stream.events:
            if each.sent.payload_type == payload_type:
                passed = max(0, round((now - self._at) * self.clock_rate))
                lasts = dtmf.units(payload) * self.clock_rate // each.sent.clock_rate
                return min(most + passed, lasts)
        return 0
