"""A database of every released schema is brought up to date with all that is in it."""

import sqlite3
import time
from pathlib import Path

import pytest

from gateway.store.base import Insert, Query
from gateway.store.sqlite import SqliteStore, migrate
from gateway.store.sqlite_file import schema_files, statements

RELEASED = (1,)
JOB = "JB019aa5c1f5de00001111111111111111"
DONE = "JB019aa5c1f5de00022222222222222222"
ROWS = {
    1: (
        "INSERT INTO jobs VALUES ('{job}', 'callback', 'AC1', 'https://a', 'SM1', 'SM1', '{{}}',"
        " 1.5, 9.5)",
        "INSERT INTO jobs VALUES ('{done}', 'callback', 'AC1', 'https://a', '', 'SM1', '{{}}',"
        " 1.5, 9.5)",
        "INSERT INTO job_state_transitions VALUES ('{job}', 1, 'awaiting_retry', 2.5, 3.5, 'why')",
        "INSERT INTO job_state_transitions VALUES ('{done}', 1, 'succeeded', 2.5, 0.0, '')",
        "INSERT INTO facts (account_sid, sid, version, type, at, data)"
        " VALUES ('AC1', 'SM1', 1, 'message.queued', 1.5, '{{}}')",
        "INSERT INTO leases VALUES ('carrier:acme', 'a', 7, 1.5)",
        "INSERT INTO meta VALUES ('cursor:sink', '12')",
    ),
}


def released(path: Path, version: int) -> None:
    """A database as the program with this schema left it, with rows in it."""
    connection = sqlite3.connect(path)
    for number, (_, text) in sorted(schema_files().items()):
        if number <= version:
            for statement in statements(text):
                connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(version),))
    for row in ROWS[version]:
        connection.execute(row.format(job=JOB, done=DONE))
    connection.commit()
    connection.close()


def shape(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of each table, by name."""
    connection = sqlite3.connect(path)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    found = {
        table: sorted(
            connection.execute(
                'SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,)
            ).fetchall()
        )
        for (table,) in tables
    }
    connection.close()
    return found


@pytest.mark.parametrize("version", RELEASED)
def test_it_comes_to_the_same_tables_as_a_new_one(tmp_path: Path, version: int) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    released(old, version)
    applied = [name for number, (name, _) in sorted(schema_files().items()) if number > version]
    assert applied and migrate(old) == applied
    migrate(new)
    assert shape(old) == shape(new)


@pytest.mark.parametrize("version", RELEASED)
async def test_jobs_are_kept_as_the_oldest_generation(tmp_path: Path, version: int) -> None:
    path = tmp_path / "store.db"
    released(path, version)
    store = await SqliteStore.open(path, max_queued=100, clock=time.time)
    assert await store.generations("jobs") == [0]
    jobs = Query("j", "SELECT id, endpoint, sequence, sid, shard, expire_at FROM jobs_0")
    assert await store.fetch(jobs) == [
        (JOB, "https://a", "SM1", "SM1", 0, 9.5),
        (DONE, "https://a", "", "SM1", 0, 9.5),
    ]
    transition = Insert(
        table="job_state_transitions_0",
        columns=("job_id", "attempt", "to_state", "at", "retry_at", "note"),
    )
    await store.commit([(transition, (JOB, 2, "succeeded", 3.5, 0.0, ""))])
    ends = Query("t", "SELECT job_id, attempt, to_state FROM job_state_transitions_0 ORDER BY 1, 2")
    assert await store.fetch(ends) == [
        (JOB, 1, "awaiting_retry"),
        (JOB, 2, "succeeded"),
        (DONE, 1, "succeeded"),
    ]
    assert [fact.sid for fact in await store.facts_after(0, 10)] == ["SM1"]
    cursor = Query("c", "SELECT value FROM meta WHERE name = $1")
    assert await store.fetch(cursor, "cursor:sink") == [("12",)]
    member = await store.renew("b", 60.0)
    claimed = await store.claim(["carrier:acme"], member)
    assert claimed["carrier:acme"].epoch == 8
    await store.drop_generation("jobs", 0)
    assert await store.generations("jobs") == []
    await store.close()


@pytest.mark.parametrize("version", RELEASED)
def test_an_upgrade_that_fails_leaves_the_database_as_it_was(tmp_path: Path, version: int) -> None:
    path = tmp_path / "store.db"
    released(path, version)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE carrier_orders (in_the_way TEXT)")
    connection.commit()
    connection.close()
    before = shape(path)
    with pytest.raises(Exception, match="carrier_orders"):
        migrate(path)
    assert shape(path) == before
