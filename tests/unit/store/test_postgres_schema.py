"""The schema in PostgreSQL: steps, partitions, and that the product's queries fit it."""

import asyncio
import importlib
import pkgutil
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import asyncpg
import pytest

import gateway
from gateway.calls import tables as calls
from gateway.core import records as jobs_records
from gateway.messages import records, segments, trace
from gateway.sids import CALL, MMS, SMS, first_sid
from gateway.store import postgres as postgres_store
from gateway.store import postgres_arrivals as arrivals
from gateway.store import postgres_partitions as partitions
from gateway.store import postgres_schema as schema
from gateway.store.base import Delete, Horizon, Insert, Query, StoreUnavailable, Update
from gateway.store.postgres import PostgresStore, migrate
from gateway.store.postgres_link import Link
from gateway.store.postgres_sql import Step
from gateway.store.sql import Plan
from tests import postgres

META = Insert(table="meta", columns=("name", "value"))
FACT = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))
TRACE = Insert(table="trace", columns=("sid", "frames"))
DAY = 86400.0
PATIENCE = 60.0  # seconds until a test fails that waits for something
ROUNDS = 20

EXPAND = "-- expand\nALTER TABLE meta ADD COLUMN note TEXT NOT NULL DEFAULT ''"
NEWEST = schema.steps()[-1].number
CONTRACT = f"-- contract {NEWEST + 1}\nALTER TABLE meta DROP COLUMN value"

