"""Brings jobs that were given up into the archive, many to an object, and says so in the store.

The object is durable before the transition `archived` is written, so a job is in the archive, in
the store, or for a while in both. While the archive is away jobs stay `expired`; those that
memory has no room for are read from the store again when the others are done.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from gateway.core.archive import Archive, ArchiveError, objects_of, packed
from gateway.core.records import JobState, Pending, transition
from gateway.store.base import StoreError, Write

_log = structlog.get_logger(__name__)

_MOST: Final = 10_000  # jobs in memory
_BATCH: Final = 1_000  # jobs that are taken at once
_FIRST_PAUSE: Final = 1.0  # seconds until the archive is tried again, …
_LONGEST_PAUSE: Final = 60.0  # … which doubles up to this

Commit = Callable[[list[Write]], Awaitable[StoreError | None]]


class Archiver:
    """`commit` stores writes, however long it takes; more jobs are waited for `gather` seconds."""

    def __init__(
        self, archive: Archive, commit: Commit, clock: Callable[[], float], gather: float
    ) -> None:
        self._archive = archive
        self._commit = commit
        self._clock = clock
        self._gather = gather
        self._jobs: dict[str, Pending] = {}
        self._due = asyncio.Event()
        self._full = asyncio.Event()
        self.trouble = ""  # why the archive can't be used now
        self.archived = 0
        self.missed = False  # some did not find room

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, key: str) -> bool:
        return key in self._jobs

    def add(self, given_up: Pending) -> None:
        """Archive a job whose state is `expired`, or will be in a moment."""
        if len(self._jobs) >= _MOST:
            self.missed = True
            return
        self._jobs[given_up.job.id] = given_up
        self._due.set()
        if len(self._jobs) >= _BATCH:
            self._full.set()

    def forget(self, chosen: Callable[[str], object]) -> None:
        """Leave the jobs of the endpoints that are `chosen` to others."""
        for key in [key for key, each in self._jobs.items() if chosen(each.job.endpoint)]:
            del self._jobs[key]

    async def run(self) -> None:
        """Archive what comes, until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            await self._due.wait()
            await self._wait_for_more()
            batch = list(self._jobs.values())[:_BATCH]
            try:
                await self._archive_all(batch)
            except Exception as error:
                known = isinstance(error, ArchiveError)
                if not self.trouble:
                    _log.error(
                        "jobs wait for the archive",
                        count=len(self),
                        reason=str(error),
                        exc_info=not known,
                    )
                self.trouble = str(error) if known else f"{type(error).__name__}: {error}"
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if self.trouble:
                _log.warning("the archive can be used again")
            self.trouble, pause = "", _FIRST_PAUSE
            if not self._jobs:
                self._due.clear()

    async def _wait_for_more(self) -> None:
        self._full.clear()
        if len(self._jobs) < _BATCH:
            try:
                async with asyncio.timeout(self._gather):
                    await self._full.wait()
            except TimeoutError:
                return

    async def _archive_all(self, batch: list[Pending]) -> None:
        for name, jobs in objects_of(batch).items():
            await self._archive.put(name, await asyncio.to_thread(packed, jobs))
            now = self._clock()
            refusal = await self._commit(
                [
                    transition(each.job, each.tries + 1, JobState.ARCHIVED, now, note=name)
                    for each in jobs
                ]
            )
            if refusal is None:
                self.archived += len(jobs)
            else:
                _log.error("what was archived is not noted", name=name, reason=str(refusal))
            for each in jobs:
                self._jobs.pop(each.job.id, None)
