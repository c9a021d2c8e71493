"""The bound of what is not in Kafka yet."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.bus.backlog import Backlog
from gateway.bus.ledger import kept
from gateway.bus.status import CURSOR
from gateway.store.base import Insert
from gateway.store.sqlite import SqliteStore

FACT = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=1000, clock=time.time)
    yield store
    await store.close()


async def append(store: SqliteStore, count: int) -> None:
    await store.commit([(FACT, ("AC1", "SM1", 1, "message.sent", 1.0, "{}"))] * count)


async def test_it_is_full_at_its_bound_and_has_room_below_nine_tenths(store: SqliteStore) -> None:
    backlog = Backlog(store, 100)
    await backlog.look()
    assert (backlog.backlog(), backlog.full()) == (0, False)
    await append(store, 99)
    await backlog.look()
    assert (backlog.backlog(), backlog.full()) == (99, False)
    await append(store, 1)
    await backlog.look()
    assert (backlog.backlog(), backlog.full()) == (100, True)
    await store.commit(kept(CURSOR, "10"))
    await backlog.look()
    assert (backlog.backlog(), backlog.full()) == (90, True)
    await store.commit(kept(CURSOR, "11"))
    await backlog.look()
    assert (backlog.backlog(), backlog.full()) == (89, False)


async def test_a_store_that_is_away_leaves_it_as_it_was(store: SqliteStore) -> None:
    backlog = Backlog(store, 10)
    await append(store, 10)
    await backlog.look()
    await store.close()
    await backlog.look()
    assert (backlog.backlog(), backlog.full()) == (10, True)


async def test_it_looks_by_itself(store: SqliteStore) -> None:
    await append(store, 10)
    backlog = Backlog(store, 10)
    backlog.start()
    async with asyncio.timeout(30):
        while True:
            if backlog.full():
                break
            await asyncio.sleep(0.01)
    await backlog.close()
