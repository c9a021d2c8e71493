"""Where readers are, in the store: on Kafka, and on the bus that they had before it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.bus import positions
from gateway.bus.embedded import EmbeddedBus
from gateway.store.base import Query
from gateway.store.sqlite import SqliteStore

_NAMES = Query("names", "SELECT name FROM meta WHERE name LIKE '%:%' ORDER BY name")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "t.db", max_queued=100, clock=lambda: 1.0)
    yield store
    await store.close()


async def test_a_reader_without_a_place_is_at_the_beginning(store: SqliteStore) -> None:
    assert await positions.stored(store, "tracking") == ""


async def test_a_reader_of_the_embedded_bus_goes_on_behind_its_last_fact(
    store: SqliteStore,
) -> None:
    bus = EmbeddedBus(store)
    await store.commit(bus.moved("tracking", "41"))
    await bus.close()
    before = await positions.stored(store, "tracking")
    assert positions.fact_of(before) == 41
    await store.commit(positions.moved("tracking", "{}"))
    assert await positions.stored(store, "tracking") == "{}"
    assert await store.fetch(_NAMES) == [("position:tracking",)], "no fact is kept for the old one"


async def test_a_reader_that_was_sent_back_stays_there(store: SqliteStore) -> None:
    await store.commit(positions.moved("tracking", "{}"))
    await store.commit(positions.moved("tracking", ""))
    assert await positions.stored(store, "tracking") == ""
