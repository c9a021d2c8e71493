"""How many facts are not in Kafka yet, for whoever takes in more: each process asks the store.

While Kafka is away nothing stops until the backlog reaches its bound; then accepts are refused,
for the facts that they would make could not be kept as long as they should.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from gateway.bus.status import NEWEST, cursor_of
from gateway.store.base import Store, StoreError

_log = structlog.get_logger(__name__)

_EVERY: Final = 1.0  # seconds
_ENOUGH_ROOM: Final = 0.9  # of the bound: below it accepts go on


class Backlog:
    """The backlog, looked at once a second."""

    def __init__(self, store: Store, bound: int) -> None:
        """`bound` is `[bus] max_backlog`, in facts."""
        self._store = store
        self._bound = bound
        self._count = 0
        self._is_full = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="bus-backlog")

    def backlog(self) -> int:
        """Facts that are in the store alone."""
        return self._count

    def full(self) -> bool:
        """Whether nothing more should be taken in."""
        return self._is_full

    async def look(self) -> None:
        """Count now; a store that is away leaves it as it was."""
        with suppress(StoreError):
            newest = int((await self._store.fetch(NEWEST))[0][0] or 0)
            self._count = max(0, newest - await cursor_of(self._store))
        limit = self._bound * (_ENOUGH_ROOM if self._is_full else 1.0)
        is_full = self._count >= limit
        if is_full and not self._is_full:
            _log.error(
                "the bus is full: accepts are refused until Kafka takes facts again;"
                " `trunkline bus status` says what it waits for",
                facts=self._count,
                bound=self._bound,
            )
        elif self._is_full and not is_full:
            _log.info("the bus has room again: accepts go on", facts=self._count)
        self._is_full = is_full

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _follow(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(_EVERY)
