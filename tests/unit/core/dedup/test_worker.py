"""The worker over logs in memory and a real index: rows of crashes, clusters that come and go."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.bus.records import encode
from gateway.core.dedup.machine import Outrun
from gateway.store.base import Fenced, Lease, Query
from gateway.store.sqlite import SqliteStore
from tests.unit.core.dedup.dedup_world import (
    LIMIT,
    WINDOW,
    Clusters,
    Died,
    Facts,
    Log,
    Owner,
    by_headers,
    by_ids,
    fact,
    ids_in,
    outgoing,
    settled,
    until,
)

NOTE = Query("note", "SELECT value FROM meta WHERE name = $1")


class World:
    """One partition with one cluster or two, and one owner after another."""

    def __init__(self, disk: Path, store: SqliteStore, *names: str) -> None:
        self.clusters = Clusters(*names)
        self.facts = Facts(self.clusters)
        self.disk = disk
        self.store = store
        self.now = [1_000_000.0]
        self._epoch = 0
        self.owners: list[Owner] = []

    def owner(self) -> Owner:
        self._epoch += 1
        owner = Owner(self.clusters, self.disk, self.store, epoch=self._epoch, now=self.now)
        self.owners.append(owner)
        return owner

    def published(self, cluster: str = "primary") -> list[int]:
        return ids_in(by_headers(self.clusters.clean[cluster]))

    async def begun(self) -> Owner:
        """An owner that has copied twelve facts and has eight to copy."""
        owner = await self.at_work(12)
        self.facts.happen(8)
        return owner

    async def at_work(self, count: int) -> Owner:
        """An owner that has copied `count` more facts."""
        owner = self.owner().start()
        self.facts.happen(count)
        self.facts.forward(self.clusters.active, 0)
        await settled(owner, self.clusters)
        return owner

    def forward_the_rest(self) -> None:
        done = self.owners[-1].worker.stats().highest
        self.facts.forward(self.clusters.active, done - 4)  # and two of the old once more

    async def taken_up(self) -> None:
        """Another owner copies what is left."""
        await settled(self.owner().start(), self.clusters)

    async def end(self) -> None:
        for owner in self.owners:
            if owner.task is not None and not owner.task.done():
                await owner.crash()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=lambda: 0.0)
    yield opened
    await opened.close()


@pytest.fixture
async def world(tmp_path: Path, store: SqliteStore) -> AsyncIterator[World]:
    made = World(tmp_path / "dedup", store)
    yield made
    await made.end()


async def test_each_record_is_copied_once_however_often_it_stands_in_the_raw_topic(
    world: World,
) -> None:
    world.facts.happen(12)
    for after in (0, 0, 20, 0):
        world.facts.forward("primary", after)
    owner = world.owner().start()
    await settled(owner, world.clusters)
    assert world.published() == world.facts.ids()
    values = [each.value for each in world.clusters.clean["primary"].records if each.value]
    assert values == [each.value for each in world.clusters.raw["primary"].records[:12]]
    await owner.stop()
    assert await world.store.fetch(NOTE, "dedup:trunkline.messages:3") == [
        (str(world.facts.ids()[-1]),)
    ]


# -- the four rows of crashes


async def stuck(owner: Owner) -> None:
    async with asyncio.timeout(LIMIT):
        await owner.outputs.stuck.wait()


async def test_it_ended_before_it_published(world: World) -> None:
    owner = await world.begun()
    owner.outputs.faults.append(("hang", 0))
    world.forward_the_rest()
    await stuck(owner)
    await owner.crash()
    assert world.published() == world.facts.ids()[:12]
    await world.taken_up()
    assert world.published() == world.facts.ids()


@pytest.mark.parametrize("written", [1, 2, 3])
async def test_it_ended_while_it_published(world: World, written: int) -> None:
    owner = await world.begun()
    owner.outputs.faults.append(("hang", written))
    world.forward_the_rest()
    await stuck(owner)
    await owner.crash()
    assert len(world.published()) == 12 + written
    await world.taken_up()
    assert world.published() == world.facts.ids()
    # What had been written is known: it does not stand there twice for readers to drop.
    assert len(ids_in(world.clusters.clean["primary"].records)) == len(world.facts.ids())


async def test_it_ended_between_the_acknowledgement_and_the_index(world: World) -> None:
    owner = await world.begun()
    assert owner.index is not None
    owner.index.dies = True
    world.forward_the_rest()
    assert owner.task is not None
    with pytest.raises(Died):
        await asyncio.wait_for(owner.task, LIMIT)
    assert len(world.published()) > 12
    await world.taken_up()
    assert world.published() == world.facts.ids()
    assert len(ids_in(world.clusters.clean["primary"].records)) == len(world.facts.ids())


async def test_its_disk_is_lost(world: World) -> None:
    owner = await world.begun()
    owner.outputs.faults.append(("hang", 2))
    world.forward_the_rest()
    await stuck(owner)
    await owner.crash()
    shutil.rmtree(world.disk)
    await world.taken_up()
    world.facts.forward("primary", 0)  # everything once more
    await settled(world.owners[-1], world.clusters)
    assert world.published() == world.facts.ids()
    assert len(ids_in(world.clusters.clean["primary"].records)) == len(world.facts.ids())


async def test_what_is_older_than_the_window_still_says_where_the_input_stands(
    world: World,
) -> None:
    owner = await world.at_work(12)
    await owner.stop()
    shutil.rmtree(world.disk)
    world.now[0] += 2 * WINDOW
    await world.taken_up()
    assert ids_in(world.clusters.clean["primary"].records) == world.facts.ids()


# -- owners before and after


async def test_what_a_stopped_owner_had_under_way_arrives_after_the_next_began(
    world: World,
) -> None:
    zombie = await world.begun()
    zombie.outputs.faults.append(("park", 1))
    world.forward_the_rest()
    await stuck(zombie)
    await world.taken_up()  # the zombie has the index open: the next one makes its own
    world.clusters.land()
    world.facts.happen(5)
    world.forward_the_rest()
    await settled(world.owners[-1], world.clusters)
    assert world.published() == world.facts.ids()
    assert sorted(each.name for each in world.disk.iterdir()) == ["1", "2"]
    await zombie.crash()
    await world.owners[-1].stop()
    await world.taken_up()
    assert [each.name for each in world.disk.iterdir()] == ["2"]


async def test_an_owner_that_was_taken_for_dead_ends_and_its_keys_are_not_written(
    world: World,
) -> None:
    zombie = await world.begun()
    await world.taken_up()
    world.facts.forward("primary", world.facts.ids()[11])
    assert zombie.task is not None
    with pytest.raises(Outrun, match="epoch 2, ours is 1: another process owns partition 3"):
        await asyncio.wait_for(zombie.task, LIMIT)
    assert "another process owns" in zombie.worker.stats().trouble
    await world.owners[-1].crash()
    shutil.rmtree(world.disk / "2")
    await world.taken_up()  # with the index of the zombie
    assert world.published() == world.facts.ids()


async def test_an_owner_ends_when_its_note_is_refused(world: World) -> None:
    lease = Lease(name="member:gone", holder="gone", epoch=1, expires_at=0.0)
    owner = Owner(
        world.clusters, world.disk, world.store, epoch=1, now=world.now, fence=lease
    ).start()
    world.facts.happen(1)
    world.facts.forward("primary", 0)
    assert owner.task is not None
    with pytest.raises(Fenced):
        await asyncio.wait_for(owner.task, LIMIT)


# -- clusters


async def test_a_batch_without_an_acknowledgement_is_looked_for_before_it_goes_again(
    world: World,
) -> None:
    owner = await world.begun()
    owner.outputs.faults.extend([("cut", 0), ("cut", 2), ("cut", 5)])
    world.forward_the_rest()
    await settled(owner, world.clusters)
    assert ids_in(world.clusters.clean["primary"].records) == world.facts.ids()


async def test_a_cluster_that_does_not_acknowledge_counts_as_away(world: World) -> None:
    owner = await world.begun()
    owner.outputs.faults.append(("hang", 1))
    world.forward_the_rest()
    await settled(owner, world.clusters)
    assert ids_in(world.clusters.clean["primary"].records) == world.facts.ids()


async def test_a_cluster_that_was_away_is_gone_on_with(world: World) -> None:
    owner = await world.at_work(12)
    world.clusters.away.add("primary")
    await until(lambda: not owner.worker.stats().attached)
    world.facts.happen(8)
    world.clusters.away.clear()
    world.forward_the_rest()
    await settled(owner, world.clusters)
    assert world.published() == world.facts.ids()


@pytest.fixture
async def two(tmp_path: Path, store: SqliteStore) -> AsyncIterator[World]:
    made = World(tmp_path / "dedup", store, "primary", "secondary")
    yield made
    await made.end()


async def test_the_other_cluster_takes_over_and_gives_back(two: World) -> None:
    owner = await two.begun()
    owner.outputs.faults.append(("cut", 2))
    two.forward_the_rest()
    two.clusters.active = "secondary"
    await settled(owner, two.clusters)
    two.clusters.away.add("primary")
    two.facts.happen(10)
    two.forward_the_rest()
    await settled(owner, two.clusters)
    two.clusters.away.clear()
    two.clusters.active = "primary"
    two.facts.happen(10)
    two.forward_the_rest()
    await settled(owner, two.clusters)
    clean = two.clusters.clean
    for order in ("primary", "secondary"), ("secondary", "primary"):
        assert sorted(by_ids([clean[name] for name in order])) == two.facts.ids()
    assert two.published("secondary")[-1] == two.facts.ids()[-11]
    assert two.published("primary")[-1] == two.facts.ids()[-1]


async def test_a_record_that_stands_in_both_raw_topics_is_copied_once(two: World) -> None:
    owner = await two.at_work(12)
    two.facts.forward("secondary", 0)
    await settled(owner, two.clusters)
    assert ids_in(two.clusters.clean["primary"].records) == two.facts.ids()
    assert ids_in(two.clusters.clean["secondary"].records) == []


async def test_it_begins_while_one_cluster_is_away(two: World) -> None:
    two.clusters.away.add("primary")
    two.clusters.active = "secondary"
    owner = await two.at_work(12)
    two.clusters.away.clear()
    await settled(owner, two.clusters)
    assert two.published("secondary") == two.facts.ids()


# -- bad input, topics made anew


async def test_poison_is_set_aside_and_what_is_newer_is_copied_as_it_is(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = b'{"v":2,"what":"nobody here knows"}'
    poison = [b"", b"{", b"[]", b"\xff", b'{"v":1}', b'{"v":0}', b'{"v":1,"id":"x"}', b"[" * 5000]
    good = [encode(fact(7), 0), newer, newer, encode(fact(10), 7)]
    raw = world.clusters.raw["primary"]
    for values in zip(poison, good * 2, strict=True):
        raw.add(outgoing(each) for each in values)
    owner = world.owner().start()
    await settled(owner, world.clusters)
    clean = [each.value for each in by_headers(world.clusters.clean["primary"]) if each.value]
    assert clean == [good[0], newer, good[3]]
    assert owner.worker.stats().poison == len(poison)
    assert owner.worker.stats().duplicates == 5
    said = capsys.readouterr().out
    named = said.count("a record is set aside")
    unnamed = sum(map(int, re.findall(r"more records .* records=(\d+)", said)))
    assert named and named + unnamed == len(poison)


async def test_a_raw_topic_that_was_made_anew_is_read_from_its_beginning(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = await world.at_work(12)
    world.clusters.raw["primary"].records.clear()
    world.facts.happen(5)
    world.facts.forward("primary", world.facts.ids()[9])
    await settled(owner, world.clusters)
    assert world.published() == world.facts.ids()  # though readers drop offsets that are not newer
    assert "the raw topic was made anew" in capsys.readouterr().out
    await owner.crash()
    shutil.rmtree(world.disk)
    world.facts.happen(5)
    world.facts.forward("primary", world.facts.ids()[12])
    await world.taken_up()
    assert world.published() == world.facts.ids()


@pytest.mark.parametrize("written", [0, 2])
@pytest.mark.parametrize("new", [1, 5, 13, 14])
async def test_a_raw_topic_that_is_made_anew_while_a_batch_is_written_is_read_whole(
    world: World, written: int, new: int
) -> None:
    owner = await world.at_work(12)
    owner.outputs.faults.append(("lost", written))
    world.facts.happen(3)
    world.facts.forward("primary", world.facts.ids()[11])
    await until(lambda: world.clusters.away and not owner.worker.stats().attached)
    world.clusters.raw["primary"] = Log()
    world.facts.happen(new)
    world.facts.forward("primary", world.facts.ids()[14])
    world.clusters.away.clear()
    await settled(owner, world.clusters)
    assert world.published() == world.facts.ids()
    assert len(ids_in(world.clusters.clean["primary"].records)) == len(world.facts.ids())


async def test_that_a_raw_topic_was_made_anew_is_known_to_the_next_owner(world: World) -> None:
    owner = await world.at_work(12)
    world.clusters.raw["primary"] = Log()
    world.clusters.away.add("primary")
    await until(lambda: not owner.worker.stats().attached)
    world.clusters.away.clear()
    await settled(owner, world.clusters)
    await owner.stop()
    world.facts.happen(20)
    world.facts.forward("primary", world.facts.ids()[11])
    await world.taken_up()
    assert world.published() == world.facts.ids()


async def test_a_clean_topic_that_was_made_anew_is_named(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await (await world.at_work(12)).stop()
    world.clusters.clean["primary"].records.clear()
    await world.taken_up()
    assert "the clean topic was made anew" in capsys.readouterr().out


async def test_records_that_were_deleted_unread_are_named(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await (await world.at_work(12)).stop()
    world.facts.happen(5)
    world.forward_the_rest()
    world.clusters.raw["primary"].first = 14
    await world.taken_up()
    said = capsys.readouterr().out
    assert "records were deleted before dedup had read them" in said and "lost=2" in said


# -- the index


async def test_a_damaged_index_is_moved_aside_and_rebuilt(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await (await world.at_work(12)).stop()
    (world.disk / "1" / "CURRENT").write_text("nonsense")
    await world.taken_up()
    world.facts.forward("primary", 0)
    await settled(world.owners[-1], world.clusters)
    assert ids_in(world.clusters.clean["primary"].records) == world.facts.ids()
    assert (world.disk / "damaged" / "CURRENT").read_text() == "nonsense"
    assert "an index of dedup is rebuilt from the clean topic" in capsys.readouterr().out


async def test_an_index_that_can_not_be_made_is_named_and_waited_for(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.disk.write_text("in the way")
    owner = world.owner().start()
    world.facts.happen(3)
    world.facts.forward("primary", 0)
    await until(lambda: owner.worker.stats().trouble)
    assert "a file is in the place of a folder" in owner.worker.stats().trouble
    assert "dedup waits for its index" in capsys.readouterr().out
    world.disk.unlink()
    await settled(owner, world.clusters)
    assert world.published() == world.facts.ids()
    assert owner.worker.stats().trouble == ""
