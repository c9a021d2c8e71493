"""The playout buffer of one stream: packets in as the network brings them, frames out in time.

Whoever plays calls `pull` whenever it needs the next frame, about as often as frames last, and
gets the frame, two frames to be played in the time of one, or why there is none. Nothing is
decoded here and no clock is read: times are seconds of one clock that never goes back.

How long a packet waits follows what the network did in the last second. A packet's transit is its
arrival less its timestamp; the least transit in that second is the path at its best, and the
target is by how much nearly all of the others were later. A frame is due when the clock is its
timestamp, the least transit and the target. Playing too late, frames are squeezed, one in 60 ms;
too early, or with nothing to play, the buffer waits and the delay grows. What would be played
later than the longest delay is discarded.
"""

from array import array
from bisect import bisect_left
from collections import deque
from enum import Enum
from math import inf
from typing import Final

import msgspec

from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import LONGEST

_WINDOW: Final = 1.0  # seconds of transits that count
_FEWEST: Final = 12  # but so many count however old they are: a pause makes no path better
_OUTLIERS: Final = 40  # one transit in so many may be late without being waited for
_OFTEN: Final = 8  # packets after which the target is reckoned anew, if no transit was unusual
_SELDOM: Final = 32  # the same while it is as near as it may be
_SETTLE: Final = 0.055  # seconds between two changes of the delay: three pulls of 20 ms
_JUMP: Final = 3.0  # seconds by which a timestamp may be off before it is taken for another stream
_WORD: Final = 0xFFFF_FFFF
_HALF: Final = 1 << 31
_PLAYED: Final = 30  # packets back that are remembered to tell a duplicate from a late one
_PLAYED_MASK: Final = (1 << _PLAYED) - 1
_STARVED: Final = 0.2  # seconds without a packet after which it is a pause, not a loss


class JitterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the delay and of what is kept; seconds, and packets.

    `first` is the delay until there is something to measure.
    """

    least: float = 0.02
    most: float = 0.3
    first: float = 0.04
    packets: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.first <= self.most or self.packets < 2:
            raise LocalProtocolError(f"bounds of a playout buffer in no order: {self}")


class Frame(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A packet's payload, `ticks` of the RTP clock long; 0 for one that lasts until the next."""

    ssrc: int
    sequence: int
    timestamp: int
    payload_type: int
    marker: bool
    ticks: int
    payload: bytes


