"""Tables in partitions by time: made ahead, dropped whole.

A SID begins with its kind and the time, so a span of time is one range for each kind. What fits
none of the partitions, because somebody's clock is odd, goes to the default one: no write fails
for want of a partition.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import structlog
from asyncpg import exceptions as pg

from gateway.sids import CALL, MMS, SMS, first_sid, made_at
from gateway.store.postgres_link import Connection
from gateway.store.postgres_schema import LOCK

_log = structlog.get_logger(__name__)

_DAY: Final = 86400
_PAGE: Final = 5000
_PATIENCE: Final = "500ms"


class _Parted(msgspec.Struct, frozen=True, kw_only=True):
    """`span` in seconds; `kinds` are those of the SIDs, none when the column is a time."""

    column: str
    span: int
    kinds: tuple[str, ...] = ()


# Each statement that can't tell the time looks into every partition, so there are not many: a
# table whose rows stay for long has long spans.
_TABLES: Final = {
    "messages": _Parted(column="sid", span=30 * _DAY, kinds=(SMS, MMS)),
    "segments": _Parted(column="sid", span=30 * _DAY, kinds=(SMS, MMS)),
    "calls": _Parted(column="sid", span=30 * _DAY, kinds=(CALL,)),
    "call_legs": _Parted(column="sid", span=30 * _DAY, kinds=(CALL,)),
    "trace": _Parted(column="sid", span=_DAY, kinds=(SMS, MMS, CALL)),
    "facts": _Parted(column="at", span=_DAY),
}
COLUMNS: Final = {name: parted.column for name, parted in _TABLES.items()}


def span_of(table: str) -> int:
    """For how many seconds each of its partitions stands."""
    return _TABLES[table].span


class _Partition(msgspec.Struct, frozen=True, kw_only=True):
    """`low` and `high` as SQL writes them: from, and before."""

    table: str
    name: str
    low: str
    high: str
    ends: float


_NOW: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
_EXISTING: Final = """
SELECT c.relname::text, c.reltuples::float8
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass"""


def _partitions(table: str, number: int) -> Iterator[_Partition]:
    parted = _TABLES[table]
    start, end = float(number * parted.span), float((number + 1) * parted.span)
    name = f"{table}_p{number}"
    if not parted.kinds:
        yield _Partition(table=table, name=name, low=repr(start), high=repr(end), ends=end)
    for kind in parted.kinds:
        yield _Partition(
            table=table,
            name=f"{name}{kind.lower()}",
            low=f"'{first_sid(kind, start)}'",
            high=f"'{first_sid(kind, end)}'",
            ends=end,
        )


async def make_ahead(connection: Connection) -> tuple[list[str], list[str]]:
    """Make the partitions of the span that is now, by the server's clock, of the one before it
    (a clock may be slow) and of the next; the names of the new ones, and of those that have to
    wait, because something keeps the table locked.
    """
    made: list[str] = []
    left: list[str] = []
    now = await connection.fetchval(_NOW)
    for table, parted in _TABLES.items():
        there = await _existing(connection, table)
        number = int(now // parted.span)
        missing = [
            partition
            for each in (number - 1, number, number + 1)
            for partition in _partitions(table, each)
            if partition.name not in there
        ]
        while missing and await _made(connection, missing[0]):
            made.append(missing.pop(0).name)
        left += [partition.name for partition in missing]
    if left:
        _log.warning("partitions are made later: a table is in use", partitions=left)
    return made, left


async def _existing(connection: Connection, table: str) -> set[str]:
    return {name for name, _ in await connection.fetch(_EXISTING, table)}


async def make_for(connection: Connection, table: str, values: Iterable[str | float]) -> None:
    """Make the partitions that rows with these values of the table's column belong to.

    What is ahead of the server's clock by more than a span goes to the default one.
    """
    parted = _TABLES[table]
    now, there = await connection.fetchval(_NOW), await _existing(connection, table)
    times = (made_at(value) if isinstance(value, str) else value for value in values)
    for number in sorted({int(at // parted.span) for at in times if 0 <= at < now + parted.span}):
        for partition in _partitions(table, number):
            if partition.name not in there:
                await _make(connection, partition)


async def _made(connection: Connection, partition: _Partition) -> bool:
    """Whether the table let it be made."""
    try:
        await _make(connection, partition)
    except pg.LockNotAvailableError:
        return False
    return True


async def _make(connection: Connection, partition: _Partition) -> None:
    """Make one, as a table that is then attached with what the default partition has of it.

    The whole table is locked meanwhile: a query that has found its partitions, and then waits for
    the default one alone, would see neither where the rows were nor where they went.
    """
    table, name, column = partition.table, partition.name, _TABLES[partition.table].column
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        if await connection.fetchval("SELECT to_regclass($1)::text", name) is not None:
            return
        # Whoever asks for the table waits while this waits, behind a backup for long.
        await connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        await connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        await connection.execute(
            f"WITH moved AS (DELETE FROM {table}_default WHERE {column} >= {partition.low}"
            f" AND {column} < {partition.high} RETURNING *) INSERT INTO {name} SELECT * FROM moved"
        )
        await connection.execute(
            f"ALTER TABLE {table} ATTACH PARTITION {name}"
            f" FOR VALUES FROM ({partition.low}) TO ({partition.high})"
        )


async def forget(connection: Connection, table: str, before: float) -> int:
    """Drop the partitions of `table` that end by `before`; about how many rows there were.

    From the default partition the rows are deleted one by one. A partition that something keeps
    locked is left for the next time.
    """
    parted = _TABLES[table]
    dropped = 0
    for name, rows in await connection.fetch(_EXISTING, table):
        number = _number_of(table, name)
        if number is not None and (number + 1) * parted.span <= before:
            dropped += await _drop(connection, name, int(rows))
    ranges: list[tuple[str | float, str | float]] = [
        (first_sid(kind, 0.0), first_sid(kind, before)) for kind in parted.kinds
    ]
    for low, high in ranges or [(float("-inf"), before)]:
        dropped += await _forget_in_default(connection, table, low, high)
    return dropped


async def _drop(connection: Connection, name: str, rows: int) -> int:
    """Drop one partition of about `rows` rows (less than 0: not known yet); how many they were."""
    try:
        async with connection.transaction():
            # The whole table waits while this waits.
            await connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
            if rows < 0:
                rows = await connection.fetchval(f"SELECT count(*) FROM {name}")
            await connection.execute(f"DROP TABLE {name}")
    except pg.LockNotAvailableError:
        _log.warning("an old partition is in use: it is dropped later", partition=name)
        return 0
    except pg.UndefinedTableError:  # another process was faster
        return 0
    return rows


def _number_of(table: str, name: str) -> int | None:
    digits = name.removeprefix(f"{table}_p").rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits) if digits.isdecimal() else None


async def _forget_in_default(
    connection: Connection, table: str, low: str | float, high: str | float
) -> int:
    column = _TABLES[table].column
    deleted = 0
    while True:
        status = await connection.execute(
            f"DELETE FROM {table}_default WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table}_default"
            f" WHERE {column} >= $1 AND {column} < $2 LIMIT {_PAGE}))",
            low,
            high,
        )
        page = int(status.split()[1])
        deleted += page
        if page < _PAGE:
            return deleted
