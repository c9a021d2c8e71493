"""Fills a database with what another store holds, in one transaction: all of it, or nothing.

What was there before goes in the same transaction. Until it ends the tables are locked, so nobody
may be at work on them, and whoever reads them waits.
"""

from collections.abc import Callable
from typing import Final

from asyncpg import exceptions as pg

from gateway.store import postgres_partitions as partitions
from gateway.store import postgres_schema as schema
from gateway.store.base import Row, Shape, Snapshot, StoreError, StoreUnavailable
from gateway.store.loading import Held
from gateway.store.postgres_link import FAILURES, Connection, Link
from gateway.store.postgres_writer import printable

_PATIENCE: Final = "10s"  # with whoever has a table locked
_READING: Final = "10min"  # without a statement, while rows are read from elsewhere
_KEPT: Final = frozenset({"schema_steps"})
_SEQUENCES: Final = {"facts": "facts_id", "trace": "trace_id"}
_UNFIT: Final = (
    pg.DataError,
    pg.IntegrityConstraintViolationError,
    TypeError,
    ValueError,
    OverflowError,
)
_ALIVE: Final = """
SELECT holder FROM leases WHERE starts_with(name, 'member:') AND holder <> ''
  AND expires_at > extract(epoch FROM clock_timestamp())::float8 ORDER BY holder"""
_GIVEN: Final = """
SELECT coalesce(last_value, 0) FROM pg_sequences
WHERE schemaname = current_schema() AND sequencename = $1"""


async def load(url: str, view: Snapshot, check: Callable[[Held], None]) -> None:
    """Replace what the database at `url` holds by what `view` shows.

    `check` is given what is there, with its tables locked, and raises whatever stops it. Raises
    `StoreUnavailable` when the database is away, has another schema, or does not take a row.
    """
    link = Link(url, "restore")
    await schema.migrate(link, schema.steps())
    newest = schema.steps()[-1].number
    if view.schema != newest:
        raise StoreUnavailable(f"what is restored has schema {view.schema}, not {newest}")
    connection = await link.connect(
        statement_timeout="0",
        lock_timeout=_PATIENCE,
        idle_in_transaction_session_timeout=_READING,
    )
    try:
        async with connection.transaction():
            await _empty(connection, check)
            for shape in view.shapes:
                await _fill(connection, view, shape)
            for table, given in view.sequences.items():
                await _go_on_above(connection, _SEQUENCES[table], given)
        await connection.execute("ANALYZE")  # or the first plans would be those of empty tables
    except FAILURES as error:
        raise link.told(error) from error
    finally:
        connection.terminate()


async def _empty(connection: Connection, check: Callable[[Held], None]) -> None:
    names = [name for name in await schema.tables(connection) if name not in _KEPT]
    await connection.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
    given = {
        table: await connection.fetchval(_GIVEN, sequence) for table, sequence in _SEQUENCES.items()
    }
    check(
        Held(
            has_messages=await connection.fetchval("SELECT EXISTS (SELECT FROM messages)"),
            members=tuple(holder for (holder,) in await connection.fetch(_ALIVE)),
            sequences=given,
        )
    )
    generations = [name for name in names if schema.generation_of(name) is not None]
    if generations:
        await connection.execute(f"DROP TABLE {', '.join(generations)}")
    staying = ", ".join(name for name in names if name not in generations)
    await connection.execute(f"TRUNCATE {staying}")


async def _fill(connection: Connection, view: Snapshot, shape: Shape) -> None:
    generation = schema.generation_of(shape.table)
    first = True
    async for page in view.pages(shape):
        if first and generation is not None:
            await schema.make_generation(connection, *generation)
        first = False
        if shape.table in partitions.COLUMNS:
            at = shape.columns.index(partitions.COLUMNS[shape.table])
            await partitions.make_for(connection, shape.table, [row[at] for row in page])
        try:
            await connection.copy_records_to_table(
                shape.table, records=[_fit(row) for row in page], columns=shape.columns
            )
        except _UNFIT as error:
            raise StoreError(f"table {shape.table} does not take its rows: {error}") from error


def _fit(row: Row) -> Row:
    return printable(row) if any(isinstance(each, str) and "\0" in each for each in row) else row


async def _go_on_above(connection: Connection, sequence: str, given: int) -> None:
    """A sequence does not go back, whatever becomes of the transaction."""
    highest = max(given, await connection.fetchval(_GIVEN, sequence) or 0)
    if highest:
        await connection.execute("SELECT setval($1::text::regclass, $2::bigint)", sequence, highest)
