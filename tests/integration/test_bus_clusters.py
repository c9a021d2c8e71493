"""A cluster is made sure of again once it has failed us, and not before."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.bus import clusters as bus_clusters
from gateway.bus.clusters import Clusters
from gateway.bus.kafka import KafkaBus
from gateway.bus.kafka_client import BrokersAway, Cluster
from gateway.bus.records import Outgoing
from gateway.bus.submits import Submits
from gateway.bus.topics import MESSAGES, Topic, clean
from gateway.core.dedup.kafka import KafkaLogs
from gateway.core.dedup.ports import ClusterAway
from gateway.store.base import Write
from gateway.store.sqlite import SqliteStore
from tests.integration.bus_world import PARTITIONS, TOPICS, WITHIN, until
from tests.kafka_mock import MockCluster

SURE_FOR = 0.5


class Watched:
    """Clusters of one mock, and how often the process made sure of it.

    Their clock stands but for what is added to `now`: a slow machine may have a send fail at any
    time, and that is no doubt as long as one is sure.
    """

    def __init__(self, mock: MockCluster) -> None:
        self.looks = 0
        self.now = 0.0
        self.mock = mock
        brokers = tuple(mock.bootstrap.split(","))
        cluster = Cluster(name="primary", brokers=brokers, settings={}, timeout=2.0)
        self.clusters = Clusters([cluster], TOPICS, self._take)
        self.clusters._clock = lambda: self.now

    async def _take(self, cluster: Cluster, topics: Sequence[Topic]) -> None:
        self.looks += 1

    @property
    def is_sure(self) -> bool:
        return "primary" in self.clusters._prepared

    async def send(self) -> None:
        record = Outgoing(key=None, value=b"{}", headers=[], timestamp_ms=int(time.time() * 1000))
        await self.clusters.send("primary", MESSAGES, 0, [record])

    async def send_when_back(self) -> None:
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    return await self.send()
                except BrokersAway:
                    await asyncio.sleep(0.05)


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(bus_clusters, "_SURE_FOR", SURE_FOR)
    async with await MockCluster.start(1) as mock:
        for topic in TOPICS:
            await mock.topic(topic.name, partitions=PARTITIONS)
        found = Watched(mock)
        yield found
        await found.clusters.close()


async def test_a_cluster_that_was_away_is_looked_at_again_once(watched: Watched) -> None:
    for _ in range(50):
        await watched.send_when_back()
    assert watched.looks == 1
    watched.now += SURE_FOR
    await watched.mock.down()
    with pytest.raises(BrokersAway):
        await watched.send()
    await watched.mock.up()
    await watched.send_when_back()
    assert watched.looks == 2
    for _ in range(50):
        await watched.send_when_back()
    assert watched.looks == 2


async def test_many_doubts_are_one_look(watched: Watched) -> None:
    await watched.send_when_back()
    for _ in range(50):
        watched.clusters.doubt("primary")
        await watched.send_when_back()
    assert watched.looks == 1
    watched.now += SURE_FOR
    for _ in range(50):
        watched.clusters.doubt("primary")
    await asyncio.gather(*(watched.send_when_back() for _ in range(50)))
    assert watched.looks == 2


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=time.time)
    yield store
    await store.close()


def bus_of(watched: Watched, store: SqliteStore) -> KafkaBus:
    return KafkaBus(store, watched.clusters, topics=[clean(MESSAGES)], partitions=PARTITIONS)


async def subscribing(watched: Watched, store: SqliteStore) -> None:
    await anext(bus_of(watched, store).subscribe(""))


async def measuring(watched: Watched, store: SqliteStore) -> None:
    bus = bus_of(watched, store)
    try:
        while True:
            await bus.stats()
            await asyncio.sleep(0.05)
    finally:
        await bus.close()


async def taking_submits(watched: Watched, store: SqliteStore) -> None:
    async def take(values: Sequence[bytes], moved: Sequence[Write]) -> None:
        raise AssertionError("there is none")

    submits = Submits(store, watched.clusters, PARTITIONS, take)
    submits.start()
    try:
        await asyncio.Event().wait()
    finally:
        await submits.close()


async def asked_by_dedup(watched: Watched, store: SqliteStore) -> None:
    logs = KafkaLogs(watched.clusters)
    try:
        while True:
            with suppress(ClusterAway):
                await logs.inputs(MESSAGES, 0).kept("primary")
            await asyncio.sleep(0.05)
    finally:
        await logs.close()


@pytest.mark.parametrize("read", [subscribing, measuring, taking_submits, asked_by_dedup])
async def test_who_only_reads_doubts_too(
    watched: Watched,
    store: SqliteStore,
    read: Callable[[Watched, SqliteStore], Coroutine[None, None, None]],
) -> None:
    """A cluster that is well may be written to by other processes alone."""
    reading = asyncio.create_task(read(watched, store))
    try:
        await until(lambda: watched.is_sure)
        watched.now += SURE_FOR
        await watched.mock.down()
        await until(lambda: not watched.is_sure)
        await watched.mock.up()
        await until(lambda: watched.is_sure)
        assert watched.looks == 2
    finally:
        reading.cancel()
        await asyncio.wait([reading])