Opened = Callable[..., Awaitable[PostgresStore]]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens stores that end with the test."""
    stores: list[PostgresStore] = []

    async def open_one(url: str, writer: str = "w") -> PostgresStore:
        store = await PostgresStore.open(
            url, connections=4, max_queued=10_000, clock=time.time, writer=writer
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def empty_url() -> AsyncIterator[str]:
    url = await postgres.empty_database()
    yield url
    await postgres.drop_database(url)


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


def knowing(*later: str) -> list[schema.Step]:
    """The steps of a program that is some steps ahead of this one."""
    known = schema.steps()
    for sql in later:
        number = known[-1].number + 1
        known.append(schema.step_of(number, f"{number:04}_later.sql", sql))
    return known


def later(steps: int) -> str:
    """The name of a step that a program so many steps ahead has."""
    return f"{NEWEST + steps:04}_later.sql"


# -- steps ------------------------------------------------------------------------------------


async def test_migrate_applies_what_is_new_and_says_so(empty_url: str) -> None:
    assert (await migrate(empty_url))[0] == "0002_initial.sql"
    assert await migrate(empty_url) == []


async def test_many_that_open_at_once_make_the_schema_once(empty_url: str, opened: Opened) -> None:
    stores = await asyncio.gather(*(opened(empty_url, f"w{at}") for at in range(4)))
    await asyncio.gather(*(s.commit([(META, (f"n{at}", ""))]) for at, s in enumerate(stores)))
    assert await stores[0].fetch(Query("n", "SELECT count(*) FROM meta")) == [(4,)]


@pytest.mark.parametrize("release", [step.number for step in schema.steps()])
async def test_a_database_of_each_release_is_upgraded_with_its_rows(
    empty_url: str, opened: Opened, release: int
) -> None:
    released = [step for step in schema.steps() if step.number <= release]
    await schema.migrate(Link(empty_url, "old"), released)
    connection = await asyncpg.connect(empty_url)
    await connection.execute("INSERT INTO meta VALUES ('kept', '1')")
    await connection.close()
    store = await opened(empty_url)
    assert await store.fetch(Query("k", "SELECT name, value FROM meta")) == [("kept", "1")]
    await store.commit([(META, ("new", "1"))])


async def test_programs_before_and_after_an_expand_run_together(
    postgres_url: str, opened: Opened
) -> None:
    old = await opened(postgres_url, "old")
    await old.commit([(META, ("a", "1"))])
    link = Link(postgres_url, "new")
    assert await schema.expand(link, knowing(EXPAND)) == [later(1)]
    assert await schema.expand(link, knowing(EXPAND)) == []
    await old.commit([(META, ("b", "2"))])
    restarted = await opened(postgres_url, "restarted")
    await restarted.commit([(META, ("c", "3"))])
    rows = await restarted.fetch(Query("n", "SELECT name, note FROM meta ORDER BY name"))
    assert rows == [("a", ""), ("b", ""), ("c", "")]


async def test_only_migrate_contracts_and_older_programs_are_refused_from_then_on(
    postgres_url: str, opened: Opened
) -> None:
    link = Link(postgres_url, "new")
    assert await schema.expand(link, knowing(EXPAND, CONTRACT)) == [later(1)]
    await (await opened(postgres_url, "old")).commit([(META, ("a", "1"))])
    assert await schema.migrate(link, knowing(EXPAND, CONTRACT)) == [later(2)]
    assert await schema.expand(link, knowing(EXPAND)) == []  # the lowest that may still run
    with pytest.raises(
        StoreUnavailable, match=rf"schema {NEWEST + 2}, .* from schema {NEWEST + 1} on"
    ):
        await opened(postgres_url, "too old")


async def test_an_expand_behind_a_contract_waits_for_migrate(postgres_url: str) -> None:
    link = Link(postgres_url, "new")
    ahead = knowing(EXPAND, CONTRACT, EXPAND.replace("note", "more"))
    with pytest.raises(StoreUnavailable, match=rf"lacks {later(2)}, {later(3)}.*run `trunkli"):
        await schema.expand(link, ahead)
    assert len(await schema.migrate(link, ahead)) == 2
    assert await schema.expand(link, ahead) == []


async def test_a_new_database_gets_every_step(empty_url: str) -> None:
    link = Link(empty_url, "new")
    assert len(await schema.expand(link, knowing(EXPAND, CONTRACT))) == len(schema.steps()) + 2


async def test_a_step_that_fails_leaves_nothing_and_says_what_failed(postgres_url: str) -> None:
    link = Link(postgres_url, "new")
    broken = EXPAND + "; SELECT 1/0"
    with pytest.raises(Exception, match="division by zero"):
        await schema.expand(link, knowing(broken))
    assert await schema.expand(link, knowing(EXPAND)) == [later(1)]


def test_a_step_says_of_which_kind_it_is() -> None:
    with pytest.raises(ValueError, match="0009_x must begin with"):
        schema.step_of(9, "0009_x", "CREATE TABLE x (i INT)")


# -- partitions -------------------------------------------------------------------------------


async def table_of(connection: Any, table: str, sid: str) -> str:
    """The partition in which the row of `sid` stands."""
    found = await connection.fetchval(f"SELECT tableoid::regclass::text FROM {table}")
    assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE sid = $1", sid) == 1
    return str(found)


@pytest.mark.parametrize("kind", [SMS, MMS])
async def test_rows_stand_in_the_partition_of_their_time(
    postgres_url: str, opened: Opened, connection: Any, kind: str
) -> None:
    now = time.time()
    store = await opened(postgres_url)
    sid = first_sid(kind, now) + "0" * 16
    await store.commit([(TRACE, (sid, b"")), (FACT, ("AC1", sid, 1, "t", now, "{}"))])
    day = int(now // DAY)
    assert await table_of(connection, "trace", sid) == f"trace_p{day}{kind.lower()}"
    assert await table_of(connection, "facts", sid) == f"facts_p{day}"


@pytest.mark.parametrize("at", [0.0, 1e9, 1e10])
async def test_an_odd_clock_fails_no_write(
    postgres_url: str, opened: Opened, connection: Any, at: float
) -> None:
    store = await opened(postgres_url)
    sid = first_sid(SMS, at) + "0" * 16
    await store.commit([(TRACE, (sid, b"")), (FACT, ("AC1", sid, 1, "t", at, "{}"))])
    assert await table_of(connection, "trace", sid) == "trace_default"
    assert await table_of(connection, "facts", sid) == "facts_default"


async def test_a_partition_that_is_made_late_gets_what_waits_in_the_default_one(
    postgres_url: str, opened: Opened, connection: Any
) -> None:
    now = time.time()
    name = f"facts_p{int(now // DAY)}"
    await connection.execute(f"DROP TABLE {name}")
    store = await opened(postgres_url)  # makes it, empty
    await connection.execute(f"DROP TABLE {name}")
    await store.commit([(FACT, ("AC1", f"SM{at}", 1, "t", now, "{}")) for at in range(3)])
    await store.commit([(FACT, ("AC1", "SM9", 1, "t", 5.0, "{}"))])
    assert await partitions.make_ahead(connection) == ([name], [])
    assert await partitions.make_ahead(connection) == ([], [])
    count = "SELECT count(*) FROM "
    assert await connection.fetchval(count + name) == 3
    assert await connection.fetchval(count + "facts_default") == 1
    assert [f.sid for f in await store.facts_after(0, 10)] == ["SM0", "SM1", "SM2", "SM9"]


async def test_a_partition_waits_for_a_backup_and_nobody_waits_for_it(
    postgres_url: str, opened: Opened, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "_UPKEEP_EVERY", 0.05)
    monkeypatch.setattr(postgres_store, "_UPKEEP_AGAIN", 0.05)
    now = time.time()
    names = [f"facts_p{int(now // DAY) + ahead}" for ahead in (0, 1)]
    await connection.execute(f"DROP TABLE {', '.join(names)}")
    backup = await asyncpg.connect(postgres_url)
    try:
        async with backup.transaction(), asyncio.timeout(PATIENCE):
            await backup.fetch("SELECT * FROM facts")
            assert await partitions.make_ahead(connection) == ([], names)
            store = await opened(postgres_url)
            await store.commit([(FACT, ("AC1", "SM1", 1, "t", now, "{}"))])
            assert [f.sid for f in await store.facts_after(0, 10, wait=PATIENCE)] == ["SM1"]
            assert await table_of(connection, "facts", "SM1") == "facts_default"
    finally:
        await backup.close()
    async with asyncio.timeout(PATIENCE):
        while await table_of(connection, "facts", "SM1") == "facts_default":
            await connection.execute("SELECT pg_sleep(0.01)")
    assert await table_of(connection, "facts", "SM1") == names[0]


async def test_no_reader_misses_what_moves_out_of_the_default_partition(
    postgres_url: str, opened: Opened, connection: Any
) -> None:
    now = time.time()
    name = f"facts_p{int(now // DAY)}"
    store = await opened(postgres_url)
    await connection.execute(f"DROP TABLE {name}")
    await store.commit([(FACT, ("AC1", "SM1", 1, "t", now, "{}"))])
    began, moved = asyncio.Event(), asyncio.Event()

    async def read(reader: Any) -> None:
        while not moved.is_set():
            began.set()
            assert await table_of(reader, "facts", "SM1") in ("facts_default", name)

    # Without a cache each query is planned anew, which is when it finds the partitions.
    readers = [await asyncpg.connect(postgres_url, statement_cache_size=0) for _ in range(4)]
    try:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            for reader in readers:
                tasks.create_task(read(reader))
            await began.wait()
            for _ in range(ROUNDS):
                while name in (await partitions.make_ahead(connection))[1]:
                    pass
                assert await table_of(connection, "facts", "SM1") == name
                await connection.execute(
                    f"BEGIN; LOCK TABLE facts; ALTER TABLE facts DETACH PARTITION {name};"
                    f" INSERT INTO facts_default SELECT * FROM {name}; DROP TABLE {name}; COMMIT"
                )
            moved.set()
    finally:
        for reader in readers:
            await reader.close()


async def test_forgetting_drops_whole_partitions_and_what_is_old_in_the_default_one(
    postgres_url: str, opened: Opened, connection: Any
) -> None:
    store = await opened(postgres_url)
    yesterday = (time.time() // DAY - 1) * DAY
    times = [100.0, yesterday, yesterday + DAY - 1, yesterday + DAY]
    await store.commit([(FACT, ("AC1", "SM1", 1, "t", at, "{}")) for at in times])
    assert await store.forget("facts", yesterday + DAY - 1) == 1
    assert await connection.fetchval("SELECT count(*) FROM facts") == 3
    assert await store.forget("facts", yesterday + DAY) == 2
    assert [f.at for f in await store.facts_after(0, 10)] == [yesterday + DAY]
    name = f"facts_p{int(yesterday // DAY)}"
    assert await connection.fetchval("SELECT to_regclass($1)", name) is None


async def test_a_partition_that_is_in_use_is_dropped_another_time(
    postgres_url: str, opened: Opened, connection: Any
) -> None:
    store = await opened(postgres_url)
    day = time.time() // DAY * DAY
    await store.commit([(FACT, ("AC1", "SM1", 1, "t", day - 1, "{}"))])
    async with connection.transaction():
        await connection.fetch("SELECT * FROM facts")
        assert await store.forget("facts", day) == 0
    assert await store.forget("facts", day) == 1


@pytest.mark.parametrize(
    "statement, kind",
    [
        (records.STATE, SMS),
        (segments.STATE, SMS),
        (trace.WIPE, SMS),
        (trace.WIPE, CALL),
        (calls.UPDATE, CALL),
        (calls.LEG_UPDATE, CALL),
        (calls.LEGS_DELETE, CALL),
    ],
)
async def test_a_write_looks_into_the_partition_of_its_rows_alone(
    connection: Any, statement: Update | Delete, kind: str
) -> None:
    """However many partitions there are."""
    table = (await schema.tables(connection))[statement.table]
    text = Step(Plan(statement, table.keys), table.types).text
    names = [*statement.key, *getattr(statement, "columns", ()), getattr(statement, "guard", "")]
    sid, ending = first_sid(kind, time.time()) + "0" * 16, kind.lower()
    values = {"TEXT": sid, "BIGINT": "1", "DOUBLE PRECISION": "1"}
    arrays = [f"'{{{values[table.types[name].upper()]}}}'" for name in names if name]
    await connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    await connection.execute(f"PREPARE step AS {text}")
    plan = await connection.fetch(f"EXPLAIN EXECUTE step ({', '.join(arrays)}, '{sid}', '{sid}')")
    scanned = {
        word for (line,) in plan if " Scan " in line for word in line.split() if "_p" in word
    }
    assert {re.sub(rf"_p(\d+){ending}.*", rf"_p\1{ending}", name) for name in scanned} == {
        f"{statement.table}_p{int(time.time() // partitions.span_of(statement.table))}{ending}"
    }, plan


# -- the product's queries --------------------------------------------------------------------


def _queries(found: object) -> Iterator[Query]:
    if isinstance(found, Query):
        yield found
    elif isinstance(found, Mapping):
        for value in found.values():
            yield from _queries(value)
    elif isinstance(found, tuple | list | set | frozenset):
        for value in found:
            yield from _queries(value)


def product_queries() -> dict[str, Query]:
    """Every query that stands in a module of the gateway, by its text."""
    found = {}
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if module.name != "gateway.__main__":
            for value in vars(importlib.import_module(module.name)).values():
                found |= {query.sql: query for query in _queries(value)}
    return found


async def test_every_query_of_the_product_fits_the_schema(connection: Any) -> None:
    await schema.make_generation(connection, "jobs", 7)
    jobs = jobs_records.tables(7)
    of_jobs = {name: getattr(jobs, name) for name in jobs.__slots__}
    queries = [*product_queries().values(), *_queries(of_jobs)]
    assert len(queries) > 40
    wrong = {}
    for query in queries:
        if "sqlite_master" in query.sql:
            continue
        text = query.sql.replace("{arrived}", "true")
        try:
            await connection.prepare(text)
        except asyncpg.PostgresError as error:
            wrong[query.name] = f"{error}: {text}"
    assert not wrong


def literal(value: object) -> str:
    return f"{{{','.join(map(str, value))}}}" if isinstance(value, list) else str(value)


async def test_what_arrived_is_found_by_an_index(
    postgres_url: str, opened: Opened, connection: Any
) -> None:
    store = await opened(postgres_url)
    await schema.make_generation(connection, "jobs", 7)
    await connection.execute("SET enable_seqscan = off")
    since, until = Horizon(5, frozenset({3})), Horizon(9, frozenset({7}))
    for query, argument, index in (
        (records.ARRIVED, "{acme}", "_xact_idx"),
        (jobs_records.tables(7).arrived, "{3}", "jobs_7_arrived"),
    ):
        parameter = [3] if "3" in argument else ["acme"]
        rows, _ = await store.arrived(query, Horizon(), await store.horizon(), parameter)
        assert rows == []
        literals = [argument, *map(literal, arrivals.values(since, until, "w"))]
        text = arrivals.condition(query.sql, 1)
        for at, value in enumerate(literals, 1):
            text = text.replace(f"${at}", f"'{value}'")
        plan = [line for (line,) in await connection.fetch(f"EXPLAIN {text}")]
        assert any(index in line for line in plan), plan
        assert any("Index Cond: ((xact >=" in line for line in plan), plan
