"""What comes into the scheduler: jobs of the queues that are ours, whoever made them.

There are four ways in. What this process made is offered. What others made arrives, because they
hint at it, and because somebody looks from time to time. What was there before a queue was ours is
read once, the recent part at once and the rest beside the traffic. What memory had no room for is
read when there is some. A job that comes in two ways is known by its key.
"""

import asyncio
import contextlib
import functools
import operator
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from gateway.core.archiver import Archiver
from gateway.core.backlog import Backlog, Bounds, Place
from gateway.core.jobs import Entry, Scheduler
from gateway.core.owned import EVERYTHING, Queues
from gateway.core.reading import PAGE, Reader, Span
from gateway.core.records import FAMILY, Job, JobState, Pending
from gateway.core.rounds import endlessly
from gateway.store.base import Horizon, Store

_log = structlog.get_logger(__name__)

_TOGETHER: Final = 0.02  # seconds for which a queue that is taken over waits for others
_OLDER_PAUSE: Final = 0.05  # seconds between windows of what is read beside traffic
_LOOK_BACK: Final = 1.0  # seconds between looks at what is in the store alone
_LOOK: Final = 0.5  # seconds between looks for what others made, if no hint comes
_GAP: Final = 0.02  # seconds from one look to the next, however many hints come
_NEWEST: Final = 3  # generations that are looked at each time
_SWEEP: Final = 30.0  # seconds between looks at all of them
_MOST_PARKED: Final = 10_000


