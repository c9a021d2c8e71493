"""The writer in a process of its own: what it promises, and what is left when either side dies."""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.store.base import Conflict, Delete, Insert, Query, StoreError, StoreUnavailable, Update
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_process import WriterProcess
from gateway.store.sqlite_wire import Declare, Frames, Numbers, Rows, Statements, frame, orders
from tests.contract.rows import job, job_ids, transition

META = Insert(table="meta", columns=("name", "value"))
NAMES = Query("names", "SELECT name FROM meta WHERE name <> $1")


async def opened(path: Path, lost: asyncio.Event | None = None) -> SqliteStore:
    ended = lost or asyncio.Event()
    return await SqliteStore.open(path, max_queued=10_000, clock=time.time, apart=ended.set)


def process_of(store: SqliteStore) -> Any:
    assert isinstance(store._writer, WriterProcess)
    return store._writer._process


async def test_a_writer_that_is_killed_is_told_and_nothing_is_promised_after_it(
    tmp_path: Path,
) -> None:
    lost = asyncio.Event()
    store = await opened(tmp_path / "store.db", lost)
    await store.commit([(META, ("before", ""))])
    os.kill(process_of(store).pid, signal.SIGKILL)
    with pytest.raises(StoreUnavailable, match="writer ended"):
        await store.commit([(META, ("after", ""))])
    assert lost.is_set()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.commit([(META, ("later", ""))])
    await store.close()
    again = await opened(tmp_path / "store.db")
    assert await again.fetch(NAMES, "schema_version") == [("before",)]
    await again.close()


async def test_a_close_waits_for_what_was_queued_and_for_the_process(tmp_path: Path) -> None:
    lost = asyncio.Event()
    store = await opened(tmp_path / "store.db", lost)
    futures = [store.commit([(META, (f"n{at}", ""))]) for at in range(3000)]
    await store.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert process_of(store).returncode == 0 and not lost.is_set()


async def test_what_can_not_go_over_is_refused_alone(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    odd = store.commit([(META, ("odd", object()))])
    good = store.commit([(META, ("good", ""))])
    taken = store.commit([(META, ("good", ""))])
    with pytest.raises(StoreError, match="TypeError"):
        await odd
    await good
    with pytest.raises(Conflict):
        await taken
    assert await store.fetch(NAMES, "schema_version") == [("good",)]
    await store.close()


async def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"this is a letter, not a database. " * 100)
    with pytest.raises(StoreUnavailable, match="not a SQLite database"):
        await opened(path)
    path.unlink()
    await (await opened(path)).close()


async def test_nothing_is_kept_of_generations_that_were_dropped(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    for number in range(1, 10):
        await store.commit([job(number, "JB1"), transition(number, "JB1", 1)])
        assert await store.fetch(job_ids(number)) == [("JB1",)]
        if number > 2:
            await store.drop_generation("jobs", number - 2)
    assert isinstance(store._writer, WriterProcess)
    numbers = store._writer._numbers
    assert {statement.table for statement in numbers._by_value} == {
        f"{table}_{number}" for table in ("jobs", "job_state_transitions") for number in (8, 9)
    }
    assert len(numbers._by_id) == len(numbers._by_value)
    dropping = asyncio.create_task(store.drop_generation("jobs", 9))
    await asyncio.sleep(0)
    await store.commit([job(9, "JB2")])  # right behind it: the table comes into being again
    await dropping
    await store.commit([job(9, "JB3")])
    assert sorted(await store.fetch(job_ids(9))) == [("JB2",), ("JB3",)]
    await store.close()


_WRITE_AND_DIE = """
import asyncio, os, signal, sys, time
from pathlib import Path
from gateway.store.base import Insert
from gateway.store.sqlite import SqliteStore

META = Insert(table="meta", columns=("name", "value"))

async def main():
    store = await SqliteStore.open(
        Path(sys.argv[1]), max_queued=100_000, clock=time.time, apart=lambda: None
    )
    for at in range(20):
        await store.commit([(META, (f"kept{at}", ""))])
        print(f"kept{at}", flush=True)
    for at in range(20_000):
        store.commit([(META, (f"n{at}", "x" * 500))])
    await asyncio.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_it_ends_with_its_gateway_and_the_next_one_gets_the_database(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITE_AND_DIE, str(path), stdout=PIPE
    )
    assert child.stdout is not None
    while await child.stdout.readline() != b"kept19\n":  # no end of it while the writer lives
        pass
    await child.communicate()
    assert child.returncode == -signal.SIGKILL
    store = await opened(path)
    names = {name for (name,) in await store.fetch(NAMES, "schema_version")}
    assert {f"kept{at}" for at in range(20)} <= names
    await store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_statements_go_over_once_and_frames_in_any_pieces() -> None:
    said: list[bytes] = []
    numbers, statements = Numbers(said.append), Statements()
    update = Update(table="meta", key=("name",), columns=("value",))
    delete = Delete(table="meta", key=("name",))
    commits = [[(META, ("a", 1)), (update, ("a", 2.0))], [(delete, (b"a",)), (META, ("b", None))]]
    for writes in commits:
        said.append(numbers.rows(writes, None))
    octets = b"".join(said)
    for size in (1, 3, 1000):
        frames = orders()
        pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
        found = []
        for value in [each for piece in pieces for each in frames.read(piece)]:
            if isinstance(value, Declare):
                statements.learn(value)
            else:
                assert isinstance(value, Rows)
                found.append(statements.commit(value)[0])
        assert found == commits
    assert sum(1 for _ in Frames(msgspec.msgpack.Decoder()).read(octets)) == 5
    with pytest.raises(StoreError):
        frame(object())
