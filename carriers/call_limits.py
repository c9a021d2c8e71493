"""How many calls a trunk may have, and how many it may begin a second.

A call is counted by its name, so that its end can be told twice and frees one channel. Emergency
calls are counted and never refused. `now` is in seconds of a clock that never goes back.
"""

from enum import StrEnum

import msgspec

from carriers.throttle import Throttle


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


class CallLimits:
    """The limits of one trunk; 0 is none."""

    def __init__(self, *, cps: float, channels: int, now: float) -> None:
        self._channels = channels
        self._rate = Throttle(cps, now)
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
        if not self._rate.take(1, now):
            return Full(limit=Limit.CPS, allowed=self._rate.tps, retry_at=self._rate.ready_at(now))
        self._calls.add(call)
        return None

    def admit_emergency(self, call: str, now: float) -> None:
        """Count `call` whatever the limits say; it takes from the rate what there is."""
        self._rate.take(1, now)
        self._calls.add(call)

    def end(self, call: str) -> None:
        """`call` is over, or goes by another trunk."""
        self._calls.discard(call)

    def change(self, *, cps: float, channels: int, now: float) -> None:
        """Go on with other limits; calls that are more than allowed stay."""
        self._channels = channels
        self._rate.change(cps, now)
