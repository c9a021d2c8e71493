"""When a stream's RTCP is due and what it says (RFC 3550 §6.3 and §6.4), and what it heard.

One reporter speaks for one leg: of the packets that went out under its SSRC, and of the sources
whose packets came in.
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import Final

import msgspec

from protocols.rtp import rtcp
from protocols.rtp.reception import Reception
from protocols.rtp.rtcp import (
    Goodbye,
    Group,
    ReceiverReport,
    Report,
    ReportBlock,
    SenderReport,
    SourceDescription,
)

UDP_IP_OCTETS: Final = 28  # what the average size counts beside the compound
FIRST_SIZE: Final = 120.0  # octets that a compound is thought to have before one was seen
_WORD: Final = 0xFFFF_FFFF


class ReporterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`cname` is our name, the same for all streams of a call (RFC 7022).

    `bandwidth` is that of RTCP in octets per second, 0 for no RTCP (RFC 3556). `unix` is what a
    clock on the wall shows, in seconds since 1970, when the session's clock shows 0.
    """

    cname: str
    bandwidth: float = 400.0  # 5 % of 64 kbit/s
    unix: float = 0.0


class Reporter:
    """What we report, and of ourselves.

    `chance` gives numbers evenly spread over 0 to 1, 1 excluded; `clock_rate` is that of the
    timestamps that we send, in Hz.
    """

    __slots__ = (
        "_average_size",
        "_chance",
        "_config",
        "_initial",
        "_last",
        "_next",
        "_octets_before",
        "_packets_before",
        "_reported",
        "_reported_earlier",
        "_sent_at",
        "_timestamp",
        "clock_rate",
        "heard",
        "octets",
        "packets",
        "round_trip",
        "ssrc",
    )

    def __init__(
        self,
        config: ReporterConfig,
        *,
        ssrc: int,
        clock_rate: int,
        chance: Callable[[], float],
        now: float,
    ) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.packets = 0  # sent under all SSRCs
        self.octets = 0
        self.heard: ReportBlock | None = None  # the peer's last word on what we sent
        self.round_trip: float | None = None
        self._config = config
        self._chance = chance
        self._packets_before = 0  # of other SSRCs of ours
        self._octets_before = 0
        self._reported = 0  # packets at the last report and at the one before
        self._reported_earlier = 0
        self._timestamp = 0
        self._sent_at = -inf
        self._average_size = FIRST_SIZE
        self._last = now
        self._initial = True
        self._next = inf
        if config.bandwidth > 0:
            self._next = now + self._interval(senders=0)

    # What went out

    def sent(self, ssrc: int, timestamp: int, octets: int, now: float) -> None:
        """A packet went out with so many octets of payload; another SSRC than before is ours."""
        if ssrc != self.ssrc:
            self.change_ssrc(ssrc)
        self.count(timestamp, octets, now)

    def count(self, timestamp: int, octets: int, now: float) -> None:
        """The same for a packet that went out under `ssrc`."""
        self.packets += 1
        self.octets += octets
        self._timestamp = timestamp
        self._sent_at = now

    def change_ssrc(self, ssrc: int) -> None:
        """Count from 0 for another SSRC; what was heard of the former holds no more."""
        self.ssrc = ssrc
        self._packets_before, self._octets_before = self.packets, self.octets
        self.heard = None

    # When

    def timer(self) -> float | None:
        """When `is_due` is to be asked; None for never."""
        return self._next if self._next < inf else None

    def stop(self) -> None:
        """Report no more."""
        self._next = inf

    def is_due(self, now: float, senders: int) -> bool:
        """Whether a compound goes out now, of a group with so many other senders.

        When it doesn't, the timer was reconsidered (§6.3.6) and is due later.
        """
        if now < self._next:
            return False
        self._next = self._last + self._interval(senders)
        if self._next > now:
            return False
        self._last, self._initial = now, False
        self._next = now + self._interval(senders)
        return True

    def _interval(self, senders: int) -> float:
        group = Group(
            members=2,
            senders=senders + self._sends,
            bandwidth=self._config.bandwidth,
            average_size=self._average_size,
            we_sent=self._sends,
            initial=self._initial,
        )
        return rtcp.interval(group, self._chance())

    @property
    def _sends(self) -> bool:
        """Whether we sent since the report before the last (§6.3.8)."""
        return self.packets > self._reported_earlier

    def weigh(self, octets: int) -> None:
        """A compound of so many octets came or went (§6.3.3)."""
        self._average_size += (octets + UDP_IP_OCTETS - self._average_size) / 16

    # What

    def compound(
        self, receptions: Iterable[Reception], now: float, goodbye: Goodbye | None = None
    ) -> bytes:
        """A report of all sources that were heard since the last one, with our name."""
        blocks = tuple(each.block(now) for each in receptions if each.is_fresh)
        reports: list[Report] = [self._report(blocks[: rtcp.MAX_BLOCKS], now)]
        reports.append(SourceDescription(names=((self.ssrc, self._config.cname),)))
        if goodbye is not None:
            reports.append(goodbye)
        self._reported_earlier, self._reported = self._reported, self.packets
        octets = rtcp.write(*reports)
        self.weigh(len(octets))
        return octets

    def _report(self, blocks: tuple[ReportBlock, ...], now: float) -> Report:
        if not self._sends:
            return ReceiverReport(ssrc=self.ssrc, blocks=blocks)
        passed = round((now - self._sent_at) * self.clock_rate)
        return SenderReport(
            ssrc=self.ssrc,
            ntp=self._ntp(now),
            rtp_timestamp=(self._timestamp + passed) & _WORD,
            packets=(self.packets - self._packets_before) & _WORD,
            octets=(self.octets - self._octets_before) & _WORD,
            blocks=blocks,
        )

    def take(self, blocks: Iterable[ReportBlock], now: float) -> ReportBlock | None:
        """Read what the peer says of us; the block that does, None if there is none."""
        for block in blocks:
            if block.ssrc == self.ssrc:
                self.heard = block
                seen = rtcp.round_trip(block, self._ntp(now))
                self.round_trip = self.round_trip if seen is None else seen
                return block
        return None

    def _ntp(self, now: float) -> int:
        return rtcp.ntp(self._config.unix + now)
