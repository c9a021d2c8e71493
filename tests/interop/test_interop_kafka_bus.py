"""The bus on real brokers: topics, rights, brokers that die, and a reader that is not ours."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from gateway.bus.base import BEGINNING
from gateway.bus.kafka_admin import prepare
from gateway.bus.kafka_client import (
    BrokersAway,
    Cluster,
    Producer,
    Refused,
    clusters_of,
    connection,
)
from gateway.bus.kafka_reader import BEGIN, Reader, connected, offsets_since
from gateway.bus.records import Outgoing
from gateway.bus.topics import MESSAGES, clean, topics
from gateway.config import Bus
from gateway.forms import Secret
from gateway.model import BusSecurity, SaslMechanism
from tests.integration.bus_world import PARTITIONS, TOPICS, World, until
from tests.interop import kcat_peer
from tests.kafka_cluster import CA, GUARDED, PASSWORD, USERNAME, KafkaCluster

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One broker with every kind of listener; topics are made by who is tested."""
    settings = {"auto.create.topics.enable": "false"}
    place = tmp_path_factory.mktemp("kafka")
    with KafkaCluster.start(place, listeners=GUARDED, settings=settings) as cluster:
        yield cluster


def plain(cluster: KafkaCluster, name: str = "primary") -> Cluster:
    return Cluster(name=name, brokers=tuple(cluster.bootstrap.split(",")), settings={})


async def configs(cluster: Cluster, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(**connection(cluster))
    await admin.start()
    try:
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, {})
        (answer,) = await admin.describe_configs([asked])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}
    finally:
        await admin.close()


@asynccontextmanager
async def opened(place: Path, *clusters: Cluster) -> AsyncIterator[World]:
    """A world on real brokers."""
    async with AsyncExitStack() as stack:
        found = World(place, stack, ())
        found.known = list(clusters)
        await found.open()
        yield found


async def test_missing_topics_are_made_as_they_should_be_and_others_are_refused(
    brokers: KafkaCluster,
) -> None:
    cluster = plain(brokers)
    made = await prepare(cluster, TOPICS)
    assert sorted(made) == sorted(topic.name for topic in TOPICS)
    assert await prepare(cluster, TOPICS) == []
    assert (await configs(cluster, MESSAGES))["retention.ms"] == str(7 * 86400 * 1000)
    other = topics(Bus(url="kafka://x:1", partitions=PARTITIONS + 1))
    with pytest.raises(Refused, match=rf"has {PARTITIONS} partitions.*set it to {PARTITIONS}"):
        await prepare(cluster, other)


@pytest.mark.parametrize(
    ("security", "listener"),
    [
        (BusSecurity.TLS, "SSL"),
        (BusSecurity.SASL, "SASL_PLAINTEXT"),
        (BusSecurity.SASL_TLS, "SASL_SSL"),
    ],
)
@pytest.mark.parametrize("mechanism", list(SaslMechanism))
async def test_brokers_are_spoken_to_as_the_config_says(
    brokers: KafkaCluster, security: BusSecurity, listener: str, mechanism: SaslMechanism
) -> None:
    await prepare(plain(brokers), TOPICS)
    (cluster,) = clusters_of(config(brokers, security, listener, mechanism))
    producer = Producer(cluster)
    record = Outgoing(
        key=b"SM1", value=b"{}", headers=[("schema", b"1")], timestamp_ms=int(time.time() * 1000)
    )
    offset = await producer.send(MESSAGES, 0, [record])
    await producer.close()
    reader = Reader(cluster, {(MESSAGES, 0): offset})
    (chunk,) = await reader.read(1, 30.0)
    await reader.close()
    assert chunk.records[0].value == b"{}" and chunk.records[0].headers == (("schema", b"1"),)


def config(
    brokers: KafkaCluster,
    security: BusSecurity,
    listener: str,
    mechanism: SaslMechanism = SaslMechanism.SCRAM_SHA_512,
    password: str = PASSWORD,
    tls_ca: Path | None = CA,
) -> Bus:
    return Bus(
        url=f"kafka://{brokers.addresses(listener)}",
        partitions=PARTITIONS,
        security=security,
        sasl_mechanism=mechanism,
        username=USERNAME,
        password=Secret(password),
        tls_ca=tls_ca,
    )


