"""The harness of real brokers: what clients need of Apache Kafka is there, and faults are real."""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from tests.integration.gateway_process import wait_for
from tests.kafka_cluster import (
    CA,
    GUARDED,
    PASSWORD,
    SASL_MECHANISMS,
    USERNAME,
    BrokerDied,
    KafkaCluster,
)

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

WITHIN = 60.0  # seconds
ROOT = Path(__file__).resolve().parents[2]

Ended = AIOKafkaProducer | AIOKafkaConsumer


@asynccontextmanager
async def running(client: Ended) -> AsyncIterator[Any]:
    """The client, started; stopped even when its start failed."""
    try:
        await client.start()
        yield client
    finally:
        await client.stop()


async def make_topic(cluster: KafkaCluster, name: str, partitions: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, len(cluster.nodes))])
    finally:
        await admin.close()


def producer(cluster: KafkaCluster, **options: Any) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap,
        acks="all",
        compression_type="lz4",
        request_timeout_ms=30_000,
        **options,
    )


async def write(cluster: KafkaCluster, topic: str, values: Sequence[bytes]) -> None:
    """Each acknowledged by as many as the cluster promises, one after the other."""
    async with running(producer(cluster)) as writing:
        for value in values:
            await writing.send_and_wait(topic, value, key=b"SM1", headers=[("schema", b"1")])


async def read(cluster: KafkaCluster, topic: str, count: int) -> list[Any]:
    """The first `count` records of partition 0."""
    reading = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest")
    async with running(reading), asyncio.timeout(WITHIN):
        reading.assign([TopicPartition(topic, 0)])
        return [await reading.getone() for _ in range(count)]


