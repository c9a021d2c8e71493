"""The one thread that writes: groups of commits in, one transaction each, errors by commit out."""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from gateway.store import sqlite_generations as generations
from gateway.store.base import (
    Conflict,
    Insert,
    Lease,
    Row,
    Stale,
    Statement,
    StoreError,
    Write,
)
from gateway.store.group import Batch, Plans, arrange
from gateway.store.sql import Keys, Plan
from gateway.store.sqlite_file import is_trouble, keys_of, open_writer, unavailable, upgrade
from gateway.store.sqlite_generations import Generation
from gateway.store.sqlite_members import Roll
from gateway.store.sqlite_recent import COLUMNS, Part

_log = logging.getLogger(__name__)

Commit = tuple[Sequence[Write], Lease | None, object]
Errors = dict[int, StoreError]

# Errors that leave the connection fit for the next group.
_HARMLESS: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SAVE_LEASE: Final = (
    "INSERT INTO leases (name, holder, epoch, expires_at) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = excluded.epoch,"
    " expires_at = excluded.expires_at"
)
_FORGET_LEASE: Final = "DELETE FROM leases WHERE name = ?"


class Applied(msgspec.Struct, kw_only=True):
    """What a group came to: rows written, and the facts among them.

    `facts_changed` says that facts were written which are not in `facts`, or deleted.
    """

    rows: int = 0
    last_fact: int = 0  # its id, 0: there is none
    facts: list[Part] = []
    facts_changed: bool = False