@pytest.mark.parametrize("mechanism", list(SaslMechanism))
async def test_a_wrong_password_is_told_with_what_to_check(
    brokers: KafkaCluster, mechanism: SaslMechanism
) -> None:
    wrong = config(brokers, BusSecurity.SASL, "SASL_PLAINTEXT", mechanism, "wr0ng")
    (cluster,) = clusters_of(wrong)
    record = Outgoing(key=None, value=b"{}", headers=[], timestamp_ms=1)
    with pytest.raises(Refused, match=r"name or password.*\[bus\]") as told:
        await Producer(cluster).send(MESSAGES, 0, [record])
    assert "wr0ng" not in str(told.value) and "wr0ng" not in repr(cluster)
    with pytest.raises(Refused):
        await Reader(cluster, {(MESSAGES, 0): BEGIN}).read(1, 1.0)
    with pytest.raises(Refused):
        await prepare(cluster, TOPICS)


async def test_a_broker_whose_certificate_nobody_signed_is_not_spoken_to(
    brokers: KafkaCluster,
) -> None:
    (cluster,) = clusters_of(config(brokers, BusSecurity.TLS, "SSL", tls_ca=None))
    record = Outgoing(key=None, value=b"{}", headers=[], timestamp_ms=1)
    with pytest.raises(BrokersAway, match="certificate"):
        await Producer(cluster).send(MESSAGES, 0, [record])


def test_authorities_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(Refused, match=str(missing)):
        clusters_of(Bus(url="kafka://x:1", security=BusSecurity.TLS, tls_ca=missing))


async def test_a_reader_may_begin_at_a_time(brokers: KafkaCluster) -> None:
    cluster = plain(brokers)
    await prepare(cluster, TOPICS)
    producer = Producer(cluster)
    place = (clean(MESSAGES), 3)
    at = int(time.time())
    for each in range(3):
        record = Outgoing(
            key=b"SM1", value=b"{}", headers=[], timestamp_ms=(at + each * 100 - 1000) * 1000
        )
        first = await producer.send(*place, [record])
    await producer.close()
    client = await connected(cluster)
    try:
        found = [
            (await offsets_since(client, cluster, [place], at + since))[place]
            for since in (-1000, -950, -800, -799, 0)
        ]
    finally:
        await client.stop()
    assert found == [first - 2, first - 1, first, first + 1, first + 1]


async def test_a_client_that_comes_back_with_the_id_of_a_fact_gets_what_follows(
    tmp_path: Path,
) -> None:
    cluster = await asyncio.to_thread(KafkaCluster.start, tmp_path)
    async with AsyncExitStack() as stack:
        stack.enter_context(cluster)
        found = await stack.enter_async_context(opened(tmp_path, plain(cluster)))
        bus = found.bus()
        newest = await bus.newest()
        await found.append(*(f"SM{each}" for each in range(20)))
        forwarder = found.forward()
        await until(lambda: forwarder.stats().forwarded == 20)
        await found.dedup("primary", "primary")
        async with asyncio.timeout(60):
            after = bus.subscribe("15")
            facts = (await anext(after)).facts
            while len(facts) < 5:
                facts += (await anext(after)).facts
            assert sorted(fact.id for fact in facts) == [16, 17, 18, 19, 20]
            since = bus.subscribe(newest)
            facts = (await anext(since)).facts
            while len(facts) < 20:
                facts += (await anext(since)).facts
        assert len({fact.id for fact in facts}) == 20


async def test_a_broker_of_three_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    starting = asyncio.to_thread(KafkaCluster.start, tmp_path, nodes=3)
    cluster = await starting
    try:
        async with opened(tmp_path, plain(cluster)) as found:
            forwarder = found.forward()
            await found.append(*(f"SM{each}" for each in range(200)))
            await until(lambda: forwarder.stats().forwarded == 200)
            assert (await configs(found.known[0], MESSAGES))["min.insync.replicas"] == "2"
            cluster.kill(2)
            for each in range(20):
                await found.append(*(f"S{each}-{at}" for at in range(20)))
                await asyncio.sleep(0.1)
            await until(lambda: forwarder.stats().forwarded == 600)
            await asyncio.to_thread(cluster.restart, 2)
            shown = await asyncio.to_thread(kcat_peer.read, cluster.bootstrap, MESSAGES)
        assert len(numbers(shown)) == 600
    finally:
        await asyncio.to_thread(cluster.stop_all)


