"""Fills a new database file with rows that come from elsewhere: a backup of any store.

The file is made with the schema that the rows are of, filled without a log, which nobody needs
to come back to, and then brought up to date by the same steps as any other database. It counts
when `finish` is done; until then it is a file that may be removed.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from gateway.store import sqlite_generations as generations
from gateway.store.base import Row, Shape, StoreError
from gateway.store.loading import Held
from gateway.store.sqlite_file import FileLock, schema_version, unavailable, upgrade

_log = structlog.get_logger(__name__)

_PRAGMAS: Final = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -65536")
_BESIDE: Final = ("-wal", "-shm", "-journal", ".lock")  # what may stand beside a database
_COLUMNS: Final = "SELECT name FROM pragma_table_info(?)"
_SEQUENCE: Final = "SELECT seq FROM sqlite_sequence WHERE name = ?"


class Loader:
    """A database in the making. Its methods are called in one thread at a time."""

    def __init__(self, path: Path, schema: int) -> None:
        """Make the file at `path`, in place of what may stand there, with that schema's tables.

        Raises `StoreUnavailable`.
        """
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._insert = ""
        discard(path)
        try:
            # It holds tokens and texts.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection = connection
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            upgrade(connection, path, schema)
            connection.execute("BEGIN")
        except (OSError, sqlite3.Error) as error:
            raise self._told(error) from error

    def begin(self, shape: Shape) -> None:
        """The rows that follow are of this table. Raises `StoreError` if it can't take them."""
        generation = generations.generation_of(shape.table)
        known = [] if shape.table.startswith("sqlite_") else self._columns(shape.table)
        if generation is not None and not known:
            generations.make(self._open, generation)
            known = self._columns(shape.table)
        if not known:
            raise StoreError(f"there is no table {shape.table!r} for them")
        strange = [name for name in shape.columns if name not in known]
        if strange or not shape.columns:
            raise StoreError(f"table {shape.table!r} has no column {', '.join(strange)!r}")
        marks = ", ".join("?" * len(shape.columns))
        names = ", ".join(shape.columns)
        self._insert = f"INSERT INTO {shape.table} ({names}) VALUES ({marks})"

    def add(self, rows: Sequence[Row]) -> None:
        """Put them there."""
        try:
            self._open.executemany(self._insert, rows)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError) as error:
            raise StoreError(f"the rows do not fit: {error}") from error
        except sqlite3.Error as error:
            raise self._told(error) from error

    def finish(self, sequences: Mapping[str, int]) -> None:
        """Bring it up to date; ids of `sequences` begin above what was given there."""
        try:
            connection = self._open
            for table, given in sequences.items():
                _set_sequence(connection, table, given)
            connection.execute("COMMIT")
            applied = upgrade(connection, self._path)
            if applied:
                _log.info("what was restored was brought up to date", applied=applied)
            self.close()
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
        except (OSError, sqlite3.Error) as error:
            raise self._told(error) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def _columns(self, table: str) -> list[str]:
        return [name for (name,) in self._open.execute(_COLUMNS, (table,))]

    def _told(self, error: OSError | sqlite3.Error) -> StoreError:
        if isinstance(error, sqlite3.Error):
            return unavailable(self._path, error)
        return StoreError(f"{self._path} can't be written: {error.strerror}")


def _set_sequence(connection: sqlite3.Connection, table: str, given: int) -> None:
    row = connection.execute(_SEQUENCE, (table,)).fetchone()
    if row is None:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, given))
    else:
        connection.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (given, table)
        )


def discard(path: Path) -> None:
    """Remove a database and what stands beside it."""
    for beside in ("", *_BESIDE):
        path.with_name(path.name + beside).unlink(missing_ok=True)


@contextmanager
def taken(path: Path) -> Iterator[Held]:
    """Keep every other process out of the database `path`, be it there or not.

    Raises `StoreUnavailable` if one has it open.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        yield _held(path)
    finally:
        lock.release()


def _held(path: Path) -> Held:
    if not path.exists() or not path.stat().st_size:
        return Held()
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        if not schema_version(connection):
            return Held()
        return Held(
            has_messages=connection.execute("SELECT 1 FROM messages").fetchone() is not None,
            sequences=dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()),
        )
    except sqlite3.Error as error:
        _log.warning("the database can't be read", reason=str(unavailable(path, error)))
        return Held(readable=False)
    finally:
        connection.close()  # moves its log into it


def put_in_place(made: Path, path: Path) -> None:
    """The database `made` stands at `path` from now on; whoever calls this has taken it.

    The old one's log must not stay beside the new one: it would be read as its.
    """
    try:
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
        made.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}") from error
