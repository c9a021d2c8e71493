"""What every backend of the bus does. A backend is a way to make a bus and to append facts."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.bus.base import Bus
from gateway.bus.embedded import EmbeddedBus
from gateway.store.base import Delete, Fact, Insert
from gateway.store.sqlite import SqliteStore

FACT = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))
FORGET = Delete(table="facts", key=("id",))


class Embedded:
    """The bus over a store, and the store that its facts come from."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._store: SqliteStore | None = None

    async def open(self) -> Bus:
        self._store = await SqliteStore.open(
            self._place / "store.db", max_queued=1000, clock=time.time
        )
        return EmbeddedBus(self._store)

    async def append(self, *sids: str) -> None:
        assert self._store is not None
        await self._store.commit(
            [(FACT, ("AC1", sid, 1, "message.queued", 1.0, "{}")) for sid in sids]
        )

    async def forget(self, up_to: int) -> None:
        """Nothing is kept of the facts up to this one."""
        assert self._store is not None
        await self._store.commit([(FORGET, (at,)) for at in range(1, up_to + 1)])

    async def close(self) -> None:
        assert self._store is not None
        await self._store.close()


BACKENDS = {"embedded": Embedded}


@pytest.fixture(params=BACKENDS)
async def source(request: pytest.FixtureRequest, tmp_path: Path) -> Embedded:
    return BACKENDS[request.param](tmp_path)


@pytest.fixture
async def bus(source: Embedded) -> AsyncIterator[Bus]:
    bus = await source.open()
    yield bus
    await bus.close()
    await source.close()


async def read(batches: AsyncIterator[list[Fact]], count: int) -> list[Fact]:
    facts: list[Fact] = []
    async with asyncio.timeout(30):
        while len(facts) < count:
            batch = await anext(batches)
            assert batch, "an empty batch"
            facts += batch
    return facts


async def test_a_reader_gets_what_was_there_and_what_comes_in_order(
    bus: Bus, source: Embedded
) -> None:
    await source.append("SM1", "SM2")
    batches = bus.subscribe(0)
    assert [fact.sid for fact in await read(batches, 2)] == ["SM1", "SM2"]
    reading = asyncio.create_task(read(batches, 2))
    await source.append("SM3")
    await source.append("SM4")
    facts = await reading
    assert [fact.sid for fact in facts] == ["SM3", "SM4"]
    assert facts[0].id < facts[1].id


async def test_a_reader_begins_after_its_position(bus: Bus, source: Embedded) -> None:
    await source.append(*(f"SM{at}" for at in range(10)))
    facts = await read(bus.subscribe(0), 10)
    rest = await read(bus.subscribe(facts[3].id), 6)
    assert rest == facts[4:]


async def test_batches_are_no_greater_than_asked(bus: Bus, source: Embedded) -> None:
    await source.append(*(f"SM{at}" for at in range(25)))
    batches = bus.subscribe(0, limit=10)
    assert [len(await anext(batches)) for _ in range(3)] == [10, 10, 5]


async def test_readers_do_not_share(bus: Bus, source: Embedded) -> None:
    readers = [asyncio.create_task(read(bus.subscribe(0), 3)) for _ in range(3)]
    await source.append("SM1", "SM2", "SM3")
    for reader in readers:
        assert [fact.sid for fact in await reader] == ["SM1", "SM2", "SM3"]


async def test_from_the_newest_only_what_is_new_is_read(bus: Bus, source: Embedded) -> None:
    assert await bus.newest() == 0
    await source.append("SM1", "SM2")
    batches = bus.subscribe(await bus.newest())
    reading = asyncio.create_task(read(batches, 1))
    await source.append("SM3")
    assert [fact.sid for fact in await reading] == ["SM3"]


async def test_a_named_position_is_durable_and_never_goes_back(source: Embedded) -> None:
    bus = await source.open()
    assert await bus.position("tracking") == 0
    await bus.ack("tracking", 7)
    await bus.ack("tracking", 5)
    await bus.ack("sink", 2)
    assert await bus.position("tracking") == 7
    await bus.close()
    await source.close()
    bus = await source.open()
    assert [await bus.position(name) for name in ("tracking", "sink", "new")] == [7, 2, 0]
    await bus.ack("tracking", 9)
    assert await bus.position("tracking") == 9
    await bus.close()
    await source.close()


async def test_it_tells_how_far_each_reader_is_behind_in_what_is_kept(
    bus: Bus, source: Embedded
) -> None:
    empty = await bus.stats()
    assert (empty.kept, empty.behind) == (0, {})
    await source.append(*(f"SM{at}" for at in range(10)))
    facts = await read(bus.subscribe(0), 10)
    await bus.ack("tracking", facts[5].id)
    await bus.ack("sink", facts[-1].id)
    await bus.ack("slow", facts[0].id)
    assert (await bus.stats()).behind == {"tracking": 4, "sink": 0, "slow": 9}
    await source.forget(facts[2].id)
    stats = await bus.stats()
    assert (stats.kept, stats.behind) == (7, {"tracking": 4, "sink": 0, "slow": 7})


async def test_close_ends_subscriptions(bus: Bus, source: Embedded) -> None:
    await source.append("SM1")

    readers = [bus.subscribe(0) for _ in range(3)]
    for batches in readers:
        await read(batches, 1)
    waiting = [asyncio.create_task(read(batches, 1)) for batches in readers]
    await asyncio.sleep(0)
    await bus.close()
    async with asyncio.timeout(30):
        for each in waiting:
            with pytest.raises(StopAsyncIteration):
                await each


async def test_a_reader_that_goes_away_leaves_the_others_alone(bus: Bus, source: Embedded) -> None:
    gone = asyncio.create_task(read(bus.subscribe(0), 1))
    stays = asyncio.create_task(read(bus.subscribe(0), 1))
    await asyncio.sleep(0)
    gone.cancel()
    await source.append("SM1")
    assert [fact.sid for fact in await stays] == ["SM1"]
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_subscription_ends_with_the_bus_when_the_store_is_gone(source: Embedded) -> None:
    bus = await source.open()
    reading = asyncio.create_task(read(bus.subscribe(0), 1))
    await asyncio.sleep(0)
    await source.close()
    await bus.close()
    async with asyncio.timeout(30):
        with pytest.raises(StopAsyncIteration):
            await reading
