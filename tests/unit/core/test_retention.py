"""What is forgotten of the jobs, and what must stay."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from job_bench import Bench, Log, on_store

from gateway.core import retention
from gateway.core.records import (
    FAMILY,
    GENERATION,
    Job,
    JobState,
    generation_at,
    generation_of,
    shard_of,
    transition,
)
from gateway.core.retention import JobRetention
from gateway.sids import JOB, first_sid
from gateway.store.base import Insert, Query
from tests.contract.backends import STORES

HOUR = float(GENERATION)
DAY = 24 * HOUR


@pytest.fixture(params=STORES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with on_store(STORES[request.param](tmp_path)) as bench:
        await JobRetention(bench.store).round(bench.clock(), DAY)
        assert await bench.store.generations(FAMILY) == [], "what an empty database was made with"
        yield bench


def job(bench: Bench, hours_ago: float, number: int = 0) -> Job:
    made = bench.clock() - HOUR * hours_ago
    return bench.job(str(number), id=f"{first_sid(JOB, made)}{number:016x}")


async def made(bench: Bench, *jobs: tuple[Job, JobState | None]) -> None:
    await bench.insert(*(each for each, _ in jobs))
    ends = [transition(each, 1, state, bench.clock()) for each, state in jobs if state]
    await bench.store.commit(ends)


async def there(bench: Bench) -> list[int]:
    """The generations, as hours before this one."""
    now = generation_at(bench.clock())
    return sorted(now - each for each in await bench.store.generations(FAMILY))


async def test_a_generation_goes_when_all_in_it_has_ended_and_it_is_old(bench: Bench) -> None:
    done = JobState.SUCCEEDED
    straggler = job(bench, 35)
    await made(
        bench,
        *((job(bench, hours), done) for hours in (0, 1, 2, 3, 30)),
        (job(bench, 30, 1), JobState.DISCARDED),
        (job(bench, 31), JobState.REPLAYED),
        (job(bench, 32), JobState.ARCHIVED),
        (job(bench, 33), JobState.EXPIRED),
        (job(bench, 34), JobState.AWAITING_RETRY),
        (straggler, None),
        (job(bench, 35, 1), done),
    )
    keeper = JobRetention(bench.store)
    gone = await keeper.round(bench.clock(), 2 * DAY)
    assert gone == []
    gone = await keeper.round(bench.clock(), DAY)
    now = generation_at(bench.clock())
    assert [now - each for each in gone] == [32, 31, 30]
    assert await there(bench) == [0, 1, 2, 3, 33, 34, 35]
    await bench.store.commit([transition(straggler, 1, JobState.SUCCEEDED, bench.clock())])
    assert await keeper.round(bench.clock(), DAY) == [generation_of(straggler.id)]
    assert await there(bench) == [0, 1, 2, 3, 33, 34]


async def test_what_is_drained_is_not_looked_through_by_who_takes_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.reading._RECENT", 1)
    old = [job(bench, hours) for hours in (10, 11, 12)]
    await made(bench, *((each, JobState.SUCCEEDED) for each in old[:2]), (old[2], None))
    await JobRetention(bench.store).round(bench.clock(), DAY)
    looked_at: list[str] = []
    fetch = bench.store.fetch

    async def noting(query: Query, *parameters: object) -> list[tuple[object, ...]]:
        looked_at.append(query.name)
        return await fetch(query, *parameters)

    monkeypatch.setattr(bench.store, "fetch", noting)
    assert await bench.runner(Log()).recover() == 1
    drained = [f"jobs_{generation_of(each.id)}" for each in old[:2]]
    assert not [name for name in looked_at if name.startswith(tuple(drained))]


async def test_looking_goes_on_where_it_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_WINDOW", 10)
    jobs = [job(bench, 5, number) for number in range(95)]
    await made(bench, *((each, JobState.SUCCEEDED) for each in jobs[:-1]), (jobs[-1], None))
    windows = 0
    fetch = bench.store.fetch

    async def counting(query: Query, *parameters: object) -> list[tuple[object, ...]]:
        nonlocal windows
        windows += query.name.endswith("_window_end")
        return await fetch(query, *parameters)

    monkeypatch.setattr(bench.store, "fetch", counting)
    keeper = JobRetention(bench.store)
    await keeper.round(bench.clock(), 0.0)
    assert windows == 10
    await keeper.round(bench.clock(), 0.0)
    assert windows == 11
    await bench.store.commit([transition(jobs[-1], 1, JobState.SUCCEEDED, bench.clock())])
    assert len(await keeper.round(bench.clock(), 0.0)) == 1


async def test_a_job_that_comes_up_late_keeps_its_generation(bench: Bench) -> None:
    """Its id was made before the store was away for hours."""
    early, late = job(bench, 5), job(bench, 5, 1)
    await made(bench, (early, JobState.SUCCEEDED))
    keeper = JobRetention(bench.store)
    await keeper.round(bench.clock(), DAY)
    await made(bench, (late, None))
    assert await keeper.round(bench.clock(), 0.0) == []
    assert await bench.runner(Log()).recover() == 1, "it is looked through again"
    await bench.store.commit([transition(late, 1, JobState.SUCCEEDED, bench.clock())])
    await keeper.round(bench.clock(), DAY)
    assert len(await keeper.round(bench.clock(), 0.0)) == 1


async def test_what_came_with_an_upgrade_stays_as_long_as_its_newest_job(bench: Bench) -> None:
    columns = (*Job.__struct_fields__[:-1], "shard")
    old = Insert(table="jobs_0", columns=columns)
    jobs = [job(bench, hours) for hours in (30, 3)]
    await bench.store.commit(
        [(old, (*(getattr(each, name) for name in columns[:-1]), shard_of("e"))) for each in jobs]
    )
    upgraded = [Job(**{**_fields(each), "generation": 0}) for each in jobs]
    await bench.store.commit(
        [transition(each, 1, JobState.SUCCEEDED, bench.clock()) for each in upgraded]
    )
    keeper = JobRetention(bench.store)
    assert await keeper.round(bench.clock(), 4 * HOUR) == []
    assert await keeper.round(bench.clock(), 2 * HOUR) == [0]
    assert 0 not in await bench.store.generations(FAMILY)


def _fields(job: Job) -> dict[str, object]:
    return {name: getattr(job, name) for name in Job.__struct_fields__}
