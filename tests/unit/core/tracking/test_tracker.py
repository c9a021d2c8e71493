"""Counters that count each fact once, through crashes, and can be made again."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.bus.base import Batch
from gateway.bus.embedded import EmbeddedBus
from gateway.core.tracking import counters
from gateway.core.tracking.counters import all_counters, checksum
from gateway.core.tracking.counting import Key, count
from gateway.core.tracking.tracker import READER, Tracker, order_rebuild
from gateway.events import FactType
from gateway.events import fact as fact_written
from gateway.store.base import Delete, Insert, Query, Store, StoreUnavailable, Write
from tests.contract.backends import STORES

AT = 1_795_168_800.0
PATIENCE = 60.0
_META = Query("meta_names", "SELECT name FROM meta WHERE name LIKE 'tracking:%'")
_FORGET = Delete(table="facts", key=("id",))
_RAW = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))


@pytest.fixture(params=STORES)
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    backend = STORES[request.param](tmp_path)
    yield await backend.open()
    await backend.close_all()


@pytest.fixture
async def bus(store: Store) -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(store)
    yield bus
    await bus.close()


def facts(n: int, seed: int = 1) -> list[Write]:
    """Facts of a few accounts, days and kinds; among them unknown and unreadable ones."""
    chance = random.Random(seed)
    kinds = [FactType.MESSAGE_QUEUED, FactType.MESSAGE_SENT, FactType.MESSAGE_FAILED]
    writes = []
    for number in range(n):
        data = {
            "carrier": chance.choice(["acme", "beta"]),
            "segments": chance.randint(1, 4),
            "error_code": chance.choice([0, 30003, 30005]),
        }
        account_sid, at = f"AC{chance.randint(1, 5)}", AT + chance.randint(0, 5) * 86400
        writes.append(fact_written(account_sid, f"SM{number}", 1, chance.choice(kinds), at, data))
        if number % 10 == 0:
            writes.append((_RAW, (account_sid, f"SM{number}", 1, "later.kind", at, "{}")))
            writes.append((_RAW, (account_sid, f"SM{number}", 1, "message.sent", at, "?")))
    return writes


async def expected(store: Store) -> Counter[Key]:
    return count(await store.facts_after(0, 1_000_000))


async def found(store: Store) -> dict[Key, int]:
    pages = [page async for page in all_counters(store)]
    return {row[:3]: row[3] for page in pages for row in page}


async def caught_up(bus: EmbeddedBus) -> None:
    async with asyncio.timeout(PATIENCE):
        behind = -1
        while behind:
            await asyncio.sleep(0.01)
            behind = (await bus.stats()).behind.get(READER, -1)


async def test_every_fact_counts_once(store: Store, bus: EmbeddedBus) -> None:
    tracker = Tracker(store, bus)
    tracker.start()
    for seed in range(5):
        await store.commit(facts(300, seed))
    await caught_up(bus)
    await tracker.close()
    assert await found(store) == await expected(store)
    counted = {key[2]: number for key, number in (await found(store)).items()}
    assert {"unknown", "unreadable", "segments.outbound", "error.30003"} <= counted.keys()


async def test_it_goes_on_where_the_last_one_stopped(store: Store, bus: EmbeddedBus) -> None:
    await store.commit(facts(700))
    for _ in range(20):
        tracker = Tracker(store, bus)
        tracker.start()
        await asyncio.sleep(random.random() / 200)  # ended in the middle of anything
        await tracker.close()
    last = Tracker(store, bus)
    last.start()
    await store.commit(facts(50, seed=9))
    await caught_up(bus)
    await last.close()
    assert await found(store) == await expected(store)


async def test_a_batch_and_its_position_are_one_commit(store: Store, bus: EmbeddedBus) -> None:
    await store.commit(facts(20))
    batch = await first_batch(bus)
    commits = store.stats().commits
    await Tracker(store, bus).count(batch)
    assert store.stats().commits == commits + 1
    assert await bus.position(READER) == batch.position


async def first_batch(bus: EmbeddedBus, after: str = "") -> Batch:
    return await anext(bus.subscribe(after))


async def test_a_commit_that_was_made_after_all_counts_once(
    store: Store, bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.tracking.tracker._AGAIN", 0.01)
    real, failures = store.commit, [1, 1, 1]
    tracker = Tracker(store, bus)

    def commit(writes: Sequence[Write], fence: Any = None) -> "asyncio.Future[None]":
        async def made() -> None:
            await real(writes, fence)
            if failures:
                failures.pop()
                raise StoreUnavailable("the connection went with the answer")

        return asyncio.ensure_future(made())

    position = ""
    for seed in range(4):
        await real(facts(30, seed))
        batch = await first_batch(bus, position)
        monkeypatch.setattr(store, "commit", commit)
        await tracker.count(batch)
        monkeypatch.setattr(store, "commit", real)
        position = batch.position
    assert not failures
    assert await found(store) == await expected(store)


async def test_while_the_store_is_away_it_waits(
    store: Store, bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.tracking.tracker._AGAIN", 0.01)
    monkeypatch.setattr("gateway.core.tracking.tracker._BROKEN", 0.01)
    await store.commit(facts(20))
    tried = asyncio.Event()

    def away(*_: Any) -> "asyncio.Future[None]":
        tried.set()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(StoreUnavailable("the disk is full"))
        return future

    tracker = Tracker(store, bus)
    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", away)
        tracker.start()
        await asyncio.wait_for(tried.wait(), PATIENCE)
    await caught_up(bus)
    await tracker.close()
    assert await found(store) == await expected(store)


async def test_a_defect_does_not_end_it(
    store: Store, bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.tracking.tracker._BROKEN", 0.01)
    await store.commit(facts(20))
    failures = [1, 1]
    real = counters.Counters.add

    async def broken(self: counters.Counters, counts: Counter[Key]) -> list[Write]:
        if failures:
            failures.pop()
            raise RuntimeError("a defect")
        return await real(self, counts)

    monkeypatch.setattr(counters.Counters, "add", broken)
    tracker = Tracker(store, bus)
    tracker.start()
    await caught_up(bus)
    await tracker.close()
    assert await found(store) == await expected(store)


async def begun_anew(store: Store) -> None:
    """The order was obeyed: the counters were thrown away."""
    async with asyncio.timeout(PATIENCE):
        marks = await store.fetch(_META)
        while marks:
            await asyncio.sleep(0.01)
            marks = await store.fetch(_META)


async def test_a_rebuild_equals_the_original(store: Store, bus: EmbeddedBus) -> None:
    tracker = Tracker(store, bus)
    tracker.start()
    await store.commit(facts(1200))
    await caught_up(bus)
    original, counted = await checksum(store), await found(store)
    key = next(iter(counted))
    await store.commit([(counters.UPDATE, (*key, 10**9))])  # a table that went wrong
    assert await checksum(store) != original
    await order_rebuild(store)
    await begun_anew(store)
    await caught_up(bus)
    assert await checksum(store) == original
    assert await found(store) == counted
    await store.commit(facts(10, seed=3))  # and it goes on behind it
    await caught_up(bus)
    await tracker.close()
    assert await found(store) == await expected(store)


async def test_a_rebuild_that_is_ordered_while_it_counts_counts_each_fact_once(
    store: Store, bus: EmbeddedBus
) -> None:
    tracker = Tracker(store, bus)
    tracker.start()
    for seed in range(6):
        await store.commit(facts(200, seed))
        await order_rebuild(store)
    await begun_anew(store)
    await caught_up(bus)
    await tracker.close()
    assert await found(store) == await expected(store)


async def test_what_the_bus_keeps_no_more_is_not_counted_again(
    store: Store, bus: EmbeddedBus
) -> None:
    tracker = Tracker(store, bus)
    tracker.start()
    await store.commit(facts(300))
    await caught_up(bus)
    kept = await store.facts_after(100, 1000)
    await store.commit([(_FORGET, (number,)) for number in range(1, 101)])
    await order_rebuild(store)
    await begun_anew(store)
    await caught_up(bus)
    await tracker.close()
    assert await found(store) == count(kept)


@pytest.mark.parametrize("commits", [1, 2, 3])
async def test_a_rebuild_that_was_killed_is_ended_by_the_next_start(
    store: Store, bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    monkeypatch.setattr(counters, "_PAGE", 20)
    await store.commit(facts(500))
    first = Tracker(store, bus)
    first.start()
    await caught_up(bus)
    await first.close()
    await order_rebuild(store)
    real, left = store.commit, [commits]

    class Killed(BaseException):
        pass

    def commit(writes: Sequence[Write], fence: Any = None) -> "asyncio.Future[None]":
        if not left[0]:
            raise Killed
        left[0] -= 1
        return real(writes, fence)

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", commit)
        with pytest.raises(Killed):
            await Tracker(store, bus)._run()
    assert len(await store.fetch(_META)) == 1
    tracker = Tracker(store, bus)
    tracker.start()
    await begun_anew(store)
    await caught_up(bus)
    await tracker.close()
    assert await found(store) == await expected(store)


async def test_memory_of_days_is_bounded(
    store: Store, bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "_DAYS", 3)
    tracker = Tracker(store, bus)
    position = ""
    for seed in range(4):
        await store.commit(facts(100, seed))
        batch = await first_batch(bus, position)
        await tracker.count(batch)
        position = batch.position
    assert len(tracker._counters._days) == 3
    assert await found(store) == await expected(store)
