"""A store of either kind, and runners over it that can be crashed and started again."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.core.archive import Archive
from gateway.core.jobs import QueuePolicy, RetryPolicy, Scheduler, policies
from gateway.core.owned import EVERYTHING, Queues
from gateway.core.records import FAMILY, tables
from gateway.core.runner import Bounds, Done, Job, JobOutcome, JobRunner, insert
from gateway.sids import JOB, first_sid, new_sid
from gateway.store.base import Insert, Lease, Query, Row, Store
from tests.contract.backends import Backend

META = Insert(table="meta", columns=("name", "value"))
STORED_META = Query(
    "meta", "SELECT name FROM meta WHERE name IN ('result', 'note', 'fresh', 'why') ORDER BY name"
)
Handler = Callable[[Job, int], Awaitable[JobOutcome]]


_ids = itertools.count()


def id_at(made: float) -> str:
    """The id of a job made at `made`: `new_sid` never goes back behind one that it gave out."""
    return f"{first_sid(JOB, made)}{next(_ids):016x}"


class Clock:
    """Goes on with the real time, from wherever it is put."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Bench:
    """A store, and runners over it that can be crashed and started again."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock()
        self.runners: list[JobRunner] = []
        self.scheduler: Scheduler[Job]

    def runner(
        self,
        handler: Handler,
        *,
        workers: int = 4,
        concurrency: int = 100,
        bounds: Bounds | None = None,
        fence: Lease | None = None,
        store: Any = None,
        kinds: Sequence[str] = ("test",),
        own: Queues = EVERYTHING,
        archive: Archive | None = None,
        alive: Callable[[], bool] = lambda: True,
    ) -> JobRunner:
        self.scheduler = Scheduler(
            policies(QueuePolicy(concurrency=concurrency), {}),
            RetryPolicy(base=0.01, cap=1.0, jitter=0.0),
        )
        handlers: Mapping[str, Handler] = dict.fromkeys(kinds, handler)
        runner = JobRunner(
            store or self.store,
            self.scheduler,
            handlers,
            workers=workers,
            clock=self.clock,
            fraction=lambda: 0.0,
            bounds=bounds or Bounds(),
            fence=fence,
            own=own,
            archive=archive,
            gather=0.01,
            alive=alive,
        )
        self.runners.append(runner)
        return runner

    def job(self, name: str = "", **more: Any) -> Job:
        now = self.clock()
        fields: dict[str, Any] = {
            "id": new_sid(JOB, now),
            "kind": "test",
            "account_sid": "AC1",
            "endpoint": "e",
            "sequence": "",
            "sid": "SM1",
            "payload": name,
            "created_at": now,
            "expire_at": now + 3600,
        }
        return Job(**{**fields, **more})

    async def insert(self, *jobs: Job) -> None:
        await self.store.commit([insert(job) for job in jobs])

    async def transitions(self) -> list[Row]:
        """Id, attempt, state, note and retry_at of every transition, in their order."""
        return [
            row
            for number in await self.store.generations(FAMILY)
            for row in await self.store.fetch(
                Query(
                    "transitions",
                    "SELECT job_id, attempt, to_state, note, retry_at"
                    f" FROM {tables(number).transitions} ORDER BY job_id, attempt",
                )
            )
        ]

    async def states(self) -> list[tuple[str, int, str]]:
        return [(job, attempt, to) for job, attempt, to, *_ in await self.transitions()]

    async def until_stored(self, count: int) -> list[tuple[str, int, str]]:
        async with asyncio.timeout(30):
            while True:
                states = await self.states()
                if len(states) >= count:
                    return states
                await asyncio.sleep(0.005)


async def until(holds: Callable[[], object]) -> None:
    """Wait for what follows the commit that others can read already."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.005)


@asynccontextmanager
async def on_store(backend: Backend) -> AsyncIterator[Bench]:
    """One process over a store, which is closed with all that still runs."""
    async with processes(backend, 1) as (bench,):
        yield bench


@asynccontextmanager
async def processes(backend: Backend, count: int) -> AsyncIterator[list[Bench]]:
    """As many processes over the same data."""
    benches = [Bench(await backend.open()) for _ in range(count)]
    try:
        yield benches
    finally:
        for bench in benches:
            for runner in bench.runners:
                await runner.close(0.0)
        await backend.close_all()


class Log:
    """A handler that notes what it was given and answers from a list, `Done()` after it."""

    def __init__(self, *outcomes: JobOutcome | Exception) -> None:
        self.outcomes = list(outcomes)
        self.seen: list[tuple[str, int]] = []
        self.event = asyncio.Event()

    async def __call__(self, job: Job, attempt: int) -> JobOutcome:
        self.seen.append((job.payload, attempt))
        self.event.set()
        outcome = self.outcomes.pop(0) if self.outcomes else Done()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.seen) < count:
                self.event.clear()
                await self.event.wait()
