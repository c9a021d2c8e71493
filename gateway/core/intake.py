"""What comes into the scheduler: jobs of the queues that are ours, whoever made them.

There are four ways in. What this process made is offered. What others made arrives, because they
hint at it, and because somebody looks from time to time. What was there before a queue was ours is
read once, the recent part at once and the rest beside the traffic. What memory had no room for is
read when there is some. A job that comes in two ways is known by its key.

First tries of a sequence start in order. So while something older is unread, such a job waits
until it is known what stands before it: what is named after a resource is looked for by that,
others wait until all is read.
"""

import asyncio
import contextlib
import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from gateway.core.archiver import Archiver
from gateway.core.backlog import Backlog, Bounds, Lately, Place
from gateway.core.jobs import Entry, Scheduler
from gateway.core.owned import EVERYTHING, Queues
from gateway.core.parking import Parking, in_order, is_named
from gateway.core.reading import PAGE, Behind, Reader, Span
from gateway.core.records import FAMILY, TOGETHER, Job, JobState, Pending
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
        self._read_lately = Lately()
        self.own = own
        self._ours_since = 0.0  # when the last queue was taken over
        self._clock = clock
        self._wake = wake
        self._taken_over: list[Queues] = []
        self._taken_over_due = asyncio.Event()
        self._being_read: list[Queues] = []
        self._read_up = asyncio.Event()
        self._parking = Parking()
        self._doubts = asyncio.Event()  # something was parked
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
        elif self._read_lately.take(job.id):
            return  # the store was quicker than whoever made it, and so may its end have been
        elif self._may_be_of_before(job):
            self._leave(job)
        elif self._being_read or self._older:
            self._arrive(_new(job))
        elif self._admits(job):
            self._scheduler.offer(_entry(job, 1), self._clock())
            self._wake()

    def _may_be_of_before(self, job: Job) -> bool:
        """Whether it was made before its queue was ours: another may have tried and ended it."""
        self._ours_since = min(self._ours_since, self._clock())  # a clock may be set back
        return job.created_at < self._ours_since

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
        self._ours_since = self._clock()
        self._reader.changed(queues)
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
        if older:
            self._older.append((queues, older))
        try:
            for span in recent:
                taken += await self._read(span, queues, 0.0)
        finally:
            if older:
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
        self._reader.changed(queues)
        for endpoint in self._scheduler.endpoints():
            if endpoint in queues:
                self._scheduler.clear(endpoint)
        self._backlog.forget(queues.__contains__)
        self._parking.forget(queues.__contains__)
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
        self._unpark()
        if taken:
            _log.info("older jobs were taken up", count=taken)

    async def _read(self, span: Span, queues: Queues, pause: float) -> int:
        taken = 0
        rest: Span | None = span
        while rest is not None:
            page, rest = await self._reader.page(rest, queues)
            taken += sum(map(self._take_or_park, page))
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
            async with asyncio.timeout(_LOOK):
                await hinted.wait()
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
        for each in in_order(found):
            self._arrive(each)
        if sweep:
            self._horizon, self._since = until, since
            self._sweep_at = self._clock() + _SWEEP
        else:
            self._since |= since

    def _arrive(self, pending: Pending) -> None:
        """Take in a new job, after the older ones of its sequence that are still to be read."""
        job = pending.job
        if job.sequence and self._is_being_read(job.endpoint):
            self._park(pending)
        elif self._take_or_park(pending):
            self._wake()

    # -- what may come too early -----------------------------------------------------------

    def _is_being_read(self, endpoint: str) -> bool:
        return any(endpoint in queues for queues in self._being_read)

    def _may_look_behind(self, endpoint: str) -> bool:
        return not self._is_being_read(endpoint)

    def _may_be_early(self, pending: Pending) -> bool:
        """Whether another job, whose first try comes before its first try, may be unread."""
        job = pending.job
        if not self._older or pending.tries or not job.sequence:
            return False
        return any(job.endpoint in queues for queues, _ in self._older)

    def _unread(self) -> list[int]:
        return sorted({span.generation for _, spans in self._older for span in spans})

    def _take_or_park(self, pending: Pending) -> bool:
        # What has to be left will be read again, and what stands before it as well.
        if pending.job.endpoint in self._backlog or not self._may_be_early(pending):
            self._take_in_before(pending.job)
            return self._take_in(pending)
        self._park(pending)
        return True

    def _park(self, pending: Pending) -> None:
        job = pending.job
        if job.endpoint not in self.own or job.id in self._scheduler:
            return
        if self._parking.is_full:
            self._backlog.leave(job.endpoint, job.place)
        else:
            self._parking.add(pending)
            self._doubts.set()

    def _take_in_before(self, job: Job) -> None:
        """What arrived while all up to `job` was read waits no more: that came before it."""
        for each in self._parking.take_up_to(job):
            if self._may_be_early(each):
                self._park(each)
            else:
                self._take_in(each)

    def _unpark(self) -> None:
        for each in self._parking.take_all():
            self._arrive(each)

    async def look_behind(self) -> None:
        """Look for what stands before jobs that are parked, until cancelled."""
        await endlessly(self._look_behind, "what comes before a job could not be read")

    async def _look_behind(self) -> None:
        await self._doubts.wait()
        may = self._may_look_behind
        while sids := self._parking.resources(may, TOGETHER):
            found = await self._reader.open_of(self._unread(), sids)
            before = [
                each for each in found if each.job.sequence in sids and may(each.job.endpoint)
            ]
            for each in in_order(before + self._parking.take(may, sids)):
                self._take_in(each)
            self._wake()
        self._doubts.clear()

    # -- what memory has room for ----------------------------------------------------------

    def _admits(self, job: Job) -> bool:
        endpoint = job.endpoint
        held = self._scheduler.count(endpoint)
        if self._backlog.takes(endpoint, held, len(self._scheduler)):
            return True
        self._backlog.leave(endpoint, job.place)
        return False

    def _leave(self, job: Job) -> None:
        """What the store says of it is known when it is read, at once if there is room."""
        self._backlog.leave(job.endpoint, job.place)
        self._room.set()

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
        if pending.job.id in self._parking:
            return False
        entry = _entry(pending.job, pending.tries + 1)
        taken = self._scheduler.offer(entry, self._clock(), pending.retry_at or None)
        if taken:
            self._read_lately.add(entry.key)
        return taken

    async def refill(self) -> None:
        """Read on for the endpoints that are behind, as they drain, until cancelled."""
        await endlessly(self._refill, "jobs that memory had no room for could not be read")

    async def _refill(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_BACK):
                await self._room.wait()
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
        if self._parking.is_full or self._is_being_read(endpoint):
            return False
        return self._backlog.wants(self._scheduler.count(endpoint), len(self._scheduler))

    async def _read_on(self, endpoint: str) -> None:
        held = self._scheduler.count(endpoint)
        most = TOGETHER if self._older else PAGE
        limit = min(most, self._backlog.room(held, len(self._scheduler)))
        after: Place = self._backlog.begin(endpoint)
        page, reached = await self._reader.page_of(endpoint, after, limit, self._behind)
        missed = self._backlog.missed(endpoint)
        for pending in in_order(page):
            job = pending.job
            if pending.state is JobState.EXPIRED or job.endpoint != endpoint:
                self._take_in(pending)
            elif job.place >= missed:
                break  # it is read again, after what was left meanwhile
            elif self._may_be_early(pending) and not is_named(job):
                self._park(pending)
            elif job.endpoint in self.own:
                if is_named(job) and not pending.tries:  # all before it is in the page, or parked
                    for each in self._parking.take_up_to(job):
                        self._hold(each)
                self._hold(pending)
        self._backlog.end(endpoint, reached)
        self._wake()

    def _behind(self, page: Sequence[Pending]) -> Behind:
        early = {each.job.sid for each in page if is_named(each.job) and self._may_be_early(each)}
        return sorted(early), self._unread()


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
