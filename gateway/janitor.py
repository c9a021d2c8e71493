"""Forgets in time: finished jobs, old facts and PDUs; and notes receipts that never came."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from carriers.model import Carrier
from gateway.core.retention import prune_backlog, prune_facts, prune_jobs, prune_trace
from gateway.messages.overdue import note_overdue
from gateway.store.base import Query, Store

_log = structlog.get_logger(__name__)
_EVERY: Final = 60.0  # seconds
_ALL: Final = 2**62
_SLOWEST: Final = Query(  # durable cursors of the bus
    "slowest_reader", "SELECT min(CAST(value AS BIGINT)) FROM meta WHERE name LIKE 'cursor:%'"
)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept: rows of the trace, facts (and seconds), seconds of finished jobs."""

    trace_rows: int
    facts: int
    facts_for: float
    jobs_for: float


class Janitor:
    """One task that goes round once a minute; `carriers` by name, as they are at that moment."""

    def __init__(
        self, store: Store, kept: Kept, carriers: Mapping[str, Carrier], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._kept = kept
        self._carriers = carriers
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to go round."""
        self._task = asyncio.get_running_loop().create_task(self._rounds(), name="janitor")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def round(self) -> None:
        """Forget what is old now."""
        now = self._clock()
        await prune_jobs(self._store, now, self._kept.jobs_for)
        await prune_trace(self._store, self._kept.trace_rows)
        rows = await self._store.fetch(_SLOWEST)
        await prune_facts(self._store, now, self._kept.facts_for, rows[0][0] or _ALL)
        await prune_backlog(self._store, self._kept.facts)
        for carrier in list(self._carriers.values()):
            await note_overdue(self._store, carrier.name, now, carrier.receipt_grace)

    async def _rounds(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.round()
            except Exception:  # whatever it is, the next round is due all the same
                _log.exception("old rows are kept for now")
