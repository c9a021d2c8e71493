"""What every backend of the bus does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.bus.base import BEGINNING, Batch, Bus
from gateway.store.base import Fact, Insert, Query, StoreError
from tests.contract.kafka_source import Kafka
from tests.contract.sources import SOURCES, Source, source_of

KAFKA = pytest.param("kafka", marks=[pytest.mark.interop, pytest.mark.timeout(300)])


@pytest.fixture(params=[*SOURCES, KAFKA])
async def source(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Source]:
    if request.param == "kafka":
        source: Source = Kafka(request.getfixturevalue("kafka_broker"), tmp_path)
    else:
        source = source_of(request.param, tmp_path)
    yield source
    await source.close_all()


@pytest.fixture
async def bus(source: Source) -> AsyncIterator[Bus]:
    bus = await source.open()
    yield bus
    await bus.close()


async def batches_of(batches: AsyncIterator[Batch], count: int) -> list[Batch]:
    """Batches until there are `count` facts in them."""
    read: list[Batch] = []
    async with asyncio.timeout(60):
        while sum(len(batch.facts) for batch in read) < count:
            batch = await anext(batches)
            assert batch.facts, "an empty batch"
            read.append(batch)
    return read


async def read(batches: AsyncIterator[Batch], count: int) -> list[Fact]:
    return [fact for batch in await batches_of(batches, count) for fact in batch.facts]


def sids(batches: list[Batch]) -> list[str]:
    return [fact.sid for batch in batches for fact in batch.facts]


async def test_a_reader_gets_what_was_there_and_what_comes_in_order(
    bus: Bus, source: Source
) -> None:
    await source.append("SM1", "SM2")
    batches = bus.subscribe(BEGINNING)
    assert [fact.sid for fact in await read(batches, 2)] == ["SM1", "SM2"]
    reading = asyncio.create_task(read(batches, 2))
    await source.append("SM3")
    await source.append("SM4")
    facts = await reading
    assert [fact.sid for fact in facts] == ["SM3", "SM4"]
    assert facts[0].id < facts[1].id


async def test_a_reader_begins_after_any_position(bus: Bus, source: Source) -> None:
    await source.append(*(f"SM{at}" for at in range(10)))
    batches = await batches_of(bus.subscribe(BEGINNING, limit=3), 10)
    for at, batch in enumerate(batches[:-1], 1):
        left = sids(batches[at:])
        rest = await read(bus.subscribe(batch.position), len(left))
        assert [fact.sid for fact in rest] == left


async def test_batches_are_no_greater_than_asked(bus: Bus, source: Source) -> None:
    await source.append(*(f"SM{at}" for at in range(25)))
    sizes = [len(batch.facts) for batch in await batches_of(bus.subscribe("", limit=10), 25)]
    assert sum(sizes) == 25 and max(sizes) == 10


async def test_readers_do_not_share(bus: Bus, source: Source) -> None:
    readers = [asyncio.create_task(read(bus.subscribe(BEGINNING), 3)) for _ in range(3)]
    await source.append("SM1", "SM2", "SM3")
    for reader in readers:
        assert [fact.sid for fact in await reader] == ["SM1", "SM2", "SM3"]


async def test_from_the_newest_only_what_is_new_is_read(bus: Bus, source: Source) -> None:
    first = bus.subscribe(await bus.newest())
    await source.append("SM1", "SM2")
    assert [fact.sid for fact in await read(first, 2)] == ["SM1", "SM2"]
    second = bus.subscribe(await bus.newest())
    reading = asyncio.create_task(read(second, 1))
    await source.append("SM3")
    assert [fact.sid for fact in await reading] == ["SM3"]


async def positions(bus: Bus, source: Source) -> list[str]:
    """Those after each of three facts."""
    await source.append("SM1", "SM2", "SM3")
    return [batch.position for batch in await batches_of(bus.subscribe(BEGINNING, limit=1), 3)]


async def test_a_named_position_is_durable_and_never_goes_back(source: Source) -> None:
    bus = await source.open()
    assert await bus.position("tracking") == BEGINNING
    first, second, third = await positions(bus, source)
    await bus.ack("tracking", second)
    await bus.ack("tracking", first)
    await bus.ack("sink", first)
    assert await bus.position("tracking") == second
    await bus.close()
    await source.close()
    bus = await source.open()
    kept = [await bus.position(name) for name in ("tracking", "sink", "new")]
    assert kept == [second, first, BEGINNING]
    await bus.ack("tracking", BEGINNING)
    assert await bus.position("tracking") == second
    await bus.ack("tracking", third)
    assert await bus.position("tracking") == third
    await bus.close()


META = Insert(table="meta", columns=("name", "value"))
MADE = Query("made", "SELECT value FROM meta WHERE name = $1")


async def test_a_reader_moves_in_the_commit_of_what_it_made(bus: Bus, source: Source) -> None:
    first, second, third = await positions(bus, source)
    await source.store.commit([(META, ("made", "1")), *bus.moved("counter", first)])
    assert await bus.position("counter") == first
    with pytest.raises(StoreError):
        await source.store.commit([(META, ("made", "2")), *bus.moved("counter", second)])
    assert await bus.position("counter") == first
    assert await source.store.fetch(MADE, "made") == [("1",)]
    await source.store.commit(bus.moved("counter", third))
    await bus.ack("counter", second)
    assert await bus.position("counter") == third


async def test_it_tells_how_far_each_reader_is_behind_in_what_is_kept(
    bus: Bus, source: Source
) -> None:
    empty = await bus.stats()
    assert (empty.kept, empty.behind) == (0, {})
    await source.append(*(f"SM{at}" for at in range(10)))
    batches = await batches_of(bus.subscribe(BEGINNING, limit=1), 10)
    await bus.ack("tracking", batches[5].position)
    await bus.ack("sink", batches[-1].position)
    await bus.ack("slow", batches[0].position)
    assert (await bus.stats()).behind == {"tracking": 4, "sink": 0, "slow": 9}
    await source.forget(3)
    stats = await bus.stats()
    assert (stats.kept, stats.behind) == (7, {"tracking": 4, "sink": 0, "slow": 7})


async def test_close_ends_subscriptions(bus: Bus, source: Source) -> None:
    await source.append("SM1")

    readers = [bus.subscribe(BEGINNING) for _ in range(3)]
    for batches in readers:
        await read(batches, 1)
    waiting = [asyncio.create_task(read(batches, 1)) for batches in readers]
    await asyncio.sleep(0)
    await bus.close()
    async with asyncio.timeout(30):
        for each in waiting:
            with pytest.raises(StopAsyncIteration):
                await each


async def test_a_reader_that_goes_away_leaves_the_others_alone(bus: Bus, source: Source) -> None:
    gone = asyncio.create_task(read(bus.subscribe(BEGINNING), 1))
    stays = asyncio.create_task(read(bus.subscribe(BEGINNING), 1))
    await asyncio.sleep(0)
    gone.cancel()
    await source.append("SM1")
    assert [fact.sid for fact in await stays] == ["SM1"]
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_subscription_ends_with_the_bus_when_the_store_is_gone(source: Source) -> None:
    bus = await source.open()
    reading = asyncio.create_task(read(bus.subscribe(BEGINNING), 1))
    await asyncio.sleep(0)
    await source.close()
    await bus.close()
    async with asyncio.timeout(30):
        with pytest.raises(StopAsyncIteration):
            await reading
