"""Which share of new calls is more than can be worked off in time, told from how late timers are.

What is late waits in queues that nobody sees, and peers send again what isn't answered within half
a second (RFC 3261 §17.1.1.1): who answers that late is asked ever more, and gets ever less done
(RFC 5390 §4). So the share grows while timers are later than they may be and shrinks while they are
not, and what is left is what can be done in time. One late look alone, as after a disk or a machine
that stood still, turns nobody away: what waited meanwhile is soon done. Nor is it a few calls that
make timers late, but what else has the machine: so many are free, and come in however late it is.
"""

from typing import Final

import msgspec

from protocols.sip.pace import Pace, Rate

_GAIN: Final = 0.5  # of the share in a second: the more so the later, the less so the earlier
_WORST: Final = 3.0  # times as late as may be; more says no more
_LONGEST: Final = 0.2  # seconds that one look stands for
_LEAST: Final = 0.45  # of a share that turns anybody away: three looks
_MOST: Final = 0.95  # somebody has to come in, for it to show that there is room again


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How late timers may be for longer than a moment: `most` seconds, 0 for however late.

    `free` calls come in however late they are.
    """

    most: float = 0.05
    free: Rate = Rate(per_second=100.0, at_once=100.0)


class Overload:
    """See the module; `now` is in seconds of a clock that never goes back."""

    __slots__ = ("_at", "_credit", "_free", "_lag", "late", "share")

    def __init__(self, lag: Lag, now: float) -> None:
        self._lag = lag
        self._at = now
        self._credit = 0.0
        self._free = Pace(lag.free, now)
        self.late = 0.0
        """How late the last look was, in seconds."""
        self.share = 0.0
        """Of new calls, from 0 to 1: that many are too many."""

    @property
    def is_late(self) -> bool:
        """Whether anybody is turned away."""
        return self.share >= _LEAST

    def looked(self, late: float, now: float) -> None:
        """What was due `late` seconds ago is looked at now."""
        passed, self._at, self.late = now - self._at, now, late
        most = self._lag.most
        if not most:
            return
        if late <= most:
            self._change(passed * (late / most - 1.0))
            return
        counts = min(_LONGEST, passed)
        self._change(-max(0.0, passed - late - counts))  # before it was due all was quiet
        self._change(counts * (min(_WORST, late / most) - 1.0))

    def _change(self, by: float) -> None:
        self.share = min(_MOST, max(0.0, self.share + _GAIN * by))

    def turns_away(self, now: float) -> bool:
        """Whether the call that comes now is one too many; every so many are, evenly."""
        if not self.is_late or self._free.admits(now):
            return False
        self._credit += self.share
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
