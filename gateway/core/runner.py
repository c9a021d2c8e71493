"""Runs jobs: takes what the scheduler gives, calls its handler, stores how the try ended.

A fixed number of workers live as long as the runner. What a handler wants written and the end of
its job are one commit. Ends that come with nothing else are stored in batches a moment later: a
crash in between runs those jobs again, with the same id.
"""

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
import structlog

from gateway.core.archive import Archive
from gateway.core.archiver import Archiver
from gateway.core.backlog import Bounds
from gateway.core.breaker import Sign
from gateway.core.ends import Ends
from gateway.core.intake import Intake
from gateway.core.jobs import Entry, Expired, RetryAt, Scheduler
from gateway.core.owned import EVERYTHING, Queues
from gateway.core.queue_states import QueueReports
from gateway.core.reading import Reader
from gateway.core.records import Job, JobState, Pending, insert, transition
from gateway.store.base import Lease, Store, StoreError, Write

__all__ = [
    "Bounds",
    "Discard",
    "Done",
    "Handler",
    "Job",
    "JobOutcome",
    "JobRunner",
    "Queues",
    "Retry",
    "RunnerStats",
    "Sign",
    "insert",
]

_log = structlog.get_logger(__name__)

_TURNS: Final = 50  # tries of a worker in one turn of the loop, if they end at once
_UNSURE: Final = 0.25  # seconds between looks whether we may act again
_GATHER: Final = 5.0  # seconds for which jobs that were given up wait for others
_TOO_LATE: Final = "its time ended before it was tried"


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It happened. `writes` go into the commit that says so, `after` is called when it is made."""

    writes: tuple[Write, ...] = ()
    after: Callable[[], None] | None = None


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Try again in `after` seconds, else by the scheduler's policy; `note` says why.

    `sign` is what was learnt about the endpoint: one that fails often enough is left alone.
    """

    after: float | None = None
    note: str
    sign: Sign = Sign.NOTHING
    writes: tuple[Write, ...] = ()


class Discard(msgspec.Struct, frozen=True, kw_only=True):
    """Trying again would be of no use; `note` says why."""

    note: str
    writes: tuple[Write, ...] = ()


JobOutcome = Done | Retry | Discard
Handler = Callable[[Job, int], Awaitable[JobOutcome]]