class Writer:
    """Owns the writing connection. Every method is called in one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor
        self._plans: Plans
        self._begun: list[Generation] = []  # in the transaction that is open
        self._roll = Roll(())
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

    def learn(self, now: float) -> int:
        """Read the schema's keys and bury the members of earlier runs; the newest fact's id."""
        connection = self.connection
        self._plans = Plans(keys_of(connection), self._begin)
        rows = connection.execute("SELECT name, holder, epoch, expires_at FROM leases").fetchall()
        self._roll = Roll(
            Lease(name=name, holder=holder, epoch=epoch, expires_at=expires_at)
            for name, holder, epoch, expires_at in rows
        )
        self._bury(self._roll.everybody(), now)
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
        self._begun.clear()
        return applied

    def renew(self, holder: str, ttl: float, now: float) -> Lease:
        """`Store.renew`."""
        lease, new = self._roll.renewed(holder, ttl, now)
        if ttl <= 0:
            self._bury([holder], now)
        elif new:
            self._save([lease])
        else:
            self._roll.take([lease])
        return lease

    def bury(self, holder: str, by: str, now: float) -> list[str]:
        """`Store.bury`."""
        late = [each for each in self._roll.late(now) if each != by]
        if holder in self._roll.everybody() and holder not in late:
            late.append(holder)
        self._bury(late, now)
        return late

    def claim(self, names: Sequence[str], member: Lease) -> dict[str, Lease]:
        """`Store.claim`."""
        self._save(self._roll.claimed(names, member))
        wanted = frozenset(names)
        return {
            lease.name: lease
            for lease in self._roll.listed()
            if lease.holder == member.holder and lease.name in wanted
        }

    def release(self, names: Sequence[str], member: Lease) -> None:
        """`Store.release`."""
        self._save(self._roll.released(names, member))

    def leases(self) -> list[Lease]:
        """`Store.leases`."""
        return self._roll.listed()

    def drop(self, generation: Generation) -> None:
        """`Store.drop_generation`."""
        with self._trouble_told():
            generations.drop(self.connection, generation)
        self._plans.forget(generation.tables)

    def close(self) -> None:
        """Let go of the file; what is in the log is moved into it if the disk allows."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, commits: Sequence[Commit]) -> Applied:
        for _, fence, _ in commits:
            if fence is not None:
                self._roll.check(fence)
        applied = Applied()
        writes = chain.from_iterable(writes for writes, _, _ in commits)
        for batch in arrange(self._plans, writes):
            self._run_batch(batch, applied)
        return applied

    def _run_batch(self, batch: Batch, applied: Applied) -> None:
        cursor = self._cursor
        plan, rows = batch.plan, batch.rows
        if each := plan.apart(rows):
            cursor.executemany(*each)
            self._check(plan, len(rows))
            applied.rows += len(rows)
            applied.facts_changed |= plan.table == "facts"
            return
        done = 0
        for text, variables, count in plan.chunks(rows):
            cursor.execute(text, variables)
            self._check(plan, count)
            applied.rows += count
            if plan.table == "facts":
                self._note_facts(plan.statement, rows[done : done + count], applied)
            done += count

    def _check(self, plan: Plan, count: int) -> None:
        """See that the last step of a guarded plan found as many rows as it was for."""
        if plan.guard_at >= 0 and self._cursor.rowcount != count:
            raise Stale(
                f"a row of {plan.table} was changed, or deleted, since it was read: read it again"
            )

    def _note_facts(self, statement: Statement, rows: Sequence[Row], applied: Applied) -> None:
        """Tell which ids the facts got; the cursor knows the last one of an INSERT alone."""
        if not isinstance(statement, Insert):
            applied.facts_changed = True
            return
        last = applied.last_fact = self._cursor.lastrowid or 0
        if statement.columns == COLUMNS and not statement.ignore_taken:
            applied.facts.append(Part(first=last - len(rows) + 1, last=last, rows=rows))
        else:
            applied.facts_changed = True

    def _begin(self, table: str) -> dict[str, Keys]:
        """Make the generation that `table` belongs to, for `Plans`."""
        generation = generations.generation_of(table)
        if generation is None:
            return {}
        keys = generations.make(self.connection, generation)
        self._begun.append(generation)
        return keys

    def _unmake(self, mark: int) -> None:
        """A rollback took the generations with it that were made after the first `mark`."""
        for generation in self._begun[mark:]:
            self._plans.forget(generation.tables)
        del self._begun[mark:]

    def _bury(self, holders: Sequence[str], now: float) -> None:
        self._save(self._roll.buried(holders, now), self._roll.forgotten(now))

    def _save(self, leases: Sequence[Lease], forgotten: Sequence[str] = ()) -> None:
        if not leases and not forgotten:
            return
        with self._trouble_told():
            connection = self.connection
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_SAVE_LEASE, map(msgspec.structs.astuple, leases))
            connection.executemany(_FORGET_LEASE, ((name,) for name in forgotten))
            connection.execute("COMMIT")
        self._roll.take(leases)
        self._roll.drop(forgotten)

    @contextmanager
    def _trouble_told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._recover(error)
            raise unavailable(self._path, error) from error

    def _halve(self, commits: Sequence[Commit], offset: int, errors: Errors) -> Applied:
        """Apply all but the commits at fault, which get their entry in `errors`."""
        cursor = self._cursor
        mark = len(self._begun)
        cursor.execute("SAVEPOINT part")
        try:
            applied = self._run(commits)
        except (StoreError, sqlite3.Error, TypeError, ValueError, OverflowError) as error:
            failure = self._verdict(error)
            cursor.execute("ROLLBACK TO part")
            cursor.execute("RELEASE part")
            self._unmake(mark)
            if len(commits) == 1:
                errors[offset] = failure
                return Applied()
            middle = len(commits) // 2
            left = self._halve(commits[:middle], offset, errors)
            right = self._halve(commits[middle:], offset + middle, errors)
            return Applied(
                rows=left.rows + right.rows,
                last_fact=max(left.last_fact, right.last_fact),
                facts=left.facts + right.facts,
                facts_changed=left.facts_changed or right.facts_changed,
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
        self._unmake(0)
        connection = self._connection
        if connection is not None and connection.in_transaction:
            connection.execute("ROLLBACK")

    def _recover(self, error: sqlite3.Error) -> None:
        """Be ready for the next group: SQLite has dropped the pages that it could not write."""
        try:
            self._roll_back()
            fit = getattr(error, "sqlite_errorcode", 0) & 0xFF in _HARMLESS
        except sqlite3.Error as further:
            _log.warning("the rollback failed too: %s", further)
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


def prepare(path: Path, now: float | None) -> tuple[Writer, list[str], int]:
    """Open the database `path`, whose lock is held, and bring its schema up to date.

    Gives the writer, which files of the schema were applied, and, with `now`, the id of the newest
    fact: then the members of earlier runs are buried. Raises `StoreUnavailable`.
    """
    try:
        writer = Writer(path)
        try:
            return writer, upgrade(writer.connection, path), 0 if now is None else writer.learn(now)
        except BaseException:
            writer.close()
            raise
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
