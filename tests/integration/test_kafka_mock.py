"""The mock of a Kafka cluster does to a client what its commands say."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, NotEnoughReplicasError

from tests.kafka_mock import Answer, MockCluster, Request

TOPIC = "facts"
WITHIN = 60.0


@pytest.fixture
async def cluster() -> AsyncIterator[MockCluster]:
    async with await MockCluster.start(brokers=2) as cluster:
        await cluster.topic(TOPIC, partitions=3)
        yield cluster


async def send(cluster: MockCluster, *values: bytes, retry_ms: int = 20) -> list[int]:
    """Write into partition 1; the offsets."""
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap,
        compression_type="lz4",
        request_timeout_ms=2000,
        retry_backoff_ms=retry_ms,
    )
    try:
        await producer.start()
        return [(await producer.send_and_wait(TOPIC, v, partition=1)).offset for v in values]
    finally:
        await producer.stop()


async def read(cluster: MockCluster, count: int) -> list[bytes]:
    """The first `count` records of partition 1."""
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest")
    try:
        await consumer.start()
        consumer.assign([TopicPartition(TOPIC, 1)])
        async with asyncio.timeout(WITHIN):
            return [bytes((await consumer.getone()).value) for _ in range(count)]
    finally:
        await consumer.stop()


async def test_a_topic_has_the_partitions_that_it_was_made_with(cluster: MockCluster) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap)
    try:
        await producer.start()
        assert await producer.partitions_for(TOPIC) == {0, 1, 2}
    finally:
        await producer.stop()


async def test_what_was_written_is_read(cluster: MockCluster) -> None:
    values = [bytes([at]) * 200 for at in range(20)]
    assert await send(cluster, *values) == list(range(20))
    assert await read(cluster, 20) == values


async def test_errors_come_once_each_and_only_for_their_kind(cluster: MockCluster) -> None:
    await cluster.fail(Request.PRODUCE, Answer.NOT_ENOUGH_REPLICAS, Answer.NOT_ENOUGH_REPLICAS)
    assert await send(cluster, b"a") == [0]  # the client tried until it was taken
    await cluster.fail(Request.PRODUCE, *[Answer.NOT_ENOUGH_REPLICAS] * 100)
    with pytest.raises(NotEnoughReplicasError):
        await send(cluster, b"b", retry_ms=500)
    assert await read(cluster, 1) == [b"a"]
    await cluster.heal(Request.PRODUCE)
    assert await send(cluster, b"c") == [1]


async def test_all_brokers_away_and_back_with_what_they_kept(cluster: MockCluster) -> None:
    await send(cluster, b"before")
    await cluster.down()
    with pytest.raises(KafkaError):
        await send(cluster, b"lost")
    await cluster.up()
    assert await send(cluster, b"after") == [1]
    assert await read(cluster, 2) == [b"before", b"after"]


async def test_a_partition_moves_from_a_broker_that_is_away(cluster: MockCluster) -> None:
    await cluster.lead(TOPIC, 1, 1)
    await send(cluster, b"before")
    await cluster.lead(TOPIC, 1, 2)
    await cluster.down(1)
    assert await send(cluster, b"after") == [1]


async def test_a_slow_broker_answers_late(cluster: MockCluster) -> None:
    await cluster.lead(TOPIC, 1, 1)
    clock = asyncio.get_running_loop().time
    await cluster.slow(1, 700)
    began = clock()
    await send(cluster, b"late")
    assert clock() - began >= 0.7


async def test_two_clusters_know_nothing_of_each_other(cluster: MockCluster) -> None:
    async with await MockCluster.start(brokers=1) as secondary:
        await secondary.topic(TOPIC, partitions=3)
        await cluster.down()
        await send(secondary, b"there")
        await cluster.up()
        assert await send(cluster, b"here") == [0]
        assert await read(secondary, 1) == [b"there"]


async def test_a_cluster_that_ended_says_so() -> None:
    cluster = await MockCluster.start(brokers=1)
    await cluster.stop()
    await cluster.stop()
    with pytest.raises((AssertionError, OSError)):
        await cluster.down()
