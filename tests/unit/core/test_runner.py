"""The runner over a real store, with handlers that do what the test says."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from job_bench import META, STORED_META, Bench, Log, on_store, until

from gateway.core.backlog import Lately
from gateway.core.records import JobState, transition
from gateway.core.runner import Bounds, Discard, Done, Job, JobOutcome, Retry
from gateway.store.base import Lease, Query, Row, Store, StoreUnavailable, Update, Write
from tests.contract.backends import STORES

ACCOUNT_NAME = Update(
    table="accounts", key=("sid",), columns=("friendly_name", "version"), guard="version"
)


@pytest.fixture(params=STORES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with on_store(STORES[request.param](tmp_path)) as bench:
        yield bench


async def test_a_job_runs_once_and_its_success_is_stored(bench: Bench) -> None:
    log = Log()
    runner = bench.runner(log)
    runner.start()
    job = bench.job("a")
    await bench.insert(job)
    runner.offer(job)
    runner.offer(job)
    assert await bench.until_stored(1) == [(job.id, 1, "succeeded")]
    assert log.seen == [("a", 1)]
    await until(lambda: runner.stats().ended == {"succeeded": 1})
    assert await bench.runner(log).recover() == 0


async def test_a_thousand_jobs_over_few_workers_are_stored_in_few_commits(bench: Bench) -> None:
    busy = most = 0

    async def handler(job: Job, attempt: int) -> JobOutcome:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        return Done()

    runner = bench.runner(handler, workers=5)
    runner.start()
    jobs = [bench.job(str(at)) for at in range(1000)]
    await bench.insert(*jobs)
    before = bench.store.stats().commits
    for job in jobs:
        runner.offer(job)
    states = await bench.until_stored(1000)
    assert {job for job, _, _ in states} == {job.id for job in jobs}
    assert most == 5
    assert bench.store.stats().commits - before < 50


async def test_what_a_handler_writes_and_the_end_of_its_job_are_one_commit(bench: Bench) -> None:
    seen: list[asyncio.Task[list[Any]]] = []

    async def look() -> list[Any]:
        return [*await bench.store.fetch(STORED_META), *await bench.states()]

    called = asyncio.Event()

    def after() -> None:
        seen.append(asyncio.create_task(look()))
        called.set()

    runner = bench.runner(Log(Done(writes=((META, ("result", "")),), after=after)))
    runner.start()
    job = bench.job()
    await bench.insert(job)
    runner.offer(job)
    async with asyncio.timeout(30):
        await called.wait()
        assert await seen[0] == [("result",), (job.id, 1, "succeeded")]


async def test_a_failed_try_is_followed_by_another(bench: Bench) -> None:
    log = Log(
        Retry(note="busy"),
        Retry(after=0.02, note="still busy", writes=((META, ("note", "")),)),
        RuntimeError("broken"),
        Done(),
    )
    runner = bench.runner(log)
    runner.start()
    job = bench.job("a")
    await bench.insert(job)
    runner.offer(job)
    await bench.until_stored(4)
    assert log.seen == [("a", 1), ("a", 2), ("a", 3), ("a", 4)]
    rows = await bench.transitions()
    assert [row[1:4] for row in rows] == [
        (1, "awaiting_retry", "busy"),
        (2, "awaiting_retry", "still busy"),
        (3, "awaiting_retry", "RuntimeError: broken"),
        (4, "succeeded", ""),
    ]
    assert await bench.store.fetch(STORED_META) == [("note",)]


async def test_a_discarded_job_is_not_tried_again(bench: Bench) -> None:
    log = Log(Discard(note="gone"), Discard(note="gone", writes=((META, ("why", "")),)))
    runner = bench.runner(log, workers=1)
    runner.start()
    jobs = [bench.job("a"), bench.job("b")]
    await bench.insert(*jobs)
    for job in jobs:
        runner.offer(job)
    assert [to for _, _, to in await bench.until_stored(2)] == ["discarded", "discarded"]
    assert await bench.store.fetch(STORED_META) == [("why",)]
    assert len(log.seen) == 2 and await bench.runner(log).recover() == 0


async def test_a_job_whose_time_ends_is_expired(bench: Bench) -> None:
    log = Log(Retry(after=60.0, note="busy"))
    runner = bench.runner(log)
    runner.start()
    runner.close_endpoint("closed")
    now = bench.clock()
    tried = bench.job("tried", expire_at=now + 30)
    waits = bench.job("waits", endpoint="closed", expire_at=now + 40)
    late = bench.job("late", expire_at=now - 1)
    await bench.insert(tried, waits, late)
    for job in (tried, waits, late):
        runner.offer(job)
    await bench.until_stored(2)
    bench.clock.ahead = 50.0
    runner.wake()
    states = await bench.until_stored(3)
    assert {job: (attempt, to) for job, attempt, to in states} == {
        tried.id: (1, "expired"),
        waits.id: (1, "expired"),
        late.id: (1, "expired"),
    }
    assert log.seen == [("tried", 1)]


async def test_a_kind_that_nobody_handles_waits_for_a_program_that_does(bench: Bench) -> None:
    runner = bench.runner(Log())
    runner.start()
    job = bench.job(kind="unknown")
    await bench.insert(job)
    runner.offer(job)
    states = await bench.until_stored(1)
    assert states[0] == (job.id, 1, "awaiting_retry")
    await runner.close(1.0)
    log = Log()
    again = bench.runner(log, kinds=("unknown",))
    again.start()
    assert await again.recover() == 1
    await log.until(1)


async def test_what_cannot_be_stored_is_tried_again(bench: Bench) -> None:
    stale: tuple[Write, ...] = ((ACCOUNT_NAME, ("missing", "", 2)),)
    log = Log(Done(writes=stale), Done(writes=((META, ("fresh", "")),)))
    runner = bench.runner(log)
    runner.start()
    job = bench.job("a")
    await bench.insert(job)
    runner.offer(job)
    states = await bench.until_stored(2)
    assert [to for _, _, to in states] == ["awaiting_retry", "succeeded"]
    assert await bench.store.fetch(STORED_META) == [("fresh",)]


async def test_after_a_crash_what_was_not_done_is_done(bench: Bench) -> None:
    gate = asyncio.Event()

    async def handler(job: Job, attempt: int) -> JobOutcome:
        if job.payload.startswith("hangs"):
            await gate.wait()
        return Retry(after=0.0, note="later") if job.payload.startswith("retries") else Done()

    first = bench.runner(handler, workers=50)
    first.start()
    names = [f"{kind}{at}" for at in range(10) for kind in ("done", "hangs", "retries")]
    jobs = {name: bench.job(name) for name in names}
    await bench.insert(*jobs.values())
    for job in jobs.values():
        first.offer(job)
    await bench.until_stored(20)
    await first.close(0.0)  # the handlers that hang are cut off, as in a crash
    tries = {job: attempt for job, attempt, _ in await bench.states()}
    log = Log()
    second = bench.runner(log)
    second.start()
    assert await second.recover() == 20
    await log.until(20)
    expected = {name: 1 for name in names if name.startswith("hangs")}
    expected |= {name: tries[jobs[name].id] + 1 for name in names if name.startswith("retries")}
    assert dict(log.seen) == expected


async def test_a_retry_keeps_its_time_over_a_restart(bench: Bench) -> None:
    first = bench.runner(Log(Retry(after=500.0, note="later")))
    first.start()
    job = bench.job("a")
    await bench.insert(job)
    first.offer(job)
    await bench.until_stored(1)
    await first.close(0.0)
    log = Log()
    second = bench.runner(log)
    second.start()
    assert await second.recover() == 1
    ((*_, retry_at),) = await bench.transitions()
    assert bench.scheduler.timer() == retry_at
    assert retry_at == pytest.approx(bench.clock() + 500, abs=30)
    bench.clock.ahead = 501.0
    second.wake()
    await log.until(1)
    assert log.seen == [("a", 2)]


async def test_memory_is_bounded_and_the_rest_is_read_as_it_drains(bench: Bench) -> None:
    most = 0

    async def handler(job: Job, attempt: int) -> JobOutcome:
        nonlocal most
        most = max(most, len(bench.scheduler))
        seen.append(job.payload)
        await asyncio.sleep(0)
        return Done()

    seen: list[str] = []
    runner = bench.runner(handler, workers=1, bounds=Bounds(per_endpoint=50, total=60))
    jobs = [bench.job(str(at), sequence="one") for at in range(400)]
    other = [bench.job(f"other{at}", endpoint="f") for at in range(30)]
    await bench.insert(*jobs[:300], *other)
    assert await runner.recover() == 50 + 16
    stats = runner.stats()
    assert (stats.in_memory, stats.fullest, stats.behind) == (66, 50, 2)
    runner.start()
    for job in jobs[300:]:
        await bench.insert(job)
        runner.offer(job)
    states = await bench.until_stored(430)
    assert most <= 50 + 16
    assert {to for _, _, to in states} == {"succeeded"}
    assert sorted(seen) == sorted([job.payload for job in (*jobs, *other)]), "each exactly once"
    assert [name for name in seen if not name.startswith("other")] == [str(at) for at in range(400)]
    assert len(bench.scheduler) == 0


async def test_what_was_read_before_it_is_offered_runs_once(bench: Bench) -> None:
    """Its row may be read, and its try may end, before whoever made it is told of its commit."""
    log = Log()
    runner = bench.runner(log, workers=1, bounds=Bounds(per_endpoint=4, total=100))
    jobs = [bench.job(str(at)) for at in range(20)]
    await bench.insert(*jobs)
    await runner.recover()
    runner.start()
    await bench.until_stored(20)
    for job in jobs:
        runner.offer(job)
    last = bench.job("last")
    await bench.insert(last)
    runner.offer(last)
    await bench.until_stored(21)
    assert log.seen == [(job.payload, 1) for job in (*jobs, last)]


def test_only_the_last_keys_are_remembered() -> None:
    lately = Lately(most=2)
    for key in "abc":
        lately.add(key)
    assert [lately.take(key) for key in "abcc"] == [False, True, True, False]


async def test_the_newest_jobs_are_taken_up_first_and_the_rest_beside_the_traffic(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was done lies among them; one endpoint has more than memory has room for."""
    monkeypatch.setattr("gateway.core.reading._RECENT", 100)
    monkeypatch.setattr("gateway.core.reading._WINDOW", 30)
    monkeypatch.setattr("gateway.core.intake._OLDER_PAUSE", 0.001)
    jobs = [bench.job(str(at), endpoint="f" if at % 7 else "e") for at in range(700)]
    await bench.insert(*jobs)
    done = [job for at, job in enumerate(jobs) if at % 3]
    await bench.store.commit(
        [transition(job, 1, JobState.SUCCEEDED, bench.clock()) for job in done]
    )
    log = Log()
    runner = bench.runner(log, bounds=Bounds(per_endpoint=20, total=200))
    taken = await runner.recover()
    newest = [job for at, job in enumerate(jobs) if at >= 600 and not at % 3]
    assert taken == 20 + sum(job.endpoint == "e" for job in newest)
    runner.start()
    await bench.until_stored(700)
    undone = {str(at) for at in range(700) if not at % 3}
    assert {name for name, _ in log.seen} == undone
    assert len(log.seen) == len(undone)


