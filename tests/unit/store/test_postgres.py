"""What is PostgreSQL's own: types, texts that it can't hold, deadlocks, members' names, upkeep."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from gateway.core import records
from gateway.store import postgres as postgres_store
from gateway.store import postgres_arrivals as arrivals
from gateway.store import postgres_facts
from gateway.store.base import Horizon, Insert, Query, StoreError, StoreUnavailable, Update
from gateway.store.postgres import PostgresStore
from tests import postgres
from tests.contract.rows import ACCOUNT, META, META_ONCE, META_SET, TRACE, account, fact, job, meta

PATIENCE = 60.0  # seconds until a test fails that waits for something
NOW = 495_000
VALUE = Query("value", "SELECT value FROM meta WHERE name = $1")

Opened = Callable[..., Awaitable[PostgresStore]]


@pytest.fixture
async def opened(postgres_url: str) -> AsyncIterator[Opened]:
    """Opens stores on the test's database that end with the test."""
    stores: list[PostgresStore] = []

    async def open_one(writer: str = "w", connections: int = 4) -> PostgresStore:
        store = await PostgresStore.open(
            postgres_url,
            connections=connections,
            max_queued=10_000,
            clock=time.time,
            writer=writer,
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opened: Opened) -> PostgresStore:
    return await opened()


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


class Kind(StrEnum):
    FULL = "full"


async def test_values_need_not_be_of_the_exact_type(store: PostgresStore) -> None:
    row = ("AC1", "AC0", Kind.FULL, "", "", "active", 1, True, True)
    await store.commit([(ACCOUNT, row)])
    await store.commit([(ACCOUNT, (f"AC{at}", *row[1:])) for at in range(2, 300)])  # copied
    query = Query("of_kind", "SELECT count(*) FROM accounts WHERE kind = $1 AND date_created = $2")
    assert await store.fetch(query, Kind.FULL, 1) == [(299,)]
    columns = "kind, date_created, date_updated, version"
    rows = await store.fetch(Query("c", f"SELECT DISTINCT {columns} FROM accounts"))
    assert rows == [("full", 1.0, 1.0, 1)]


async def test_sums_are_plain_numbers(store: PostgresStore) -> None:
    await store.commit([account("AC1", 2**62), account("AC2", 2**62 + 1)])
    query = Query("s", "SELECT sum(version), avg(version - 4611686018427387904) FROM accounts")
    ((total, average),) = await store.fetch(query)
    assert (total, type(total)) == (2**63 + 1, int)
    assert (average, type(average)) == (0.5, float)


async def test_text_compares_by_its_octets(store: PostgresStore) -> None:
    names = ["a", "B", "_", "ä", "Z", "0", "~"]
    await store.commit([(META, (name, "")) for name in names])
    rows = await store.fetch(Query("n", "SELECT name FROM meta WHERE name > $1 ORDER BY name"), "0")
    assert [name for (name,) in rows] == sorted(name for name in names if name > "0")


@pytest.mark.parametrize("count", [1, 200])  # by arrays, and copied
async def test_what_holds_a_nul_is_written_with_its_symbol(
    store: PostgresStore, count: int
) -> None:
    futures = [store.commit([(META, (f"n{at}", "plain"))]) for at in range(count)]
    nul = store.commit([(META, ("nul\0", "a\0b")), (TRACE, ("SM1", b"\0"))])
    await asyncio.gather(nul, *futures)
    assert await store.fetch(VALUE, "nul\u2400") == [("a\u2400b",)]
    assert await store.fetch(VALUE, "nul\0") == [("a\u2400b",)]
    assert await store.fetch(Query("t", "SELECT frames FROM trace")) == [(b"\0",)]
    assert len(await meta(store)) == count + 1


async def test_a_text_that_is_no_unicode_is_at_fault_alone(store: PostgresStore) -> None:
    fine, wrong = store.commit([(META, ("a", "1"))]), store.commit([(META, ("b", "\ud800"))])
    await fine
    with pytest.raises(StoreError):
        await wrong
    assert await meta(store) == {"a": "1"}


async def test_a_deadlock_with_somebody_else_is_passed(
    store: PostgresStore, connection: Any
) -> None:
    await store.commit([(META, ("a", "1")), (META, ("b", "1"))])
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("UPDATE meta SET value = '2' WHERE name = 'b'")
    future = store.commit([(META_SET, ("a", "3")), (META_SET, ("b", "3"))])
    await _until_somebody_waits(connection)
    try:
        await connection.execute("UPDATE meta SET value = '2' WHERE name = 'a'")
        await transaction.commit()
    except asyncpg.DeadlockDetectedError:
        await transaction.rollback()
    await future
    assert await meta(store) == {"a": "3", "b": "3"}


