"""Runs jobs: takes what the scheduler gives, calls its handler, stores how the try ended.

A fixed number of workers live as long as the runner. What a handler wants written and the end of
its job are one commit. Ends that come with nothing else are stored in batches a moment later: a
crash in between runs those jobs again, with the same id.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import structlog

from gateway.core.backlog import Backlog, Bounds
from gateway.core.ends import Ends
from gateway.core.jobs import Entry, Expired, RetryAt, Scheduler
from gateway.core.records import (
    LAST,
    NEWEST,
    PENDING,
    PENDING_OF,
    WINDOW_END,
    Job,
    JobState,
    Pending,
    insert,
    pending_of,
    transition,
)
from gateway.store.base import Lease, Query, Row, Store, StoreError, StoreUnavailable, Write

__all__ = [
    "Bounds",
    "Discard",
    "Done",
    "Handler",
    "Job",
    "JobOutcome",
    "JobRunner",
    "Retry",
    "RunnerStats",
    "insert",
]

_log = structlog.get_logger(__name__)

_PAGE: Final = 500
_WINDOW: Final = 5_000  # rows that one read of the store looks at, most of them done
_RECENT: Final = 50_000  # rows that are looked at before traffic comes, a tenth of a second
_OLDER_PAUSE: Final = 0.05  # seconds between windows of the rest, which is read beside traffic
_STORE_AWAY: Final = 0.25  # seconds between tries to read from it
_LOOK_BACK: Final = 1.0  # seconds between looks at what is in the store alone
_MAX_NOTE: Final = 300  # characters
_TOO_LATE: Final = "its time ended before it was tried"


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It happened. `writes` go into the commit that says so, `after` is called when it is made."""

    writes: tuple[Write, ...] = ()
    after: Callable[[], None] | None = None


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Try again in `after` seconds, else by the scheduler's policy; `note` says why."""

    after: float | None = None
    note: str
    writes: tuple[Write, ...] = ()


class Discard(msgspec.Struct, frozen=True, kw_only=True):
    """Trying again would be of no use; `note` says why."""

    note: str
    writes: tuple[Write, ...] = ()


JobOutcome = Done | Retry | Discard
Handler = Callable[[Job, int], Awaitable[JobOutcome]]


class RunnerStats(msgspec.Struct, frozen=True, kw_only=True):
    """For metrics: workers at work, ends not stored yet, jobs in memory (of all endpoints and of
    the fullest), endpoints with jobs in the store alone, tries since the start by their ends.
    """

    busy: int
    unstored: int
    in_memory: int
    fullest: int
    behind: int
    ended: dict[JobState, int]


_DEFAULT_BOUNDS: Final = Bounds()


