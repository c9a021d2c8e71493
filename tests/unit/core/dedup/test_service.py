"""The worker of a partition fails in a way that nobody foresaw, and another one goes on."""

import time
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.core.dedup.kafka import KafkaLogs
from gateway.core.dedup.service import Dedup
from gateway.store.base import Lease
from gateway.store.sqlite import SqliteStore
from tests.unit.core.dedup.dedup_world import (
    FAST,
    PARTITION,
    TOPIC,
    WINDOW,
    Clean,
    Clusters,
    Facts,
    Raw,
    ids_in,
    until,
)

NAME = f"{TOPIC}:{PARTITION}"
LEASE = Lease(name=f"dedup:{NAME}", holder="me", epoch=1, expires_at=0.0)


class Logs:
    """As `KafkaLogs`, over logs in memory; the next reads fail as often as `fails` says."""

    def __init__(self, clusters: Clusters) -> None:
        self.names = clusters.names
        self.fails = 0
        self._clusters = clusters

    def inputs(self, topic: str, partition: int) -> "Failing":
        return Failing(self._clusters, self)

    def outputs(self, topic: str, partition: int) -> Clean:
        return Clean(self._clusters)


class Failing(Raw):
    def __init__(self, clusters: Clusters, logs: Logs) -> None:
        super().__init__(clusters)
        self._logs = logs

    async def read(self, *arguments: Any) -> Any:
        if self._logs.fails:
            self._logs.fails -= 1
            raise RuntimeError("nobody foresaw it")
        return await super().read(*arguments)


class World:
    """One partition and the service that owns it."""

    def __init__(self, place: Path, store: SqliteStore) -> None:
        self.clusters = Clusters()
        self.facts = Facts(self.clusters)
        self.logs = Logs(self.clusters)
        self.disk = place / "dedup" / TOPIC / str(PARTITION)
        self.dedup = Dedup(
            store=store,
            logs=cast(KafkaLogs, self.logs),
            folder=place / "dedup",
            window=WINDOW,
            fence=lambda: None,
            clock=time.time,
            monotonic=time.monotonic,
            settings=FAST,
        )

    def trouble(self) -> str:
        return self.dedup.stats()[NAME].trouble

    async def is_copied(self) -> None:
        records = self.clusters.clean["primary"].records
        await until(lambda: ids_in(records) == self.facts.ids() and not self.trouble())


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=lambda: 0.0)
    made = World(tmp_path, store)
    made.facts.happen(10)
    made.facts.forward("primary", 0)
    yield made
    await made.dedup.close()
    await store.close()


async def test_another_worker_goes_on_after_one_that_failed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.logs.fails = 3
    await world.dedup.take_over(NAME, LEASE)
    await until(lambda: "nobody foresaw it" in world.trouble())
    await world.is_copied()
    assert "dedup of a partition begins again" in capsys.readouterr().out


async def test_it_is_given_up_while_it_waits_to_begin_again(world: World) -> None:
    world.logs.fails = 1_000_000
    await world.dedup.take_over(NAME, LEASE)
    await until(lambda: "nobody foresaw it" in world.trouble())
    await world.dedup.give_up(NAME)
    assert world.dedup.stats() == {}
    world.logs.fails = 0
    await world.dedup.take_over(NAME, LEASE)
    await world.is_copied()


async def test_a_file_in_the_way_of_a_damaged_index_is_named_and_waited_for(world: World) -> None:
    (world.disk / "1").mkdir(parents=True)
    (world.disk / "1" / "CURRENT").write_text("nonsense\n")
    (world.disk / "damaged").write_text("in the way")
    await world.dedup.take_over(NAME, LEASE)
    await until(lambda: "can't be put in order" in world.trouble())
    assert str(world.disk / "damaged") in world.trouble()
    (world.disk / "damaged").unlink()
    await world.is_copied()
