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

from bisect import bisect_left, insort
from collections import deque
from enum import Enum
from typing import Final

import msgspec

from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import LONGEST

_WINDOW: Final = 1.0  # seconds of transits that count
_FEWEST: Final = 12  # but so many count however old they are: a pause makes no path better
_OUTLIERS: Final = 40  # one transit in so many may be late without being waited for
_SETTLE: Final = 0.055  # seconds between two changes of the delay: three pulls of 20 ms
_JUMP: Final = 3.0  # seconds by which a timestamp may be off before it is taken for another stream
_WORD: Final = 0xFFFF_FFFF
_HALF: Final = 1 << 31
_PLAYED: Final = 64  # sequence numbers that are remembered to tell a duplicate from a late packet
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

    def __init__(self, config: JitterConfig, *, clock_rate: int, ticks: int) -> None:
        if clock_rate <= 0 or ticks <= 0:
            raise LocalProtocolError("a clock and a frame go forward")
        self.config = config
        self.statistics = JitterStatistics()
        self._bounds = config.least, config.most
        self._rate = clock_rate
        self._jump = round(_JUMP * clock_rate)
        self._shortest, self._longest = clock_rate // 400, clock_rate * LONGEST // 1000
        self._ticks = ticks
        self._suspect: tuple[Frame, float] | None = None
        self._ssrc = -1
        # Timestamps are counted on past 32 bits in here.
        self._newest = 0
        self._came = 0.0  # when the newest did
        self._next = 0  # what is to be played next
        self._begin(0, 0, 0.0)

    @property
    def ticks(self) -> int:
        """How long a `Gap` lasts, in ticks of the RTP clock."""
        return self._ticks

    def __len__(self) -> int:
        return len(self._queue)

    # What came

    def push(self, frame: Frame, now: float) -> Arrival:
        """Take a packet in; one of another SSRC or time counts when a second one follows it."""
        self.statistics.received += 1
        newest = self._newest
        at = newest + ((frame.timestamp - newest + _HALF) & _WORD) - _HALF
        # After a pause the timestamp has gone on with the clock (RFC 3550 §5.1).
        expected = newest + (now - self._came) * self._rate
        if frame.ssrc != self._ssrc or abs(at - expected) > self._jump:
            return self._doubt(frame, now)
        self._suspect = None
        return self._take(frame, at, now)

    def _take(self, frame: Frame, at: int, now: float) -> Arrival:
        self._measure(now - at / self._rate, now)
        statistics = self.statistics
        if self._played[frame.sequence % _PLAYED] == frame.sequence:
            statistics.duplicate += 1
            return Arrival.DUPLICATE
        if self._has_played and at < self._next:
            statistics.late += 1
            return Arrival.LATE
        queue = self._queue
        if not queue or at > queue[-1][0]:
            queue.append((at, frame))
            if at >= self._newest:
                self._newest, self._came = at, now
        else:
            place = bisect_left(queue, at, key=_time_of)
            if queue[place][0] == at:
                statistics.duplicate += 1
                return Arrival.DUPLICATE
            statistics.reordered += 1
            queue.insert(place, (at, frame))
        if len(queue) > self.config.packets:
            statistics.too_many += 1
            queue.popleft()
            return Arrival.TOO_MANY
        return Arrival.KEPT

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
            self.statistics.resynced += 1
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
        self._played = [-1] * _PLAYED  # the sequence numbers, each in its place
        self._started = False  # whether it plays; if not, the delay is made up first
        self._starved = 0.0
        self._settled = 0.0  # when the delay was changed last
        self._transits: deque[tuple[float, float]] = deque()  # when measured, and the transit
        self._sorted: list[float] = []
        self._target = self.config.first

    def _measure(self, transit: float, now: float) -> None:
        transits, ordered = self._transits, self._sorted
        transits.append((now, transit))
        insort(ordered, transit)
        oldest = now - _WINDOW
        count = len(ordered)
        while count > _FEWEST and transits[0][0] < oldest:
            _, gone = transits.popleft()
            del ordered[bisect_left(ordered, gone)]
            count -= 1
        if count < _FEWEST:
            return
        spread = ordered[-1 - count // _OUTLIERS] - ordered[0]
        # Half a frame more: what comes just in time for one pull is late for another's rhythm.
        wanted = spread + self._ticks / self._rate / 2
        least, most = self._bounds
        self._target = least if wanted < least else most if wanted > most else wanted

    # What is played

    def pull(self, now: float) -> Frame | Squeeze | Gap:
        """The next frame to be played, or why there is none."""
        queue = self._queue
        if not queue:
            return self._starve(now)
        due = self._due(now)
        at, frame = queue[0]
        ticks = self._ticks
        if (
            at == self._next
            and -ticks <= at - due <= ticks / 2
            and frame.ticks == ticks
            and frame.sequence == (self._last_sequence + 1) & 0xFFFF
            and self._started
        ):
            return self._play_next()
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
            self.statistics.stretched += 1
            return Gap.LATE
        return self._play(-ahead, now)

    def _due(self, now: float) -> float:
        """The timestamp that is to be played at `now`."""
        statistics = self.statistics
        statistics.target = self._target
        behind = now - self._sorted[0]
        statistics.delay = behind - self._next / self._rate
        return (behind - self._target) * self._rate

    def _discard(self, due: float) -> None:
        """Let go of what is older than the longest delay: too much to be squeezed away."""
        queue = self._queue
        oldest = due + (self._target - self.config.most) * self._rate - self._ticks
        while len(queue) > 1 and queue[0][0] < oldest:
            _, frame = queue.popleft()
            self.statistics.discarded += 1
            self._last_sequence = frame.sequence

    def _play_next(self) -> Frame:
        """The frame in front, which is the next one and whose time it is: what most are."""
        at, frame = self._queue.popleft()
        self.statistics.played += 1
        self._next = at + self._ticks
        sequence = self._last_sequence = frame.sequence
        self._starved = 0.0
        self._played[sequence % _PLAYED] = sequence
        self._has_played = True
        return frame

    def _play(self, late: float, now: float) -> Frame | Squeeze:
        frame = self._pop()
        # A frame that is one frame late is on its way to the next pull: no reason to hurry.
        if late > 1.5 * self._ticks and self._queue and self._may_change(now):
            at, second = self._queue[0]
            if at == self._next and second.payload_type == frame.payload_type:
                self.statistics.squeezed += 1
                return Squeeze(first=frame, second=self._pop())
        return frame

    def _pop(self) -> Frame:
        at, frame = self._queue.popleft()
        statistics = self.statistics
        statistics.played += 1
        missing = _signed(frame.sequence - self._last_sequence, 16) - 1
        if missing > 0:
            statistics.lost += missing
        ticks = min(frame.ticks, self._longest)
        if ticks >= self._shortest:
            self._ticks = ticks
        self._next = at + (ticks or self._ticks)
        self._last_sequence = frame.sequence
        self._starved = 0.0
        self._played[frame.sequence % _PLAYED] = frame.sequence
        self._has_played = True
        return frame

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
        self._due(now)
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
