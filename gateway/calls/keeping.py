"""What one call has to make durable, in its order: commits that follow each other.

While one commit is under way the next changes gather, and go together. What nobody waits for may
wait a moment for what goes along: most of a call happens within a few milliseconds, and each commit
costs. A store that is away is waited for: the call goes on, but nothing that promises anything is
answered meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from gateway.core.runner import Job
from gateway.store.base import Lease, Store, StoreUnavailable, Write

_log = structlog.get_logger(__name__)
_RETRY_AFTER: Final = 0.5  # seconds, while the store is away
_MOMENT: Final = 0.02  # seconds that what can wait does


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
        self._is_hurried = False
        self._is_busy = False  # something is being written, or is about to be
        self._is_wanted = False  # what there is to write goes as soon as it can
        self._moment: asyncio.TimerHandle | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._error: BaseException | None = None

    def put(self, writes: Sequence[Write], jobs: Sequence[Job] = ()) -> None:
        """Make `writes` durable, soon; `jobs`, whose rows are among them, begin after it."""
        self._writes += writes
        self._jobs += jobs
        self._go()

    def gather(self, writes: Sequence[Write]) -> None:
        """Make `writes` durable with what is put next, or in a moment if nothing is."""
        self._writes += writes
        self._linger()

    def hasten(self) -> None:
        """Let what was gathered wait no longer."""
        if self._writes:
            self._go()

    def hurry(self) -> None:
        """Wait no longer for a store that is away: the process ends."""
        self._is_hurried = True

    async def durable(self) -> None:
        """Return when all that was put is durable; raises `NotKept`."""
        while self._is_busy or self._writes:
            self._go()
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(done)
            await done
        if self._error is not None:
            raise NotKept(str(self._error)) from self._error

    def _go(self) -> None:
        self._is_wanted = True
        if self._moment is not None:
            self._moment.cancel()
            self._moment = None
        if not self._is_busy:
            # What else this turn puts goes with it.
            self._is_busy = True
            asyncio.get_running_loop().call_soon(self._commit)

    def _linger(self) -> None:
        if self._writes and not self._is_busy and self._moment is None:
            self._moment = asyncio.get_running_loop().call_later(_MOMENT, self._go)

    def _commit(self) -> None:
        """Write what there is; whatever is put meanwhile follows."""
        self._is_wanted = False
        writes, self._writes = self._writes, []
        jobs, self._jobs = self._jobs, []
        if not writes or self._error is not None:
            self._settle()
        else:
            self._insist(writes, jobs)

    def _insist(self, writes: Sequence[Write], jobs: Sequence[Job]) -> None:
        try:
            committing = self._store.commit(writes, self._lease())
        except Exception as error:
            self._on_refused(error, writes, jobs)
        else:
            committing.add_done_callback(partial(self._on_committed, writes, jobs))

    def _on_committed(
        self, writes: Sequence[Write], jobs: Sequence[Job], committing: "asyncio.Future[None]"
    ) -> None:
        if committing.cancelled():
            self._on_refused(StoreUnavailable("it was given up"), writes, jobs)
            return
        error = committing.exception()
        if error is not None:
            self._on_refused(error, writes, jobs)
            return
        if self._is_wanted:
            self._commit()
        else:
            self._settle()
        for job in jobs:
            self._offer(job)

    def _on_refused(
        self, error: BaseException, writes: Sequence[Write], jobs: Sequence[Job]
    ) -> None:
        if isinstance(error, StoreUnavailable):
            _log.warning("a call waits for the store", call=self._call_sid, reason=str(error))
            if not self._is_hurried:
                loop = asyncio.get_running_loop()
                loop.call_later(_RETRY_AFTER, self._insist, writes, jobs)
                return
        # Others own it now, or nobody can write it.
        self._error = error
        _log.error("a call can't be kept", call=self._call_sid, reason=repr(error))
        self._settle()

    def _settle(self) -> None:
        self._is_busy = False
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            if not done.done():
                done.set_result(None)
        self._linger()
