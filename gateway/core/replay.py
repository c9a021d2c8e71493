"""Jobs made again from old ones, because a person asks for it: from the store or the archive.

A replayed job is a new job with the same payload. It has an id, and so an idempotency token, of
its own: a receiver that took the old one and whose answer was lost may know the old token and
would drop what it is now asked to take. The old id is noted with the new job and, while it is in
the store, the new one with the old, which then counts as `replayed`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from gateway.core.archive import Archive, Archived, day_of, folder_of, ids_in, unpacked
from gateway.core.backlog import Place
from gateway.core.listing import between_bars
from gateway.core.records import (
    BY_ITS_ID,
    FAMILY,
    GENERATION,
    LAST,
    UPGRADED,
    Job,
    JobState,
    Pending,
    generation_at,
    generation_of,
    insert,
    pending_of,
    tables,
    transition,
)
from gateway.sids import JOB, first_sid, is_sid, made_at, new_sid
from gateway.store.base import Store, Write

MOST: Final = 1_000  # jobs of one request
_WINDOW: Final = 5_000  # rows that one read looks at
_WINDOWS: Final = 40  # reads for one request
_LONGEST_AGO: Final = 400 * 86400.0  # seconds
_CHOSEN: Final = between_bars((JobState.DISCARDED, JobState.EXPIRED, JobState.ARCHIVED))
_OPEN: Final = (JobState.AVAILABLE, JobState.AWAITING_RETRY)


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The new jobs by the ids of the old ones, and what there was no reason to replay.

    `open` are still to be tried, `unknown` are no jobs of the account. `next` is where a further
    request goes on, None when everything was found.
    """

    jobs: dict[str, Job]
    open: list[str] = []
    unknown: list[str] = []
    next: Place | None = None


