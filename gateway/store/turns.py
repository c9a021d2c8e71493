"""How a busy event loop makes room for the store's threads.

A thread that comes back from the disk waits for the interpreter's lock. It may ask the holder to
hand it over, but only after a whole switch interval in which nobody let go; a loop that lets go
for a microsecond at each turn, and turns faster than that, keeps it out for seconds. So while a
thread has made no progress for a while, the loop naps long enough for it to wake up.
"""

import asyncio
import time
from typing import Final

_PATIENCE: Final = 0.002  # seconds without progress
_EVERY: Final = 0.001  # seconds between naps
_NAP: Final = 0.0001  # seconds: what a thread needs to wake up, and twice that


class Turns:
    """Counts what threads have been asked and naps while nothing comes back. One for each loop."""

    __slots__ = ("_asked", "_loop", "_since", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked = 0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def asked(self) -> None:
        """A thread has been asked for something."""
        if not self._asked:
            self._since = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(_PATIENCE, self._look)
        self._asked += 1

    def answered(self, count: int = 1) -> None:
        """It came back."""
        self._asked -= count
        self._since = self._loop.time()

    def _look(self) -> None:
        self._timer = None
        if not self._asked:
            return
        if self._loop.time() - self._since >= _PATIENCE:
            time.sleep(_NAP)
        self._timer = self._loop.call_later(_EVERY, self._look)
