"""One thought of the message path: the writes of a commit, and what may happen after it.

Rooms below fill a `Changes`; the service commits `writes` and only then carries out the rest:
answers to carriers, window slots, jobs, messages that go back to the queue.
"""

from collections.abc import Sequence

from carriers.events import Delivery, Submitted, Uncertain, Unsent
from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
from gateway.messages.flight import Flight
from gateway.store.base import Write

Answered = Submitted | Uncertain | Unsent


class Changes:
    """Collects; owns nothing. Used for one batch and thrown away."""

    __slots__ = ("answers", "finished", "jobs", "requeued", "settled", "writes")

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.answers: list[tuple[Delivery, int]] = []  # with their command_status
        self.settled: list[Answered] = []  # events whose window slots become free
        self.jobs: list[Job] = []
        self.requeued: list[tuple[Flight, float]] = []  # with the time when they are due
        self.finished: list[str] = []  # SIDs that need no further attempt

    def write(self, *writes: Write) -> None:
        """Add writes to the commit."""
        self.writes.extend(writes)

    def add_job(self, job: Job) -> None:
        """Insert a job in this commit and offer it after it."""
        self.writes.append(job_inserted(job))
        self.jobs.append(job)

    def add_jobs(self, jobs: Sequence[Job]) -> None:
        """Several of them."""
        for job in jobs:
            self.add_job(job)
