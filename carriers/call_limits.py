"""How many calls a trunk may have, and how many it may begin a second.

A call is counted by its name, so that its end can be told twice and frees one channel. Emergency
calls are counted and never refused. `now` is in seconds of a clock that never goes back.

Calls come in bunches, one in and one out at once for each that is put through: what counts is how
many began in the last second, not how close they are.
"""

from collections import deque
from enum import StrEnum

import msgspec


class Limit(StrEnum):
    """Which limit was reached: the key of the file."""

    CPS = "cps"
    CHANNELS = "channels"


class Admission(StrEnum):
    """Whether the limits hold for a call: they never do for one for help."""

    ORDINARY = "ordinary"
    EMERGENCY = "emergency"


class Full(msgspec.Struct, frozen=True, kw_only=True):
    """A trunk takes no call now; `retry_at` is when it may, None if a call has to end first."""

    limit: Limit
    allowed: float
    retry_at: float | None

    def reason(self) -> str:
        """A sentence for a log, a refusal or a person."""
        if self.limit is Limit.CPS:
            return f"more than cps = {self.allowed:g} calls a second"
        return f"all channels = {self.allowed:g} are taken"


class Pace:
    """At most `cps` calls begun in any second, or one in 1/`cps` seconds; 0 is no limit."""

    def __init__(self, cps: float) -> None:
        self.cps = cps
        self._begun: deque[float] = deque(maxlen=max(1, int(cps)))

    def ready_at(self, now: float) -> float:
        """When the next one may begin: `now` if it may at once."""
        if not self.cps or len(self._begun) < self._most:
            return now
        return max(now, self._begun[0] + self._most / self.cps)

    def begin(self, now: float) -> None:
        """One begins."""
        if self.cps:
            self._begun.append(now)

    def changed(self, cps: float) -> "Pace":
        """The same at another limit: what has begun still counts."""
        pace = Pace(cps)
        pace._begun.extend(self._begun)
        return pace

    @property
    def _most(self) -> int:
        return self._begun.maxlen or 1


class CallLimits:
    """The limits of one trunk; 0 is none."""

    def __init__(self, *, cps: float, channels: int) -> None:
        self._channels = channels
        self._pace = Pace(cps)
        self._calls: set[str] = set()

    def __len__(self) -> int:
        """How many calls there are."""
        return len(self._calls)

    def admit(self, call: str, now: float) -> Full | None:
        """Count `call`, which begins now; why not if it may not. A call that is counted may."""
        if call in self._calls:
            return None
        if self._channels and len(self._calls) >= self._channels:
            return Full(limit=Limit.CHANNELS, allowed=self._channels, retry_at=None)
        if (ready := self._pace.ready_at(now)) > now:
            return Full(limit=Limit.CPS, allowed=self._pace.cps, retry_at=ready)
        self._pace.begin(now)
        self._calls.add(call)
        return None

    def admit_emergency(self, call: str, now: float) -> None:
        """Count `call` whatever the limits say."""
        self._pace.begin(now)
        self._calls.add(call)

    def end(self, call: str) -> None:
        """`call` is over, or goes by another trunk."""
        self._calls.discard(call)

    def change(self, *, cps: float, channels: int) -> None:
        """Go on with other limits; calls that are more than allowed stay."""
        self._channels = channels
        self._pace = self._pace.changed(cps)
