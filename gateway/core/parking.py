"""Jobs that wait because one before them in their sequence may stand in the store unread.

All of them are in the store too, so whoever finds no room here can be read later.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from gateway.core.records import Job, Pending

_MOST: Final = 10_000


class Parking:
    """Pure bookkeeping, by the ids of the jobs."""

    def __init__(self) -> None:
        self._jobs: dict[str, Pending] = {}
        self._sequences: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._jobs

    @property
    def is_full(self) -> bool:
        """Whether nothing more may come in."""
        return len(self._jobs) >= _MOST

    def add(self, pending: Pending) -> None:
        """Let a job wait."""
        job = pending.job
        if job.id not in self._jobs:
            self._sequences[job.sequence] += 1
        self._jobs[job.id] = pending

    def forget(self, chosen: Callable[[str], object]) -> None:
        """Leave the jobs of the endpoints that are `chosen` to others."""
        self._let_go([each for each in self._jobs.values() if chosen(each.job.endpoint)])

    def resources(self, chosen: Callable[[str], object], most: int) -> list[str]:
        """At most so many of those that sequences are named after, of the endpoints `chosen`.

        By its resource it is found what stands before a job in such a sequence.
        """
        found: dict[str, None] = {}
        for each in self._jobs.values():
            job = each.job
            if is_named(job) and chosen(job.endpoint):
                found[job.sid] = None
                if len(found) == most:
                    break
        return list(found)

    def take(self, chosen: Callable[[str], object], sequences: Collection[str]) -> list[Pending]:
        """Let go those of some sequences, of the endpoints that are `chosen`."""
        taken = [
            each
            for each in self._jobs.values()
            if each.job.sequence in sequences and chosen(each.job.endpoint)
        ]
        self._let_go(taken)
        return taken

    def take_up_to(self, last: Job) -> list[Pending]:
        """Let go those of the sequence of `last` that are not behind it, in their order."""
        if last.sequence not in self._sequences:
            return []
        taken = [
            each
            for each in self._jobs.values()
            if each.job.sequence == last.sequence and each.job.place <= last.place
        ]
        self._let_go(taken)
        return in_order(taken)

    def take_all(self) -> list[Pending]:
        """Let all go, in the order of their places."""
        taken, self._jobs = self._jobs, {}
        self._sequences.clear()
        return in_order(taken.values())

    def _let_go(self, taken: Collection[Pending]) -> None:
        for each in taken:
            job = each.job
            del self._jobs[job.id]
            self._sequences[job.sequence] -= 1
            if not self._sequences[job.sequence]:
                del self._sequences[job.sequence]


def is_named(job: Job) -> bool:
    """Whether its sequence is named after the resource that the job is about."""
    return bool(job.sequence) and job.sequence == job.sid


def in_order(several: Collection[Pending]) -> list[Pending]:
    """By the times when they were made."""
    return sorted(several, key=lambda each: each.job.place)
