"""What goes wrong once ends no task of a runner: the same is done again a moment later."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from job_bench import Bench, Log, id_at, on_store, until

from gateway.core.archive import ArchiveError, Folder
from gateway.core.owned import NOTHING, Queues
from gateway.core.records import SHARDS, generation_of, tables, transition
from gateway.core.runner import Bounds, Done, Job, JobOutcome, JobState
from gateway.directory import Directory
from gateway.store.base import Query, Row, Store, StoreError
from tests.contract.backends import STORES

ALL = Queues(shards=frozenset(range(SHARDS)))
ERRORS = (StoreError("could not open relation with OID 4711"), RuntimeError("nobody knows of"))


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("gateway.core.rounds._BROKEN", 0.001)
    async with on_store(STORES["sqlite"](tmp_path)) as bench:
        yield bench


class Failing:
    """A store in which what has `part` in its name raises the errors of a list first."""

    def __init__(self, store: Store, part: str, *errors: Exception) -> None:
        self._store = store
        self._part = part
        self.errors = list(errors)

    def __getattr__(self, name: str) -> Any:
        self._fail(name)
        return getattr(self._store, name)

    async def fetch(self, query: Query, *parameters: Any) -> list[Row]:
        self._fail(query.name)
        return await self._store.fetch(query, *parameters)

    def _fail(self, name: str) -> None:
        if self._part in name and self.errors:
            raise self.errors.pop(0)


async def test_queues_that_could_not_be_read_are_read_again(bench: Bench) -> None:
    store = Failing(bench.store, "_pending", *ERRORS)
    log = Log()
    runner = bench.runner(log, own=NOTHING, store=store)
    runner.start()
    first, second = (bench.job(name, endpoint=f"smpp:{name}") for name in ("bank", "clinic"))
    await bench.insert(first, second)
    await runner.take_over(Queues(customers=frozenset({first.endpoint})))
    await log.until(1)
    await runner.take_over(Queues(customers=frozenset({second.endpoint})))
    await log.until(2)
    await runner.recovered()
    assert not store.errors and [name for name, _ in log.seen] == ["bank", "clinic"]


async def test_older_jobs_that_could_not_be_read_are_read_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.reading._RECENT", 1)
    monkeypatch.setattr("gateway.core.intake._OLDER_PAUSE", 0.001)
    now = bench.clock()
    oldest, old, new = (id_at(now - 3600 * hours) for hours in (2, 1, 0))
    await bench.insert(*(bench.job(each, id=each) for each in (oldest, old, new)))
    store = Failing(bench.store, tables(generation_of(oldest)).pending.name, *ERRORS)
    log = Log()
    runner = bench.runner(log, own=NOTHING, store=store)
    runner.start()
    await runner.take_over(ALL)
    await log.until(3)
    assert not store.errors and [name for name, _ in log.seen] == [new, old, oldest]


async def test_what_stands_before_a_job_is_looked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.reading._RECENT", 1)
    monkeypatch.setattr("gateway.core.intake._OLDER_PAUSE", 3600.0)
    now = bench.clock()
    jobs = [
        bench.job(f"{hours}", id=id_at(now - 3600 * hours), sequence="SM1") for hours in (2, 1, 0)
    ]
    await bench.insert(*jobs)
    store = Failing(bench.store, "_open_of", *ERRORS)
    log = Log()
    runner = bench.runner(log, own=NOTHING, store=store)
    runner.start()
    await runner.take_over(ALL)
    await log.until(3)
    assert not store.errors and [name for name, _ in log.seen] == ["2", "1", "0"]


async def test_what_memory_had_no_room_for_is_read_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.intake._LOOK_BACK", 0.01)
    store = Failing(bench.store, "_pending_of", *ERRORS)
    log = Log()
    runner = bench.runner(log, store=store, bounds=Bounds(per_endpoint=3, total=3))
    await bench.insert(*(bench.job(str(at)) for at in range(20)))
    await runner.recover()
    runner.start()
    await log.until(20)
    assert not store.errors


async def test_a_recovery_that_fails_says_so_and_holds_nothing_up(bench: Bench) -> None:
    store = Failing(bench.store, "_pending", StoreError("could not open relation"))
    log = Log()
    runner = bench.runner(log, store=store)
    runner.start()
    with pytest.raises(StoreError):
        await runner.recover()
    await asyncio.wait_for(runner.recovered(), 30)
    job = bench.job("a", sequence="one")
    await bench.insert(job)
    runner.offer(job)
    await log.until(1)


async def test_jobs_in_a_state_of_a_newer_version_are_passed_over(bench: Bench) -> None:
    jobs = [bench.job(str(at)) for at in range(3)]
    await bench.insert(*jobs)
    statement, row = transition(jobs[1], 1, JobState.AWAITING_RETRY, bench.clock())
    await bench.store.commit([(statement, (*row[:2], "pondered", *row[3:]))])
    log = Log()
    runner = bench.runner(log)
    runner.start()
    assert await runner.recover() == 2
    await log.until(2)
    assert sorted(name for name, _ in log.seen) == ["0", "2"]


async def test_a_worker_outlives_what_follows_a_try(bench: Bench) -> None:
    def after() -> None:
        raise RuntimeError("broken")

    log = Log(Done(after=after), Done(after=after), Done())
    runner = bench.runner(log, workers=1, concurrency=1)
    runner.start()
    jobs = [bench.job(str(at)) for at in range(3)]
    await bench.insert(*jobs)
    for job in jobs:
        runner.offer(job)
    await bench.until_stored(3)
    await until(lambda: runner.stats().in_memory == 0)
    assert len(log.seen) == 3


async def test_ends_are_stored_after_the_store_failed_as_it_never_should(bench: Bench) -> None:
    """Those of that commit are not: their jobs run again when somebody takes them over."""
    store = Failing(bench.store, "commit", RuntimeError("nobody knows of"))
    log = Log()
    runner = bench.runner(log, workers=1, store=store)
    runner.start()
    first, second = bench.job("first"), bench.job("second")
    await bench.insert(first, second)
    runner.offer(first)
    await log.until(1)
    await until(lambda: not store.errors and not runner.stats().unstored)
    runner.offer(second)
    assert await bench.until_stored(1) == [(second.id, 1, "succeeded")]
    again = bench.runner(log)
    assert await again.recover() == 1


async def test_jobs_are_archived_after_the_archive_failed_as_it_never_should(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaks(Folder):
        async def put(self, name: str, content: bytes) -> None:
            if errors:
                raise errors.pop()
            await super().put(name, content)

    monkeypatch.setattr("gateway.core.archiver._FIRST_PAUSE", 0.001)
    errors = [ArchiveError("away"), RuntimeError("nobody knows of")]
    runner = bench.runner(Log(), archive=Breaks(tmp_path / "archive"))
    runner.start()
    await bench.insert(bench.job("a", expire_at=bench.clock() - 1))
    await runner.recover()
    states = await bench.until_stored(2)
    assert [to for _, _, to in states] == ["expired", "archived"] and not errors


async def test_how_queues_stand_is_told_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.queue_states._EVERY", 0.01)
    held = asyncio.Event()

    async def handler(job: Job, attempt: int) -> JobOutcome:
        await held.wait()
        return Done()

    store = Failing(bench.store, "queue_states", *ERRORS)
    runner = bench.runner(handler, store=store)
    runner.start()
    job = bench.job("a")
    await bench.insert(job)
    runner.offer(job)
    await until(lambda: not store.errors)
    told = Query("told", "SELECT value FROM meta WHERE name LIKE 'queues:%'")
    async with asyncio.timeout(30):
        while True:
            if rows := await bench.store.fetch(told):
                break
            await asyncio.sleep(0.01)
    assert "AC1" in rows[0][0]


async def test_accounts_and_numbers_are_looked_at_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Room:
        async def refresh(self) -> None:
            if errors:
                raise errors.pop()
            refreshed.set()

    monkeypatch.setattr("gateway.directory._LOOK_EVERY", 0.01)
    errors: list[Exception] = list(ERRORS)
    refreshed = asyncio.Event()
    room: Any = Room()
    directory = Directory(bench.store, room, room, room, room)
    directory.start()
    await asyncio.wait_for(refreshed.wait(), 30)
    await directory.close()
    assert not errors