async def test_no_read_of_the_store_looks_at_more_than_a_window(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of other endpoints and of what is done are passed over without end otherwise."""
    monkeypatch.setattr("gateway.core.reading._WINDOW", 50)
    jobs = [bench.job(str(at), endpoint="e" if at in (0, 499) else "f") for at in range(500)]
    await bench.insert(*jobs)
    looked_at: list[int] = []
    fetch = bench.store.fetch

    async def counting(query: Query, *parameters: Any) -> list[Row]:
        if "_pending" in query.name:
            table = query.name.partition("_pending")[0]
            within = Query("within", f"SELECT count(*) FROM {table} WHERE id > $1 AND id <= $2")
            looked_at.append((await fetch(within, *parameters[:2]))[0][0])
        return await fetch(query, *parameters)

    monkeypatch.setattr(bench.store, "fetch", counting)
    log = Log()
    runner = bench.runner(log, bounds=Bounds(per_endpoint=20, total=30))
    runner.start()
    await runner.recover()
    await bench.until_stored(500)
    assert max(looked_at) == 50
    assert len(log.seen) == 500


async def test_jobs_offered_beside_recovery_run_once(bench: Bench) -> None:
    log = Log()
    runner = bench.runner(log, workers=20)
    old = [bench.job(f"old{at}") for at in range(1200)]
    await bench.insert(*old)
    runner.start()
    recovering = asyncio.create_task(runner.recover())
    new = []
    for at in range(100):
        job = bench.job(f"new{at}")
        new.append(job)
        await bench.insert(job)
        runner.offer(job)
    await recovering
    await bench.until_stored(1300)
    assert len(log.seen) == 1300
    assert {name for name, _ in log.seen} == {job.payload for job in (*old, *new)}


async def test_a_closed_endpoint_waits_for_its_opening(bench: Bench) -> None:
    log = Log()
    runner = bench.runner(log)
    runner.start()
    runner.close_endpoint("smpp:bank")
    shut, other = bench.job("shut", endpoint="smpp:bank"), bench.job("other")
    await bench.insert(shut, other)
    runner.offer(shut)
    runner.offer(other)
    await bench.until_stored(1)
    assert log.seen == [("other", 1)]
    runner.open_endpoint("smpp:bank")
    await log.until(2)
    assert log.seen[1] == ("shut", 1)


class Away:
    """A store that can't be reached for a while."""

    def __init__(self, store: Store, failures: int) -> None:
        self._store = store
        self.failures = failures

    async def generations(self, family: str) -> list[int]:
        return await self._store.generations(family)

    def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> Any:
        if self.failures:
            self.failures -= 1
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_exception(StoreUnavailable("away"))
            return future
        return self._store.commit(writes, fence)

    async def fetch(self, query: Query, *parameters: Any) -> Any:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        return await self._store.fetch(query, *parameters)


async def test_the_runner_waits_for_a_store_that_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.ends._STORE_AWAY", 0.001)
    monkeypatch.setattr("gateway.core.reading._STORE_AWAY", 0.001)
    store = Away(bench.store, 3)
    log = Log(Done(writes=((META, ("result", "")),)), Done())
    runner = bench.runner(log, workers=1, store=store)
    jobs = [bench.job("a"), bench.job("b")]
    await bench.insert(*jobs)
    assert await runner.recover() == 2
    store.failures = 3
    runner.start()
    states = await bench.until_stored(2)
    assert [(attempt, to) for _, attempt, to in states] == [(1, "succeeded")] * 2
    assert log.seen == [("a", 1), ("b", 1)] and store.failures == 0


class Held:
    """A store whose commits wait until they are let through."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.through = asyncio.Event()

    async def generations(self, family: str) -> list[int]:
        return await self._store.generations(family)

    async def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> None:
        await self.through.wait()
        await self._store.commit(writes, fence)

    async def fetch(self, query: Query, *parameters: Any) -> Any:
        return await self._store.fetch(query, *parameters)


async def test_no_try_starts_while_the_store_takes_too_long_over_their_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.ends._SLOW", 0.02)
    tries = 0

    async def handler(job: Job, attempt: int) -> JobOutcome:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0.005)
        return Done()

    store = Held(bench.store)
    runner = bench.runner(handler, workers=2, store=store)
    runner.start()
    jobs = [bench.job(f"{at}") for at in range(200)]
    await bench.insert(*jobs)
    for job in jobs:
        runner.offer(job)
    before = 0
    while before != tries or not tries:
        before = tries
        await asyncio.sleep(0.3)  # as long as many of them take
    while_held = tries
    store.through.set()
    assert while_held < len(jobs), "they went on though nothing of them was stored"
    assert len(await bench.until_stored(len(jobs))) == tries == len(jobs)


@pytest.mark.parametrize("first", [Done(), Done(writes=((META, ("result", "")),))])
async def test_a_runner_whose_lease_has_passed_on_stops(bench: Bench, first: Done) -> None:
    lease = await bench.store.renew("first", 60.0)
    log = Log(first)
    runner = bench.runner(log, workers=1, fence=lease)
    runner.start()
    await bench.store.bury("first")
    jobs = [bench.job("a"), bench.job("b")]
    await bench.insert(*jobs)
    runner.offer(jobs[0])
    await log.until(1)
    await asyncio.wait_for(runner.fenced.wait(), 30)
    runner.offer(jobs[1])
    for _ in range(10):
        await asyncio.sleep(0)
    await runner.close(5.0)
    assert await bench.states() == []
    assert await bench.store.fetch(STORED_META) == []
    assert log.seen == [("a", 1)]


async def test_close_lets_tries_end_and_stores_how(bench: Bench) -> None:
    gate, both = asyncio.Event(), asyncio.Event()
    log: list[str] = []

    async def handler(job: Job, attempt: int) -> JobOutcome:
        log.append(job.payload)
        if len(log) == 2:
            both.set()
        await gate.wait()
        return Done()

    runner = bench.runner(handler, workers=2)
    runner.start()
    jobs = [bench.job(str(at)) for at in range(4)]
    await bench.insert(*jobs)
    for job in jobs:
        runner.offer(job)
    async with asyncio.timeout(30):
        await both.wait()
    closing = asyncio.create_task(runner.close(30.0))
    await asyncio.sleep(0)
    gate.set()
    await closing
    assert [(job, to) for job, _, to in await bench.states()] == [
        (jobs[0].id, "succeeded"),
        (jobs[1].id, "succeeded"),
    ]
    assert log == ["0", "1"], "no try starts after close"
