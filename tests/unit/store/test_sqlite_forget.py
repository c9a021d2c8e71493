"""Forgetting by age, to the row: SQLite keeps nothing longer than it is told."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.sids import CALL, MMS, SMS, first_sid
from gateway.store import sqlite_forget
from gateway.store.base import TIMED, Query, Write
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_file import open_reader
from tests.contract.rows import FACT, TRACE, call, call_leg, message, segment

BEFORE = 1_700_000_000.0
KINDS = {
    "messages": (SMS, MMS),
    "segments": (SMS, MMS),
    "calls": (CALL,),
    "call_legs": (CALL,),
}  # the others hold all


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=time.time)
    yield store
    await store.close()


def sid_at(kind: str, at: float, number: int) -> str:
    return f"{first_sid(kind, at)}{number:016x}"


def row(table: str, kind: str, at: float, number: int) -> Write:
    sid = sid_at(kind, at, number)
    rows: dict[str, Write] = {
        "messages": message(sid, account_sid=f"AC{number % 3}"),
        "segments": segment(sid),
        "calls": call(sid, account_sid=f"AC{number % 3}"),
        "call_legs": call_leg(sid),
        "trace": (TRACE, (sid, b"pdu")),
        "facts": (FACT, ("AC1", sid, 1, "message.queued", at, "{}")),
    }
    return rows[table]


@pytest.mark.parametrize("table", TIMED)
async def test_the_moment_is_kept_and_all_before_it_goes(store: SqliteStore, table: str) -> None:
    kinds = KINDS.get(table, (SMS, MMS, CALL))
    moments = [(BEFORE - 0.001, 1201), (BEFORE, 4), (BEFORE + 5.0, 3)]
    for at, count in moments:
        await store.commit([row(table, kinds[n % len(kinds)], at, n) for n in range(count)])
    assert await store.forget(table, BEFORE) == 1201
    assert await store.fetch(Query("count", f"SELECT count(*) FROM {table}")) == [(7,)]
    assert await store.forget(table, BEFORE) == 0


async def test_a_fact_of_a_wrong_clock_goes_with_its_neighbours(store: SqliteStore) -> None:
    times = [BEFORE - 9.0, BEFORE + 900.0, BEFORE - 8.0, BEFORE + 1.0]
    await store.commit([row("facts", SMS, at, n) for n, at in enumerate(times)])
    assert await store.forget("facts", BEFORE) == 2
    left = await store.facts_after(0, 10)
    assert [fact.at for fact in left] == [BEFORE + 900.0, BEFORE + 1.0]


@pytest.mark.parametrize("table", ["messages", "segments", "calls", "call_legs", "trace"])
async def test_old_rows_are_found_by_index(store: SqliteStore, tmp_path: Path, table: str) -> None:
    query = {
        "messages": sqlite_forget._MESSAGES,
        "segments": sqlite_forget._SEGMENTS,
        "calls": sqlite_forget._CALLS,
        "call_legs": sqlite_forget._LEGS,
        "trace": sqlite_forget._TRACE,
    }[table]
    connection = open_reader(tmp_path / "store.db")
    text = query.sql.replace("$", "?")
    steps = connection.execute(f"EXPLAIN QUERY PLAN {text}", ("x",) * text.count("?")).fetchall()
    connection.close()
    assert all(step[3].startswith("SEARCH") for step in steps), steps
