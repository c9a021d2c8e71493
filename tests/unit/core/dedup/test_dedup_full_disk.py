"""A disk that is full under an index of dedup: named, waited for, and gone on from."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.sqlite import SqliteStore
from tests.disks import FullDisk
from tests.unit.core.dedup.dedup_world import settled, until
from tests.unit.core.dedup.test_worker import World

SIZE = 4 * 2**20  # octets of the disk


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(tmp_path / "t.db", max_queued=1000, clock=lambda: 1.0)
    world = World(tmp_path / "disk" / "dedup", store, "primary")
    yield world
    for owner in world.owners:
        await owner.stop()
    await store.close()


async def test_a_full_disk_is_named_and_nothing_is_lost_or_copied_twice(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FullDisk(tmp_path / "disk", SIZE) as disk:
        owner = await world.at_work(12)
        copied = len(world.facts.ids())
        largest = max(file.stat().st_size for file in world.disk.rglob("*") if file.is_file())
        disk.fill(largest)
        while not owner.worker.stats().trouble:
            world.facts.happen(20)
            world.facts.forward("primary", copied)
            copied = len(world.facts.ids())
            await until(lambda: owner.worker.stats().trouble or settled_now(world))
        trouble = owner.worker.stats().trouble
        assert "the disk is full: make room" in trouble or "ulimit -f" in trouble
        assert "dedup waits for its index" in capsys.readouterr().out
        disk.free()
        await settled(owner, world.clusters)
        assert owner.worker.stats().trouble == ""
        assert world.published() == world.facts.ids()
        await owner.stop()


def settled_now(world: World) -> bool:
    return world.published() == world.facts.ids()