class RunnerStats(msgspec.Struct, frozen=True, kw_only=True):
    """For metrics: workers at work, ends not stored yet, jobs in memory (of all endpoints and of
    the fullest), endpoints with jobs in the store alone, endpoints that do not answer, jobs that
    wait for the archive, tries since the start by their ends.
    """

    busy: int
    unstored: int
    in_memory: int
    fullest: int
    behind: int
    broken: int = 0
    unarchived: int = 0
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
        own: Queues = EVERYTHING,
        archive: Archive | None = None,
        gather: float = _GATHER,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        """`handlers` by kind of job; `fraction` gives random numbers in [0, 1) for retries.

        With a `fence` every commit is made under that lease, and the runner stops when it has
        passed to another. `own` are the queues that are ours from the start. Without an `archive`
        what was given up stays in the store; `gather` seconds it waits for more. No try starts
        while this process is not `alive`: what was its own may be another's by then.
        """
        self._scheduler = scheduler
        self._handlers = handlers
        self._workers = workers
        self._clock = clock
        self._fraction = fraction
        self._ends = Ends(store, fence)
        self._alive = alive
        self._archiver = (
            None if archive is None else Archiver(archive, self._ends.commit, clock, gather)
        )
        self._intake = Intake(
            store=store,
            scheduler=scheduler,
            reader=Reader(store, lambda: self._ends.keys),
            archiver=self._archiver,
            bounds=bounds,
            own=own,
            clock=clock,
            wake=self.wake,
        )
        self._reports = QueueReports(
            store, fence, scheduler, lambda: self.own, self._intake.is_behind, clock
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._idle: deque[asyncio.Future[Entry[Job]]] = deque()
        self._busy = 0
        self._stopped = False
        self._quiet = asyncio.Event()  # stopped, and no worker is busy
        self._ended = asyncio.Event()  # a try has ended
        self._pump_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._counts: Counter[JobState] = Counter()

    @property
    def fenced(self) -> asyncio.Event:
        """Set when the lease has passed to another; nothing starts any more."""
        return self._ends.fenced

    @property
    def own(self) -> Queues:
        """The queues that are ours now."""
        return self._intake.own

    def start(self) -> None:
        """Start the workers. Jobs may have been offered before."""
        intake = self._intake
        tasks = [self._work() for _ in range(self._workers)]
        tasks += [self._ends.run(), self._reports.run()]
        tasks += [intake.refill(), intake.read_recent(), intake.read_older(), intake.look_behind()]
        if self.own is not EVERYTHING:
            tasks.append(intake.follow())
        if self._archiver is not None:
            tasks.append(self._archiver.run())
        self._tasks += [asyncio.create_task(each) for each in tasks]

    def offer(self, job: Job) -> None:
        """Run `job`, whose row is durable, when it is its turn; or tell whose it is."""
        self._intake.offer(job)

    async def recover(self) -> int:
        """Take in the newest jobs of the store that are not done; how many were taken.

        May run beside `offer`. Older ones are taken in beside the traffic: they wait for a retry
        or for somebody who is away, and lie among all that was done. What memory has no room for
        is read later.
        """
        return await self._intake.recover()

    async def take_over(self, queues: Queues) -> None:
        """These queues are ours from now on; what is there of them is read in the background.

        First tries of a sequence start in order all the same: what is offered meanwhile waits.
        """
        await self._intake.take_over(queues)

    async def recovered(self) -> None:
        """Wait until what is recent of the queues that were taken over is in memory."""
        await self._intake.recovered()

    async def give_up(self, queues: Queues, drain: float) -> None:
        """Start no further try of these queues, and let them be another's.

        Returns when the tries that run have ended, after `drain` seconds at the latest, and how
        they ended is stored: who gets the queues then will not try the same again.
        """
        self._intake.give_up(queues)
        left = [each for each in self._scheduler.endpoints() if each in queues]
        try:
            async with asyncio.timeout(drain):
                while left := [each for each in left if self._running_in(each)]:
                    self._ended.clear()
                    await self._ended.wait()
                await self._ends.stored()
        except TimeoutError:
            count = sum(map(self._running_in, left))
            _log.info("tries go on while their queue is another's", count=count)

    def _running_in(self, endpoint: str) -> int:
        return self._scheduler.counts(endpoint).running

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
        return RunnerStats(
            busy=self._busy,
            unstored=len(self._ends),
            in_memory=len(self._scheduler),
            fullest=self._scheduler.fullest,
            behind=self._intake.behind,
            broken=self._scheduler.broken,
            unarchived=0 if self._archiver is None else len(self._archiver),
            ended=dict(self._counts),
        )

    async def close(self, drain: float) -> None:
        """Start no further try, give those that run `drain` seconds, store how they ended."""
        self._stop()
        try:
            async with asyncio.timeout(drain):
                await self._quiet.wait()
        except TimeoutError:
            _log.info("tries were cut off; they run again at the next start", count=self._busy)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._ends.close()

    def _is_over(self) -> bool:
        """Whether no try may start any more: closed, or the lease has passed on."""
        if self._ends.fenced.is_set() and not self._stopped:
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
        if not self._alive():
            self._wake_in(_UNSURE)
            return
        now = self._clock()
        for entry in self._scheduler.expire(now):
            self._give_up_on(entry, _TOO_LATE)
        if self._idle:
            for entry in self._scheduler.take(now, len(self._idle)):
                self._idle.popleft().set_result(entry)
        self._arm(now)

    def _arm(self, now: float) -> None:
        """Be woken when the scheduler has more to give: to idle workers, busy ones look anyway."""
        times = [self._scheduler.expiry(), self._scheduler.timer() if self._idle else None]
        due = min((at for at in times if at is not None), default=None)
        self._wake_in(None if due is None else max(0.001, due - now))

    def _wake_in(self, delay: float | None) -> None:
        """Look at the scheduler in so many seconds, and at no other time that was set."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay is not None:
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)

    async def _work(self) -> None:
        for turn in itertools.count(1):
            if self._is_over():
                return
            if not turn % _TURNS:  # handlers that wait for nothing must not keep others waiting
                await asyncio.sleep(0)
            if self._ends.is_full:
                await self._ends.room()
            taken = self._scheduler.take(self._clock(), 1) if self._alive() else []
            entry = taken[0] if taken else await self._next()
            # Asked again: the process may have stood still since it was handed out.
            if not (taken or self._alive() or await self._may_start_after_all(entry)):
                continue
            self._busy += 1
            try:
                await self._run(entry)
            except Exception:  # the next start, or owner, tries it again
                _log.exception("a try of a job did not end as it should", job=entry.key)
                self._release(entry, Sign.NOTHING)
            finally:
                self._busy -= 1
                self._ended.set()
                if self._stopped and not self._busy:
                    self._quiet.set()

    def _next(self) -> "asyncio.Future[Entry[Job]]":
        future: asyncio.Future[Entry[Job]] = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        self.wake()
        return future

    async def _may_start_after_all(self, entry: Entry[Job]) -> bool:
        """Wait until we may act again; whether the try, which was handed out, is ours then."""
        while True:
            if self._is_over():
                return False
            if self._alive():
                break
            await asyncio.sleep(_UNSURE)
        is_ours = entry.endpoint in self.own
        if not is_ours:
            self._release(entry, Sign.NOTHING)
        return is_ours

    # -- one try and its end -------------------------------------------------------------

    async def _run(self, entry: Entry[Job]) -> None:
        if entry.expire_at <= self._clock():
            self._release(entry, Sign.NOTHING)
            self._give_up_on(entry, _TOO_LATE)
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
        sign = Sign.ANSWERED if state is JobState.SUCCEEDED else Sign.NOTHING
        if not outcome.writes and after is None:
            self._release(entry, sign)
            self._end(entry, state, note=note)
            return None
        end = transition(entry.item, entry.attempt, state, self._clock(), note=note)
        refusal = await self._ends.commit([*outcome.writes, end])
        if refusal is None:
            self._counts[state] += 1
            self._release(entry, sign)
            if after is not None:
                after()
        return refusal

    async def _postpone(self, entry: Entry[Job], outcome: Retry) -> None:
        """Store that a try failed; the next one waits for its time, or it is given up."""
        now = self._clock()
        state, retry_at = JobState.AWAITING_RETRY, 0.0
        found = self._scheduler.retry(entry.key, now, self._fraction(), outcome.after, outcome.sign)
        match found:
            case RetryAt(at):
                retry_at = at
                if entry.endpoint not in self.own:
                    self._scheduler.cancel(entry.key)
            case Expired():
                state = JobState.EXPIRED
                self._intake.left(entry)
        self.wake()
        refusal: StoreError | None = None
        if outcome.writes:
            end = transition(entry.item, entry.attempt, state, now, retry_at, outcome.note)
            refusal = await self._ends.commit([*outcome.writes, end], entry.key)
            if refusal is None:
                self._counts[state] += 1
            else:
                _log.warning("what a try left was lost", job=entry.key, reason=str(refusal))
        if refusal is not None or not outcome.writes:
            self._end(entry, state, retry_at=retry_at, note=outcome.note)
        if state is JobState.EXPIRED:
            self._archive(entry, outcome.note)

    def _release(self, entry: Entry[Job], sign: Sign) -> None:
        self._scheduler.release(entry.key, self._clock(), sign)
        self._intake.left(entry)
        if self._idle:
            self.wake()

    def _give_up_on(self, entry: Entry[Job], note: str) -> None:
        """A job whose time has ended left the memory."""
        self._intake.left(entry)
        self._end(entry, JobState.EXPIRED, note=note)
        self._archive(entry, note)

    def _archive(self, entry: Entry[Job], note: str) -> None:
        if self._archiver is not None and entry.endpoint in self.own:
            self._archiver.add(
                Pending(
                    job=entry.item,
                    tries=entry.attempt,
                    retry_at=0.0,
                    state=JobState.EXPIRED,
                    at=self._clock(),
                    note=note,
                )
            )

    def _end(self, entry: Entry[Job], state: JobState, *, retry_at: float = 0.0, note: str) -> None:
        self._counts[state] += 1
        self._ends.add(
            entry.key,
            transition(entry.item, entry.attempt, state, self._clock(), retry_at, note),
        )