def numbered(first: int, count: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


async def test_records_come_back_with_key_and_headers(kafka: KafkaCluster) -> None:
    await make_topic(kafka, "whole", partitions=3)
    async with running(producer(kafka, max_batch_size=100_000)) as writing:
        assert await writing.partitions_for("whole") == {0, 1, 2}
        batch = writing.create_batch()
        for at in range(500):
            value = b"%d" % at
            assert batch.append(key=b"SM1", value=value, timestamp=None, headers=[("epoch", b"7")])
        await (await writing.send_batch(batch, "whole", partition=0))
    records = await read(kafka, "whole", 500)
    assert [record.value for record in records] == numbered(0, 500)
    assert {(record.key, record.headers) for record in records} == {(b"SM1", (("epoch", b"7"),))}


async def test_two_members_share_a_group(kafka: KafkaCluster) -> None:
    """What the mock can't do."""
    await make_topic(kafka, "shared", partitions=2)
    options = {"bootstrap_servers": kafka.bootstrap, "group_id": "readers"}
    one = AIOKafkaConsumer("shared", **options, metadata_max_age_ms=1000)
    two = AIOKafkaConsumer("shared", **options, metadata_max_age_ms=1000)
    async with running(one), running(two), asyncio.timeout(WITHIN):
        while not (len(one.assignment()) == len(two.assignment()) == 1):
            await asyncio.gather(one.getmany(timeout_ms=50), two.getmany(timeout_ms=50))
        assert one.assignment() | two.assignment() == {
            TopicPartition("shared", 0),
            TopicPartition("shared", 1),
        }


async def test_a_restart_after_kill_9_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    with KafkaCluster.start(tmp_path) as cluster:
        await write(cluster, "kept", numbered(0, 200))
        before = cluster.bootstrap
        cluster.kill(1)
        with pytest.raises(KafkaError):
            await write(cluster, "kept", [b"lost"])
        await asyncio.to_thread(cluster.restart, 1)
        assert cluster.bootstrap == before
        await write(cluster, "kept", numbered(200, 1))
        records = await read(cluster, "kept", 201)
        assert [record.value for record in records] == numbered(0, 201)


async def test_one_of_three_is_not_missed_and_two_are(tmp_path: Path) -> None:
    with KafkaCluster.start(tmp_path, nodes=3) as cluster:
        await make_topic(cluster, "copied")
        async with running(producer(cluster)) as writing:
            for at, value in enumerate(numbered(0, 300)):
                if at == 100:
                    cluster.kill(leader(writing, "copied"))
                await writing.send_and_wait("copied", value, partition=0)
        assert len(missing(cluster)) == 1
        assert values_of(await read(cluster, "copied", 300)) == numbered(0, 300)

        cluster.kill(next(node for node in cluster.nodes if node not in missing(cluster)))
        async with running(producer(cluster)) as writing:
            asked = asyncio.ensure_future(writing.send_and_wait("copied", b"300", partition=0))
            answered, _ = await asyncio.wait([asked], timeout=5)
            assert not answered, "one copy is not enough"
            for node in missing(cluster):
                cluster.run(node)
            await asyncio.to_thread(cluster.wait_ready)
            await asyncio.wait_for(asked, WITHIN)
        assert values_of(await read(cluster, "copied", 301)) == numbered(0, 301)


def leader(client: AIOKafkaProducer, topic: str) -> int:
    """Who leads partition 0, as the client knows it."""
    return int(client.client.cluster.leader_for_partition(TopicPartition(topic, 0)))


def missing(cluster: KafkaCluster) -> list[int]:
    return [node for node in cluster.nodes if not cluster.runs(node)]


def values_of(records: list[Any]) -> list[bytes]:
    return [record.value for record in records]


async def test_doors_open_to_who_has_the_password_and_to_nobody_else(tmp_path: Path) -> None:
    tls = ssl.create_default_context(cafile=str(CA))
    with KafkaCluster.start(tmp_path, listeners=GUARDED) as cluster:
        async with running(
            AIOKafkaProducer(
                bootstrap_servers=cluster.addresses("SSL"), security_protocol="SSL", ssl_context=tls
            )
        ) as writing:
            await writing.send_and_wait("doors", b"SSL")
        for door in ("SASL_PLAINTEXT", "SASL_SSL"):
            for mechanism in SASL_MECHANISMS:
                options = {
                    "bootstrap_servers": cluster.addresses(door),
                    "security_protocol": door,
                    "ssl_context": tls if door == "SASL_SSL" else None,
                    "sasl_mechanism": mechanism,
                    "sasl_plain_username": USERNAME,
                }
                opened = AIOKafkaProducer(**options, sasl_plain_password=PASSWORD)
                async with running(opened) as writing:
                    await writing.send_and_wait("doors", mechanism.encode())
                shut = AIOKafkaProducer(**options, sasl_plain_password="guessed")
                with pytest.raises(KafkaError):
                    async with running(shut):
                        pass
        records = await read(cluster, "doors", 7)
        assert values_of(records) == [b"SSL", *(m.encode() for m in SASL_MECHANISMS * 2)]


async def test_who_has_no_right_on_a_topic_is_refused(tmp_path: Path) -> None:
    """The listener without a password is the superuser's here; the user with one has no rights."""
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with KafkaCluster.start(tmp_path, listeners=["SASL_PLAINTEXT"], settings=settings) as cluster:
        await write(cluster, "guarded", [b"ours"])
        stranger = AIOKafkaProducer(
            bootstrap_servers=cluster.addresses("SASL_PLAINTEXT"),
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_plain_username=USERNAME,
            sasl_plain_password=PASSWORD,
        )
        async with running(stranger) as writing, asyncio.timeout(WITHIN):
            with pytest.raises(TopicAuthorizationFailedError):
                await writing.send_and_wait("guarded", b"theirs")
        assert values_of(await read(cluster, "guarded", 1)) == [b"ours"]


def test_a_broker_that_ends_by_itself_is_told_with_its_log(tmp_path: Path) -> None:
    cluster = KafkaCluster.start(tmp_path)
    os.kill(cluster.pid(1), signal.SIGTERM)
    wait_for(lambda: not cluster.runs(1), "the broker ends")
    with pytest.raises(BrokerDied, match="broker 1 ended by itself"):
        cluster.stop_all()


def test_a_setting_that_kafka_refuses_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"num\.io\.threads"):
        KafkaCluster.start(tmp_path, settings={"num.io.threads": "none"})


def test_brokers_end_with_who_started_them(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\n"
        "from tests.kafka_cluster import KafkaCluster\n"
        "cluster = KafkaCluster.start(pathlib.Path(sys.argv[1]))\n"
        "print(cluster.pid(1), flush=True)\n"
        "time.sleep(600)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
    )
    with starter:
        assert starter.stdout is not None
        broker = Path(f"/proc/{int(starter.stdout.readline())}")
        assert broker.exists()
        starter.kill()
    wait_for(lambda: not broker.exists() or is_zombie(broker), "the broker ends")


def is_zombie(process: Path) -> bool:
    """Ended, and nobody asked how: in a container nobody may."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
