"""The one thread that writes: groups of commits in, one transaction each, errors by commit out."""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
import structlog

from gateway.store.base import (
    Conflict,
    Fenced,
    Lease,
    Stale,
    StoreError,
    Write,
)
from gateway.store.group import Batch, Plans, arrange
from gateway.store.sqlite_file import is_trouble, keys_of, open_writer, unavailable

_log = structlog.get_logger(__name__)

Commit = tuple[Sequence[Write], Lease | None, object]
Errors = dict[int, StoreError]

# Errors that leave the connection fit for the next group.
_HARMLESS: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SAVE_LEASE: Final = (
    "INSERT INTO leases (name, holder, epoch, expires_at) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = excluded.epoch,"
    " expires_at = excluded.expires_at"
)


class Applied(msgspec.Struct, kw_only=True):
    """What a group came to: rows written, and the id of its last fact (0: it has none)."""

    rows: int = 0
    last_fact: int = 0


class Writer:
    """Owns the writing connection. Every method is called in one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor
        self._plans: Plans
        self._leases: dict[str, Lease] = {}
        self._open()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, opened again if trouble made the last one unfit."""
        return self._open() if self._connection is None else self._connection

    def _open(self) -> sqlite3.Connection:
        connection = open_writer(self._path)
        self._connection = connection
        self._cursor = connection.cursor()
        return connection

    def learn(self) -> int:
        """Read the schema's keys and the leases; the id of the newest fact."""
        connection = self.connection
        self._plans = Plans(keys_of(connection))
        rows = connection.execute("SELECT name, holder, epoch, expires_at FROM leases").fetchall()
        self._leases = {
            name: Lease(name=name, holder=holder, epoch=epoch, expires_at=expires_at)
            for name, holder, epoch, expires_at in rows
        }
        newest = connection.execute("SELECT max(id) FROM facts").fetchone()[0]
        return int(newest or 0)

    def apply(self, commits: Sequence[Commit], errors: Errors) -> Applied:
        """Make the commits durable, all but those that `errors` gets an entry for, by index.

        Raises `StoreUnavailable` when none of them could be written.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                applied = self._run(commits)
            except (StoreError, sqlite3.Error, TypeError, ValueError, OverflowError) as error:
                failure = self._verdict(error)
                self._roll_back()
                if len(commits) == 1:
                    errors[0] = failure
                    return Applied()
                self.connection.execute("BEGIN IMMEDIATE")
                applied = self._halve(commits, 0, errors)
            self._cursor.execute("COMMIT")
        except sqlite3.Error as error:
            self._recover(error)
            raise unavailable(self._path, error) from error
        return applied

    def lease(self, name: str, holder: str, ttl: float, now: float) -> Lease | None:
        """`Store.lease`."""
        held = self._leases.get(name)
        if held is not None and held.holder != holder and held.expires_at > now:
            return None
        epoch = 1 if held is None else held.epoch + (held.holder != holder)
        lease = Lease(name=name, holder=holder, epoch=epoch, expires_at=now + ttl)
        try:
            self.connection.execute(_SAVE_LEASE, msgspec.structs.astuple(lease))
        except sqlite3.Error as error:
            self._recover(error)
            raise unavailable(self._path, error) from error
        self._leases[name] = lease
        return lease

    def close(self) -> None:
        """Let go of the file; what is in the log is moved into it if the disk allows."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, commits: Sequence[Commit]) -> Applied:
        for _, fence, _ in commits:
            if fence is not None:
                self._check(fence)
        applied = Applied()
        writes = chain.from_iterable(writes for writes, _, _ in commits)
        for batch in arrange(self._plans, writes):
            self._run_batch(batch, applied)
        return applied

    def _run_batch(self, batch: Batch, applied: Applied) -> None:
        cursor = self._cursor
        plan = batch.plan
        for text, variables, count in plan.chunks(batch.rows):
            cursor.execute(text, variables)
            if plan.guard_at >= 0 and cursor.rowcount != count:
                raise Stale(
                    f"a row of {plan.table} was changed, or deleted, since it was read:"
                    " read it again"
                )
            applied.rows += count
            if plan.table == "facts":
                applied.last_fact = cursor.lastrowid or 0

    def _check(self, fence: Lease) -> None:
        held = self._leases.get(fence.name)
        if held is None or held.epoch != fence.epoch or held.holder != fence.holder:
            holder = "nobody" if held is None else held.holder
            raise Fenced(f"the lease {fence.name!r} of {fence.holder!r} passed to {holder!r}")

    def _halve(self, commits: Sequence[Commit], offset: int, errors: Errors) -> Applied:
        """Apply all but the commits at fault, which get their entry in `errors`."""
        cursor = self._cursor
        cursor.execute("SAVEPOINT part")
        try:
            applied = self._run(commits)
        except (StoreError, sqlite3.Error, TypeError, ValueError, OverflowError) as error:
            failure = self._verdict(error)
            cursor.execute("ROLLBACK TO part")
            cursor.execute("RELEASE part")
            if len(commits) == 1:
                errors[offset] = failure
                return Applied()
            middle = len(commits) // 2
            left = self._halve(commits[:middle], offset, errors)
            right = self._halve(commits[middle:], offset + middle, errors)
            return Applied(
                rows=left.rows + right.rows, last_fact=max(left.last_fact, right.last_fact)
            )
        cursor.execute("RELEASE part")
        return applied

    def _verdict(self, error: Exception) -> StoreError:
        """What is wrong with a commit; trouble with the file is raised again."""
        match error:
            case StoreError():
                return error
            case sqlite3.IntegrityError(sqlite_errorcode=code) if code in _TAKEN:
                return Conflict(f"{error}: a row with this key exists already")
            case sqlite3.Error() if is_trouble(error):
                raise error
            case _:
                return StoreError(f"{type(error).__name__}: {error}")

    def _roll_back(self) -> None:
        connection = self._connection
        if connection is not None and connection.in_transaction:
            connection.execute("ROLLBACK")

    def _recover(self, error: sqlite3.Error) -> None:
        """Be ready for the next group: SQLite has dropped the pages that it could not write."""
        try:
            self._roll_back()
            fit = getattr(error, "sqlite_errorcode", 0) & 0xFF in _HARMLESS
        except sqlite3.Error as further:
            _log.warning("the rollback failed too", reason=str(further))
            fit = False
        if not fit:
            self.close()


_TAKEN: Final = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
        sqlite3.SQLITE_CONSTRAINT_ROWID,
    }
)
