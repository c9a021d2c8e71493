"""Forgets in time: finished jobs, facts that every reader has seen, the oldest PDUs."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from gateway.core.retention import prune_backlog, prune_facts, prune_jobs, prune_trace
from gateway.messages.overdue import note_overdue
from gateway.store.base import Store, StoreError

_log = structlog.get_logger(__name__)
_EVERY: Final = 60.0  # seconds
_JOBS_KEPT: Final = 24 * 3600.0
_FACTS_KEPT: Final = 7 * 24 * 3600.0


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept: rows of the trace, facts, and seconds until a receipt is overdue."""

    trace_rows: int
    facts: int
    receipt_grace: float


class Janitor:
    """One task that goes round once a minute."""

    def __init__(self, store: Store, kept: Kept, clock: Callable[[], float]) -> None:
        self._store = store
        self._kept = kept
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
        await prune_jobs(self._store, now, _JOBS_KEPT)
        await prune_trace(self._store, self._kept.trace_rows)
        await prune_facts(self._store, now, _FACTS_KEPT, 2**62)
        await prune_backlog(self._store, self._kept.facts)
        await note_overdue(self._store, now, self._kept.receipt_grace)

    async def _rounds(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.round()
            except StoreError as error:
                _log.warning("old rows are kept for now", reason=str(error))
