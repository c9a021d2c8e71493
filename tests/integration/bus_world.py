"""A store, one mock cluster or two, and what moves facts between them."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from gateway.bus.belonging import Belonging
from gateway.bus.cluster_health import Limits
from gateway.bus.clusters import Clusters
from gateway.bus.forwarder import Forwarder
from gateway.bus.kafka import KafkaBus
from gateway.bus.kafka_client import Cluster, Producer
from gateway.bus.kafka_reader import BEGIN, Reader
from gateway.bus.records import (
    MARK,
    FactValue,
    Incoming,
    Origin,
    Outgoing,
    Unusable,
    decode,
    headers_of,
)
from gateway.bus.topics import FACT_TOPICS, MESSAGES, clean, topics
from gateway.sections import Bus
from gateway.store.base import Insert, Lease
from gateway.store.sqlite import SqliteStore
from tests.kafka_mock import MockCluster

FACT = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))
META = Insert(table="meta", columns=("name", "value"))
PARTITIONS = 4
CONFIG = Bus(url="kafka://x:1", partitions=PARTITIONS)
TOPICS = topics(CONFIG)
WITHIN = 60.0
# Quicker than the product's, but for what a busy machine would take for a slow cluster.
QUICK = Limits(p99=2.0, window=0.5, bad_for=0.5, good_for=3.0)


class World:
    """What a test needs of the bus."""

    def __init__(self, place: Path, stack: AsyncExitStack, mocks: Sequence[MockCluster]) -> None:
        self._place = place
        self._stack = stack
        self.mocks = dict(zip(("primary", "secondary"), mocks, strict=False))
        # What a busy machine answers late is sent again, and stands there twice. Where there is
        # another cluster to go on with, the first is to be given up soon.
        within = 3.0 if len(mocks) > 1 else 8.0
        self.known = [
            Cluster(
                name=name, brokers=tuple(mock.bootstrap.split(",")), settings={}, timeout=within
            )
            for name, mock in self.mocks.items()
        ]
        self.forwarding: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self.store = await SqliteStore.open(
            self._place / "store.db", max_queued=10_000, clock=time.time
        )
        self._stack.push_async_callback(self.store.close)
        self.clusters = Clusters(self.known, TOPICS, Belonging(self.store).take, QUICK)
        self._stack.push_async_callback(self.clusters.close)
        self.clusters.start()
        self.member = await self.store.renew(uuid.uuid4().hex, 3600.0)

    def forwarder(self, epoch: int = 1, fence: Lease | None = None) -> Forwarder:
        return Forwarder(
            self.store,
            self.clusters,
            partitions=PARTITIONS,
            epoch=epoch,
            fence=fence or self.member,
            clock=time.time,
        )

    def forward(self, epoch: int = 1) -> Forwarder:
        """Run a forwarder until the end of the test, or until `stop_forwarding`."""
        forwarder = self.forwarder(epoch)
        self.forwarding = asyncio.create_task(forwarder.run())
        self._stack.push_async_callback(self.stop_forwarding)
        return forwarder

    async def stop_forwarding(self) -> None:
        if self.forwarding is not None:
            self.forwarding.cancel()
            await asyncio.wait([self.forwarding])
            self.forwarding = None

    def bus(self) -> KafkaBus:
        bus = KafkaBus(
            self.store,
            self.clusters,
            topics=[clean(topic) for topic in FACT_TOPICS],
            partitions=PARTITIONS,
        )
        self._stack.push_async_callback(bus.close)
        return bus

    async def append(self, *sids: str, kind: str = "message.sent", data: str = "{}") -> None:
        at = time.time()
        await self.store.commit([(FACT, ("AC1", sid, 1, kind, at, data)) for sid in sids])

    async def read(self, cluster: str, count: int, topic: str = MESSAGES) -> list[Incoming]:
        """At least `count` records of a topic, in the order of their partitions."""
        found: dict[int, list[Incoming]] = {each: [] for each in range(PARTITIONS)}
        async with self.reader(cluster, topic) as reader, asyncio.timeout(WITHIN):
            while sum(map(len, found.values())) < count:
                for chunk in await reader.read(1000, 0.2):
                    found[chunk.partition] += chunk.records
        return [record for records in found.values() for record in records]

    @asynccontextmanager
    async def reader(self, cluster: str, topic: str = MESSAGES) -> AsyncIterator[Reader]:
        at = next(each for each in self.known if each.name == cluster)
        reader = Reader(at, {(topic, each): BEGIN for each in range(PARTITIONS)})
        try:
            yield reader
        finally:
            await reader.close()

    async def dedup(self, raw: str, into: str, epoch: int = 1, topic: str = MESSAGES) -> None:
        """Copy all that stands in a raw topic into a clean one, and begin with an owner's mark.

        Dedup would leave out what it copied before.
        """
        writer = Producer(next(each for each in self.known if each.name == into))
        try:
            for partition in range(PARTITIONS):
                mark = Origin(epoch=epoch, cluster=raw, partition=partition, offset=MARK)
                await writer.send(
                    clean(topic),
                    partition,
                    [
                        Outgoing(
                            key=None,
                            value=b"",
                            headers=headers_of(mark),
                            timestamp_ms=int(time.time() * 1000),
                        )
                    ],
                )
            async with self.reader(raw, topic) as reader:
                while chunks := await reader.read(10_000, 1.0):
                    for chunk in chunks:
                        records = [
                            copied(
                                each,
                                Origin(
                                    epoch=epoch,
                                    cluster=raw,
                                    partition=chunk.partition,
                                    offset=each.offset,
                                ),
                            )
                            for each in chunk.records
                        ]
                        await writer.send(clean(topic), chunk.partition, records)
        finally:
            await writer.close()


def fact(record: Incoming) -> FactValue:
    found = decode(record.value)
    assert not isinstance(found, Unusable), found
    return found


async def until(true: Callable[[], bool]) -> None:
    """Wait for it, with a generous limit."""
    async with asyncio.timeout(WITHIN):
        while True:
            if true():
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def world(place: Path, clusters: int = 1, brokers: int = 1) -> AsyncIterator[World]:
    """A world that is open."""
    async with AsyncExitStack() as stack:
        mocks = []
        for _ in range(clusters):
            mock = await stack.enter_async_context(await MockCluster.start(brokers))
            for topic in TOPICS:
                await mock.topic(topic.name, partitions=PARTITIONS)
            mocks.append(mock)
        made = World(place, stack, mocks)
        await made.open()
        yield made


def copied(record: Incoming, origin: Origin) -> Outgoing:
    """The record that says the same as `record`, which was read from `origin`."""
    return Outgoing(
        key=record.key,
        value=record.value or b"",
        headers=headers_of(origin),
        timestamp_ms=record.timestamp_ms,
    )
