"""kcat and the client that we use read each other's records."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.interop import kcat_peer
from tests.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

TEXTS = ['{"v":1,"body":"Zoë 👋"}', '{"v":1,"body":"\\\\ \\" %s"}', "x" * 5000]
HEADERS = {"schema": "1", "epoch": "7", "cluster": "primary", "partition": "0", "offset": "41"}


async def test_kcat_reads_what_was_written_in_batches(kafka: KafkaCluster) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap,
        acks="all",
        compression_type="lz4",
        max_batch_size=1_000_000,
    )
    try:
        await producer.start()
        batch = producer.create_batch()
        for text in TEXTS * 100:
            headers = [(name, value.encode()) for name, value in HEADERS.items()]
            value = text.encode()
            assert batch.append(key=b"SM1", value=value, timestamp=None, headers=headers)
        await (await producer.send_batch(batch, "to-kcat", partition=0))
    finally:
        await producer.stop()
    records = await asyncio.to_thread(kcat_peer.read, kafka.bootstrap, "to-kcat")
    assert [record.value for record in records] == TEXTS * 100
    assert [record.offset for record in records] == list(range(300))
    assert all(record.key == "SM1" and record.headers == HEADERS for record in records)


async def test_what_kcat_writes_is_read(kafka: KafkaCluster) -> None:
    await asyncio.to_thread(
        kcat_peer.write, kafka.bootstrap, "from-kcat", "order-1", TEXTS, HEADERS
    )
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest")
    try:
        await consumer.start()
        consumer.assign([TopicPartition("from-kcat", 0)])
        async with asyncio.timeout(60):
            records = [await consumer.getone() for _ in TEXTS]
    finally:
        await consumer.stop()
    assert [record.value.decode() for record in records] == TEXTS
    assert {record.key for record in records} == {b"order-1"}
    assert dict(records[0].headers) == {k: v.encode() for k, v in HEADERS.items()}
