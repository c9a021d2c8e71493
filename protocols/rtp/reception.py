"""What came in of one source, counted as RFC 3550 §6.4.1 and its appendices A.1, A.3 and A.8 say.

A source is believed after `probation` packets in sequence. From then on a small step ahead is
loss, a small step back a late packet or a duplicate, and a large one an error, unless the next
packet goes on from there: then the source has begun anew.
"""

from typing import Final

from protocols.rtp.packet import SEQUENCES
from protocols.rtp.rtcp import ReportBlock

MAX_DROPOUT: Final = 3000  # packets that may be lost at a stretch
MAX_MISORDER: Final = 100  # packets by which one may come late
MIN_SEQUENTIAL: Final = 2
JUMP: Final = 4.0  # seconds that arrival and timestamp may drift apart and still be jitter

_SEEN: Final = 64  # packets back for which a duplicate is known as one
_SEEN_MASK: Final = (1 << _SEEN) - 1
_LATE: Final = SEQUENCES - MAX_MISORDER
_HALF: Final = 1 << 31  # timestamps that are further apart are so the other way round
_WORD: Final = 0xFFFF_FFFF
_MOST_LOST: Final = 0x7F_FFFF
_LEAST_LOST: Final = -0x80_0000


class Reception:
    """The packets of one SSRC; `clock_rate` is that of their timestamps, in Hz."""

    __slots__ = (
        "_arrived",
        "_base",
        "_expected_before",
        "_expected_earlier",
        "_jump",
        "_next_bad",
        "_probation",
        "_received_before",
        "_report",
        "_report_at",
        "_seen",
        "_timestamp",
        "clock_rate",
        "duplicated",
        "highest",
        "jitter",
        "misplaced",
        "probation",
        "received",
        "reordered",
        "ssrc",
        "wraps",
    )

    def __init__(
        self,
        *,
        ssrc: int,
        sequence: int,
        timestamp: int,
        clock_rate: int,
        now: float,
        probation: int = MIN_SEQUENTIAL,
    ) -> None:
        """The numbers of its first packet, which is to be given to `update` like the others."""
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.probation = probation
        self.jitter = 0.0  # in units of the timestamp
        self.duplicated = 0
        self.reordered = 0
        self.misplaced = 0  # packets that were not counted, for their number was impossible
        self.received = 0  # with duplicates, as A.3 counts
        self.wraps = 0
        self.highest = (sequence - 1) % SEQUENCES
        self._base = sequence
        self._seen = 0
        self._next_bad = -1
        self._probation = probation
        self._expected_earlier = 0  # of what came before the source began anew
        self._expected_before = self._received_before = 0  # at the last report of ours
        self._timestamp = timestamp
        self._arrived = now
        self._jump = JUMP * clock_rate
        self._report = 0
        self._report_at = now

    def _begin(self, sequence: int) -> None:
        self._base = self.highest = sequence
        self.wraps = 0
        self._seen = 1
        self._next_bad = -1
        self._probation = 0

    @property
    def believed(self) -> bool:
        """Whether its packets are counted: enough of them came in sequence."""
        return not self._probation

    def update(self, sequence: int, timestamp: int, now: float) -> bool:
        """Count a packet; False if its number is impossible here, or not yet believed."""
        ahead = (sequence - self.highest) & 0xFFFF
        if self._probation or ahead != 1:
            if not self._place(sequence, ahead):
                return False
        else:
            self._seen = (self._seen << 1 | 1) & _SEEN_MASK
            if not sequence:
                self.wraps += SEQUENCES
            self.highest = sequence
        self.received += 1
        step = timestamp - self._timestamp
        if step:  # packets of one moment say nothing of the network: a digit's all bear its start
            if not -_HALF <= step < _HALF:
                step = ((step + _HALF) & _WORD) - _HALF
            drift = (now - self._arrived) * self.clock_rate - step
            if drift < 0:
                drift = -drift
            if drift < self._jump:
                self.jitter += (drift - self.jitter) / 16
            self._timestamp = timestamp
            self._arrived = now
        return True

    def _place(self, sequence: int, ahead: int) -> bool:
        if self._probation:
            return self._prove(sequence, ahead)
        if 0 < ahead < MAX_DROPOUT:
            if sequence < self.highest:
                self.wraps += SEQUENCES
            self.highest = sequence
            self._seen = (self._seen << ahead | 1) & _SEEN_MASK if ahead < _SEEN else 1
        elif ahead == 0 or ahead > _LATE:
            self._count_late(-ahead & 0xFFFF)
        elif sequence == self._next_bad:
            self._expected_earlier = self.expected
            self._begin(sequence)
        else:
            self._next_bad = (sequence + 1) & 0xFFFF
            self.misplaced += 1
            return False
        return True

    def _prove(self, sequence: int, ahead: int) -> bool:
        self.highest = sequence
        if ahead != 1:
            self._probation = max(1, self.probation - 1)
            return False
        self._probation -= 1
        if self._probation <= 0:
            self._begin(sequence)
        return not self._probation

    def _count_late(self, behind: int) -> None:
        if behind < _SEEN and self._seen >> behind & 1:
            self.duplicated += 1
            return
        self.reordered += 1
        if behind < _SEEN:
            self._seen |= 1 << behind

    # What it comes to

    @property
    def highest_extended(self) -> int:
        """The highest sequence number, with the wraps above its 16 bits."""
        return self.wraps + self.highest

    @property
    def expected(self) -> int:
        """How many packets there should be, since the first."""
        if self._probation:
            return 0
        return self._expected_earlier + self.highest_extended - self._base + 1

    @property
    def lost(self) -> int:
        """Packets that did not come; negative if more came twice (A.3)."""
        return self.expected - self.received

    @property
    def missing(self) -> int:
        """Packets that did not come, duplicates not set against them."""
        return max(0, self.lost + self.duplicated)

    # Reports

    def retime(self, clock_rate: int) -> None:
        """Another codec, with timestamps of another clock, goes on under this SSRC."""
        self.jitter *= clock_rate / self.clock_rate
        self.clock_rate = clock_rate
        self._jump = JUMP * clock_rate

    @property
    def is_fresh(self) -> bool:
        """Whether packets were counted since the last report."""
        return self.received > self._received_before

    def reported(self, timestamp: int, now: float) -> None:
        """The source sent a sender report with this NTP timestamp."""
        self._report = timestamp >> 16 & 0xFFFF_FFFF
        self._report_at = now

    def block(self, now: float) -> ReportBlock:
        """What to report of it; the next fraction counts from here."""
        expected = self.expected
        step = expected - self._expected_before
        lost = step - (self.received - self._received_before)
        self._expected_before, self._received_before = expected, self.received
        fraction = (lost << 8) // step if step > 0 and lost > 0 else 0
        delay = int((now - self._report_at) * 65536) if self._report else 0
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=fraction,
            packets_lost=max(_LEAST_LOST, min(_MOST_LOST, self.lost)),
            highest_sequence=self.highest_extended & 0xFFFF_FFFF,
            jitter=min(int(self.jitter), 0xFFFF_FFFF),
            last_report=self._report,
            delay=min(delay, 0xFFFF_FFFF),
        )
