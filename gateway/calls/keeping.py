"""What one call has to make durable, in its order: commits that follow each other.

While one commit is under way the next changes gather, and go together. A store that is away is
waited for: the call goes on, but nothing that promises anything is answered meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from gateway.core.runner import Job
from gateway.store.base import Lease, Store, StoreUnavailable, Write

_log = structlog.get_logger(__name__)
_RETRY_AFTER: Final = 0.5  # seconds, while the store is away


class NotKept(Exception):
    """What should be durable can't be: others own the call now, or the store has another state."""


class Keeping:
    """One call's; `offer` takes jobs when they are durable, `lease` fences each commit."""

    def __init__(
        self,
        store: Store,
        lease: Callable[[], Lease | None],
        offer: Callable[[Job], None],
        call_sid: str,
    ) -> None:
        self._store = store
        self._lease = lease
        self._offer = offer
        self._call_sid = call_sid
        self._writes: list[Write] = []
        self._jobs: list[Job] = []
        self._work: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self._is_hurried = False

    def put(self, writes: Sequence[Write], jobs: Sequence[Job] = ()) -> None:
        """Make `writes` durable, soon; `jobs`, whose rows are among them, begin after it."""
        self._writes += writes
        self._jobs += jobs
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._commit())

    def hurry(self) -> None:
        """Wait no longer for a store that is away: the process ends."""
        self._is_hurried = True

    async def durable(self) -> None:
        """Return when all that was put is durable; raises `NotKept`."""
        while self._work is not None:
            await asyncio.shield(self._work)
        if self._error is not None:
            raise NotKept(str(self._error)) from self._error

    async def _commit(self) -> None:
        try:
            while self._writes and self._error is None:
                writes, self._writes = self._writes, []
                jobs, self._jobs = self._jobs, []
                self._error = await self._insist(writes)
                for job in jobs if self._error is None else ():
                    self._offer(job)
        finally:
            self._work = None

    async def _insist(self, writes: Sequence[Write]) -> Exception | None:
        """Commit; the error that no time will mend."""
        while True:
            try:
                await self._store.commit(writes, self._lease())
                return None
            except StoreUnavailable as error:
                _log.warning("a call waits for the store", call=self._call_sid, reason=str(error))
                if self._is_hurried:
                    return error
                await asyncio.sleep(_RETRY_AFTER)
            except Exception as error:  # others own it now, or nobody can write it
                _log.error("a call can't be kept", call=self._call_sid, reason=repr(error))
                return error
