"""What a process gives back when its work is done: memory that a peak has left behind.

A busy process fills its caches, and its allocators keep what calls and texts had. None of that is
lost, but the machine lends it to nobody else: so once much was done and then little for as long
as SIP remembers calls, all that is kept only to be quick is let go, and what is free goes back.
"""

import asyncio
import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

EVERY: Final = 10.0  # seconds between looks
_LITTLE: Final = 50  # commits between looks: what goes on while nothing is asked of us, and more
_LOOKS: Final = 4  # with little in between: longer than 64*T1 (RFC 3261 §17)
_MUCH: Final = 1000  # commits after which there is something to give back


class Peaks:
    """Tells when a peak is over, by how much was done in all whenever it is asked."""

    def __init__(self, done: int) -> None:
        self._eased = self._last = done
        self._quiet = 0

    def is_over(self, done: int) -> bool:
        """Whether much was done since this was last true, and little for a while."""
        little = done - self._last <= _LITTLE
        self._last = done
        self._quiet = self._quiet + 1 if little else 0
        if self._quiet < _LOOKS or done - self._eased < _MUCH:
            return False
        self._eased = done
        return True


class Resting:
    """Looks from `start` to `close`; `done` counts what was done, `rest` lets caches go."""

    def __init__(self, done: Callable[[], int], rest: Callable[[], None]) -> None:
        self._done = done
        self._rest = rest
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._look(), name="resting")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look(self) -> None:
        peaks = Peaks(self._done())
        while True:
            await asyncio.sleep(EVERY)
            if peaks.is_over(self._done()):
                self._rest()
                give_back()
                _log.debug("memory was given back")


def give_back() -> None:
    """Have the allocators return what is free, after what is free in circles alone."""
    gc.collect()
    with suppress(AttributeError):  # glibc's own
        ctypes.CDLL(None).malloc_trim(0)
