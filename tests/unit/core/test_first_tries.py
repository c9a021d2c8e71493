"""First tries of a sequence start in order, however little of the store has been read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from job_bench import Bench, Log, id_at, on_store

from gateway.core.owned import NOTHING, Queues
from gateway.core.records import SHARDS, JobState, generation_of, tables, transition
from gateway.core.runner import Bounds, Job
from gateway.store.base import Query, Row, Store
from tests.contract.backends import STORES

ALL = Queues(shards=frozenset(range(SHARDS)))
NEVER = 3600.0
STEPS = ("queued", "sent", "delivered", "read")


@pytest.fixture(params=STORES)
async def bench(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.setattr("gateway.core.reading._RECENT", 20)
    monkeypatch.setattr("gateway.core.reading._WINDOW", 7)
    monkeypatch.setattr("gateway.core.intake._OLDER_PAUSE", 0.002)
    async with on_store(STORES[request.param](tmp_path)) as bench:
        yield bench


async def test_what_is_left_while_a_page_is_read_comes_before_what_is_behind_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page began behind it, and is read again from there."""
    first, earlier, later = [bench.job(each, sequence="one") for each in ("a", "b", "c")]
    await bench.insert(first, earlier, later)
    log = Log()
    runner = bench.runner(log, workers=1, bounds=Bounds(per_endpoint=1, total=1))
    runner.offer(first)
    runner.offer(later)
    reader = runner._intake._reader
    page_of, told = reader.page_of, []

    async def offered_meanwhile(*given: Any) -> Any:
        page = await page_of(*given)
        if not told:
            told.append([each.job.payload for each in page[0]])
            runner.offer(earlier)
        return page

    monkeypatch.setattr(reader, "page_of", offered_meanwhile)
    runner.start()
    await bench.until_stored(3)
    assert told == [["c"]]
    assert [name for name, _ in log.seen] == ["a", "b", "c"]


