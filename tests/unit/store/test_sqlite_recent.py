"""Facts that are read from memory are those of the disk, whatever was committed between them."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import events
from gateway.events import FactType
from gateway.store import sqlite_recent
from gateway.store.base import Delete, Fact, Insert, Query, StoreError, Update, Write
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_recent import Part, RecentFacts

TRACE = Insert(table="trace", columns=("sid", "frames"))
META = Insert(table="meta", columns=("name", "value"))
DELETE = Delete(table="facts", key=("id",))
CHANGE = Update(table="facts", key=("id",), columns=("data",))
STORED = Query("stored", "SELECT id, account_sid, sid, version, type, at, data FROM facts")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=10_000, clock=time.time)
    yield store
    await store.close()


def fact(number: int) -> Write:
    return events.fact("AC1", f"SM{number}", 1, FactType.MESSAGE_SENT, 1e9 + number / 3, {"n": 1})


def part(first: int, count: int, data: str = "{}") -> Part:
    row = ("AC1", "SM1", 1, "message.sent", 1.5, data)
    return Part(first=first, last=first + count - 1, rows=[row] * count)


async def stored(store: SqliteStore) -> list[Fact]:
    names = Fact.__struct_fields__
    return [Fact(**dict(zip(names, row, strict=True))) for row in await store.fetch(STORED)]


async def test_facts_are_those_of_the_disk_from_every_cursor_on(store: SqliteStore) -> None:
    commits = [store.commit([fact(each), fact(-each), (TRACE, ("SM", b"x"))]) for each in range(40)]
    await asyncio.gather(*commits)
    facts = await stored(store)
    assert len(facts) == 80
    for cursor in range(80):
        for limit in (1, 3, 100):
            assert await store.facts_after(cursor, limit) == facts[cursor : cursor + limit]


async def test_a_commit_at_fault_leaves_no_fact_among_its_neighbours(store: SqliteStore) -> None:
    await store.commit([(META, ("taken", ""))])
    commits = [
        store.commit([fact(each), *([(META, ("taken", ""))] if each % 3 else [])])
        for each in range(30)
    ]
    done = await asyncio.gather(*commits, return_exceptions=True)
    assert sum(isinstance(each, StoreError) for each in done) == 20
    facts = await store.facts_after(0, 100)
    assert [each.sid for each in facts] == [f"SM{each}" for each in range(0, 30, 3)]
    assert facts == await stored(store)


async def test_facts_that_were_deleted_or_changed_are_not_given_as_they_were(
    store: SqliteStore,
) -> None:
    await store.commit([fact(each) for each in range(4)])
    await store.commit([(DELETE, (1,)), (CHANGE, (2, "{}"))])
    assert await store.facts_after(0, 10) == await stored(store)
    assert [each.data for each in await store.facts_after(0, 10)] == ["{}", '{"n":1}', '{"n":1}']


async def test_deleting_facts_does_not_change_which_is_the_newest(store: SqliteStore) -> None:
    await store.commit([fact(1), fact(2)])
    await store.commit([(TRACE, ("SM", b"x")) for _ in range(10)])
    await store.commit([(DELETE, (1,))])
    assert store.stats().newest_fact == 2
    began = time.monotonic()
    assert await store.facts_after(2, 10, wait=0.2) == []
    assert time.monotonic() - began >= 0.2  # it waited for more


async def test_facts_from_before_the_start_come_from_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for _ in range(2):
        store = await SqliteStore.open(path, max_queued=100, clock=time.time)
        await store.commit([fact(1)])
        facts = await store.facts_after(0, 10)
        assert facts == await stored(store)
        await store.close()
    assert [each.id for each in facts] == [1, 2]


def test_memory_has_a_bound_in_facts_and_in_octets() -> None:
    recent = RecentFacts(0)
    most = sqlite_recent._MOST
    for first in range(1, most + 11):
        recent.add(part(first, 1))
    assert recent.after(9, 1) is None
    assert len(recent.after(10, most * 2) or ()) == most
    recent.add(part(most + 11, 1, "x" * (sqlite_recent._OCTETS + 1)))
    assert recent.after(most + 10, 1) is None


def test_a_gap_sends_readers_to_the_disk() -> None:
    recent = RecentFacts(7)
    assert recent.after(6, 10) is None
    recent.add(part(8, 2))
    recent.add(part(12, 1))
    assert recent.after(9, 10) is None
    assert [each.id for each in recent.after(11, 10) or ()] == [12]


@given(st.lists(st.integers(1, 5)), st.integers(0, 40), st.integers(1, 12))
def test_any_part_of_any_length_is_read_on(sizes: list[int], cursor: int, limit: int) -> None:
    recent, last = RecentFacts(0), 0
    for size in sizes:
        recent.add(part(last + 1, size))
        last += size
    expected = range(cursor + 1, last + 1)[:limit]
    assert [each.id for each in recent.after(cursor, limit) or ()] == list(expected)


async def test_who_rests_reads_from_the_disk(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=time.time)
    for number in range(3):
        await store.commit([fact(number)])
    store.rest()
    assert store._recent.after(0, 10) is None
    assert [each.id for each in await store.facts_after(0, 10)] == [1, 2, 3]
    await store.commit([fact(3)])
    assert [each.id for each in await store.facts_after(3, 10)] == [4]
    await store.close()
    store.rest()  # a peak may end while the process does
