"""Members of the one process that there is: what a restart does to them, and what is written."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.base import Fenced, Insert, Lease, StoreUnavailable, member_name
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_members import Roll

META = Insert(table="meta", columns=("name", "value"))
DAY = 86400.0


class Clock:
    """Seconds that are moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = await opened(tmp_path, clock)
    yield store
    await store.close()


async def opened(place: Path, clock: Clock) -> SqliteStore:
    return await SqliteStore.open(place / "store.db", max_queued=100, clock=clock)


def rows(place: Path) -> list[tuple[str, str, int, float]]:
    connection = sqlite3.connect(place / "store.db")
    found = connection.execute("SELECT * FROM leases ORDER BY name").fetchall()
    connection.close()
    return found


async def test_a_lease_ends_when_its_time_is_over(store: SqliteStore, clock: Clock) -> None:
    lease = await store.renew("a", 10.0)
    assert lease.expires_at == 1010.0
    clock.now = 1009.0
    assert await store.bury() == []
    assert (await store.renew("a", 10.0)).expires_at == 1019.0
    clock.now = 1019.0
    await store.renew("b", 10.0)
    assert await store.bury("b") == ["a", "b"]
    assert await store.leases() == []


async def test_whoever_opens_it_buries_the_members_of_earlier_runs(
    tmp_path: Path, clock: Clock
) -> None:
    store = await opened(tmp_path, clock)
    old = await store.renew("a", DAY)
    before = await store.claim(["x", "y"], old)
    await store.close()
    store = await opened(tmp_path, clock)
    assert await store.leases() == []
    for verb in (store.renew("a", DAY), store.claim(["x"], old)):
        with pytest.raises(Fenced, match="'a'"):
            await verb
    with pytest.raises(Fenced, match="passed to 'nobody'"):
        await store.commit([(META, ("late", ""))], old)
    after = await store.claim(["x"], await store.renew("b", DAY))
    assert after["x"].epoch == before["x"].epoch + 1
    await store.close()


async def test_a_renewal_costs_no_write(store: SqliteStore, tmp_path: Path, clock: Clock) -> None:
    await store.renew("a", 10.0)
    before = rows(tmp_path)
    clock.now += 5.0
    assert (await store.renew("a", 10.0)).expires_at == 1015.0
    assert rows(tmp_path) == before


async def test_a_name_is_remembered_for_a_day(
    store: SqliteStore, tmp_path: Path, clock: Clock
) -> None:
    lost = await store.renew("a", 10.0)
    await store.claim(["x"], lost)
    await store.bury("a")
    clock.now += DAY
    await store.bury()
    assert [name for name, *_ in rows(tmp_path)] == [member_name("a"), "x"]
    clock.now += 1.0
    await store.bury()
    assert [(name, holder) for name, holder, *_ in rows(tmp_path)] == [("x", "")]
    back = await store.renew("a", 10.0)
    assert back.epoch > lost.epoch
    with pytest.raises(Fenced):
        await store.commit([(META, ("late", ""))], lost)


async def test_what_can_not_be_written_has_not_happened(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await store.renew("a", 10.0)
    monkeypatch.setattr("gateway.store.sqlite_writer._SAVE_LEASE", "INSERT INTO nowhere VALUES (1)")
    for verb in (store.renew("b", 10.0), store.claim(["x"], member), store.bury("a")):
        with pytest.raises(StoreUnavailable):
            await verb
    monkeypatch.undo()
    assert await store.leases() == [member]
    assert list(await store.claim(["x"], member)) == ["x"]
    await store.commit([(META, ("still", ""))], member)


def test_a_roll_counts_epochs_on_from_what_was_held_before() -> None:
    roll = Roll([Lease(name="x", holder="", epoch=41, expires_at=0.0)])
    member, new = roll.renewed("a", 10.0, 100.0)
    assert new and member.epoch == 42
    roll.take([member])
    assert [lease.epoch for lease in roll.claimed(["x", "y"], member)] == [42, 1]
