"""Facts to counters: a reader of the bus whose every batch is one commit with its position.

So each fact counts exactly once, and what was counted can be thrown away and counted again from
what the bus still keeps. One process does it, under a lease; any process may order it to begin
anew, by a mark in the store.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Final

import structlog

from gateway.bus.base import BEGINNING, Batch, Bus
from gateway.core.tracking import counters
from gateway.core.tracking.counters import Counters
from gateway.core.tracking.counting import count
from gateway.store.base import (
    Conflict,
    Delete,
    Fenced,
    Insert,
    Lease,
    Query,
    Store,
    StoreUnavailable,
)

_log = structlog.get_logger(__name__)

READER: Final = "tracking"
_AGAIN: Final = 0.5  # seconds between tries while the store is away
_BROKEN: Final = 1.0  # seconds after a failure of another kind
_FACTS: Final = 2000  # of one commit
# Seconds between commits of fewer. Counters change at each fact, and a commit costs as much for
# one as for a thousand; the first after a rest does not wait.
_PAUSE: Final = 0.5
_LOOK_EVERY: Final = 1.0  # seconds between looks for the mark, which a hint makes shorter
_SUBJECT: Final = "tracking"  # of the hint that the mark is set
_MARK: Final = "tracking:wiping"  # a row of `meta` until the counters have been thrown away
_SET_MARK: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_END_MARK: Final = Delete(table="meta", key=("name",))
_IS_MARKED: Final = Query("tracking_mark", "SELECT value FROM meta WHERE name = $1")


async def order_rebuild(store: Store) -> None:
    """Let whoever counts throw the counters away and count again what the bus keeps.

    Durable when it returns. What the bus keeps no more is not counted any more.
    """
    await store.commit([(_SET_MARK, (_MARK, ""))])
    store.hint(_SUBJECT)


class Tracker:
    """Counts until `close`; `fence` is the lease by which it is this process that does."""

    def __init__(self, store: Store, bus: Bus, fence: Lease | None = None) -> None:
        self._store = store
        self._bus = bus
        self._fence = fence
        self._counters = Counters(store)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to count where the last one stopped."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="tracking")

    async def close(self) -> None:
        """Stop; a batch that is not committed is read again by the next."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def count(self, batch: Batch) -> None:
        """Make durable what the batch adds, and that it is read; waits while the store is away."""
        counts = count(batch.facts)
        while True:
            try:
                writes = await self._counters.add(counts)
                moved = self._bus.moved(READER, batch.position)
                await self._store.commit([*writes, *moved], self._fence)
                break
            except StoreUnavailable as error:
                _log.warning("tracking waits for the store", reason=str(error))
                await asyncio.sleep(_AGAIN)
            except Conflict:
                # A counter that was new is there: ours, if the commit was made after all.
                self._counters.forget()
                if await self._bus.position(READER) == batch.position:
                    return
        self._counters.settle()

    async def _run(self) -> None:
        while True:
            try:
                if await self._store.fetch(_IS_MARKED, _MARK):
                    await self._wipe()
                if await self._count_on():
                    return  # the bus is closed
            except Fenced as error:
                _log.warning("another process counts now", reason=str(error))
                return
            except Exception as error:  # the facts are kept: it goes on from where it is
                self._counters.forget()
                away = isinstance(error, StoreUnavailable)
                _log.warning("tracking begins again", reason=str(error), exc_info=not away)
                await asyncio.sleep(_BROKEN)

    async def _count_on(self) -> bool:
        """Count from where the last one stopped until the bus ends, or the mark is set: False.

        The mark is obeyed between two batches: a commit under way would be passed over by what
        throws the counters away.
        """
        batches = self._bus.subscribe(await self._bus.position(READER), _FACTS)
        marked = asyncio.ensure_future(self._marked())
        coming: asyncio.Future[Batch | None] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(anext(batches, None))
                await asyncio.wait({coming, marked}, return_when=asyncio.FIRST_COMPLETED)
                if marked.done():
                    marked.result()
                    return False
                batch = coming.result()
                if batch is None:
                    return True
                await self.count(batch)
                if len(batch.facts) < _FACTS:
                    await asyncio.wait({marked}, timeout=_PAUSE)
        finally:
            await _ended(marked, coming)
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()

    async def _marked(self) -> None:
        """Return when the counters are to be thrown away."""
        hinted = self._store.watch(_SUBJECT)
        while not await self._store.fetch(_IS_MARKED, _MARK):
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await hinted.wait()
            hinted.clear()

    async def _wipe(self) -> None:
        """Throw away; the mark goes with the last commit, so a crash between leaves no half."""
        self._counters.forget()
        await counters.wipe(self._store, self._fence)
        back = self._bus.moved(READER, BEGINNING)
        await self._store.commit([*back, (_END_MARK, (_MARK,))], self._fence)


async def _ended(*works: "asyncio.Future[Any] | None") -> None:
    for work in works:
        if work is not None:
            work.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await work
