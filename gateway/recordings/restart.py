"""Recordings whose process died: they end with as much of their files as there is."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
from gateway.recordings.book import Book
from gateway.recordings.model import Recording
from gateway.store.base import Lease, Stale, Store, StoreError

_log = structlog.get_logger(__name__)


class Closer:
    """See the module; `offer` takes jobs that are durable, `lease` fences each commit.

    `also` says what the end of a recording makes due beside what it does itself.
    """

    def __init__(
        self,
        book: Book,
        store: Store,
        *,
        lease: Callable[[], Lease | None],
        offer: Callable[[Job], None],
        also: Callable[[Recording], Awaitable[list[Job]]],
    ) -> None:
        self._book = book
        self._store = store
        self._lease = lease
        self._offer = offer
        self._also = also

    async def look(self) -> None:
        """End those of processes that are no more."""
        for owner in await self._book.orphaned():
            async for page in self._book.open_of(owner):
                for recording in page:
                    await self._try_to_close(recording)

    async def _try_to_close(self, recording: Recording) -> None:
        """One recording at fault must not keep the others open, nor the gateway down."""
        try:
            await self._close(recording)
        except StoreError:
            raise
        except Exception:
            _log.exception("a recording of a dead process can't be ended", sid=recording.sid)

    async def _close(self, recording: Recording) -> None:
        change = await asyncio.to_thread(self._book.broken, recording)
        if change is None:
            return
        also = await self._also(change.recording)
        try:
            await self._store.commit([*change.writes, *map(job_inserted, also)], self._lease())
        except Stale:  # another process was quicker
            return
        for job in (*change.jobs, *also):
            self._offer(job)
        status = str(change.recording.status)
        _log.warning("a recording of a dead process was ended", sid=recording.sid, status=status)