class Squeeze(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Two frames to be played in the time of the second: the delay was longer than is needed."""

    first: Frame
    second: Frame


class Gap(Enum):
    """Why there is no frame; it lasts as long as frames do, 2.5 ms at least."""

    LOST = "lost"  # conceal: the packet won't come
    LATE = "late"  # conceal: it may still come, and the delay grows by this gap
    PAUSE = "pause"  # background: the sender has nothing to say, or hasn't begun


class Arrival(Enum):
    """What became of a packet that was pushed."""

    KEPT = "kept"
    LATE = "late"  # its time has passed
    DUPLICATE = "duplicate"
    SUSPECT = "suspect"  # of another stream; kept if the next packet is of it too
    TOO_MANY = "too many"  # kept, and the oldest went


_KEPT: Final = Arrival.KEPT


class JitterStatistics(msgspec.Struct, kw_only=True):
    """Counts since the buffer was made, in packets; `delay` and `target` in seconds, now."""

    received: int = 0
    played: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    reordered: int = 0
    too_many: int = 0
    discarded: int = 0
    squeezed: int = 0
    stretched: int = 0
    resynced: int = 0
    delay: float = 0.0
    target: float = 0.0


class JitterBuffer:
    """See the module. `clock_rate` is the RTP clock's, `ticks` a frame's length until one came."""

    __slots__ = (
        "_best",
        "_came",
        "_delay",
        "_has_played",
        "_jump",
        "_last_sequence",
        "_latest",
        "_longest",
        "_measured",
        "_most",
        "_newest",
        "_next",
        "_often",
        "_patience",
        "_played",
        "_queue",
        "_rate",
        "_settled",
        "_shortest",
        "_ssrc",
        "_started",
        "_starved",
        "_statistics",
        "_suspect",
        "_target",
        "_ticks",
        "_transits",
        "_unweighed",
        "config",
    )

    def __init__(self, config: JitterConfig, *, clock_rate: int, ticks: int) -> None:
        if clock_rate <= 0 or ticks <= 0:
            raise LocalProtocolError("a clock and a frame go forward")
        self.config = config
        self._statistics = JitterStatistics()
        self._delay = 0.0
        self._rate = clock_rate
        self._jump = round(_JUMP * clock_rate)
        self._shortest, self._longest = clock_rate // 400, clock_rate * LONGEST // 1000
        self._ticks = ticks
        self._most = config.packets
        self._suspect: tuple[Frame, float] | None = None
        self._ssrc = -1
        # Timestamps are counted on past 32 bits in here.
        self._newest = 0
        self._came = 0.0  # when the newest did
        self._next = 0  # what is to be played next
        self._best = inf  # the least transit
        self._latest = -inf  # the greatest that the target was made for
        self._unweighed = 0  # transits that the target doesn't know of
        self._begin(0, 0, 0.0)

    @property
    def statistics(self) -> JitterStatistics:
        """The counts so far, and how it is now."""
        found = self._statistics
        found.delay, found.target = self._delay, self._target
        return found

    @property
    def delay(self) -> float:
        """How long packets wait now, seconds."""
        return self._delay

    @property
    def ticks(self) -> int:
        """How long a `Gap` lasts, in ticks of the RTP clock."""
        return self._ticks

    def __len__(self) -> int:
        return len(self._queue)

    # What came

    def push(self, frame: Frame, now: float) -> Arrival:
        """Take a packet in; one of another SSRC or time counts when a second one follows it."""
        self._statistics.received += 1
        newest = self._newest
        ahead = frame.timestamp - newest
        if not -_HALF <= ahead < _HALF:
            ahead = ((ahead + _HALF) & _WORD) - _HALF
        # After a pause the timestamp has gone on with the clock (RFC 3550 §5.1).
        off = ahead - (now - self._came) * self._rate
        if frame.ssrc != self._ssrc or off > self._jump or -off > self._jump:
            return self._doubt(frame, now)
        self._suspect = None
        return self._take(frame, newest + ahead, now)

    def _take(self, frame: Frame, at: int, now: float) -> Arrival:
        transit = now - at / self._rate
        self._transits.append(transit)
        self._measured.append(now)
        self._unweighed += 1
        if not self._best <= transit <= self._latest or self._unweighed >= self._often:
            self._weigh(now)
        queue = self._queue
        behind = (self._last_sequence - frame.sequence) & 0xFFFF
        if behind < _PLAYED and self._played >> behind & 1:
            self._statistics.duplicate += 1
            return Arrival.DUPLICATE
        if at < self._next and self._has_played:
            self._statistics.late += 1
            return Arrival.LATE
        if queue and at <= queue[-1][0]:
            return self._reorder(frame, at)
        queue.append((at, frame))
        if at >= self._newest:
            self._newest, self._came = at, now
        return _KEPT if len(queue) <= self._most else self._overflow()

    def _reorder(self, frame: Frame, at: int) -> Arrival:
        """Put a packet between those that came before it."""
        queue = self._queue
        place = bisect_left(queue, at, key=_time_of)
        if queue[place][0] == at:
            self._statistics.duplicate += 1
            return Arrival.DUPLICATE
        self._statistics.reordered += 1
        queue.insert(place, (at, frame))
        return _KEPT if len(queue) <= self._most else self._overflow()

    def _overflow(self) -> Arrival:
        self._statistics.too_many += 1
        self._queue.popleft()
        return Arrival.TOO_MANY

    def _doubt(self, frame: Frame, now: float) -> Arrival:
        """Keep a packet of what may be another stream until the next one agrees with it."""
        suspect = self._suspect
        self._suspect = frame, now
        if suspect is None:
            if self._ssrc >= 0:
                return Arrival.SUSPECT
        elif (
            suspect[0].ssrc != frame.ssrc
            or _signed(frame.sequence - suspect[0].sequence, 16) not in (1, 2, 3)
            or not 0 <= _signed(frame.timestamp - suspect[0].timestamp, 32) <= self._jump
        ):
            return Arrival.SUSPECT
        self._suspect = None
        if self._ssrc >= 0:
            self._statistics.resynced += 1
        first, came = suspect or (frame, now)
        self._ssrc = frame.ssrc
        self._begin(first.timestamp, first.sequence - 1, came)
        arrival = self._take(first, first.timestamp, came)
        if first is frame:
            return arrival
        after = first.timestamp + _signed(frame.timestamp - first.timestamp, 32)
        return self._take(frame, after, now)

    def _begin(self, timestamp: int, sequence: int, came: float) -> None:
        """Forget the stream that was; the next one begins at `timestamp`."""
        self._queue: deque[tuple[int, Frame]] = deque()
        self._newest = timestamp
        self._came = came
        self._next = timestamp
        self._last_sequence = sequence & 0xFFFF  # of what was played last
        self._has_played = False
        self._played = 0  # a bit for each packet that was, the last one's the lowest
        self._started = False  # whether it plays; if not, the delay is made up first
        self._starved = 0.0
        self._settled = 0.0  # when the delay was changed last
        # As numbers, not as objects: there are 50 for each stream, and they are to stay near.
        self._transits = array("d")
        self._measured = array("d")  # when each was
        self._best, self._latest = inf, -inf
        self._unweighed = 0
        self._aim_at(self.config.first)

    def _weigh(self, now: float) -> None:
        """Have the target follow the transits of the last second."""
        transits, measured = self._transits, self._measured
        gone = min(bisect_left(measured, now - _WINDOW), len(measured) - _FEWEST)
        if gone > 0:
            del transits[:gone], measured[:gone]
        ordered = sorted(transits)
        self._best = ordered[0]
        self._unweighed = 0
        if len(ordered) < _FEWEST:
            self._aim_at(self._target)
            return
        spread = ordered[-1 - len(ordered) // _OUTLIERS] - ordered[0]
        # Half a frame more: what comes just in time for one pull is late for another's rhythm.
        wanted = spread + self._ticks / self._rate / 2
        config = self.config
        self._aim_at(min(max(wanted, config.least), config.most))

    def _aim_at(self, target: float) -> None:
        self._target = target
        self._often = _OFTEN if target > self.config.least else _SELDOM
        # Who is later than that was not reckoned with, half a frame less for the pulls' rhythm.
        self._latest = self._best + target - self._ticks / self._rate / 2
        # Half a frame more than one is late for no reason, unless it is more than may be waited.
        spare = (self.config.most - target) * self._rate
        self._patience = self._ticks + min(self._ticks / 2, spare)

    # What is played

    def pull(self, now: float) -> Frame | Squeeze | Gap:
        """The next frame to be played, or why there is none."""
        queue = self._queue
        if not queue:
            return self._starve(now)
        rate, ticks, next_ = self._rate, self._ticks, self._next
        behind = now - self._best
        self._delay = behind - next_ / rate
        due = (behind - self._target) * rate
        at, frame = queue[0]
        if (
            at == next_
            and -self._patience <= at - due <= ticks / 2
            and frame.ticks == ticks
            and frame.sequence == (self._last_sequence + 1) & 0xFFFF
            and self._started
        ):  # the next one, whose time it is: what most are
            queue.popleft()
            self._statistics.played += 1
            self._next = at + ticks
            self._last_sequence = frame.sequence
            self._played = (self._played << 1 | 1) & _PLAYED_MASK
            self._starved = 0.0
            return frame
        return self._find(due, now)

    def _find(self, due: float, now: float) -> Frame | Squeeze | Gap:
        """What is to be played of a queue whose first frame may not be the next one."""
        self._discard(due)
        ahead = self._queue[0][0] - due  # ticks until the first frame is due
        if not self._started:
            if ahead > 0:
                return Gap.PAUSE
            self._started = True
            self._next = self._queue[0][0]
        elif self._queue[0][0] > self._next and ahead > 0:
            return self._bridge(self._queue[0][1], due)
        elif ahead > self._ticks / 2 and self._may_change(now):
            self._statistics.stretched += 1
            return Gap.LATE
        return self._play(-ahead, now)

    def _discard(self, due: float) -> None:
        """Let go of what is older than the longest delay: too much to be squeezed away."""
        queue = self._queue
        oldest = due + (self._target - self.config.most) * self._rate - self._ticks
        while len(queue) > 1 and queue[0][0] < oldest:
            _, frame = queue.popleft()
            self._statistics.discarded += 1
            self._count(frame.sequence)

    def _play(self, late: float, now: float) -> Frame | Squeeze:
        frame = self._pop()
        # A frame that is one frame late is on its way to the next pull: no reason to hurry.
        if late > 1.5 * self._ticks and self._queue and self._may_change(now):
            at, second = self._queue[0]
            if at == self._next and second.payload_type == frame.payload_type:
                self._statistics.squeezed += 1
                return Squeeze(first=frame, second=self._pop())
        return frame

    def _pop(self) -> Frame:
        at, frame = self._queue.popleft()
        statistics = self._statistics
        statistics.played += 1
        missing = _signed(frame.sequence - self._last_sequence, 16) - 1
        if missing > 0:
            statistics.lost += missing
        ticks = min(frame.ticks, self._longest)
        if ticks != self._ticks and ticks >= self._shortest:
            self._ticks = ticks
            self._aim_at(self._target)
        self._next = at + (ticks or self._ticks)
        self._count(frame.sequence)
        self._starved = 0.0
        self._has_played = True
        return frame

    def _count(self, sequence: int) -> None:
        """Remember the packet that left the queue; numbers that go back begin anew."""
        step = _signed(sequence - self._last_sequence, 16)
        before = self._played << step if 0 < step < _PLAYED else 0
        self._played = (before | 1) & _PLAYED_MASK
        self._last_sequence = sequence

    def _bridge(self, head: Frame, due: float) -> Gap:
        """What stands before a frame that isn't due and isn't the next one."""
        if head.marker or (head.sequence - self._last_sequence) & 0xFFFF == 1:
            return Gap.PAUSE  # the sender left nothing out: it was silent
        if self._next > due + self._ticks:
            return Gap.LATE
        self._next += self._ticks
        return Gap.LOST

    def _starve(self, now: float) -> Gap:
        """What there is when no packet is: a loss or a delay at first, then a pause."""
        if not self._started:
            return Gap.PAUSE
        self._delay = now - self._best - self._next / self._rate
        self._starved += self._ticks / self._rate
        if self._starved <= _STARVED:
            return Gap.LATE
        self._started = False
        return Gap.PAUSE

    def _may_change(self, now: float) -> bool:
        if now - self._settled < _SETTLE:
            return False
        self._settled = now
        return True


def _time_of(entry: tuple[int, Frame]) -> int:
    return entry[0]


def _signed(difference: int, bits: int) -> int:
    """How far a counter of so many bits went, the shorter way round."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half
