"""A view of the whole database at one moment: a transaction that only reads, on a connection of
its own.

Traffic goes on beside it. Generations of jobs are held by a lock, so that none is dropped before
it was read; partitions are dropped when the view is closed, as whoever drops them expects.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from gateway.store.base import Row, Shape
from gateway.store.postgres_link import FAILURES, Connection, Link
from gateway.store.postgres_schema import generation_of, tables

_PAGE: Final = 500  # rows
_OWN_TABLES: Final = frozenset({"schema_steps", "commit_tokens"})
_OWN_COLUMNS: Final = frozenset({"xact", "writer"})  # by which rows of others are told
_SCHEMA: Final = "SELECT coalesce(max(number), 0) FROM schema_steps"
_SEQUENCES: Final = {"facts": "facts_id", "trace": "trace_id"}
_PATIENCE: Final = "10min"  # with whoever reads the pages


class PostgresSnapshot:
    """`gateway.store.base.Snapshot` in the transaction of `connection`."""

    def __init__(self, link: Link, connection: Connection) -> None:
        """Use `snapshot`."""
        self._link = link
        self._connection = connection
        self.schema = 0
        self.shapes: list[Shape] = []
        self.sequences: dict[str, int] = {}

    async def begin(self) -> None:
        """Take the view; raises `StoreUnavailable`."""
        connection = self._connection
        try:
            await connection.transaction(isolation="repeatable_read", readonly=True).start()
            self.schema = await connection.fetchval(_SCHEMA)
            self.shapes = [
                Shape(name, tuple(each for each in table.types if each not in _OWN_COLUMNS))
                for name, table in (await tables(connection)).items()
                if name not in _OWN_TABLES
            ]
            for table, sequence in _SEQUENCES.items():
                given = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"
                self.sequences[table] = await connection.fetchval(given)
            generations = [each.table for each in self.shapes if generation_of(each.table)]
            if generations:
                await connection.execute(
                    f"LOCK TABLE {', '.join(generations)} IN ACCESS SHARE MODE"
                )
        except FAILURES as error:
            raise self._link.told(error) from error

    async def pages(self, shape: Shape) -> AsyncIterator[list[Row]]:
        """`Snapshot.pages`."""
        text = f"SELECT {', '.join(shape.columns)} FROM {shape.table}"
        try:
            cursor = await self._connection.cursor(text)
        except FAILURES as error:
            raise self._link.told(error) from error
        while page := await self._page(cursor):
            yield page

    async def _page(self, cursor: Any) -> list[Row]:
        try:
            return [tuple(row) for row in await cursor.fetch(_PAGE)]
        except FAILURES as error:
            raise self._link.told(error) from error


@asynccontextmanager
async def snapshot(link: Link) -> AsyncIterator[PostgresSnapshot]:
    """`Store.snapshot` of the database that `link` reaches."""
    connection = await link.connect(
        statement_timeout="0", idle_in_transaction_session_timeout=_PATIENCE
    )
    try:
        view = PostgresSnapshot(link, connection)
        await view.begin()
        yield view
    finally:
        connection.terminate()  # it has nothing to commit, and whoever waits may be canceled
