"""Dedup on a real broker: what a producer's transaction took back is not copied."""

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from gateway.bus.kafka_client import Cluster, connection
from gateway.bus.records import encode
from gateway.bus.topics import MESSAGES
from gateway.store.base import Fact
from tests.integration.test_dedup_kafka import copied, dedup, given
from tests.interop.test_interop_kafka_bus import opened
from tests.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

SETTINGS = {
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
}


def value(number: int, sid: str) -> bytes:
    fact = Fact(
        id=number, account_sid="AC1", sid=sid, version=1, type="message.sent", at=1.0, data="{}"
    )
    found = encode(fact, number - 1)
    assert isinstance(found, bytes)
    return found


async def test_what_a_transaction_took_back_is_not_copied(tmp_path: Path) -> None:
    with KafkaCluster.start(tmp_path, settings=SETTINGS) as brokers:
        known = Cluster(
            name="primary", brokers=tuple(brokers.bootstrap.split(",")), settings={}, timeout=10.0
        )
        async with opened(tmp_path, known) as found, dedup(found, tmp_path / "dedup") as service:
            await found.clusters.prepared("primary")
            producer = AIOKafkaProducer(**connection(known), transactional_id="stranger")
            await producer.start()
            try:
                await producer.begin_transaction()
                await producer.send_and_wait(MESSAGES, value(1, "SM1"), partition=1)
                await producer.abort_transaction()
                async with producer.transaction():
                    await producer.send_and_wait(MESSAGES, value(2, "SM2"), partition=1)
            finally:
                await producer.stop()
            await copied(service, 1)
            assert await given(found, ["SM2"]) == ["SM2"]
            assert sum(each.copied for each in service.stats().values()) == 1
