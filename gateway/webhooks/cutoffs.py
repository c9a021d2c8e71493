"""When exchanges must be over: those whose time is up lose their connection.

Nearly every exchange is over long before. A timer of its own would cost it a twelfth of what it
costs, so there is one for all of them, set for the earliest end.
"""

import asyncio
import math
from typing import Final

_EARLY: Final = 0.001  # seconds that a loop's timer may come too early


class Cutoff:
    """The end of one exchange over `transport`; `ends` is by the loop's clock.

    `passed` tells that the exchange was cut off.
    """

    __slots__ = ("_transport", "ends", "passed")

    def __init__(self, transport: asyncio.Transport | None, ends: float) -> None:
        self._transport = transport
        self.ends = ends
        self.passed = False

    def end(self) -> None:
        """Cut it off."""
        self.passed = True
        if self._transport is not None:
            self._transport.abort()


class Watch:
    """The exchanges that are under way in one event loop."""

    __slots__ = ("_due", "_live", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._live: set[Cutoff] = set()
        self._due = math.inf  # not after the earliest end of what is live
        self._timer: asyncio.TimerHandle | None = None

    def add(self, cutoff: Cutoff) -> None:
        """Cut it off at its end."""
        self._live.add(cutoff)
        if cutoff.ends < self._due:
            self._set(cutoff.ends)

    def discard(self, cutoff: Cutoff) -> None:
        """It is over."""
        self._live.discard(cutoff)

    def close(self) -> None:
        """Cut off nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, due: float) -> None:
        self.close()
        self._due = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        now = self._loop.time() + _EARLY
        for cutoff in [each for each in self._live if each.ends <= now]:
            self._live.discard(cutoff)
            cutoff.end()
        self._due, self._timer = math.inf, None
        if self._live:
            self._set(min(each.ends for each in self._live))
