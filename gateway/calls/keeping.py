"""What one call has to make durable, in its order: commits that follow each other.

While one commit is under way the next changes gather, and go together; where somebody waits for
them they follow at once if they can't be written without it, for the store takes commits in their
order. What nobody waits for may wait a moment for what goes along: most of a call happens within a
few milliseconds, and each commit costs. A store that is away is waited for: the call goes on, but
nothing that promises anything is answered meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import structlog

from gateway.core.runner import Job
from gateway.store.base import Lease, Store, StoreUnavailable, Write
from gateway.store.following import follows

_log = structlog.get_logger(__name__)
_RETRY_AFTER: Final = 0.5  # seconds, while the store is away
_MOMENT: Final = 0.02  # seconds that what can wait does
_UNDER_WAY: Final = 2  # commits of a call at most


class NotKept(Exception):
    """What should be durable can't be: others own the call now, or the store has another state."""


class _Commit(NamedTuple):
    number: int
    writes: Sequence[Write]
    jobs: Sequence[Job]


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
        self._under_way = 0  # commits
        self._said = 0  # commits, so far
        self._newest: Sequence[Write] = ()  # what the last one says
        self._again: list[_Commit] = []  # those that the store was away for
        self._is_begun = False  # a commit is about to be
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
            self._go(most=_UNDER_WAY)
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(done)
            await done
        if self._error is not None:
            raise NotKept(str(self._error)) from self._error

    @property
    def _is_busy(self) -> bool:
        return self._is_begun or self._under_way > 0 or bool(self._again)

    def _go(self, *, most: int = 1) -> None:
        """Write what there is as soon as fewer than `most` commits are under way."""
        self._is_wanted = True
        if self._moment is not None:
            self._moment.cancel()
            self._moment = None
        if self._writes and not self._is_begun and not self._again and self._under_way < most:
            # What else this turn puts goes with it.
            self._is_begun = True
            asyncio.get_running_loop().call_soon(self._commit)

    def _linger(self) -> None:
        if self._writes and not self._is_busy and self._moment is None:
            self._moment = asyncio.get_running_loop().call_later(_MOMENT, self._go)

    def _commit(self) -> None:
        """Write what there is; whatever is put meanwhile follows."""
        self._is_begun = False
        if self._under_way and not follows(self._writes, self._newest):
            return
        if self._writes and self._error is None and not self._again:
            self._is_wanted = False
            writes, self._writes = self._writes, []
            jobs, self._jobs = self._jobs, []
            self._say(writes, jobs)
        elif not self._under_way:
            self._go_on()

    def _say(self, writes: Sequence[Write], jobs: Sequence[Job]) -> None:
        self._said += 1
        self._under_way += 1
        self._newest = writes
        said = _Commit(self._said, writes, jobs)
        try:
            committing = self._store.commit(writes, self._lease())
        except Exception as error:
            self._on_told(said, error)
        else:
            committing.add_done_callback(partial(self._on_committed, said))

    def _on_committed(self, said: _Commit, committing: "asyncio.Future[None]") -> None:
        if committing.cancelled():
            self._on_told(said, StoreUnavailable("it was given up"))
        else:
            self._on_told(said, committing.exception())

    def _on_told(self, said: _Commit, error: BaseException | None) -> None:
        self._under_way -= 1
        if error is not None:
            self._on_refused(said, error)
        if not self._under_way and not self._is_begun:
            self._go_on()
        elif self._is_wanted and self._waiting:
            self._go(most=_UNDER_WAY)
        if error is None:
            for job in said.jobs:
                self._offer(job)

    def _on_refused(self, said: _Commit, error: BaseException) -> None:
        """Say it anew later; what follows such a one has failed for want of it."""
        is_away = isinstance(error, StoreUnavailable) and not self._is_hurried
        lacks = any(each.number < said.number for each in self._again)
        if self._error is None and (is_away or lacks):
            _log.warning("a call waits for the store", call=self._call_sid, reason=str(error))
            self._again.append(said)
        else:  # others own it now, or nobody can write it
            self._error = self._error or error
            _log.error("a call can't be kept", call=self._call_sid, reason=repr(error))

    def _go_on(self) -> None:
        """Nothing is under way any more."""
        if self._error is not None:
            self._writes, self._jobs, self._again = [], [], []
            self._settle()
        elif self._again:
            asyncio.get_running_loop().call_later(_RETRY_AFTER, self._say_again)
        elif self._is_wanted and self._writes:
            self._commit()
        else:
            self._settle()

    def _say_again(self) -> None:
        """What the store was away for, as one commit, in its order."""
        again, self._again = sorted(self._again), []
        self._say(
            [write for each in again for write in each.writes],
            [job for each in again for job in each.jobs],
        )

    def _settle(self) -> None:
        self._is_wanted = False
        self._newest = ()
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            if not done.done():
                done.set_result(None)
        self._linger()
