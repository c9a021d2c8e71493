"""Readers of the bus over Kafka: each fact once and in order, whatever brokers and clusters do."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection, create_conn

from gateway.bus import positions
from gateway.bus.base import BEGINNING, Batch, Bus
from gateway.bus.kafka_client import Cluster, Producer
from gateway.bus.kafka_reader import connected
from gateway.bus.records import Outgoing
from gateway.bus.topics import CALLS, MESSAGES, clean, partition_of
from gateway.store.base import Fact
from tests.integration.bus_world import PARTITIONS, World, fact, until, world
from tests.integration.undecodable import write_undecodable
from tests.kafka_mock import MockCluster

WITHIN = 60.0


async def read(batches: AsyncIterator[Batch], count: int) -> list[Fact]:
    facts: list[Fact] = []
    async with asyncio.timeout(WITHIN):
        while len(facts) < count:
            facts += (await anext(batches)).facts
    return facts


async def no_more(batches: AsyncIterator[Batch]) -> None:
    """Nothing else comes for a while."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.0):
            await anext(batches)


def check(facts: list[Fact], sids: list[str]) -> None:
    """Each once, those of a partition in order."""
    assert sorted(each.sid for each in facts) == sorted(sids)
    partitions: dict[int, list[int]] = defaultdict(list)
    for each in facts:
        partitions[partition_of(each.sid, PARTITIONS)].append(each.id)
    for ids in partitions.values():
        assert ids == sorted(ids)


def names(count: int, beginning: str = "SM") -> list[str]:
    return [f"{beginning}{each}" for each in range(count)]


async def forwarded(found: World, count: int) -> None:
    """Run a forwarder until it sent this many facts."""
    forwarder = found.forward()
    await until(lambda: forwarder.stats().forwarded >= count)
    await found.stop_forwarding()


async def test_a_client_that_is_given_up_while_it_starts_leaves_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[AIOKafkaConnection] = []
    begun = asyncio.Event()

    async def create(*arguments: Any, **settings: Any) -> AIOKafkaConnection:
        made.append(await create_conn(*arguments, **settings))
        begun.set()
        return made[-1]

    monkeypatch.setattr("aiokafka.client.create_conn", create)
    async with await MockCluster.start(1) as mock:
        await mock.slow(1, 200)
        cluster = Cluster(name="primary", brokers=(mock.bootstrap,), settings={}, timeout=10.0)
        starting = asyncio.create_task(connected(cluster))
        async with asyncio.timeout(WITHIN):
            await begun.wait()
        await asyncio.sleep(0)  # it asks what there is in the cluster
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        assert not any(each.connected() for each in made)


