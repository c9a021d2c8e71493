"""Jobs that wait because one before them in their sequence may stand in the store unread.

All of them are in the store too, so whoever finds no room here can be read later.
"""

from collections.abc import Callable, Collection
from typing import Final

from gateway.core.records import Job, Pending

_MOST: Final = 10_000


class Parking:
    """Pure bookkeeping, by the ids of the jobs."""

    def __init__(self) -> None:
        self._jobs: dict[str, Pending] = {}

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
        self._jobs[pending.job.id] = pending

    def forget(self, chosen: Callable[[str], object]) -> None:
        """Leave the jobs of the endpoints that are `chosen` to others."""
        self._jobs = {
            key: each for key, each in self._jobs.items() if not chosen(each.job.endpoint)
        }

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
        for each in taken:
            del self._jobs[each.job.id]
        return taken

    def take_all(self) -> list[Pending]:
        """Let all go, in the order of their places."""
        taken, self._jobs = self._jobs, {}
        return in_order(taken.values())


def is_named(job: Job) -> bool:
    """Whether its sequence is named after the resource that the job is about."""
    return bool(job.sequence) and job.sequence == job.sid


def in_order(several: Collection[Pending]) -> list[Pending]:
    """By the times when they were made."""
    return sorted(several, key=lambda each: each.job.place)