class Intake:
    """`own` are the queues that are ours now; `wake` is called when something came in."""

    def __init__(
        self,
        *,
        store: Store,
        scheduler: Scheduler[Job],
        reader: Reader,
        archiver: Archiver | None,
        bounds: Bounds,
        own: Queues,
        clock: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._reader = reader
        self._archiver = archiver
        self._backlog = Backlog(bounds)
        self.own = own
        self._clock = clock
        self._wake = wake
        self._taken_over: list[Queues] = []
        self._taken_over_due = asyncio.Event()
        self._being_read: list[Queues] = []
        self._read_up = asyncio.Event()
        self._parked: list[Pending] = []
        self._older: list[tuple[Queues, list[Span]]] = []
        self._older_due = asyncio.Event()
        self._room = asyncio.Event()  # an endpoint that is behind has lost a job
        self._since: dict[int, Horizon] = {}  # by generation
        self._horizon: Horizon | None = None  # of generations that are not in there
        self._sweep_at = 0.0

    @property
    def behind(self) -> int:
        """Endpoints with jobs in the store alone."""
        return len(self._backlog)

    def is_behind(self, endpoint: str) -> bool:
        """Whether jobs of `endpoint` are in the store alone."""
        return endpoint in self._backlog

    def offer(self, job: Job) -> None:
        """Take in a job that this process made; tell its owner if that is another one."""
        if job.endpoint not in self.own:
            self._store.hint(FAMILY)
        elif self._being_read:
            self._arrive(_new(job))
        elif self._admits(job):
            self._scheduler.offer(_entry(job, 1), self._clock())
            self._wake()

    def left(self, entry: Entry[Job]) -> None:
        """A job has left the memory."""
        self._reader.left(entry.key)
        if entry.endpoint in self._backlog:
            self._room.set()

    # -- queues that come and go -----------------------------------------------------------

    async def take_over(self, queues: Queues) -> None:
        """These are ours from now on; what is there of them is read in the background."""
        await self._begin_to_follow()
        self.own |= queues
        self._being_read.append(queues)
        self._taken_over.append(queues)
        self._taken_over_due.set()

    async def recovered(self) -> None:
        """Wait until what is recent of the queues that were taken over has been read."""
        while self._being_read:
            self._read_up.clear()
            await self._read_up.wait()

    async def recover(self) -> int:
        """Take in what is there of our own; how many recent jobs were taken."""
        await self._begin_to_follow()
        own = self.own
        self._being_read.append(own)
        try:
            return await self._recover(own)
        finally:
            self._are_read([own])

    async def read_recent(self) -> None:
        """Take in what is recent of queues that are taken over, until cancelled."""
        await endlessly(self._read_taken_over, "queues that were taken over could not be read")

    async def _read_taken_over(self) -> None:
        await self._taken_over_due.wait()
        await asyncio.sleep(_TOGETHER)
        requests = list(self._taken_over)
        await self._recover(_union(requests))
        del self._taken_over[: len(requests)]
        if not self._taken_over:
            self._taken_over_due.clear()
        self._are_read(requests)

    async def _recover(self, queues: Queues) -> int:
        taken = 0
        recent, older = await self._reader.spans()
        for span in recent:
            taken += await self._read(span, queues, 0.0)
        if older:
            self._older.append((queues, older))
            self._older_due.set()
        return taken

    def _are_read(self, requests: list[Queues]) -> None:
        for each in requests:
            self._being_read.remove(each)
        self._unpark()
        self._read_up.set()

    def give_up(self, queues: Queues) -> None:
        """These are not ours any more: forget what waits."""
        self.own -= queues
        self._reader.lost(queues)
        for endpoint in self._scheduler.endpoints():
            if endpoint in queues:
                self._scheduler.clear(endpoint)
        self._backlog.forget(queues.__contains__)
        self._parked = [each for each in self._parked if each.job.endpoint not in queues]
        if self._archiver is not None:
            self._archiver.forget(queues.__contains__)

    async def read_older(self) -> None:
        """Take in what is older, beside the traffic, until cancelled."""
        await endlessly(self._read_older, "older jobs could not be read")

    async def _read_older(self) -> None:
        await self._older_due.wait()
        requests = list(self._older)
        queues = _union(each for each, _ in requests)
        spans = requests[-1][1]  # of the latest: they hold those of the others
        taken = 0
        while spans:
            taken += await self._read(spans[0], queues, _OLDER_PAUSE)
            del spans[0]
        del self._older[: len(requests)]
        if not self._older:
            self._older_due.clear()
        if taken:
            _log.info("older jobs were taken up", count=taken)

    async def _read(self, span: Span, queues: Queues, pause: float) -> int:
        taken = 0
        rest: Span | None = span
        while rest is not None:
            page, rest = await self._reader.page(rest, queues)
            taken += sum(map(self._take_in, page))
            self._wake()
            await asyncio.sleep(pause)
        return taken

    # -- what others made ------------------------------------------------------------------

    async def follow(self) -> None:
        """Take in what others make of our queues, until cancelled."""
        await endlessly(self._follow, "what others made could not be read")

    async def _follow(self) -> None:
        hinted = self._store.watch(FAMILY)
        unknown = await self._begin_to_follow()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hinted.wait(), _LOOK)
        hinted.clear()
        await self._look(unknown)
        await asyncio.sleep(_GAP)

    async def _begin_to_follow(self) -> Horizon:
        """From where others are followed: from before anything of theirs is read."""
        if self._horizon is None:
            everything = self.own is EVERYTHING
            self._horizon = Horizon() if everything else await self._reader.horizon()
        return self._horizon

    async def _look(self, unknown: Horizon) -> None:
        """Look at the newest generations or at all; `unknown` is the horizon of others."""
        until = await self._reader.horizon()
        shards = self.own.numbers()  # only now: a shard that comes later is read from its tables
        sweep = self._clock() >= self._sweep_at
        generations = await self._reader.generations()
        looked_at = generations if sweep else generations[-_NEWEST:]
        known = {each: self._since.get(each, unknown) for each in looked_at}
        found, since = await self._reader.arrived(known, until, shards)
        for each in sorted(found, key=lambda each: each.job.place):
            self._arrive(each)
        if sweep:
            self._horizon, self._since = until, since
            self._sweep_at = self._clock() + _SWEEP
        else:
            self._since |= since

    def _arrive(self, pending: Pending) -> None:
        """Take in a new job, after the older ones of its sequence that are still to be read."""
        job = pending.job
        if job.sequence and any(job.endpoint in queues for queues in self._being_read):
            if len(self._parked) < _MOST_PARKED:
                self._parked.append(pending)
            else:
                self._backlog.leave(job.endpoint, job.place)
        elif self._take_in(pending):
            self._wake()

    def _unpark(self) -> None:
        parked, self._parked = self._parked, []
        for each in parked:
            self._arrive(each)

    # -- what memory has room for ----------------------------------------------------------

    def _admits(self, job: Job) -> bool:
        endpoint = job.endpoint
        held = self._scheduler.count(endpoint)
        if self._backlog.takes(endpoint, held, len(self._scheduler)):
            return True
        self._backlog.leave(endpoint, job.place)
        return False

    def _take_in(self, pending: Pending) -> bool:
        job = pending.job
        if job.endpoint not in self.own or job.id in self._scheduler:
            return False
        if pending.state is JobState.EXPIRED:
            if self._archiver is not None and job.id not in self._archiver:
                self._archiver.add(pending)
            return False
        return self._admits(job) and self._hold(pending)

    def _hold(self, pending: Pending) -> bool:
        entry = _entry(pending.job, pending.tries + 1)
        return self._scheduler.offer(entry, self._clock(), pending.retry_at or None)

    async def refill(self) -> None:
        """Read on for the endpoints that are behind, as they drain, until cancelled."""
        await endlessly(self._refill, "jobs that memory had no room for could not be read")

    async def _refill(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._room.wait(), _LOOK_BACK)
        self._room.clear()
        for endpoint in self._backlog:
            while endpoint in self._backlog and self._wants(endpoint):
                await self._read_on(endpoint)
        archiver = self._archiver
        if archiver is not None and archiver.missed and not len(archiver):
            await self._read_missed(archiver)

    async def _read_missed(self, archiver: Archiver) -> None:
        archiver.missed = False  # more may be missed while these are read
        try:
            await self.recover()
        except Exception:
            archiver.missed = True
            raise

    def _wants(self, endpoint: str) -> bool:
        return self._backlog.wants(self._scheduler.count(endpoint), len(self._scheduler))

    async def _read_on(self, endpoint: str) -> None:
        held = self._scheduler.count(endpoint)
        limit = min(PAGE, self._backlog.room(held, len(self._scheduler)))
        after: Place = self._backlog.begin(endpoint)
        page, reached = await self._reader.page_of(endpoint, after, limit)
        for pending in page:
            if pending.state is JobState.EXPIRED or pending.job.endpoint not in self.own:
                self._take_in(pending)
            else:
                self._hold(pending)
        self._backlog.end(endpoint, reached)
        self._wake()


def _union(several: Iterable[Queues]) -> Queues:
    return functools.reduce(operator.or_, several)


def _new(job: Job) -> Pending:
    return Pending(job=job, tries=0, retry_at=0.0, state=JobState.AVAILABLE, at=0.0, note="")


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
