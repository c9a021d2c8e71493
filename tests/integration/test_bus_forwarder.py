"""Facts come to Kafka: all of them, in their order, whatever brokers and clusters do."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from gateway.bus.belonging import Belonging
from gateway.bus.kafka_client import MAX_BATCH, Refused
from gateway.bus.records import Incoming, Origin, origin_of
from gateway.bus.status import bus_status, cursor_of
from gateway.bus.topics import CALLS, MESSAGES, partition_of
from gateway.store.base import Fenced
from gateway.store.sqlite import SqliteStore
from tests.integration.bus_world import META, PARTITIONS, TOPICS, World, fact, until, world
from tests.kafka_mock import Answer, Request


def check(records: list[Incoming], sids: list[str]) -> None:
    """Each SID at least once; what comes again aside, the facts of a partition are in order."""
    facts = [fact(record) for record in records]
    assert sorted({each.sid for each in facts}) == sorted(set(sids))
    partitions: dict[int, list[int]] = defaultdict(list)
    known: set[int] = set()
    for each in facts:
        if each.id not in known:
            known.add(each.id)
            partitions[partition_of(each.sid, PARTITIONS)].append(each.id)
    for ids in partitions.values():
        assert ids == sorted(ids)


def names(count: int, beginning: str = "SM") -> list[str]:
    return [f"{beginning}{each}" for each in range(count)]


async def noted(found: World, cursor: int) -> None:
    """Wait until the durable cursor is there."""
    async with asyncio.timeout(30):
        while True:
            if await cursor_of(found.store) >= cursor:
                return
            await asyncio.sleep(0.05)


async def test_what_happened_is_in_kafka_in_its_order(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append(*names(50))
        forwarder = found.forward()
        await found.append(*names(50))
        records = await found.read("primary", 100)
        check(records, names(50))
        assert len(records) == 100
        assert {record.key for record in records} == {name.encode() for name in names(50)}
        await until(lambda: forwarder.stats().forwarded == 100)


async def test_a_record_says_who_wrote_it_and_which_fact_was_before(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append(*names(40))
        found.forward(epoch=7)
        records = await found.read("primary", 40)
        before: dict[int, int] = {}
        for record in records:
            value = fact(record)
            partition = partition_of(value.sid, PARTITIONS)
            assert value.after == before.get(partition, 0)
            before[partition] = value.id
            assert origin_of(record.headers) == Origin(
                epoch=7, cluster="store", partition=0, offset=value.id
            )


async def test_facts_of_calls_have_their_own_topic(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append("CA1", kind="call.completed")
        await found.append("SM1")
        found.forward()
        assert [fact(each).sid for each in await found.read("primary", 1, CALLS)] == ["CA1"]
        assert [fact(each).sid for each in await found.read("primary", 1, MESSAGES)] == ["SM1"]


async def test_a_new_forwarder_goes_on_where_the_last_one_noted(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append(*names(20))
        found.forward()
        await found.read("primary", 20)
        await noted(found, 20)
        await found.stop_forwarding()
        await found.append(*names(20, "SN"))
        forwarder = found.forward(epoch=2)
        records = await found.read("primary", 40)
        await until(lambda: forwarder.stats().forwarded == 20)
        assert len(records) == 40
        check(records, names(20) + names(20, "SN"))
        before: dict[int, int] = {}
        for record in records:  # no gap where one ended and the other began
            partition = partition_of(fact(record).sid, PARTITIONS)
            assert fact(record).after == before.get(partition, 0)
            before[partition] = fact(record).id


async def test_a_forwarder_whose_lease_has_passed_stops(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append("SM1")
        forwarder = found.forwarder()
        await found.store.bury(found.member.holder)
        async with asyncio.timeout(30):
            with pytest.raises(Fenced):
                await forwarder.run()


async def test_a_forwarder_that_is_stopped_notes_where_it_ends(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        forwarder = found.forward()
        for count in range(1, 6):
            await found.append(f"SM{count}")
            await until(lambda count=count: forwarder.stats().forwarded == count)
        await found.stop_forwarding()
        assert await cursor_of(found.store) == 5


async def test_a_fact_that_is_no_json_is_passed_over(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append("SM1")
        await found.append("SM1", data="{not json")
        await found.append("SM1")
        forwarder = found.forward()
        records = await found.read("primary", 2)
        assert [(fact(each).after, fact(each).id) for each in records] == [(0, 1), (1, 3)]
        await until(lambda: forwarder.stats().skipped == 1)


async def test_a_fact_that_is_too_large_is_passed_over(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        large = '{"padding":"' + "x" * MAX_BATCH + '"}'
        await found.append("SM1")
        await found.append("SM1", data=large)
        await found.append("SM1")
        forwarder = found.forward()
        records = await found.read("primary", 2)
        assert [fact(each).id for each in records] == [1, 3]
        await until(lambda: forwarder.stats().skipped == 1)


async def test_a_batch_that_brokers_find_too_large_is_halved(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.mocks["primary"].fail(Request.PRODUCE, *[Answer.MESSAGE_TOO_LARGE] * 2)
        await found.append(*["SM1"] * 8)
        forwarder = found.forward()
        records = await found.read("primary", 8)
        assert [fact(each).id for each in records] == list(range(1, 9))
        assert forwarder.stats().skipped == 0


async def test_errors_of_brokers_cost_no_fact_and_no_order(tmp_path: Path) -> None:
    async with world(tmp_path, brokers=3) as found:
        mock = found.mocks["primary"]
        errors = [
            Answer.NOT_ENOUGH_REPLICAS,
            Answer.NOT_LEADER_FOR_PARTITION,
            Answer.DISCONNECT,
            Answer.REQUEST_TIMED_OUT,
            Answer.KAFKA_STORAGE_ERROR,
        ]
        await mock.fail(Request.PRODUCE, *errors)
        found.forward()
        sids = []
        for each in range(20):
            await found.append(*(batch := names(10, f"S{each}-")))
            sids += batch
        check(await found.read("primary", 200), sids)


async def test_a_broker_that_goes_and_comes_back_costs_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, brokers=2) as found:
        mock = found.mocks["primary"]
        found.forward()
        await found.append(*names(20))
        await found.read("primary", 20)
        await mock.down(1)
        await found.append(*names(20, "SN"))
        await asyncio.sleep(1)
        await mock.up(1)
        check(await found.read("primary", 40), names(20) + names(20, "SN"))


async def test_all_brokers_away_the_facts_wait_and_nothing_is_lost(tmp_path: Path) -> None:
    async with world(tmp_path, brokers=2) as found:
        mock = found.mocks["primary"]
        forwarder = found.forward()
        await found.append(*names(20))
        await until(lambda: forwarder.stats().forwarded == 20)
        await mock.down()
        sids = names(20)
        for each in range(5):
            await found.append(*(batch := names(20, f"S{each}-")))
            sids += batch
            await asyncio.sleep(0.3)
        status = await bus_status(found.store, found.bus(), 0.0)
        assert status.backlog == 100
        await mock.up()
        await until(lambda: forwarder.stats().forwarded == 120)
        check(await found.read("primary", 120), sids)


async def test_the_secondary_takes_over_and_gives_back(tmp_path: Path) -> None:
    async with world(tmp_path, clusters=2) as found:
        forwarder = found.forward()
        await found.append(*names(20))
        await until(lambda: forwarder.stats().forwarded == 20)
        await found.mocks["primary"].down()
        await found.append(*names(20, "SN"))
        await until(lambda: found.clusters.active == "secondary")
        # Dedup confirmed nothing, so the secondary has what the primary alone had too.
        check(await found.read("secondary", 40), names(20) + names(20, "SN"))
        await found.mocks["primary"].up()
        await until(lambda: found.clusters.active == "primary")
        await found.append(*names(20, "SO"))
        await until(lambda: forwarder.stats().rewinds >= 2)
        records = await found.read("primary", 60)
        check(records, names(20) + names(20, "SN") + names(20, "SO"))


async def test_what_dedup_confirmed_is_not_sent_again(tmp_path: Path) -> None:
    async with world(tmp_path, clusters=2) as found:
        forwarder = found.forward()
        await found.append(*names(40))
        await until(lambda: forwarder.stats().forwarded == 40)
        last = {
            each: max(
                at + 1
                for at, name in enumerate(names(40))
                if partition_of(name, PARTITIONS) == each
            )
            for each in range(PARTITIONS)
        }
        # All of three partitions, and of the fourth the facts up to the tenth.
        confirmed = last | {0: 10}
        await found.store.commit(
            [(META, (f"dedup:{MESSAGES}:{each}", str(upto))) for each, upto in confirmed.items()]
        )
        await found.mocks["primary"].down()
        await found.append("SM0")
        await until(lambda: found.clusters.active == "secondary")
        again = [
            at + 1
            for at, name in enumerate(names(40))
            if partition_of(name, PARTITIONS) == 0 and at + 1 > 10
        ]
        records = await found.read("secondary", len(again) + 1)
        assert sorted(fact(each).id for each in records) == sorted([*again, 41])
        befores = [fact(each).after for each in records if fact(each).id == again[0]]
        assert befores == [10]


async def test_a_forwarder_that_finds_another_cluster_active_begins_behind_it(
    tmp_path: Path,
) -> None:
    """The last one wrote to the secondary, which may never be back."""
    async with world(tmp_path, clusters=2) as found:
        await found.mocks["primary"].down()
        forwarder = found.forward()
        await found.append(*names(10))
        await until(lambda: forwarder.stats().forwarded == 10)
        await noted(found, 10)
        await found.stop_forwarding()
        await found.mocks["secondary"].down()
        await found.mocks["primary"].up()
        await until(lambda: found.clusters.active == "primary")
        found.forward(epoch=2)
        check(await found.read("primary", 10), names(10))


async def test_a_cluster_that_hangs_is_left_too(tmp_path: Path) -> None:
    async with world(tmp_path, clusters=2) as found:
        forwarder = found.forward()
        await found.append("SM1")
        await until(lambda: forwarder.stats().forwarded == 1)
        await found.mocks["primary"].slow(1, 60_000)
        await found.append("SM2")
        await until(lambda: found.clusters.active == "secondary")
        check(await found.read("secondary", 2), ["SM1", "SM2"])


async def test_the_status_says_which_cluster_is_active_and_why(tmp_path: Path) -> None:
    async with world(tmp_path, clusters=2) as found:
        forwarder = found.forward(epoch=3)
        await found.append("SM1")
        await until(lambda: forwarder.stats().forwarded == 1)
        await found.mocks["primary"].down()
        await found.append("SM2")
        await until(lambda: forwarder.stats().rewinds >= 1 and forwarder.stats().forwarded >= 2)
        bus = found.bus()
        wanted = ("secondary", {"primary": "failed", "secondary": "healthy"})
        async with asyncio.timeout(60):
            while True:  # a cluster that was slow for a moment is not healthy at once
                status = await bus_status(found.store, bus, 0.0)
                if status.forwarder is not None:
                    states = {each.name: each.state for each in status.forwarder.clusters}
                    if (status.forwarder.active, states) == wanted:
                        break
                await asyncio.sleep(0.1)
        assert status.kind == "kafka" and status.forwarder.epoch == 3
        assert "primary failed" in status.forwarder.reason
        assert {each.sent for each in status.partitions} <= {1, 2}


@asynccontextmanager
async def beside(first: World, place: Path) -> AsyncIterator[SqliteStore]:
    """Another store beside the first, whose facts are in its primary cluster."""
    await first.append(*names(3))
    first.forward()
    await first.read("primary", 3)
    await first.stop_forwarding()
    store = await SqliteStore.open(place / "second.db", max_queued=100, clock=time.time)
    try:
        yield store
    finally:
        await store.close()


async def test_a_cluster_with_the_facts_of_another_store_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as first, beside(first, tmp_path) as second:
        cluster = first.known[0]
        with pytest.raises(Refused, match="facts that this store never sent"):
            await Belonging(second).take(cluster, TOPICS)
        await Belonging(first.store).take(cluster, TOPICS)  # another process of the first


async def test_who_comes_from_a_cluster_of_its_own_is_refused_at_anothers(tmp_path: Path) -> None:
    async with world(tmp_path, clusters=2) as first, beside(first, tmp_path) as second:
        theirs, own = first.known
        await Belonging(second).take(msgspec.structs.replace(own, name="primary"), TOPICS)
        with pytest.raises(Refused):
            await Belonging(second).take(theirs, TOPICS)


async def test_a_store_that_took_a_cluster_keeps_it_with_all_its_facts(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.clusters.prepared("primary")  # and ended before anything was noted
        await found.append(*names(3))
        found.forward()
        await found.read("primary", 3)
        await Belonging(found.store).take(found.known[0], TOPICS)


async def test_many_facts_of_one_sid_stay_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.append(*["SM1"] * 9_000)
        forwarder = found.forward()
        await until(lambda: forwarder.stats().forwarded == 9_000)
        ids = [fact(each).id for each in await found.read("primary", 9_000)]
        assert ids == list(range(1, 9_001))
