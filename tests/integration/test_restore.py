"""A backup of either store restored into either: whole, or not at all."""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gateway.backup.file import End, Head, Rows, Table, Unusable
from gateway.store.base import Query, StoreError
from gateway.store.sqlite_file import upgrade
from tests import postgres
from tests.contract.rows import ACCOUNT, META, TRACE, fact, job, message
from tests.integration.gateway_process import wait_for
from tests.integration.restore_places import (
    BOTH,
    COUNTED,
    GENERATION,
    MADE_AT,
    NOW,
    SID,
    Place,
    back_up,
    everything,
    fill,
    write,
    write_octets,
)

ROOT = Path(__file__).resolve().parents[2]

MakePlace = Callable[[str], Awaitable[Place]]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[MakePlace]:
    """Makes stores of either kind, empty ones."""
    urls: list[str] = []
    places: list[Place] = []

    async def make(kind: str) -> Place:
        url = ""
        if kind == "postgres":
            urls.append(await postgres.fresh_database())
            url = urls[-1]
        places.append(Place(tmp_path / f"place{len(places)}", url))
        return places[-1]

    yield make
    for url in urls:
        await postgres.drop_database(url)


@pytest.mark.parametrize("target", BOTH)
@pytest.mark.parametrize("source", BOTH)
async def test_everything_is_there_again(
    place: MakePlace, tmp_path: Path, source: str, target: str
) -> None:
    old, new = await place(source), await place(target)
    store = await old.open()
    await fill(store)
    file = await back_up(store, tmp_path / "file")
    expected = await everything(store)
    await store.close()
    done = await new.restore(file)
    assert await new.rows() == expected
    assert done.made_at == MADE_AT and done.under_way == 1
    assert not list(new.data.glob("*.restoring*")), "what was made on the way is gone"


@pytest.mark.parametrize("target", BOTH)
async def test_a_restored_store_works_and_what_it_gives_out_is_new(
    place: MakePlace, tmp_path: Path, target: str
) -> None:
    old, new = await place("sqlite"), await place(target)
    store = await old.open()
    await fill(store)
    epoch = (await store.leases())[-1].epoch
    file = await back_up(store, tmp_path / "file")
    await store.close()
    await new.restore(file)
    store = await new.open()
    assert await store.leases() == []
    member = await store.renew("somebody else", 600.0)
    mine = await store.claim(["carrier:acme", "new name"], member)
    assert min(lease.epoch for lease in mine.values()) > max(epoch, int(NOW))
    await store.commit(
        [fact(SID, 3), (TRACE, (SID, b"")), job(GENERATION, "JB3")], mine["new name"]
    )
    ids = await store.fetch(Query("ids", "SELECT id FROM facts ORDER BY id"))
    assert ids[:2] == [(1,), (2,)] and ids[2][0] > 2 + 60 * 100
    assert [each.version for each in await store.facts_after(2, 10, 5.0)] == [3]
    await store.close()


@pytest.mark.parametrize("target", BOTH)
async def test_a_store_with_messages_is_replaced_only_when_told_to(
    place: MakePlace, tmp_path: Path, target: str
) -> None:
    old, new = await place("sqlite"), await place(target)
    store = await old.open()
    await fill(store)
    file = await back_up(store, tmp_path / "file")
    await store.close()
    store = await new.open()
    await store.commit([message("SM2"), fact("SM2"), job(GENERATION + 1, "JB9")])
    await store.close()
    before = await new.rows()
    with pytest.raises(StoreError, match="--replace"):
        await new.restore(file)
    assert await new.rows() == before
    await new.restore(file, replace=True)
    assert await new.rows() == await old.rows()


@pytest.mark.parametrize("target", BOTH)
async def test_ids_go_on_above_those_of_the_store_that_was_replaced(
    place: MakePlace, tmp_path: Path, target: str
) -> None:
    old, new = await place("sqlite"), await place(target)
    store = await old.open()
    await fill(store)
    file = await back_up(store, tmp_path / "file", made_at=NOW)
    await store.close()
    store = await new.open()
    for _ in range(40):
        await store.commit([fact("SM2")] * 500)
    await store.close()
    await new.restore(file)
    store = await new.open()
    await store.commit([fact(SID, 3)])
    ((newest,),) = await store.fetch(Query("newest", "SELECT max(id) FROM facts"))
    assert newest > 20_000
    await store.close()