async def _until_somebody_waits(connection: Any) -> None:
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    deadline = time.monotonic() + PATIENCE
    while not await connection.fetchval(query):
        assert time.monotonic() < deadline, "nobody waits for a lock"


async def test_what_keeps_a_row_locked_is_an_error_with_what_to_do(
    store: PostgresStore, connection: Any
) -> None:
    await store.commit([(META, ("a", "1"))])
    async with connection.transaction():
        await connection.execute("LOCK TABLE meta")
        with pytest.raises(StoreUnavailable, match="old transactions in pg_stat_activity"):
            await store.commit([(META_SET, ("a", "2"))])
        assert "locked" in store.stats().trouble
    await store.commit([(META_SET, ("a", "3"))])
    assert store.stats().trouble == ""
    assert await meta(store) == {"a": "3"}


async def test_one_statement_for_a_whole_group(store: PostgresStore, connection: Any) -> None:
    """However many commits are in it: what is counted are the transactions."""
    count = "SELECT number FROM commit_tokens"
    await store.commit([(META, ("first", ""))])
    before = await connection.fetchval(count)
    await asyncio.gather(*(store.commit([(META, (f"n{at}", ""))]) for at in range(500)))
    assert await connection.fetchval(count) - before <= 3
    assert store.stats().commits == 501


async def test_prepared_statements_outlive_a_change_of_the_schema(
    store: PostgresStore, connection: Any
) -> None:
    everything = Query("all", "SELECT * FROM meta")
    await store.commit([(META_ONCE, ("a", "1"))])
    assert await store.fetch(everything) == [("a", "1")]
    await connection.execute("ALTER TABLE meta ADD COLUMN note TEXT NOT NULL DEFAULT ''")
    await store.commit([(META_ONCE, ("b", "1"))])
    assert await store.fetch(everything) == [("a", "1", ""), ("b", "1", "")]


async def test_a_generation_that_is_dropped_under_a_group_is_made_again(
    opened: Opened, connection: Any
) -> None:
    store, other = await opened("a"), await opened("b")
    await store.commit([job(7, "JB1"), fact("SM1")])
    for at in range(5):
        await other.drop_generation("jobs", 7)
        await store.commit([job(7, f"JB{at}"), fact(f"SM{at}")])
    assert await connection.fetchval("SELECT count(*) FROM jobs_7") == 1
    assert await connection.fetchval("SELECT count(*) FROM facts") == 6


async def test_the_name_of_a_process_may_be_anything(opened: Opened) -> None:
    store = await opened('it\'s a "host" é%s $1 \\ with a name that is much too long ' + "x" * 80)
    member = await store.renew("o'brien", 600.0)
    await store.commit([(META, ("a", "1"))], member)
    assert await meta(store) == {"a": "1"}


async def test_commits_reach_the_disk_even_where_the_server_is_told_not_to(
    postgres_url: str, opened: Opened
) -> None:
    name = urlsplit(postgres_url).path[1:]
    await postgres.admin(f"ALTER DATABASE {name} SET synchronous_commit = off")
    store = await opened()
    assert await store.fetch(Query("s", "SHOW synchronous_commit")) == [("on",)]


async def test_a_look_for_what_arrived_goes_by_its_index(
    store: PostgresStore, connection: Any
) -> None:
    """However little the planner knows of a generation's tables: it has no statistics of them."""
    of = records.tables(NOW)
    await store.commit([job(NOW, "JB1")])
    await connection.execute(
        f"INSERT INTO {of.jobs} SELECT 'JC' || n, kind, account_sid, endpoint, shard, sequence,"
        f" sid, payload, created_at, expire_at, (n + 1000)::text::xid8, 'other'"
        f" FROM {of.jobs}, generate_series(1, 50000) AS n"
    )
    await connection.execute(
        f"INSERT INTO {of.transitions} SELECT id, 1, 'succeeded', 0, 0, '' FROM {of.jobs}"
    )
    sql = arrivals.condition(of.arrived.sql, 1)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE look AS {sql}")
    since, until = (
        Horizon(50_990, frozenset({50_980, 50_985})),
        Horizon(51_000, frozenset({50_985})),
    )
    lowest, end, start, ended, under_way, writer = arrivals.values(since, until, "w")
    plan = await connection.fetch(
        f"EXPLAIN EXECUTE look ('{{3}}', '{lowest}', '{end}', '{start}',"
        f" '{{{ended[0]}}}', '{{{under_way[0]}}}', '{writer}')"
    )
    (found,) = [line for (line,) in plan if f"{of.jobs}_arrived" in line]
    assert int(found.partition("rows=")[2].split()[0]) < 500, "what the planner expects"
    assert not [line for (line,) in plan if "Seq Scan" in line], plan


