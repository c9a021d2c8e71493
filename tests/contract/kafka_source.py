"""The bus over a real Kafka broker, for its contract: topics of its own for each test."""

import time
import uuid
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from gateway.bus.base import Bus
from gateway.bus.belonging import Belonging
from gateway.bus.clusters import Clusters
from gateway.bus.kafka import KafkaBus
from gateway.bus.kafka_client import Cluster, Producer, connection
from gateway.bus.records import Origin, Outgoing, encode, headers_of
from gateway.bus.topics import PROBE, Topic
from gateway.store.base import Insert, Store
from tests.contract.backends import SqliteBackend
from tests.kafka_cluster import KafkaCluster

FACT = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))


class Kafka:
    """Facts go to a clean topic as dedup writes them. It has one partition: what the contract
    says of an order holds within one.
    """

    def __init__(self, brokers: KafkaCluster, place: Path) -> None:
        self._backend = SqliteBackend(place)
        self._name = f"contract-{uuid.uuid4().hex}"
        self._cluster = Cluster(
            name="primary", brokers=tuple(brokers.bootstrap.split(",")), settings={}
        )
        self._opened: Store | None = None
        self._clusters: Clusters | None = None
        self._written = 0

    @property
    def store(self) -> Store:
        """`Source.store`."""
        assert self._opened is not None
        return self._opened

    async def open(self) -> Bus:
        """`Source.open`."""
        self._opened = await self._backend.open()
        topics = [
            Topic(name=name, partitions=1, replication=1, retention=3600.0)
            for name in (self._name, PROBE)
        ]
        self._clusters = Clusters([self._cluster], topics, Belonging(self._opened).take)
        return KafkaBus(self._opened, self._clusters, topics=[self._name], partitions=1)

    async def append(self, *sids: str) -> None:
        """`Source.append`."""
        assert self._clusters is not None
        await self._clusters.prepared(self._cluster.name)
        at = time.time()
        await self.store.commit(
            [(FACT, ("AC1", sid, 1, "message.queued", at, "{}")) for sid in sids]
        )
        records = []
        for fact in await self.store.facts_after(self._written, 1000):
            value = encode(fact, self._written)
            assert isinstance(value, bytes)
            origin = Origin(epoch=1, cluster="primary", partition=0, offset=fact.id)
            records.append(
                Outgoing(
                    key=fact.sid.encode(),
                    value=value,
                    headers=headers_of(origin),
                    timestamp_ms=int(at * 1000),
                )
            )
            self._written = fact.id
        producer = Producer(self._cluster)
        try:
            await producer.send(self._name, 0, records)
        finally:
            await producer.close()

    async def forget(self, count: int) -> None:
        """`Source.forget`."""
        admin = AIOKafkaAdminClient(**connection(self._cluster))
        try:
            await admin.start()
            await admin.delete_records({TopicPartition(self._name, 0): RecordsToDelete(count)})
        finally:
            await admin.close()

    async def close(self) -> None:
        """`Source.close`."""
        await self.store.close()

    async def close_all(self) -> None:
        """`Source.close_all`."""
        if self._clusters is not None:
            await self._clusters.close()
        await self._backend.close_all()