@pytest.mark.parametrize("target", BOTH)
async def test_a_damaged_file_changes_nothing(
    place: MakePlace, tmp_path: Path, target: str
) -> None:
    old, new = await place("sqlite"), await place(target)
    store = await old.open()
    await fill(store)
    whole = (await back_up(store, tmp_path / "file")).read_bytes()
    await store.close()
    store = await new.open()
    await store.commit([(META, ("mine", ""))])
    await store.close()
    before = await new.rows()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    for content in (b"", b"anything", whole[:-1], whole[: len(whole) // 2], bytes(damaged)):
        file = tmp_path / "damaged"
        write_octets(file, content)
        with pytest.raises(Unusable, match=str(file)):
            await new.restore(file, replace=True)
        assert await new.rows() == before
        assert not list(new.data.glob("*.restoring*"))
    with pytest.raises(Unusable, match="No such file"):
        await new.restore(tmp_path / "nowhere")


@pytest.mark.parametrize("target", BOTH)
async def test_rows_that_do_not_fit_change_nothing(
    place: MakePlace, tmp_path: Path, target: str
) -> None:
    new = await place(target)
    store = await new.open()
    await store.commit([(META, ("mine", ""))])
    await store.close()
    before = await new.rows()
    head = Head(schema=2, made_at=MADE_AT, program="0.1.0", sequences={})
    names = Table(name="meta", columns=("name", "value"))
    twice = [head, names, Rows([("a", "1"), ("a", "2")]), End(rows={"meta": 2})]
    strange = [head, Table(name="meta", columns=("name", "colour")), End(rows={"meta": 0})]
    for parts in (twice, strange):
        with pytest.raises((Unusable, StoreError)):
            await new.restore(write(tmp_path / "file", list(parts)))
        assert await new.rows() == before


async def test_what_postgres_does_not_take_changes_nothing(
    place: MakePlace, tmp_path: Path
) -> None:
    """SQLite keeps a text in a column of numbers."""
    new = await place("postgres")
    store = await new.open()
    await store.commit([(META, ("mine", ""))])
    await store.close()
    before = await new.rows()
    head = Head(schema=2, made_at=MADE_AT, program="0.1.0", sequences={})
    table = Table(name="tracking_counters", columns=("account_sid", "day", "metric", "value"))
    rows = Rows([("AC1", "2026-11-21", "sent", "many")])
    cursor = Table(name="meta", columns=("name", "value")), Rows([("cursor:tracking", "2")])
    end = End(rows={"tracking_counters": 1, "meta": 1})
    with pytest.raises(StoreError, match="tracking_counters does not take its rows"):
        await new.restore(write(tmp_path / "file", [head, *cursor, table, rows, end]))
    assert await new.rows() == before


async def test_texts_with_nul_fit_into_postgres(place: MakePlace, tmp_path: Path) -> None:
    old, new = await place("sqlite"), await place("postgres")
    store = await old.open()
    await store.commit([(META, ("a", "1\x002"))])
    file = await back_up(store, tmp_path / "file")
    await store.close()
    await new.restore(file)
    store = await new.open()
    assert await store.fetch(Query("a", "SELECT value FROM meta WHERE name = $1"), "a") == [
        ("1␀2",)
    ]
    await store.close()


async def test_a_file_of_a_newer_schema_is_refused(place: MakePlace, tmp_path: Path) -> None:
    new = await place("sqlite")
    head = Head(schema=9999, made_at=MADE_AT, program="9.1", sequences={})
    with pytest.raises(Unusable, match=r"version 9\.1 with schema 9999"):
        await new.restore(write(tmp_path / "file", [head, End(rows={})]))
    assert not (new.data / "trunkline.db").exists()


@pytest.mark.parametrize("target", BOTH)
async def test_a_file_of_an_older_schema_is_brought_up_to_date(
    place: MakePlace, tmp_path: Path, target: str
) -> None:
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    upgrade(connection, tmp_path / "old.db", 1)
    row = ("JB1", "callback", "AC1", "https://a.example", "", SID, "{}", 1.5, 9.5)
    columns = ("id", "kind", "account_sid", "endpoint", "sequence", "sid", "payload")
    table = Table(name="jobs", columns=(*columns, "created_at", "expire_at"))
    head = Head(schema=1, made_at=MADE_AT, program="0.0.9", sequences={"facts": 5})
    file = write(tmp_path / "file", [head, table, Rows([row]), End(rows={"jobs": 1})])
    connection.close()
    new = await place(target)
    await new.restore(file)
    store = await new.open()
    kept = Query("kept", "SELECT id, endpoint, shard FROM jobs_0")
    assert await store.fetch(kept) == [("JB1", "https://a.example", 0)]
    await store.close()


async def test_a_file_that_a_gateway_has_open_is_left_alone(
    place: MakePlace, tmp_path: Path
) -> None:
    new = await place("sqlite")
    store = await new.open()
    file = await back_up(store, tmp_path / "file")
    with pytest.raises(StoreError, match="in use by process"):
        await new.restore(file, replace=True)
    await store.commit([(META, ("still", "here"))])
    await store.close()


async def test_a_database_that_processes_work_on_is_left_alone(
    place: MakePlace, tmp_path: Path
) -> None:
    new = await place("postgres")
    store = await new.open()
    file = await back_up(store, tmp_path / "file")
    member = await store.renew("api@host:1:aa", 600.0)
    with pytest.raises(StoreError, match="stop api@host:1:aa first"):
        await new.restore(file, replace=True)
    await store.commit([(META, ("still", "here"))], member)
    await store.renew("api@host:1:aa", 0.0)
    await new.restore(file)
    await store.close()
    assert ("still", "here") not in (await new.rows())["meta"]


async def test_a_damaged_database_can_be_replaced(place: MakePlace, tmp_path: Path) -> None:
    new = await place("sqlite")
    store = await new.open()
    file = await back_up(store, tmp_path / "file")
    await store.close()
    path = new.data / "trunkline.db"
    path.write_bytes(b"\x55" * 100_000)
    with pytest.raises(StoreError, match="can't be read"):
        await new.restore(file)
    assert path.read_bytes() == b"\x55" * 100_000
    await new.restore(file, replace=True)
    await (await new.open()).close()


async def test_the_log_of_the_old_database_is_not_read_into_the_new_one(
    place: MakePlace, tmp_path: Path
) -> None:
    """A gateway that was killed leaves commits in the log beside the file."""
    old, new = await place("sqlite"), await place("sqlite")
    store = await old.open()
    await fill(store)
    file = await back_up(store, tmp_path / "file")
    await store.close()
    store = await new.open()
    await store.commit([message("SM2")])
    for name in ("trunkline.db", "trunkline.db-wal"):
        (tmp_path / name).write_bytes((new.data / name).read_bytes())
    await store.close()
    for name in ("trunkline.db", "trunkline.db-wal"):
        (tmp_path / name).replace(new.data / name)
    with pytest.raises(StoreError, match="holds messages"):
        await new.restore(file)
    await new.restore(file, replace=True)
    assert await new.rows() == await old.rows()


async def test_credentials_are_those_of_the_backup(place: MakePlace, tmp_path: Path) -> None:
    old, new = await place("sqlite"), await place("sqlite")
    store = await old.open()
    for sid, kind in (("AC1", "full"), ("AC2", "test")):
        row = (sid, sid, kind, "name", f"token of {kind}", "active", 1.0, 1.0, 1)
        await store.commit([(ACCOUNT, row)])
    file = await back_up(store, tmp_path / "file")
    await store.close()
    await new.restore(file)
    credentials = new.data / "credentials.json"
    assert json.loads(credentials.read_text()) == {
        "account_sid": "AC1",
        "auth_token": "token of full",
        "test_account_sid": "AC2",
        "test_auth_token": "token of test",
    }
    for path in (credentials, new.data / "trunkline.db"):
        assert path.stat().st_mode & 0o777 == 0o600


async def test_counters_stay_with_the_position_that_they_were_counted_up_to(
    place: MakePlace, tmp_path: Path
) -> None:
    old, new = await place("sqlite"), await place("sqlite")
    store = await old.open()
    await fill(store)
    file = await back_up(store, tmp_path / "file")
    await store.close()
    await new.restore(file)
    assert len((await new.rows())["tracking_counters"]) == 1


async def test_counters_that_were_counted_on_kafka_begin_anew_without_it(
    place: MakePlace, tmp_path: Path
) -> None:
    """The embedded bus gives every fact that is kept."""
    old, with_kafka, without = await place("sqlite"), await place("sqlite"), await place("sqlite")
    store = await old.open()
    await store.commit([COUNTED, (META, ("position:tracking", "{}"))])
    file = await back_up(store, tmp_path / "file")
    await store.close()
    with_kafka.config = with_kafka.configured(TRUNKLINE_BUS__URL="kafka://127.0.0.1:9092")
    for each, count in ((with_kafka, 1), (without, 0)):
        await each.restore(file)
        assert len((await each.rows())["tracking_counters"]) == count


async def test_old_rows_get_partitions_of_their_own(place: MakePlace, tmp_path: Path) -> None:
    old, new = await place("sqlite"), await place("postgres")
    store = await old.open()
    await fill(store)
    file = await back_up(store, tmp_path / "file")
    await store.close()
    await new.restore(file)
    store = await new.open()
    for table in ("messages", "segments", "trace", "facts"):
        left = Query(table, f"SELECT count(*) FROM {table}_default")
        assert await store.fetch(left) == [(0,)], table
    await store.close()


@pytest.mark.waiting
async def test_a_restore_that_is_killed_changes_nothing(place: MakePlace, tmp_path: Path) -> None:
    """It is killed while it waits for the rest of a file that comes through a pipe."""
    new = await place("sqlite")
    store = await new.open()
    await store.commit([(META, ("mine", ""))])
    await store.commit([(TRACE, (SID, os.urandom(100_000))) for _ in range(30)])
    whole = (await back_up(store, tmp_path / "file")).read_bytes()
    await store.close()
    before = await new.rows()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = ("-m", "gateway", "restore", str(pipe), "--data", str(new.data), "--replace")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT)
    opened = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)
    await asyncio.to_thread(os.write, opened, whole[: len(whole) // 2])
    await asyncio.to_thread(
        wait_for, lambda: list(new.data.glob("*.restoring")), "the restore begins"
    )
    process.kill()
    await process.wait()
    os.close(opened)
    assert list(new.data.glob("*.restoring")), "it was killed while it was at work"
    assert await new.rows() == before
    await new.restore(tmp_path / "file")
    assert not list(new.data.glob("*.restoring*"))