class Replay:
    """`offer` is told of each new job once it is durable."""

    def __init__(
        self,
        store: Store,
        archive: Archive,
        offer: Callable[[Job], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._archive = archive
        self._offer = offer
        self._clock = clock

    async def by_ids(self, account_sid: str, ids: Sequence[str]) -> Replayed:
        """Replay these jobs, however they ended. Raises `ArchiveError`, `StoreError`."""
        there = set(await self._store.generations(FAMILY))
        old: list[Job | Pending] = []
        open_, unknown = [], []
        for job_id in dict.fromkeys(ids):
            found = await self._in_store(account_sid, job_id, there)
            if isinstance(found, Pending) and found.state in _OPEN:
                open_.append(job_id)
            elif found is not None:
                old.append(found)
            elif (archived := await self._in_archive(account_sid, job_id)) is not None:
                old.append(archived)
            else:
                unknown.append(job_id)
        jobs = await self._again(old)
        return Replayed(jobs=jobs, open=open_, unknown=unknown)

    async def of_endpoint(
        self, account_sid: str, endpoint: str, since: float, after: Place | None, limit: int
    ) -> Replayed:
        """Replay what was given up of an endpoint, made at `since` or later, the oldest first.

        `after` is the `next` of the request before. Raises `ArchiveError`, `StoreError`.
        """
        there = await self._store.generations(FAMILY)
        since = max(since, self._clock() - _LONGEST_AGO)
        first = first_sid(JOB, since)
        start = after or (UPGRADED if UPGRADED in there else 1, first)
        hours = range(max(start[0], generation_at(since)), generation_at(self._clock()) + 2)
        search = _Search(account_sid=account_sid, endpoint=endpoint, limit=limit)
        # A generation that is not there was dropped: what was given up of it is in the archive.
        for number in hours if start[0] != UPGRADED else (UPGRADED, *hours):
            begin = start[1] if number == start[0] else first
            look = self._look_in_store if number in there else self._look_in_archive
            reached = await look(search, number, begin)
            if reached < LAST:
                return Replayed(jobs=await self._again(search.found), next=(number, reached))
        return Replayed(jobs=await self._again(search.found))

    async def _again(self, old: Iterable[Job | Pending]) -> dict[str, Job]:
        now = self._clock()
        jobs: dict[str, Job] = {}
        writes: list[Write] = []
        for each in old:
            job = each if isinstance(each, Job) else each.job
            new = msgspec.structs.replace(
                job,
                id=new_sid(JOB, now),
                created_at=now,
                expire_at=now + (job.expire_at - job.created_at),
                generation=BY_ITS_ID,
            )
            note = f"a replay of {job.id}"
            writes += [insert(new), transition(new, 0, JobState.AVAILABLE, now, note=note)]
            if isinstance(each, Pending):
                note = f"as {new.id}"
                writes.append(transition(job, each.tries + 1, JobState.REPLAYED, now, note=note))
            jobs[job.id] = new
        if writes:
            await self._store.commit(writes)
        for new in jobs.values():
            self._offer(new)
        return jobs

    # -- what is still in the store --------------------------------------------------------

    async def _in_store(self, account_sid: str, job_id: str, there: set[int]) -> Pending | None:
        if not is_sid(job_id, JOB):
            return None
        for number in sorted(there & {generation_of(job_id), UPGRADED}):
            for row in await self._store.fetch(tables(number).one, account_sid, job_id):
                return pending_of(row, number)
        return None

    async def _look_in_store(self, search: "_Search", number: int, after: str) -> str:
        """Up to which id of a generation everything was found."""
        of = tables(number)
        while after < LAST and search.goes_on():
            window = await self._store.fetch(of.window_end, after, _WINDOW - 1)
            end = window[0][0] if window else LAST
            room = search.room
            rows = await self._store.fetch(
                of.given_up, search.account_sid, after, end, search.endpoint, _CHOSEN, room
            )
            search.found += [pending_of(row, number) for row in rows]
            after = rows[-1][0] if len(rows) == room else end
        return after

    # -- what is in the archive alone ------------------------------------------------------

    async def _in_archive(self, account_sid: str, job_id: str) -> Job | None:
        if not is_sid(job_id, JOB):
            return None
        folder = folder_of(account_sid, day_of(made_at(job_id)))
        for name in await self._archive.names(folder):
            if _overlaps(name, job_id, f"{job_id}~"):
                for each in unpacked(await self._archive.get(name)):
                    if each.id == job_id and each.account_sid == account_sid:
                        return each.job()
        return None

    async def _look_in_archive(self, search: "_Search", number: int, after: str) -> str:
        """The same of one that is in the archive alone."""
        first = first_sid(JOB, number * GENERATION)
        end = first_sid(JOB, (number + 1) * GENERATION)
        found: dict[str, Archived] = {}
        for name in await self._names(search, day_of(number * GENERATION)):
            if _overlaps(name, first, end):
                for each in unpacked(await self._archive.get(name)):
                    if max(first, after) < each.id < end and search.wants(each):
                        found[each.id] = each
        ids = sorted(found)[: search.room]
        search.found += [found[job_id].job() for job_id in ids]
        return LAST if len(ids) == len(found) else ids[-1] if ids else after

    async def _names(self, search: "_Search", day: str) -> list[str]:
        if search.names is None or search.names[0] != day:
            search.names = day, await self._archive.names(folder_of(search.account_sid, day))
        return search.names[1]


class _Search(msgspec.Struct, kw_only=True):
    """What is looked for, and how far that went."""

    account_sid: str
    endpoint: str
    limit: int
    found: list[Job | Pending] = []
    windows: int = 0
    names: tuple[str, list[str]] | None = None  # of the day that was looked at last

    @property
    def room(self) -> int:
        return self.limit - len(self.found)

    def goes_on(self) -> bool:
        """Whether another read of the store is due."""
        self.windows += 1
        return self.room > 0 and self.windows <= _WINDOWS

    def wants(self, archived: Archived) -> bool:
        return (archived.endpoint, archived.account_sid) == (self.endpoint, self.account_sid)


def _overlaps(name: str, first: str, end: str) -> bool:
    """Whether an object has jobs with ids from `first` up to `end`, which is not among them."""
    try:
        begins, ends = ids_in(name)
    except ValueError:
        return False
    return begins < end and ends >= first