async def test_topics_that_are_deleted_while_it_runs_are_made_again(tmp_path: Path) -> None:
    settings = {"auto.create.topics.enable": "false"}
    cluster = await asyncio.to_thread(KafkaCluster.start, tmp_path, settings=settings)
    try:
        async with opened(tmp_path, plain(cluster)) as found:
            forwarder = found.forward()
            await found.append("SM1")
            await until(lambda: forwarder.stats().forwarded == 1)
            await delete(found.known[0], [topic.name for topic in TOPICS])
            await found.append("SM2")
            await until(lambda: forwarder.stats().forwarded == 2)
            assert await prepare(found.known[0], TOPICS) == []
            assert (await configs(found.known[0], MESSAGES))["retention.ms"] == str(
                7 * 86400 * 1000
            )
    finally:
        await asyncio.to_thread(cluster.stop_all)


async def delete(cluster: Cluster, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(**connection(cluster))
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()


def numbers(shown: list[kcat_peer.Record]) -> set[int]:
    return {json.loads(record.value or "")["id"] for record in shown}


def documented() -> Any:
    """The rule as the page gives it, run as it stands there."""
    page = (ROOT / "docs" / "events.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    return found["take"]


async def test_a_foreign_reader_that_applies_the_documented_rule_has_each_fact_once(
    tmp_path: Path,
) -> None:
    """Two clusters, the first is killed under load and comes back; copies stand in both."""
    primary = await asyncio.to_thread(KafkaCluster.start, tmp_path)
    secondary = await asyncio.to_thread(KafkaCluster.start, tmp_path)
    try:
        shown = await lived_through(tmp_path, primary, secondary)
    finally:
        await asyncio.to_thread(primary.stop_all)
        await asyncio.to_thread(secondary.stop_all)
    take, had = documented(), {}  # type: ignore[var-annotated]
    taken = [
        value["id"]
        for record in shown
        if record.value
        for value in [json.loads(record.value)]
        if take(had, clean(MESSAGES), record.partition, value)
    ]
    assert len(shown) > len(taken)
    assert sorted(taken) == list(range(1, 601))
    for partition in range(PARTITIONS):
        assert len(had[clean(MESSAGES), partition]) == 1


async def lived_through(
    place: Path, primary: KafkaCluster, secondary: KafkaCluster
) -> list[kcat_peer.Record]:
    async with opened(place, plain(primary), plain(secondary, "secondary")) as found:
        forwarder = found.forward()
        await found.append(*(f"SM{each}" for each in range(200)))
        await until(lambda: forwarder.stats().forwarded == 200)
        await found.dedup("primary", "primary")
        began = time.monotonic()
        primary.kill(1)
        await found.append(*(f"SN{each}" for each in range(200)))
        await until(lambda: found.clusters.active == "secondary")
        assert time.monotonic() - began < 30  # `tests.chaos.outage` holds it to 10 s
        await until(lambda: forwarder.stats().rewinds >= 1)
        await until(lambda: forwarder.stats().forwarded >= 600)
        await found.dedup("secondary", "secondary", epoch=2)
        await asyncio.to_thread(primary.restart, 1)
        await until(lambda: found.clusters.active == "primary")
        await until(lambda: forwarder.stats().rewinds >= 2)
        await found.append(*(f"SO{each}" for each in range(200)))
        await until(lambda: forwarder.stats().forwarded >= 1200)
        await found.dedup("primary", "primary", epoch=3)
        return [
            record
            for cluster in (secondary, primary)
            for record in await asyncio.to_thread(
                kcat_peer.read, cluster.bootstrap, clean(MESSAGES)
            )
        ]


async def test_readers_of_ours_have_each_fact_once_too(tmp_path: Path) -> None:
    primary = await asyncio.to_thread(KafkaCluster.start, tmp_path)
    secondary = await asyncio.to_thread(KafkaCluster.start, tmp_path)
    try:
        await lived_through(tmp_path, primary, secondary)
        async with opened(tmp_path, plain(primary), plain(secondary, "secondary")) as found:
            batches = found.bus().subscribe(BEGINNING)
            ids: list[int] = []
            async with asyncio.timeout(60):
                while len(ids) < 600:
                    ids += [fact.id for fact in (await anext(batches)).facts]
        assert sorted(ids) == list(range(1, 601))
    finally:
        await asyncio.to_thread(primary.stop_all)
        await asyncio.to_thread(secondary.stop_all)