class JobRunner:
    """The workers over one scheduler and one store."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler[Job],
        handlers: Mapping[str, Handler],
        *,
        workers: int,
        clock: Callable[[], float],
        fraction: Callable[[], float],
        bounds: Bounds = _DEFAULT_BOUNDS,
        fence: Lease | None = None,
    ) -> None:
        """`handlers` by kind of job; `fraction` gives random numbers in [0, 1) for retries.

        With a `fence` every commit is made under that lease, and the runner stops when it has
        passed to another.
        """
        self._store = store
        self._scheduler = scheduler
        self._handlers = handlers
        self._workers = workers
        self._clock = clock
        self._fraction = fraction
        self._backlog = Backlog(bounds)
        self._ends = Ends(store, fence)
        self._tasks: list[asyncio.Task[None]] = []
        self._idle: deque[asyncio.Future[Entry[Job]]] = deque()
        self._busy = 0
        self._stopped = False
        self._quiet = asyncio.Event()  # stopped, and no worker is busy
        self._pump_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._counts: Counter[JobState] = Counter()
        self._room = asyncio.Event()  # an endpoint that is behind has lost a job
        self._reading = asyncio.Lock()
        self._gone: set[str] = set()  # jobs that a page being read may show wrongly

    def start(self) -> None:
        """Start the workers. Jobs may have been offered before."""
        workers = [self._work() for _ in range(self._workers)]
        self._tasks += [
            asyncio.create_task(each) for each in (*workers, self._ends.run(), self._refill())
        ]

    def offer(self, job: Job) -> None:
        """Run `job`, whose row is durable, when it is its turn."""
        if self._admits(job):
            self._scheduler.offer(_entry(job, 1), self._clock())
            self.wake()

    async def recover(self) -> int:
        """Take in the newest jobs of the store that are not done; how many were taken.

        May run beside `offer`. Older ones are taken in beside the traffic: they wait for a retry
        or for somebody who is away, and lie among all that was done since the last pruning. What
        memory has no room for is read later.
        """
        newest = await self._fetch(NEWEST, _RECENT)
        since = newest[0][0] if newest else ""
        taken = await self._recover(since, LAST, 0.0)
        if since and not self._stopped:
            self._tasks.append(asyncio.create_task(self._recover_older(since)))
        return taken

    async def _recover_older(self, until: str) -> None:
        taken = await self._recover("", until, _OLDER_PAUSE)
        if taken:
            _log.info("older jobs were taken up", count=taken)

    async def _recover(self, after: str, until: str, pause: float) -> int:
        taken = 0
        while after < until:
            rows, page, end = await self._read(PENDING, after, until, _PAGE)
            for pending in page:
                if self._admits(pending.job):
                    taken += self._take_in(pending)
            self.wake()
            after = rows[-1][0] if len(rows) == _PAGE else end
            await asyncio.sleep(pause)
        return taken

    def open_endpoint(self, endpoint: str) -> None:
        """Let the jobs of `endpoint` be tried (again)."""
        self._scheduler.open_endpoint(endpoint)
        self.wake()

    def close_endpoint(self, endpoint: str) -> None:
        """Let the jobs of `endpoint` wait; those being tried go on."""
        self._scheduler.close_endpoint(endpoint)

    def wake(self) -> None:
        """Look at the scheduler once in this turn of the loop, however often this is called."""
        if not self._pump_is_due and not self._stopped:
            self._pump_is_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def stats(self) -> RunnerStats:
        """How the runner does."""
        held = [self._scheduler.count(each) for each in self._scheduler.endpoints()]
        return RunnerStats(
            busy=self._busy,
            unstored=len(self._ends),
            in_memory=sum(held),
            fullest=max(held, default=0),
            behind=len(self._backlog),
            ended=dict(self._counts),
        )

    async def close(self, drain: float) -> None:
        """Start no further try, give those that run `drain` seconds, store how they ended."""
        self._stop()
        try:
            await asyncio.wait_for(self._quiet.wait(), drain)
        except TimeoutError:
            _log.info("tries were cut off; they run again at the next start", count=self._busy)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._ends.close()

    def _is_over(self) -> bool:
        """Whether no try may start any more: closed, or the lease has passed on."""
        if self._ends.fenced and not self._stopped:
            _log.error("the jobs have another owner now")
            self._stop()
        return self._stopped

    def _stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._busy:
            self._quiet.set()

    # -- handing out ---------------------------------------------------------------------

    def _pump(self) -> None:
        self._pump_is_due = False
        if self._is_over():
            return
        now = self._clock()
        for entry in self._scheduler.expire(now):
            self._look_back(entry)
            self._end(entry, JobState.EXPIRED, note=_TOO_LATE)
        if self._idle:
            for entry in self._scheduler.take(now, len(self._idle)):
                self._idle.popleft().set_result(entry)
        self._arm(now)

    def _arm(self, now: float) -> None:
        """Be woken when the scheduler has more to give: to idle workers, busy ones look anyway."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        times = [self._scheduler.expiry(), self._scheduler.timer() if self._idle else None]
        due = min((at for at in times if at is not None), default=None)
        if due is not None:
            delay = max(0.001, due - now)
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)

    async def _work(self) -> None:
        while not self._is_over():
            await self._ends.room()
            taken = self._scheduler.take(self._clock(), 1)
            entry = taken[0] if taken else await self._next()
            self._busy += 1
            try:
                await self._run(entry)
            finally:
                self._busy -= 1
                if self._stopped and not self._busy:
                    self._quiet.set()

    def _next(self) -> "asyncio.Future[Entry[Job]]":
        future: asyncio.Future[Entry[Job]] = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        self.wake()
        return future

    # -- one try and its end -------------------------------------------------------------

    async def _run(self, entry: Entry[Job]) -> None:
        if entry.expire_at <= self._clock():
            self._release(entry)
            self._end(entry, JobState.EXPIRED, note=_TOO_LATE)
            return
        outcome = await self._call(entry)
        if not isinstance(outcome, Retry):
            refusal = await self._conclude(entry, outcome)
            if refusal is None:
                return
            outcome = Retry(note=f"what it came to could not be stored: {refusal}")
        await self._postpone(entry, outcome)

    async def _call(self, entry: Entry[Job]) -> JobOutcome:
        job = entry.item
        handler = self._handlers.get(job.kind)
        if handler is None:
            _log.error("no handler for a kind of job", kind=job.kind, job=job.id)
            return Retry(note=f"this program knows no jobs of the kind {job.kind!r}")
        try:
            return await handler(job, entry.attempt)
        except Exception as error:  # a fault in a handler must not cost the worker
            _log.exception("the handler of a job failed", kind=job.kind, job=job.id)
            return Retry(note=f"{type(error).__name__}: {error}")

    async def _conclude(self, entry: Entry[Job], outcome: Done | Discard) -> StoreError | None:
        """Store that `entry` needs no other try; why not, if the store refuses it."""
        match outcome:
            case Done():
                state, note, after = JobState.SUCCEEDED, "", outcome.after
            case Discard():
                state, note, after = JobState.DISCARDED, outcome.note, None
        if not outcome.writes and after is None:
            self._release(entry)
            self._end(entry, state, note=note)
            return None
        end = _end_of(entry, state, self._clock(), 0.0, note)
        refusal = await self._ends.commit([*outcome.writes, end])
        if refusal is None:
            self._counts[state] += 1
            self._release(entry)
            if after is not None:
                after()
        return refusal

    async def _postpone(self, entry: Entry[Job], outcome: Retry) -> None:
        """Store that a try failed; the next one waits for its time, or it is given up."""
        now = self._clock()
        match self._scheduler.retry(entry.key, now, self._fraction(), outcome.after):
            case RetryAt(at):
                state, retry_at = JobState.AWAITING_RETRY, at
            case Expired():
                state, retry_at = JobState.EXPIRED, 0.0
                self._look_back(entry)
        self.wake()
        if outcome.writes:
            end = _end_of(entry, state, now, retry_at, outcome.note)
            refusal = await self._ends.commit([*outcome.writes, end])
            if refusal is None:
                self._counts[state] += 1
                return
            _log.warning("what a try left was lost", job=entry.key, reason=str(refusal))
        self._end(entry, state, retry_at=retry_at, note=outcome.note)

    def _release(self, entry: Entry[Job]) -> None:
        self._scheduler.release(entry.key, self._clock())
        self._look_back(entry)
        if self._idle:
            self.wake()

    def _look_back(self, entry: Entry[Job]) -> None:
        """`entry` has left the memory."""
        if self._reading.locked():
            self._gone.add(entry.key)
        if entry.endpoint in self._backlog:
            self._room.set()

    def _end(self, entry: Entry[Job], state: JobState, *, retry_at: float = 0.0, note: str) -> None:
        self._counts[state] += 1
        self._ends.add(entry.key, _end_of(entry, state, self._clock(), retry_at, note))

    # -- what is in the store alone ------------------------------------------------------

    def _admits(self, job: Job) -> bool:
        endpoint = job.endpoint
        held = self._scheduler.count(endpoint)
        return self._backlog.admit(endpoint, job.id, held, len(self._scheduler))

    def _take_in(self, pending: Pending) -> bool:
        entry = _entry(pending.job, pending.tries + 1)
        return self._scheduler.offer(entry, self._clock(), pending.retry_at or None)

    async def _refill(self) -> None:
        """Read on for the endpoints that are behind, as they drain."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), _LOOK_BACK)
            self._room.clear()
            for endpoint in self._backlog:
                while endpoint in self._backlog and self._wants(endpoint):
                    await self._read_on(endpoint)

    def _wants(self, endpoint: str) -> bool:
        return self._backlog.wants(self._scheduler.count(endpoint), len(self._scheduler))

    async def _read_on(self, endpoint: str) -> None:
        held = self._scheduler.count(endpoint)
        limit = min(_PAGE, self._backlog.room(held, len(self._scheduler)))
        after = self._backlog.begin(endpoint)
        rows, page, end = await self._read(PENDING_OF, after, LAST, endpoint, limit)
        for pending in page:
            self._take_in(pending)
        last = rows[-1][0] if len(rows) == limit else end
        self._backlog.end(endpoint, last if last < LAST else None)
        self.wake()

    async def _read(
        self, query: Query, after: str, until: str, *parameters: Any
    ) -> tuple[list[Row], list[Pending], str]:
        """A page, what of it is neither in memory nor ended since, and up to where was looked."""
        async with self._reading:
            self._gone = self._ends.keys
            window = await self._fetch(WINDOW_END, after, _WINDOW - 1)
            end = min(window[0][0], until) if window else until
            rows = await self._fetch(query, after, end, *parameters)
            page = [pending_of(row) for row in rows if row[0] not in self._gone]
            self._gone = set()
            return rows, page, end

    async def _fetch(self, query: Query, *parameters: Any) -> list[Row]:
        while True:
            try:
                return await self._store.fetch(query, *parameters)
            except StoreUnavailable as error:
                _log.warning("jobs wait for the store", reason=str(error))
                await asyncio.sleep(_STORE_AWAY)


def _entry(job: Job, attempt: int) -> Entry[Job]:
    return Entry(
        key=job.id,
        account=job.account_sid,
        endpoint=job.endpoint,
        sequence=job.sequence,
        expire_at=job.expire_at,
        item=job,
        attempt=attempt,
    )


def _end_of(entry: Entry[Job], state: JobState, at: float, retry_at: float, note: str) -> Write:
    return transition(entry.key, entry.attempt, state, at, retry_at, note[:_MAX_NOTE])
