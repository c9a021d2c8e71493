"""The SQLite file itself: who may open it, its schema, its connections, and what ails it."""

import errno
import fcntl
import os
import re
import socket
import sqlite3
import time
from importlib import resources
from pathlib import Path
from typing import IO, Final

from gateway.store.base import StoreUnavailable
from gateway.store.sql import Keys

_SCHEMA: Final = resources.files("gateway.store") / "schema" / "sqlite"
_SCHEMA_FILE: Final = re.compile(r"(\d{4})_\w+\.sql")
_HOLDER: Final = re.compile(r"process (\d+) on (\S+)")
_LETS_GO_WITHIN: Final = 10.0  # seconds: a write to a slow disk
_LOOKS_EVERY: Final = 0.01
_BUSY_TIMEOUT: Final = 5.0  # seconds, against a person with a shell on the file
_WRITER_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 4000",  # pages: fewer rewrites of hot pages than the default 1000
    "journal_size_limit = 67108864",  # bytes of log that stay on disk after a checkpoint
    # KiB. Keys grow with time, so that a commit needs the last pages alone, and the system keeps
    # the file's pages too: more than this makes no commit cheaper.
    "cache_size = -8192",
    "temp_store = MEMORY",
    # Some builds overwrite every page that they free, which makes a drop write all that it drops.
    "secure_delete = FAST",
)
_READER_PRAGMAS: Final = ("query_only = ON", "cache_size = -4096", "temp_store = MEMORY")

_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: make room, writing then resumes by itself",
    sqlite3.SQLITE_READONLY: "it can't be written: look at the permissions of the file and its"
    " folder, and whether the disk is mounted for writing",
    sqlite3.SQLITE_IOERR: "the disk reported an error: look at the system's log",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened: look at the folder and its permissions",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: stop and restore it from a backup",
    sqlite3.SQLITE_NOTADB: "this is not a SQLite database: choose another file",
    sqlite3.SQLITE_BUSY: "another program keeps it locked: close that program",
    sqlite3.SQLITE_LOCKED: "another program keeps it locked: close that program",
    sqlite3.SQLITE_PROTOCOL: "another program keeps it locked: close that program",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_PERM: "access was denied: look at the permissions of the file",
}


def is_trouble(error: sqlite3.Error) -> bool:
    """Whether `error` is about the file or the disk, not about what was written."""
    return _primary_code(error) in _ADVICE


def unavailable(path: Path, error: sqlite3.Error) -> StoreUnavailable:
    """What to tell a person about trouble with the file."""
    advice = _ADVICE.get(_primary_code(error), "it failed")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreUnavailable(f"the database {path}: {advice} ({name}: {error})")


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


class FileLock:
    """Held by the one process that may open the database (a second writer would corrupt ids)."""

    def __init__(self, path: Path) -> None:
        """Take the lock of the database `path`; raises `StoreUnavailable` naming the holder.

        Waits a moment for the writer of a process that is gone to be gone as well.
        """
        self._file: IO[str] = path.with_name(path.name + ".lock").open("a+", encoding="utf-8")
        until = time.monotonic() + _LETS_GO_WITHIN
        while not self._is_taken():
            self._file.seek(0)
            holder = self._file.read().strip()
            if time.monotonic() < until and _is_gone(holder):
                time.sleep(_LOOKS_EVERY)
                continue
            self._file.close()
            raise StoreUnavailable(
                f"the database {path} is in use by {holder or 'another process'}: stop that one"
                " first, or choose another data folder"
            )
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def _is_taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def fileno(self) -> int:
        """Who inherits it holds the lock too."""
        return self._file.fileno()

    def release(self) -> None:
        """Let another process have it."""
        self._file.truncate(0)
        self._file.close()


def _is_gone(holder: str) -> bool:
    """Whether the process that is named as holder has ended on this machine."""
    match = _HOLDER.fullmatch(holder)
    if match is None or match[2] != socket.gethostname():
        return False
    try:
        os.kill(int(match[1]), 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    return False


def open_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes; made for use in any one thread at a time."""
    connection = sqlite3.connect(
        path,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=1024,
    )
    _set(connection, _WRITER_PRAGMAS)
    return connection


def shrink(connection: sqlite3.Connection) -> None:
    """Let go of the pages that it keeps."""
    connection.execute("PRAGMA shrink_memory").fetchall()


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that reads what is committed; the writer's must be open."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    _set(connection, _READER_PRAGMAS)
    return connection


def _set(connection: sqlite3.Connection, pragmas: tuple[str, ...]) -> None:
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error:
        connection.close()
        raise


def newest_schema() -> int:
    """The number of the newest schema file that this program has."""
    return max(schema_files())


def upgrade(connection: sqlite3.Connection, path: Path, up_to: int | None = None) -> list[str]:
    """Apply the numbered schema files that this database does not have yet; their names.

    Those above `up_to` are left out. Raises `StoreUnavailable` for a database that a newer
    version of the program made.
    """
    steps = schema_files()
    version = schema_version(connection)
    if version > max(steps):
        raise StoreUnavailable(
            f"the database {path} has schema {version}, this program knows {max(steps)}:"
            " use the version of the program that made it, or a newer one"
        )
    applied = []
    last = max(steps) if up_to is None else up_to
    for number in sorted(step for step in steps if version < step <= last):
        name, text = steps[number]
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements(text):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO meta (name, value) VALUES ('schema_version', ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (str(number),),
            )
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        applied.append(name)
    return applied


def schema_files() -> dict[int, tuple[str, str]]:
    """The numbered files of the schema: name and text, by number."""
    found = {}
    for file in _SCHEMA.iterdir():
        match = _SCHEMA_FILE.fullmatch(file.name)
        if match is not None:
            found[int(match[1])] = (file.name, file.read_text(encoding="utf-8"))
    return found


def schema_version(connection: sqlite3.Connection) -> int:
    """The number of the newest schema file that was applied to this database; 0 for none."""
    tables = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'"
    if connection.execute(tables).fetchone() is None:
        return 0
    row = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    return int(row[0]) if row is not None else 0


def schema_text(name: str) -> str:
    """The text of a file of the schema."""
    return (_SCHEMA / name).read_text(encoding="utf-8")


def statements(text: str) -> list[str]:
    """The statements of a file of the schema."""
    found = []
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found


def keys_of(connection: sqlite3.Connection) -> dict[str, Keys]:
    """The primary key and the other unique columns of each table."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {table: keys_of_table(connection, table) for (table,) in tables}


def keys_of_table(connection: sqlite3.Connection, table: str) -> Keys:
    """The primary key and the other unique columns of one table."""
    columns = connection.execute(
        "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,)
    ).fetchall()
    others = connection.execute(
        "SELECT i.name FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i"
        " WHERE l.\"unique\" AND l.origin <> 'pk'",
        (table,),
    ).fetchall()
    return Keys(
        primary=tuple(name for (name,) in columns), others=frozenset(name for (name,) in others)
    )