async def test_facts_come_from_every_topic_and_partition(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append(*names(40))
        await found.append("CA1", kind="call.completed")
        await forwarded(found, 41)
        await found.dedup("primary", "primary")
        await found.dedup("primary", "primary", topic=CALLS)
        facts = await read(found.bus().subscribe(BEGINNING), 41)
        check([each for each in facts if each.sid != "CA1"], names(40))
        assert [each.type for each in facts if each.sid == "CA1"] == ["call.completed"]


async def test_copies_of_a_record_count_once(tmp_path: Path) -> None:
    """A worker whose lease has passed copied everything too, with another's epoch between."""
    async with world(tmp_path) as found:
        await found.append(*names(20))
        await forwarded(found, 20)
        for epoch in (5, 6, 5, 6):
            await found.dedup("primary", "primary", epoch)
        batches = found.bus().subscribe(BEGINNING)
        check(await read(batches, 20), names(20))
        await no_more(batches)


async def test_what_stands_in_both_clusters_counts_once(tmp_path: Path) -> None:
    """The outcome of a copy into the first was not heard of, so it went into the second too."""
    async with world(tmp_path, clusters=2) as found:
        await found.append(*names(20))
        await forwarded(found, 20)
        await found.dedup("primary", "primary")
        await found.dedup("primary", "secondary", epoch=2)
        batches = found.bus().subscribe(BEGINNING)
        check(await read(batches, 20), names(20))
        await no_more(batches)


async def test_a_reader_goes_on_with_the_second_and_misses_nothing_of_the_first(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, clusters=2) as found:
        bus = found.bus()
        await found.append(*names(20))
        await forwarded(found, 20)
        await found.dedup("primary", "primary")
        batches = bus.subscribe(BEGINNING)
        facts = await read(batches, 20)
        await found.mocks["primary"].down()
        forwarder = found.forward()
        await found.append(*names(20, "SN"))
        await until(lambda: found.clusters.active == "secondary")
        await until(lambda: forwarder.stats().rewinds >= 1 and forwarder.stats().forwarded >= 20)
        await found.stop_forwarding()
        await found.dedup("secondary", "secondary", epoch=2)
        facts += await read(batches, 20)
        check(facts, names(20) + names(20, "SN"))
        await found.mocks["primary"].up()
        await no_more(batches)


async def test_a_new_reader_finds_what_stands_in_two_clusters_in_order(tmp_path: Path) -> None:
    """The first has the beginning and the end, the second the middle."""
    async with world(tmp_path, clusters=2) as found:
        sids = []
        for into in ("primary", "secondary", "primary"):
            before = len(sids)
            await found.append(*(batch := names(30, f"S{before}-")))
            sids += batch
            await forwarded(found, 30)
            await copy_new(found, into, before)
        batches = found.bus().subscribe(BEGINNING)
        check(await read(batches, 90), sids)


async def copy_new(found: World, into: str, after: int) -> None:
    """As dedup does: what it did not copy yet, into one cluster."""
    new: dict[int, list[Outgoing]] = defaultdict(list)
    for record in await found.read("primary", after + 30):
        value = fact(record)
        if value.id > after:
            new[partition_of(value.sid, PARTITIONS)].append(
                Outgoing(
                    key=record.key,
                    value=record.value or b"",
                    headers=list(record.headers),
                    timestamp_ms=record.timestamp_ms,
                )
            )
    writer = Producer(next(each for each in found.known if each.name == into))
    for partition, records in new.items():
        await writer.send(clean(MESSAGES), partition, records)
    await writer.close()


async def test_a_reader_that_is_open_goes_on_when_the_brokers_are_back(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append(*names(10))
        await forwarded(found, 10)
        await found.dedup("primary", "primary")
        batches = found.bus().subscribe(BEGINNING)
        facts = await read(batches, 10)
        coming = asyncio.ensure_future(read(batches, 10))
        mock = found.mocks["primary"]
        await mock.down()
        assert not (await asyncio.wait([coming], timeout=3.0))[0]
        await mock.up()
        await found.append(*names(10, "SN"))
        await forwarded(found, 10)
        await found.dedup("primary", "primary")
        facts += await coming
        check(facts, names(10) + names(10, "SN"))


async def test_a_poison_record_and_a_newer_version_stop_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append("SM1")
        await forwarded(found, 1)
        partition = partition_of("SM1", PARTITIONS)
        writer = Producer(found.known[0])
        for value in (b"{", b"", b'{"v":2,"id":"later"}', b"\xff" * 100):
            record = Outgoing(key=b"SM1", value=value, headers=[], timestamp_ms=1)
            await writer.send(clean(MESSAGES), partition, [record])
        await writer.close()
        await found.dedup("primary", "primary")
        bus = found.bus()
        assert [each.sid for each in await read(bus.subscribe(BEGINNING), 1)] == ["SM1"]


async def test_readers_pass_over_a_record_that_can_not_be_decoded_and_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path) as found:
        await found.append(*names(20))
        await forwarded(found, 20)
        await found.dedup("primary", "primary")
        first = await write_undecodable(found.known[0], clean(MESSAGES), 1, 2)
        await found.dedup("primary", "primary", epoch=2)
        await found.append(*names(20, "SN"))
        await forwarded(found, 20)
        await found.dedup("primary", "primary", epoch=3)
        batches = found.bus().subscribe(BEGINNING)
        check(await read(batches, 40), names(20) + names(20, "SN"))
        await no_more(batches)
    said = [line for line in capsys.readouterr().out.splitlines() if "can't be decoded" in line]
    assert len(said) == 2
    for line, offset in zip(said, (first, first + 1), strict=True):
        assert f"offset={offset} " in line and "partition=1" in line and clean(MESSAGES) in line


async def test_a_position_is_kept_with_what_was_made_of_it(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append(*names(30))
        await forwarded(found, 30)
        await found.dedup("primary", "primary")
        bus = found.bus()
        batches = bus.subscribe(BEGINNING, limit=7)
        first = await anext(batches)
        await found.store.commit(bus.moved("tracking", first.position))
        again = found.bus()
        assert await again.position("tracking") == first.position
        rest = await read(again.subscribe(first.position), 30 - len(first.facts))
        check([*first.facts, *rest], names(30))


async def test_how_far_readers_are_behind_is_told_while_a_cluster_is_away(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append(*names(30))
        await forwarded(found, 30)
        await found.dedup("primary", "primary")
        bus = found.bus()
        batch = await anext(bus.subscribe(BEGINNING, limit=10))
        await bus.ack("sink", batch.position)
        expected = await bus.stats()
        assert expected.kept == 30 + PARTITIONS  # with a mark of dedup in each
        assert 30 - len(batch.facts) <= expected.behind["sink"] < 30 + PARTITIONS
        await found.mocks["primary"].down()
        assert await bus.stats() == expected


async def test_the_newest_is_a_number_while_brokers_are_away(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append(*names(10))
        await forwarded(found, 10)
        await found.mocks["primary"].down()
        bus: Bus = found.bus()
        position = await bus.newest()
        assert positions.fact_of(position) == 10
