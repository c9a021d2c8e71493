"""What is forgotten in time, and that nothing ends the rounds."""

import asyncio
from pathlib import Path

import pytest

from carriers.model import Carrier, CarrierKind
from gateway import janitor
from gateway.calls import orders, room_tables
from gateway.calls.room_tables import ConferenceRow
from gateway.events import FactType, fact
from gateway.janitor import Janitor, Kept
from gateway.messages import trace
from gateway.sids import CALL, CONFERENCE, SMS, first_sid
from gateway.store.base import Insert, Query
from gateway.store.sqlite import SqliteStore
from tests.contract.rows import call, call_leg, notification

FACTS = Query("facts", "SELECT sid FROM facts ORDER BY id")
KEPT = Kept(trace_rows=10, facts=3, facts_for=100.0, jobs_for=100.0)
CARRIERS = {"acme": Carrier(name="acme", kind=CarrierKind.SMPP)}


async def test_old_facts_go_and_so_do_those_beyond_the_bound(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: 0.0)
    await store.commit(
        [
            fact("AC1", f"SM{at}", 1, FactType.MESSAGE_QUEUED, float(at), {})
            for at in (10, 850, 910, 920, 930, 940)
        ]
    )
    await Janitor(store, KEPT, CARRIERS, lambda: 1000.0).round()
    assert [row[0] for row in await store.fetch(FACTS)] == ["SM920", "SM930", "SM940"]
    await store.close()


async def test_a_round_that_fails_is_followed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: 0.0)
    monkeypatch.setattr(janitor, "_EVERY", 0.001)
    rounds = asyncio.Event()
    calls = 0

    async def fails(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            rounds.set()
        raise ValueError("a defect")

    sweeper = Janitor(store, KEPT, CARRIERS, lambda: 1000.0, also=[fails])
    sweeper.start()
    await asyncio.wait_for(rounds.wait(), 30)
    await sweeper.close()
    await store.close()


async def test_facts_that_a_durable_reader_has_not_read_stay(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: 0.0)
    kept = Kept(trace_rows=10, facts=1000, facts_for=100.0, jobs_for=100.0)
    await store.commit(
        [
            fact("AC1", f"SM{at}", 1, FactType.MESSAGE_QUEUED, float(at), {})
            for at in (100, 200, 300, 800, 1900, 1950)
        ]
    )
    ids = [each.id for each in await store.facts_after(0, 10)]
    cursor = Insert(table="meta", columns=("name", "value"))
    await store.commit([(cursor, ("cursor:slow", str(ids[2]))), (cursor, ("cursor:fast", "9999"))])
    await Janitor(store, kept, CARRIERS, lambda: 2000.0).round()
    assert [row[0] for row in await store.fetch(FACTS)] == ["SM800", "SM1900", "SM1950"]
    await store.close()


async def test_old_messages_go_with_their_segments_and_pdus(tmp_path: Path) -> None:
    now = 1_800_000_000.0
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: now)
    segment = Insert(
        table="segments",
        columns=(
            *("account_sid", "sid", "part", "attempt", "carrier", "carrier_id", "id_key"),
            *("state", "error_code", "at"),
        ),
    )
    sids = [f"{first_sid(SMS, now - 1000.0 + at)}{'0' * 16}" for at in range(30)]
    await store.commit(
        [
            *((segment, ("AC1", sid, 1, 1, "acme", "", "", "sent", 0, now)) for sid in sids),
            *(trace.kept(sid, []) for sid in sids),
        ]
    )
    kept = Kept(trace_rows=10, facts=3, facts_for=100.0, jobs_for=100.0, messages_for=975.5)
    await Janitor(store, kept, CARRIERS, lambda: now).round()
    assert await store.fetch(Query("s", "SELECT sid FROM segments ORDER BY sid")) == [
        (sid,) for sid in sids[25:]
    ]
    left = await store.fetch(Query("t", "SELECT sid FROM trace ORDER BY id"))
    assert left in ([(sid,) for sid in sids[19:]], [(sid,) for sid in sids[20:]])
    await store.close()


async def test_old_calls_go_with_their_legs_and_so_do_orders_that_nobody_took(
    tmp_path: Path,
) -> None:
    now = 1_800_000_000.0
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: now)
    sids = [f"{first_sid(CALL, now - age)}{'0' * 16}" for age in (1000.0, 976.0, 975.0, 1.0)]
    await store.commit([write for sid in sids for write in (call(sid), call_leg(sid))])
    for age in (61.0, 59.0):
        await orders.leave(store, "AC1", sids[-1], orders.Complete(), now - age)
    kept = Kept(trace_rows=10, facts=3, facts_for=100.0, jobs_for=100.0, calls_for=975.5)
    await Janitor(store, kept, CARRIERS, lambda: now).round()
    for table in ("calls", "call_legs"):
        left = await store.fetch(Query("c", f"SELECT sid FROM {table} ORDER BY sid"))
        assert left == [(sid,) for sid in sids[2:]]
    left = await store.fetch(Query("o", "SELECT at FROM call_orders"))
    assert left == [(now - 59.0,)]
    await store.close()


async def test_old_notifications_go_when_messages_do(tmp_path: Path) -> None:
    now = 1_800_000_000.0
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: now)
    await store.commit([notification("AC1", now - age) for age in (1000.0, 976.0, 975.0, 1.0)])
    kept = Kept(trace_rows=10, facts=3, facts_for=100.0, jobs_for=100.0, messages_for=975.5)
    await Janitor(store, kept, CARRIERS, lambda: now).round()
    left = await store.fetch(Query("n", "SELECT date_created FROM notifications ORDER BY sid"))
    assert left == [(now - 975.0,), (now - 1.0,)]
    await store.close()


async def test_conferences_go_when_calls_do_but_not_before_they_are_over(tmp_path: Path) -> None:
    now = 1_800_000_000.0
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: now)
    rows = [
        ConferenceRow(
            account_sid=account,
            sid=first_sid(CONFERENCE, now - age),
            friendly_name="team",
            status=status,
            owner="",
            date_created=now - age,
            date_updated=now - age,
        )
        for account, age, status in (
            ("AC1", 1000.0, "completed"),
            ("AC1", 999.0, "in-progress"),
            ("AC1", 1.0, "completed"),
            ("AC2", 1000.0, "completed"),
        )
    ]
    await store.commit([room_tables.inserted(row) for row in rows])
    kept = Kept(trace_rows=10, facts=3, facts_for=100.0, jobs_for=100.0, calls_for=975.5)
    await Janitor(store, kept, CARRIERS, lambda: now).round()
    left = await store.fetch(Query("c", "SELECT sid FROM conferences ORDER BY sid"))
    assert left == [(rows[1].sid,), (rows[2].sid,)]
    await store.close()
