"""An event loop whose clock leaps: where nobody has anything to do, the next timer is due at once.

Sockets are real ones of this machine, and hours of timers pass in a moment.
"""

import asyncio
import selectors
from typing import Any

SETTLED = 0.003
"""Seconds of the real clock without any octet after which nothing is on its way any more."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= SETTLED:
            return super().select(timeout)
        found = super().select(SETTLED)
        if not found:
            self.skipped += timeout - SETTLED
        return found


class HeldLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._leaping = _Selector()
        super().__init__(self._leaping)

    def time(self) -> float:
        """Seconds that passed, leaps among them."""
        return super().time() + self._leaping.skipped

    def timers(self, whose: str = "") -> int:
        """How many wait that were not cancelled: all, or those that call what has this name."""
        handles: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return sum(not each.cancelled() and whose in repr(each) for each in handles)
