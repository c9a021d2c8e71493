"""What goes out on one leg: whoever speaks, the peer hears one stream.

Packets are passed on as they are but for their numbers. Those are the leg's own: one SSRC while
the leg lasts, a sequence and a clock that go on when another source takes over, after a hold and
when the source changes its SSRC. Within one source they keep their distances, so that the peer
sees what was lost on the way and its reports tell of the whole of it; and SRTP never sees one
number twice under one key.
"""

from collections.abc import Callable
from math import inf
from typing import Final

from protocols.rtp.endpoint import PortPair
from protocols.rtp.packet import HEADER, HEADER_OCTETS
from protocols.rtp.session import Session
from protocols.rtp.srtp import Refusal, SrtpSender

_NOBODY: Final = -1
_REMEMBERED: Final = 8  # SSRCs of one source whose clocks are known
_SOON: Final = 0.02  # seconds; who is later than that has left a gap, which stays one
_LOSSY: Final = 5  # of 256 packets that the peer missed since its last report: 2 %
_WORD: Final = 0xFFFF_FFFF
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
        "_ports",
        "_reporter",
        "_send",
        "_shift",
        "_until",
        "clock_rate",
        "is_open",
        "refused",
        "sealer",
        "tap",
    )

    def __init__(self, session: Session, ports: PortPair, chance: Callable[[], float]) -> None:
        self.sealer: SrtpSender | None = None
        self.tap: Callable[[bytes, float], None] | None = None  # hears all that goes out
        self.is_open = False  # the peer wants to hear something
        self.clock_rate = 8000
        self.refused = 0  # packets that SRTP did not take
        self._latch = session.latch
        self._reporter = session.reporter
        self._ports = ports
        self._send = ports.rtp.sendto
        self._newest = int(chance() * 0x10000)
        self._clock = int(chance() * (1 << 32))  # the timestamp of the newest packet
        self._at: float | None = None  # when it went out
        self._until = -inf  # when it is over, if it said so
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

    def turn(self) -> None:
        """From now on another source speaks."""
        self._followed = _NOBODY
        self._clocks.clear()

    def keep_to(self, ssrc: int | None) -> None:
        """Let nobody but this source through from now on; None for whoever speaks."""
        self._alone = _NOBODY if ssrc is None else ssrc
        self._followed = _NOBODY

    def next(self, step: float, now: float) -> float:
        """When what begins now is to say its first packet, if one lasts `step` seconds.

        That is when the last one is over that went out, so that the two meet.
        """
        if self._at is None:
            return now
        over = self._at + step
        return over if now - over < _SOON else now

    def relay(self, payload_type: int, octets: bytes, now: float, lasts: float = 0.0) -> None:
        """Pass a packet on, under the payload type that this peer has for it.

        Another source's timestamps begin no sooner than the `lasts` seconds of this one are over.
        """
        destination = self._latch.goes_to if self.is_open else None
        if destination is None:
            self._followed = _NOBODY
            return
        flags, second, sequence, timestamp, ssrc = _unpack(octets)
        second = second & 0x80 | payload_type
        if ssrc != self._followed:
            if self._alone not in (_NOBODY, ssrc):
                return
            self._follow(ssrc, sequence, timestamp, now)
            second |= 0x80
        sequence = (sequence + self._ahead) & 0xFFFF
        timestamp = (timestamp + self._shift) & _WORD
        if (sequence - self._newest) & 0x8000 == 0:
            self._newest, self._clock, self._at = sequence, timestamp, now
            self._until = now + lasts
        reporter = self._reporter
        packet = _pack(flags, second, sequence, timestamp, reporter.ssrc) + octets[HEADER_OCTETS:]
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
        reporter.count(timestamp, len(octets) - HEADER_OCTETS, now)

    def _follow(self, ssrc: int, sequence: int, timestamp: int, now: float) -> None:
        """Go on from the last packet that went out with the first of another SSRC.

        A source that speaks under two by turns, as for digits, keeps the clock of each.
        """
        self._followed = ssrc
        self._ahead = (self._newest + 1 - sequence) & 0xFFFF
        if ssrc in self._clocks:
            self._shift = self._clocks[ssrc]
            return
        passed = 0.0 if self._at is None else max(now, self._until) - self._at
        continued = self._clock + round(passed * self.clock_rate)
        self._shift = self._clocks[ssrc] = (continued - timestamp) & _WORD
        if len(self._clocks) > _REMEMBERED:
            del self._clocks[next(iter(self._clocks))]
