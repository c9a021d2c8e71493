"""What is SQLite's own: the lock, the schema, what a person is told, a loop that never rests."""

import asyncio
import os
import sqlite3
import stat
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store import sqlite_thread
from gateway.store.base import Conflict, Insert, Query, StoreUnavailable
from gateway.store.sqlite import SqliteStore, migrate
from gateway.store.sqlite_file import schema_files, upgrade
from gateway.store.sqlite_thread import WriterThread
from gateway.store.sqlite_writer import Errors, Writer
from tests.contract.rows import job, job_ids, transition

META = Insert(table="meta", columns=("name", "value"))
COUNT = Query("count", "SELECT count(*) FROM meta")


async def opened(path: Path) -> SqliteStore:
    return await SqliteStore.open(path, max_queued=10_000, clock=time.time)


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def test_a_second_opener_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await opened(path)
    with pytest.raises(StoreUnavailable, match=f"process {os.getpid()} on .*stop that one first"):
        await opened(path)
    with pytest.raises(StoreUnavailable, match="in use"):
        migrate(path)
    await store.commit([(META, ("still", "works"))])
    await store.close()
    store = await opened(path)
    await store.close()


async def test_the_file_is_private_and_survives_being_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "store.db"
    store = await opened(path)
    await store.commit([(META, ("a", "b"))])
    for file in path.parent.glob("store.db*"):
        if not file.name.endswith(".lock"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await store.close()
    assert migrate(path) == []
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("SELECT value FROM meta WHERE name = 'a'").fetchone() == ("b",)
    connection.close()


@pytest.mark.parametrize("apart", [None, lambda: None])
async def test_one_file_is_left_of_a_database_that_was_closed(
    tmp_path: Path, apart: Callable[[], None] | None
) -> None:
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path, max_queued=10, clock=time.time, apart=apart)
    await store.commit([(META, ("a", "b"))])
    assert await store.fetch(COUNT)  # somebody reads as well
    await store.close()
    assert names_in(tmp_path) - {"store.db.lock"} == {"store.db"}


def test_migrate_applies_what_is_new_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    assert migrate(path)[0] == "0001_initial.sql"
    assert migrate(path) == []


@pytest.mark.parametrize("release", sorted(schema_files()))
async def test_a_database_of_each_release_is_upgraded_with_its_rows(
    tmp_path: Path, release: int
) -> None:
    path = tmp_path / "store.db"
    connection = sqlite3.connect(path, isolation_level=None)
    upgrade(connection, path, release)
    connection.execute("INSERT INTO meta VALUES ('kept', '1')")
    connection.close()
    store = await opened(path)
    for table in ("meta", "jobs_0", "sip_domains", "sip_bindings"):
        rows = await store.fetch(Query(table, f"SELECT * FROM {table}"))
        assert (("kept", "1") in rows) is (table == "meta")
    await store.close()
    assert migrate(path) == []


def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    migrate(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = '9999' WHERE name = 'schema_version'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreUnavailable, match=r"schema 9999.*a newer one"):
        migrate(path)


async def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"this is a letter, not a database. " * 100)
    with pytest.raises(StoreUnavailable, match="not a SQLite database"):
        await opened(path)
    path.unlink()
    await (await opened(path)).close()


async def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"file/store\.db can't be opened"):
        await opened(tmp_path / "file" / "store.db")


def test_a_commit_is_on_the_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    migrate(tmp_path / "store.db")
    writer = Writer(tmp_path / "store.db")
    assert writer.connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert writer.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    writer.close()


