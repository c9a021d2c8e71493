"""The reader of the topic of submits: batches, where it goes on, how it ends."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.bus.kafka_client import Producer
from gateway.bus.records import Outgoing
from gateway.bus.submits import Submits
from gateway.bus.topics import SUBMIT, clean
from gateway.store.base import Write
from tests.integration.bus_world import PARTITIONS, WITHIN, World, until, world


class Door:
    """Takes batches, each after the test has let it in."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.came = asyncio.Event()
        self.open = asyncio.Event()
        self.taken: list[bytes] = []

    async def take(self, values: Sequence[bytes], moved: Sequence[Write]) -> None:
        self.came.set()
        await self.open.wait()
        await self._world.store.commit(moved)
        self.taken += values

    def submits(self) -> Submits:
        made = Submits(self._world.store, self._world.clusters, PARTITIONS, self.take)
        made.start()
        return made


async def send(world: World, *values: bytes) -> None:
    producer = Producer(world.known[0])
    at = int(time.time() * 1000)
    records = [Outgoing(key=None, value=each, headers=[], timestamp_ms=at) for each in values]
    try:
        await producer.send(clean(SUBMIT), 1, records)
    finally:
        await producer.close()


async def test_a_batch_that_is_being_taken_is_taken_whole_before_the_end(tmp_path: Path) -> None:
    async with world(tmp_path) as made, asyncio.timeout(WITHIN):
        await send(made, b"a", b"b")
        door = Door(made)
        submits = door.submits()
        await door.came.wait()
        closing = asyncio.ensure_future(submits.close())
        done, _ = await asyncio.wait([closing], timeout=0.2)
        assert not done
        door.open.set()
        await closing
        assert door.taken == [b"a", b"b"]
        await send(made, b"c")
        later = door.submits()
        await until(lambda: len(door.taken) == 3)
        assert door.taken[-1] == b"c"
        await later.close()


async def test_a_batch_that_does_not_end_is_read_again_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.bus.submits._END_WITHIN", 0.1)
    async with world(tmp_path) as made, asyncio.timeout(WITHIN):
        await send(made, b"a", b"b")
        door = Door(made)
        submits = door.submits()
        await door.came.wait()
        await submits.close()
        assert not door.taken
        door.open.set()
        later = door.submits()
        await until(lambda: len(door.taken) == 2)
        await later.close()
