"""What REST changes of calls that are up: whom their ends are told to, how long they may last."""

import asyncio
from collections.abc import Callable

from gateway.calls.hands import Spawn
from gateway.calls.line import Line
from gateway.calls.orders import Amend


class Amends:
    """Those of one call and of whom it dialled; `spawn` runs what ends with the call."""

    def __init__(self, spawn: Spawn, clock: Callable[[], float]) -> None:
        self._spawn = spawn
        self._clock = clock
        self._limits: dict[str, asyncio.Task[None]] = {}  # by call

    def make(self, line: Line, order: Amend, end: Callable[[], None]) -> None:
        """Change what holds for a call; `end` ends it, which a new limit puts off."""
        if order.status_callback:
            line.tell_at(order.status_callback, order.status_callback_method)
        if order.time_limit:
            before = self._limits.pop(line.call.sid, None)
            if before is not None:
                before.cancel()
            self._limits[line.call.sid] = self._spawn(self._limit(line, order.time_limit, end))

    async def _limit(self, line: Line, seconds: float, end: Callable[[], None]) -> None:
        """End a call so many seconds after its answer; after now, if it rings."""
        started = line.call.started or self._clock()
        await asyncio.sleep(max(0.0, started + seconds - self._clock()))
        if not line.is_over:
            end()
