"""A view of the whole file at one moment: a reading transaction on a connection of its own.

The writer goes on meanwhile; what it writes stays in the log until the view is closed, because
the pages under it may not change.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from gateway.store.base import Row, Shape
from gateway.store.sqlite_file import open_reader, schema_version, unavailable

_PAGE: Final = 500  # rows
_TABLES: Final = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
)
_COLUMNS: Final = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
_SEQUENCES: Final = "SELECT name, seq FROM sqlite_sequence ORDER BY name"

_T = TypeVar("_T")


class SqliteSnapshot:
    """`gateway.store.base.Snapshot`; everything that touches the file runs in `thread`."""

    def __init__(self, path: Path, thread: ThreadPoolExecutor) -> None:
        """Use `snapshot`."""
        self._path = path
        self._thread = thread
        self._connection: sqlite3.Connection | None = None
        self.schema = 0
        self.shapes: list[Shape] = []
        self.sequences: dict[str, int] = {}

    async def begin(self) -> None:
        """Take the view; raises `StoreUnavailable`."""
        await self._ask(self._begin)

    async def pages(self, shape: Shape) -> AsyncIterator[list[Row]]:
        """`Snapshot.pages`."""
        cursor = await self._ask(lambda: self._select(shape))
        while page := await self._ask(lambda: cursor.fetchmany(_PAGE)):
            yield page

    def close(self) -> None:
        """Let the log go; in the thread."""
        if self._connection is not None:
            self._connection.close()

    async def _ask(self, call: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error

    def _begin(self) -> None:
        self._connection = connection = open_reader(self._path)
        connection.execute("BEGIN")
        self.schema = schema_version(connection)  # the first read fixes the view
        self.shapes = [
            Shape(table, tuple(name for (name,) in connection.execute(_COLUMNS, (table,))))
            for (table,) in connection.execute(_TABLES).fetchall()
        ]
        self.sequences = dict(connection.execute(_SEQUENCES).fetchall())

    def _select(self, shape: Shape) -> sqlite3.Cursor:
        assert self._connection is not None
        return self._connection.execute(f"SELECT {', '.join(shape.columns)} FROM {shape.table}")


@asynccontextmanager
async def snapshot(path: Path) -> AsyncIterator[SqliteSnapshot]:
    """`Store.snapshot` of the database `path`, which must be open."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="store-snapshot")
    view = SqliteSnapshot(path, thread)
    try:
        await view.begin()
        yield view
    finally:
        # Whoever waits for this may be canceled meanwhile: the file is let go of all the same.
        closed = asyncio.get_running_loop().run_in_executor(thread, view.close)
        thread.shutdown(wait=False)
        await asyncio.shield(closed)
