"""Forgets in time: finished jobs, old facts, PDUs, messages and calls; notes receipts that never
came.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from carriers.model import Carrier
from gateway.calls import call_messages, orders, room_tables
from gateway.core.retention import JobRetention, prune_backlog, prune_facts, prune_trace
from gateway.messages import notifications
from gateway.messages.overdue import note_overdue
from gateway.store.base import Query, Store

_log = structlog.get_logger(__name__)
_EVERY: Final = 60.0  # seconds
_ALL: Final = 2**62
_CURSORS: Final = Query(  # durable ones of the bus: ids of facts
    "cursors", "SELECT value FROM meta WHERE name LIKE 'cursor:%'"
)

Forget = Callable[[Store, float], Awaitable[object]]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept: rows of the trace, facts (and seconds), seconds of finished jobs and of
    messages with their segments and of notifications, and those of calls with their legs and
    of conferences.
    """

    trace_rows: int
    facts: int
    facts_for: float
    jobs_for: float
    messages_for: float = 400 * 86400.0
    calls_for: float = 400 * 86400.0


class Janitor:
    """One task that goes round once a minute; `carriers` by name, as they are at that moment."""

    def __init__(
        self,
        store: Store,
        kept: Kept,
        carriers: Mapping[str, Carrier],
        clock: Callable[[], float],
        also: Sequence[Forget] = (),
    ) -> None:
        """`also` is called in each round: what other rooms forget in time."""
        self._store = store
        self._kept = kept
        self._carriers = carriers
        self._clock = clock
        self._also = also
        self._jobs = JobRetention(store)
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
        store, kept = self._store, self._kept
        dropped = await self._jobs.round(now, kept.jobs_for)
        if dropped:
            _log.info("generations of jobs were dropped", generations=dropped)
        await prune_trace(store, kept.trace_rows)
        cursors = [int(value) for (value,) in await store.fetch(_CURSORS)]
        await prune_facts(store, now, kept.facts_for, min(cursors, default=_ALL))
        await prune_backlog(store, kept.facts)
        for table in ("messages", "segments"):
            await store.forget(table, now - kept.messages_for)
        for table in ("calls", "call_legs"):
            await store.forget(table, now - kept.calls_for)
        await room_tables.forget(store, now - kept.calls_for)
        await call_messages.forget(store, now - kept.calls_for)
        await orders.forget(store, now)
        await notifications.forget(store, now - kept.messages_for)
        for forget in self._also:
            await forget(store, now)
        for carrier in list(self._carriers.values()):
            await note_overdue(store, carrier.name, now, carrier.receipt_grace)

    async def _rounds(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.round()
            except Exception:  # whatever it is, the next round is due all the same
                _log.exception("old rows are kept for now")