async def test_what_is_parked_comes_before_what_is_read_on_behind_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.reading._RECENT", 0)
    monkeypatch.setattr("gateway.core.parking._MOST", 1)
    made = bench.clock() - 3600.0

    def job(name: str) -> Job:
        return bench.job(name, id=id_at(made), sid="SM0", sequence="SM0")

    await bench.insert(job("queued"))
    log = Log()
    runner = bench.runner(log, workers=1, own=NOTHING)
    await runner.take_over(ALL)
    intake = runner._intake
    await intake._read_taken_over()
    parked, left = job("sent"), job("delivered")
    await bench.insert(parked, left)
    runner.offer(parked)
    runner.offer(left)
    assert parked.id in intake._parking
    assert intake.is_behind(left.endpoint)
    await intake._read_on(left.endpoint)
    runner.start()
    await bench.until_stored(3)
    assert [name for name, _ in log.seen] == ["queued", "sent", "delivered"]


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(per_endpoint=8, total=8)])
@pytest.mark.parametrize("most_parked", [10_000, 5])
@pytest.mark.parametrize("sequence", ["SM{}", "conversation {}"])
async def test_they_wait_for_what_may_stand_before_them(
    bench: Bench,
    bounds: Bounds,
    most_parked: int,
    sequence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.core.parking._MOST", most_parked)
    monkeypatch.setattr("gateway.core.intake._LOOK_BACK", 0.01)
    now = bench.clock()
    jobs = [
        bench.job(
            f"{step} {at}",
            id=id_at(now - 3600.0 * max(0, 2 - hours) + at / 100),
            sid=f"SM{at}",
            sequence=sequence.format(at),
        )
        for hours, step in enumerate(STEPS)
        for at in range(20)
    ]
    await bench.insert(*jobs[:60])
    log = Log()
    runner = bench.runner(log, workers=2, own=NOTHING, bounds=bounds)
    runner.start()
    await runner.take_over(ALL)
    for job in jobs[60:]:
        await bench.insert(job)
        runner.offer(job)
    await bench.until_stored(80)
    names = [name for name, _ in log.seen]
    assert sorted(names) == sorted(job.payload for job in jobs)
    for at in range(20):
        order = [name for name in names if name.endswith(f" {at}")]
        assert order == [f"{step} {at}" for step in STEPS]


async def test_who_is_named_after_a_resource_need_not_wait_until_all_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.intake._OLDER_PAUSE", NEVER)
    now = bench.clock()
    filling = [bench.job("done", id=id_at(now - 3600.0 * (at % 3))) for at in range(100)]
    after = [bench.job(f"then {at}", sequence=f"SM{at}", sid=f"SM{at}") for at in range(3, -1, -1)]
    before = [
        bench.job(f"first {at}", id=id_at(now - 3600.0 * at), sequence=f"SM{at}", sid=f"SM{at}")
        for at in (1, 2)
    ]
    await bench.insert(*before, *filling)
    await bench.store.commit(
        [transition(job, 1, JobState.SUCCEEDED, bench.clock()) for job in filling]
    )
    log = Log()
    runner = bench.runner(log, own=NOTHING)
    runner.start()
    await runner.take_over(ALL)
    await runner.recovered()
    await bench.insert(*after)
    for job in after:
        runner.offer(job)
    await log.until(6)
    names = [name for name, _ in log.seen]
    assert sorted(names) == ["first 1", "first 2", "then 0", "then 1", "then 2", "then 3"]
    assert names.index("first 1") < names.index("then 1")
    assert names.index("first 2") < names.index("then 2")


async def test_only_first_tries_of_a_sequence_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.intake._OLDER_PAUSE", NEVER)
    now = bench.clock()
    old = [bench.job("old", id=id_at(now - 3600.0), sequence="talk") for _ in range(20)]
    new = [bench.job("done") for _ in range(20)]
    tried, alone = bench.job("tried", sequence="talk"), bench.job("alone")
    await bench.insert(*old, *new, tried)
    ends = [transition(job, 1, JobState.SUCCEEDED, now) for job in new]
    await bench.store.commit([*ends, transition(tried, 1, JobState.AWAITING_RETRY, now, now)])
    log = Log()
    runner = bench.runner(log, own=NOTHING)
    runner.start()
    await runner.take_over(ALL)
    await runner.recovered()
    first = bench.job("first", sequence="talk")
    await bench.insert(alone, first)
    runner.offer(first)
    runner.offer(alone)
    await log.until(2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert sorted(log.seen) == [("alone", 1), ("tried", 2)]


async def test_what_memory_had_no_room_for_waits_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read from the store again while what is older is not."""
    monkeypatch.setattr("gateway.core.intake._OLDER_PAUSE", NEVER)
    monkeypatch.setattr("gateway.core.intake._LOOK_BACK", 0.01)
    now = bench.clock()
    done = [bench.job("done", id=id_at(now - 3600.0)) for _ in range(20)]
    first = [
        bench.job(f"first {at}", id=id_at(now - 3600.0), sequence=f"SM{at}", sid=f"SM{at}")
        for at in range(10)
    ]
    plain = [bench.job("plain", id=id_at(now)) for _ in range(10)]
    then = [
        bench.job(f"then {at}", id=id_at(now), sequence=f"SM{at}", sid=f"SM{at}")
        for at in range(10)
    ]
    await bench.insert(*done, *first, *plain, *then)
    await bench.store.commit([transition(job, 1, JobState.SUCCEEDED, now) for job in done])
    log = Log()
    runner = bench.runner(log, workers=1, own=NOTHING, bounds=Bounds(per_endpoint=4, total=4))
    runner.start()
    await runner.take_over(ALL)
    await log.until(30)
    names = [name for name, _ in log.seen]
    for at in range(10):
        assert names.index(f"first {at}") < names.index(f"then {at}")


class Gate:
    """A store that answers one query only when it is let."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fetch(self, query: Query, *parameters: Any) -> list[Row]:
        if query.name == self._name:
            self.reached.set()
            await self.opened.wait()
        return await self._store.fetch(query, *parameters)


async def test_what_waits_is_forgotten_with_its_queue(bench: Bench) -> None:
    """Another has tried it when the queue comes back."""
    now = bench.clock()
    old = [bench.job("old", id=id_at(now - 3600.0), sequence="talk") for _ in range(20)]
    new = [bench.job("done", endpoint="f") for _ in range(20)]
    await bench.insert(*old, *new)
    await bench.store.commit([transition(job, 1, JobState.SUCCEEDED, now) for job in new])
    store = Gate(bench.store, tables(generation_of(old[0].id)).pending.name)
    log = Log()
    runner = bench.runner(log, own=NOTHING, store=store)
    runner.start()
    await runner.take_over(ALL)
    await asyncio.wait_for(store.reached.wait(), 30)
    waits = bench.job("waits", sequence="talk")
    await bench.insert(waits)
    runner.offer(waits)
    await runner.give_up(ALL, 30.0)
    other = bench.runner(log, own=NOTHING)
    other.start()
    await other.take_over(ALL)
    await bench.until_stored(41)
    await other.give_up(ALL, 30.0)
    store.opened.set()
    await runner.take_over(ALL)
    last = bench.job("last", sequence="talk")
    await bench.insert(last)
    runner.offer(last)
    await log.until(22)
    assert log.seen == [*[("old", 1)] * 20, ("waits", 1), ("last", 1)]


@pytest.mark.parametrize("page", [("sent", "delivered"), ("delivered",)])
async def test_what_is_read_does_not_overtake_what_arrived_meanwhile(
    bench: Bench, page: Sequence[str]
) -> None:
    """It waits for the end of the reading, and the page has the next of its sequence."""
    ids = id_at(bench.clock()), id_at(bench.clock() + 1)
    store = Gate(bench.store, tables(generation_of(ids[0])).pending.name)
    log = Log()
    runner = bench.runner(log, workers=1, own=NOTHING, store=store)
    await bench.insert(bench.job("other", endpoint="f"))
    runner.start()
    await runner.take_over(ALL)
    await asyncio.wait_for(store.reached.wait(), 30)
    sent, delivered = (
        bench.job(name, sequence="SM1", sid="SM1", id=each)
        for name, each in zip(("sent", "delivered"), ids, strict=True)
    )
    await bench.insert(*(each for each in (sent, delivered) if each.payload in page))
    runner.offer(sent)
    store.opened.set()
    await log.until(3)
    names = [name for name, _ in log.seen if name != "other"]
    assert names == ["sent", "delivered"]