async def test_a_renewal_waits_behind_nothing(store: PostgresStore, connection: Any) -> None:
    member = await store.renew("w", 600.0)
    await store.claim(["x"], member)
    async with connection.transaction():
        await connection.execute("SELECT FROM leases WHERE name = 'x' FOR UPDATE")
        waiting = [
            asyncio.create_task(each)
            for each in (store.release(["x"], member), store.claim(["x", "y"], member))
        ]
        await _until_somebody_waits(connection)
        for _ in range(3):
            await store.renew("w", 600.0)
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)


async def test_many_who_wait_for_facts_share_one_look(opened: Opened) -> None:
    store, other = await opened("a"), await opened("b")
    waiting = [asyncio.create_task(store.facts_after(0, 10, wait=PATIENCE)) for _ in range(200)]
    await asyncio.sleep(0.2)
    looking = [task for task in asyncio.all_tasks() if task.get_name() == "store-facts"]
    await other.commit([fact("SM1")])
    for task in waiting:
        assert [f.sid for f in await task] == ["SM1"]
    assert len(looking) == 1


async def test_a_transaction_that_holds_facts_back_is_named_once(
    store: PostgresStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_facts, "_LONG", 0.2)
    await store.commit([fact("SM1")])
    await store.facts_after(0, 10, wait=PATIENCE)
    assert store.stats().facts_held == 0.0
    left_open = await asyncpg.connect(
        postgres_url, server_settings={"application_name": "somebody's report"}
    )
    with capture_logs() as logs:
        async with left_open.transaction():
            await left_open.execute("SELECT pg_current_xact_id()")
            await store.commit([fact("SM2")])
            async with asyncio.timeout(PATIENCE):
                while store.stats().facts_held < 0.5:
                    assert await store.facts_after(1, 10, wait=0.05) == []
        assert [f.sid for f in await store.facts_after(1, 10, wait=PATIENCE)] == ["SM2"]
        pid = left_open.get_server_pid()
        await left_open.close()
    assert store.stats().facts_held == 0.0
    (told,) = [line for line in logs if "left open" in line["event"]]
    assert (told["pid"], told["application"]) == (str(pid), "somebody's report")
    assert told["state"].startswith("idle in transaction") and told["seconds"] >= 0
    assert told["database"] in postgres_url


async def test_upkeep_makes_partitions_and_lets_go_of_old_tokens(
    opened: Opened, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "_UPKEEP_EVERY", 0.05)
    await connection.execute("INSERT INTO commit_tokens VALUES ('gone', 1, 0)")
    partition = f"facts_p{int(time.time() // 86400)}"
    store = await opened()
    await connection.execute(f"DROP TABLE {partition}")
    deadline = time.monotonic() + PATIENCE
    while await connection.fetchval("SELECT to_regclass($1)::text", partition) is None or (
        await connection.fetchval("SELECT count(*) FROM commit_tokens WHERE writer = 'gone'")
    ):
        assert time.monotonic() < deadline, "the upkeep did nothing"
        await asyncio.sleep(0.01)
    await store.commit([(META, ("a", "1"))])


async def test_a_token_that_was_swept_away_comes_again(
    store: PostgresStore, connection: Any
) -> None:
    await store.commit([(META, ("a", "1"))])
    await connection.execute("DELETE FROM commit_tokens")
    await store.commit([(META, ("b", "1"))])
    assert await connection.fetchval("SELECT count(*) FROM commit_tokens WHERE writer = 'w'") == 1


async def test_a_name_that_comes_back_goes_on_with_its_numbers(
    opened: Opened, connection: Any
) -> None:
    """Else a number of the last process under it could be taken for one of this process."""
    store = await opened()
    await store.commit([(META, ("a", "1"))])
    await connection.execute("UPDATE commit_tokens SET number = 1000")
    await store.close()
    store = await opened()
    await store.commit([(META, ("b", "1"))])
    assert await connection.fetchval("SELECT number FROM commit_tokens") == 1001


async def test_wrong_columns_are_an_error_of_their_own(store: PostgresStore) -> None:
    for statement in (
        Insert(table="meta", columns=("nothing",)),
        Update(table="meta", key=("name",), columns=("nothing",)),
    ):
        with pytest.raises(StoreError, match="nothing"):
            await store.commit([(statement, ("a",) * (1 + isinstance(statement, Update)))])