def test_a_full_file_refuses_the_group_and_takes_the_next_when_there_is_room(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.db"
    migrate(path)
    writer = Writer(path)
    writer.learn(0.0)
    errors: Errors = {}
    writer.apply([([(META, ("first", ""))], None, None)], errors)
    pages = writer.connection.execute("PRAGMA page_count").fetchone()[0]
    writer.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    great = [([(META, (f"n{at}", "x" * 50_000))], None, None) for at in range(5)]
    with pytest.raises(StoreUnavailable, match="the disk is full: make room"):
        writer.apply(great, errors)
    assert errors == {}
    writer.apply([([(META, ("small", ""))], None, None)], errors)
    writer.connection.execute("PRAGMA max_page_count = 100000")
    writer.apply([*great, ([(META, ("first", ""))], None, None)], errors)
    assert [type(error) for error in errors.values()] == [Conflict] and list(errors) == [5]
    assert writer.connection.execute("SELECT count(*) FROM meta").fetchone() == (8,)
    writer.close()


def test_a_generation_that_did_not_fit_comes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    migrate(path)
    writer = Writer(path)
    writer.learn(0.0)
    errors: Errors = {}
    pages = writer.connection.execute("PRAGMA page_count").fetchone()[0]
    for room in range(8):
        writer.connection.execute(f"PRAGMA max_page_count = {pages + room}")
        great = [job(1, f"JB{at}", endpoint="x" * 5000) for at in range(5)]
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            writer.apply([(great, None, None), ([job(2, "JB0")], None, None)], errors)
        assert errors == {}
    writer.connection.execute("PRAGMA max_page_count = 100000")
    writer.apply([([*great, transition(1, "JB1", 1)], None, None)], errors)
    assert errors == {}
    assert writer.connection.execute("SELECT count(*) FROM jobs_1").fetchone() == (5,)
    writer.close()


async def test_nothing_is_kept_of_generations_that_were_dropped(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    for number in range(1, 30):
        await store.commit([job(number, "JB1"), transition(number, "JB1", 1)])
        assert await store.fetch(job_ids(number)) == [("JB1",)]
        if number > 2:
            await store.drop_generation("jobs", number - 2)
    alive = {f"jobs_{number}" for number in (0, 28, 29)}
    texts = {word for sql in store._texts for word in sql.split() if word.startswith("jobs_")}
    assert isinstance(store._writer, WriterThread)
    plans = store._writer._writer._plans
    tables = {plan.table for plan in plans._by_value.values()}
    assert texts <= alive
    assert {table for table in plans._keys if table.startswith("jobs_")} == alive
    assert {table for table in tables if table.startswith("jobs_")} <= alive
    assert len(plans._by_id) == len(plans._by_value) == 4
    await store.close()


async def test_a_drop_does_not_write_what_it_drops(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    rows = [job(1, f"JB{at:04}", endpoint="x" * 1000) for at in range(5000)]
    await store.commit(rows)
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    await store.drop_generation("jobs", 1)
    assert (tmp_path / "store.db-wal").stat().st_size < 500_000
    await store.close()


async def test_a_loop_that_never_rests_does_not_keep_commits_out(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    busy = True

    async def spin(turn: float) -> None:
        while busy:
            end = time.perf_counter() + turn
            while time.perf_counter() < end:
                pass
            await asyncio.sleep(0)

    for turn in (0.00003, 0.0005):
        busy = True
        spinning = asyncio.create_task(spin(turn))
        async with asyncio.timeout(30):
            for at in range(100):
                await store.commit([(META, (f"{turn}-{at}", ""))])
            for _ in range(20):
                await store.fetch(COUNT)
        busy = False
        await spinning
    await store.close()


async def test_thousands_of_commits_at_once_become_few_groups(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    futures = [store.commit([(META, (f"n{at}", ""))]) for at in range(5000)]
    await asyncio.gather(*futures)
    stats = store.stats()
    assert (stats.queued, stats.commits, stats.rows) == (0, 5000, 5000)
    assert stats.groups < 500
    assert stats.last_commit_seconds > 0 and abs(stats.last_commit_at - time.time()) < 60
    await store.close()


class Pauses:
    """The clock module as the store sees it, with each pause noted."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.perf_counter = time.perf_counter

    def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        time.sleep(seconds)


async def test_the_writer_waits_for_more_only_while_commits_come_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = Pauses()
    monkeypatch.setattr(sqlite_thread, "time", pauses)
    store = await opened(tmp_path / "store.db")
    for number in range(5):
        await store.commit([(META, (f"alone{number}", ""))])
    assert pauses.taken == []

    await asyncio.gather(*(store.commit([(META, (f"one of{n}", ""))]) for n in range(200)))
    await store.commit([(META, ("after them", ""))])
    assert pauses.taken
    await store.commit([(META, ("alone again", ""))])
    pauses.taken.clear()
    for number in range(5):
        await store.commit([(META, (f"still alone{number}", ""))])
    assert pauses.taken == []
    await store.close()


_FILL_THE_CACHES = """
import asyncio, sys, time
from pathlib import Path
from gateway.resting import give_back
from gateway.store.base import Insert, Query
from gateway.store.sqlite import SqliteStore

META = Insert(table="meta", columns=("name", "value"))
SIZES = Query("sizes", "SELECT sum(length(value)) FROM meta WHERE name > $1")

def memory():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) // 1024

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), max_queued=10_000, clock=time.time)
    for at in range(200):
        await store.commit([(META, (f"n{at:03}", "x" * 3000))])
    before = memory()
    for first in range(1000, 21_000, 200):
        many = range(first, first + 200)
        await asyncio.gather(*(store.commit([(META, (f"n{at}", "x" * 3000))]) for at in many))
        if first % 2000 == 0:
            await asyncio.gather(store.fetch(SIZES, ""), store.fetch(SIZES, ""))
    full = memory()
    store.rest()
    await store.leases()  # the writer has come by
    give_back()
    print(full - before, memory() - before)
    await store.close()

asyncio.run(main())
"""


async def test_few_pages_are_kept_and_none_at_rest(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _FILL_THE_CACHES, str(tmp_path / "store.db"), stdout=PIPE
    )
    output, _ = await child.communicate()
    full, rested = map(int, output.splitlines()[-1].split())
    assert (tmp_path / "store.db").stat().st_size > 60 * 2**20
    assert full < 32, "8 MB of the writer, 4 of each of two readers, and what commits have"
    assert rested < 12


_FILL_THE_DISK = """
import asyncio, os, resource, signal, sys, time
from pathlib import Path
import structlog
from gateway.store.base import Insert, Query, StoreUnavailable
from gateway.store.sqlite import SqliteStore

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
META = Insert(table="meta", columns=("name", "value"))
NAMES = Query("names", "SELECT name FROM meta WHERE name <> $1")

async def names(store):
    return {name for name, in await store.fetch(NAMES, "schema_version")}

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), max_queued=10_000, clock=time.time)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    acknowledged, refused = set(), []
    for at in range(400):
        try:
            await store.commit([(META, (f"n{at:03}", "x" * 10_000))])
            acknowledged.add(f"n{at:03}")
        except StoreUnavailable as error:
            refused.append(str(error))
    assert acknowledged and refused, (len(acknowledged), len(refused))
    assert "store.db" in refused[0] and "disk" in refused[0], refused[0]
    assert "disk" in store.stats().trouble
    several = [store.commit([(META, (f"m{at}", "x" * 10_000))]) for at in range(100)]
    for result in await asyncio.gather(*several, return_exceptions=True):
        assert isinstance(result, StoreUnavailable), result
    assert await names(store) == acknowledged, "what was acknowledged can't be read"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.commit([(META, ("after", ""))])
    assert store.stats().trouble == ""
    assert await names(store) == acknowledged | {"after"}
    await store.close()
    os.write(1, "\\n".join(sorted(acknowledged | {"after"})).encode())

asyncio.run(main())
"""


async def test_a_full_disk_refuses_and_then_recovers(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _FILL_THE_DISK, path, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(100):
        written, complaints = await child.communicate()
    assert child.returncode == 0, complaints.decode()
    store = await opened(path)
    names = await store.fetch(Query("n", "SELECT name FROM meta WHERE name <> 'schema_version'"))
    assert {name for (name,) in names} == set(written.decode().split())
    await store.commit([(META, ("still writable", ""))])
    await store.close()
