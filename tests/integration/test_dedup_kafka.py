"""From the store through Kafka and dedup to a reader: each fact once, whatever fails on the way."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.bus.base import BEGINNING
from gateway.bus.records import Incoming, Outgoing
from gateway.bus.status import COPIED
from gateway.bus.topics import MESSAGES, clean, partition_of
from gateway.core.dedup import tap
from gateway.core.dedup.kafka import KafkaLogs
from gateway.core.dedup.service import Dedup, partitions
from gateway.core.dedup.worker import Settings
from gateway.store.base import Lease
from tests.integration.bus_world import CONFIG, WITHIN, World, fact, until, world
from tests.integration.undecodable import write_undecodable

NAMES = partitions(CONFIG)
SETTINGS = Settings(batch=50, patience=3.0, retry=0.2)


@asynccontextmanager
async def dedup(found: World, folder: Path, epoch: int = 1) -> AsyncIterator[Dedup]:
    """A process that owns all partitions until the end of the block."""
    logs = KafkaLogs(found.clusters)
    service = Dedup(
        store=found.store,
        logs=logs,
        folder=folder,
        window=3600.0,
        fence=lambda: found.member,
        clock=time.time,
        monotonic=time.monotonic,
        settings=SETTINGS,
    )
    for name in NAMES:
        lease = Lease(name=f"dedup:{name}", holder="me", epoch=epoch, expires_at=0.0)
        await service.take_over(name, lease)
    try:
        yield service
    finally:
        await service.close()
        await logs.close()


async def given(found: World, sids: Iterable[str]) -> list[str]:
    """What a reader of the bus is given from the beginning on, until it has had all of `sids`."""
    wanted, had = set(sids), []
    async with asyncio.timeout(WITHIN):
        async for batch in found.bus().subscribe(BEGINNING):
            had += [each.sid for each in batch.facts]
            wanted -= {each.sid for each in batch.facts}
            if not wanted:
                break
    return sorted(had)


def names(beginning: str, count: int = 60) -> list[str]:
    return [f"{beginning}{each:03}" for each in range(count)]


async def copied(service: Dedup, count: int) -> None:
    await until(lambda: sum(each.copied for each in service.stats().values()) >= count)


async def test_a_reader_has_each_fact_once_though_the_raw_topic_has_it_twice(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as found, dedup(found, tmp_path / "dedup") as service:
        await found.append(*names("SM"))
        found.forward()
        await copied(service, 60)
        await found.stop_forwarding()
        records = await found.read("primary", 60)
        again = [each for each in records if fact(each).sid < "SM030"]
        for record in again:
            await found.clusters.send("primary", MESSAGES, *at(record))
        await until(lambda: sum(each.duplicates for each in service.stats().values()) == 30)
        assert await given(found, names("SM")) == names("SM")
        written = await found.read("primary", 60 + len(NAMES) // 2, clean(MESSAGES))
        assert sum(bool(each.value) for each in written) == 60


def at(record: Incoming) -> tuple[int, list[Outgoing]]:
    """The partition of a record of the raw topic, and the record to be written there again."""
    assert record.value is not None
    return partition_of(fact(record).sid, CONFIG.partitions), [
        Outgoing(
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            timestamp_ms=record.timestamp_ms,
        )
    ]


async def test_what_was_copied_is_noted_for_the_forwarder(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        async with dedup(found, tmp_path / "dedup") as service:
            await found.append(*names("SM"))
            found.forward()
            await copied(service, 60)
        noted = dict(await found.store.fetch(COPIED))
        assert max(int(value) for value in noted.values()) == 60
        assert {name.removeprefix("dedup:") for name in noted} <= set(NAMES)


async def test_an_owner_with_another_disk_knows_what_was_copied(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        async with dedup(found, tmp_path / "one") as service:
            await found.append(*names("SM"))
            found.forward()
            await copied(service, 60)
        async with dedup(found, tmp_path / "other", epoch=2) as service:
            await found.append(*names("SN"))
            await copied(service, 60)
            assert await given(found, [*names("SM"), *names("SN")]) == names("SM") + names("SN")
            assert sum(each.copied for each in service.stats().values()) == 60


async def test_the_secondary_takes_over_and_the_primary_comes_back(tmp_path: Path) -> None:
    async with world(tmp_path, clusters=2) as found, dedup(found, tmp_path / "dedup") as service:
        found.forward()
        await found.append(*names("SA"))
        await copied(service, 60)
        await found.append(*names("SB")[:30])
        await found.mocks["primary"].down(1)
        await found.append(*names("SB")[30:])  # what went before may all have been written
        await until(lambda: found.clusters.active == "secondary")
        await found.append(*names("SC"))
        await copied(service, 180)
        await found.mocks["primary"].up(1)
        await until(lambda: found.clusters.active == "primary")
        await found.append(*names("SD"))
        await copied(service, 240)
        every = [*names("SA"), *names("SB"), *names("SC"), *names("SD")]
        assert await given(found, every) == every


async def test_records_that_can_not_be_decoded_are_set_aside_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path) as found, dedup(found, tmp_path / "dedup") as service:
        await found.append(*names("SM"))
        found.forward()
        await copied(service, 60)
        first = await write_undecodable(found.known[0], MESSAGES, 1, 2)
        await found.append(*names("SN"))
        await copied(service, 120)
        await until(lambda: sum(each.poison for each in service.stats().values()) == 2)
        assert await given(found, [*names("SM"), *names("SN")]) == names("SM") + names("SN")
        said = capsys.readouterr().out
    for offset in (first, first + 1):
        assert (
            len(re.findall(rf"a record is set aside.*\boffset={offset}\b.*partition=1", said)) == 1
        )
    assert said.count("a record is set aside") == 2


async def test_what_stands_around_records_that_can_not_be_decoded_is_copied(
    tmp_path: Path,
) -> None:
    """A new owner meets them among the others, in more than one partition."""
    async with world(tmp_path) as found:
        forwarder = found.forward()
        for count, beginning in enumerate(("SM", "SN", "SO")):
            await found.append(*names(beginning))
            await until(lambda done=60 * (count + 1): forwarder.stats().forwarded >= done)
            for partition in range(count, CONFIG.partitions):
                await write_undecodable(found.known[0], MESSAGES, partition)
        async with dedup(found, tmp_path / "dedup") as service:
            await copied(service, 180)
            every = [*names("SM"), *names("SN"), *names("SO")]
            assert await given(found, every) == every
            stats = service.stats().values()
            await until(lambda: sum(each.poison for each in service.stats().values()) == 4 + 3 + 2)
            assert sum(each.copied for each in stats) == 180


async def test_a_tap_that_failed_as_nobody_foresaw_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails = ["nobody foresaw it"]
    foreseen = tap.incoming

    def once(record: Any) -> Incoming:
        if fails:
            raise RuntimeError(fails.pop())
        return foreseen(record)

    monkeypatch.setattr(tap, "incoming", once)
    async with world(tmp_path) as found, dedup(found, tmp_path / "dedup") as service:
        await found.append(*names("SM"))
        found.forward()
        await copied(service, 60)
        assert await given(found, names("SM")) == names("SM")
    assert not fails
    assert "reading for dedup failed and begins again" in capsys.readouterr().out
