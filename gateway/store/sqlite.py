"""The store on one SQLite file: group commit by one writer, reads by a few threads.

Commits wait in a queue; the writer takes all that wait, applies them in one transaction with one
fsync, and tells the event loop once for the whole group. It works in a thread, or apart from the
event loop in a process of its own.
"""

import asyncio
import re
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import NoneType
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec
import structlog

from gateway.store import sqlite_generations as generations
from gateway.store.base import (
    Fact,
    Horizon,
    Lease,
    Query,
    Row,
    Snapshot,
    StoreError,
    StoreStats,
    StoreUnavailable,
    Write,
)
from gateway.store.sqlite_file import FileLock, is_trouble, open_reader, shrink, unavailable
from gateway.store.sqlite_forget import forget
from gateway.store.sqlite_orders import (
    Bury,
    Claim,
    Drop,
    Leases,
    Order,
    Outcome,
    Release,
    Renew,
    Shrink,
)
from gateway.store.sqlite_process import WriterProcess
from gateway.store.sqlite_recent import RecentFacts
from gateway.store.sqlite_snapshot import snapshot
from gateway.store.sqlite_thread import WriterThread
from gateway.store.sqlite_writer import Applied, prepare
from gateway.store.turns import Turns

_log = structlog.get_logger(__name__)

_READERS: Final = 2
_SWITCH_INTERVAL: Final = 0.0001  # seconds; see `SqliteStore.open`
_PLACEHOLDER: Final = re.compile(r"\$\d+")
_FACTS: Final = Query(
    "facts_after",
    "SELECT id, account_sid, sid, version, type, at, data FROM facts"
    " WHERE id > $1 ORDER BY id LIMIT $2",
)

_T = TypeVar("_T")


class Place(Protocol):
    """Where the writer works: it does everything in the order in which it was told."""

    def commit(self, writes: Sequence[Write], fence: Lease | None) -> None: ...

    def ask(self, order: Order) -> None: ...

    def close(self) -> None: ...


class SqliteStore:
    """`gateway.store.base.Store` on one file, for one process."""

    def __init__(
        self,
        path: Path,
        lock: FileLock,
        max_queued: int,
        clock: Callable[[], float],
    ) -> None:
        """Use `open`."""
        self._path = path
        self._lock = lock
        self._max_queued = max_queued
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._writer: Place
        self._committing: deque[asyncio.Future[None]] = deque()
        self._asking: deque[asyncio.Future[Any]] = deque()
        self._turns = Turns(self._loop)
        self._closing = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._texts: dict[str, str] = {}
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")
        self._connections: list[sqlite3.Connection] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._watched: dict[str, asyncio.Event] = {}
        self._newest = 0
        self._recent = RecentFacts(0)
        self._groups = self._commits = self._rows = 0
        self._last_seconds = self._last_at = 0.0
        self._trouble = ""

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        max_queued: int,
        clock: Callable[[], float],
        apart: Callable[[], None] | None = None,
    ) -> "SqliteStore":
        """Open the database `path`, make or upgrade its schema, and start the writer.

        More than `max_queued` commits waiting are refused. `clock` gives seconds since the epoch.
        With `apart` the writer gets a process of its own, and `apart` is called should that ever
        end by itself: what became of the last commits nobody knows then but the file.
        Lowers the interpreter's switch interval, for the whole process: with the default of 5 ms
        a busy event loop holds each step of a thread up by as much (see also `turns`).
        Raises `StoreUnavailable` if another process has it open, or if it can't be opened.
        """
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL))
        lock = await asyncio.to_thread(_lock, path)
        store = cls(path, lock, max_queued, clock)
        try:
            if apart is None:
                applied = await store._write_here()
            else:
                applied = await store._write_apart(apart)
        except BaseException:
            lock.release()
            raise
        if applied:
            _log.info("the store's schema was brought up to date", applied=applied)
        store._recent.forget(store._newest)
        return store

    async def _write_here(self) -> list[str]:
        writer, applied, self._newest = await asyncio.to_thread(prepare, self._path, self._clock())
        thread = self._writer = WriterThread(writer, self._turns, self)
        thread.start()
        return applied

    async def _write_apart(self, lost: Callable[[], None]) -> list[str]:
        process = self._writer = WriterProcess(self, lost)
        ready = await process.start(self._path, self._lock, self._clock())
        self._newest = ready.newest
        return ready.applied

    def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> "asyncio.Future[None]":
        """`Store.commit`."""
        future = self._loop.create_future()
        if self._closing or len(self._committing) >= self._max_queued:
            future.set_exception(StoreUnavailable(self._refusal()))
            return future
        try:
            self._writer.commit(writes, fence)
        except StoreError as error:
            future.set_exception(error)
        else:
            self._committing.append(future)
        return future

    async def fetch(self, query: Query, *parameters: Any) -> list[Row]:
        """`Store.fetch`."""
        if self._closing:
            raise StoreUnavailable(self._refusal())
        text = self._texts.get(query.sql)
        if text is None:
            text = self._texts[query.sql] = _PLACEHOLDER.sub("?", query.sql)
        self._turns.asked()
        try:
            return await self._loop.run_in_executor(self._readers, self._read, text, parameters)
        finally:
            self._turns.answered()

    async def facts_after(self, cursor: int, limit: int, wait: float = 0.0) -> list[Fact]:
        """`Store.facts_after`."""
        deadline = self._loop.time() + wait
        while True:
            newest = self._newest
            if cursor < newest:
                facts = await self._facts(cursor, limit)
                if facts:
                    return facts
                cursor = newest  # all of them were forgotten: there is nothing until more come
            if self._closing:
                raise StoreUnavailable(self._refusal())
            remaining = deadline - self._loop.time()
            if remaining <= 0:
                return []
            if cursor >= self._newest:
                await self._new_facts(remaining)

    async def _facts(self, cursor: int, limit: int) -> list[Fact]:
        recent = self._recent.after(cursor, limit)
        if recent is not None:
            return recent
        rows = await self.fetch(_FACTS, cursor, limit)
        return [Fact(**dict(zip(Fact.__struct_fields__, row, strict=True))) for row in rows]

    async def renew(self, holder: str, ttl: float) -> Lease:
        """`Store.renew`."""
        return await self._ask(Renew(holder, ttl, self._clock()), Lease)

    async def bury(self, holder: str = "", *, by: str = "") -> list[str]:
        """`Store.bury`. Whoever opens the database buries the members of earlier runs."""
        return await self._ask(Bury(holder, by, self._clock()), list[str])

    async def claim(self, names: Sequence[str], member: Lease) -> dict[str, Lease]:
        """`Store.claim`."""
        return await self._ask(Claim(names, member), dict[str, Lease])

    async def release(self, names: Sequence[str], member: Lease) -> None:
        """`Store.release`."""
        await self._ask(Release(names, member), NoneType)

    async def leases(self) -> list[Lease]:
        """`Store.leases`."""
        return await self._ask(Leases(), list[Lease])

    def hint(self, subject: str) -> None:
        """`Store.hint`: no other process can have the file open."""

    def watch(self, subject: str) -> asyncio.Event:
        """`Store.watch`: nobody else is there to set it."""
        return self._watched.setdefault(subject, asyncio.Event())

    async def horizon(self) -> Horizon:
        """`Store.horizon`."""
        return Horizon()

    async def arrived(
        self, query: Query, since: Horizon, until: Horizon, *parameters: Any
    ) -> tuple[list[Row], Horizon]:
        """`Store.arrived`: everything that is inserted is inserted here."""
        return [], until

    async def generations(self, family: str) -> list[int]:
        """`Store.generations`."""
        names = await self.fetch(generations.TABLES, generations.family_tables(family))
        return generations.numbers_in(name for (name,) in names)

    async def drop_generation(self, family: str, number: int) -> None:
        """`Store.drop_generation`."""
        generations.family_tables(family)  # an error where there is no such family
        generation = generations.Generation(family, number)
        await self._ask(Drop(generation), NoneType)
        named = generations.mentions(generation)
        self._texts = {sql: text for sql, text in self._texts.items() if not named(sql)}

    async def forget(self, table: str, before: float) -> int:
        """`Store.forget`."""
        return await forget(self, table, before)

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """`Store.snapshot`."""
        return snapshot(self._path)

    async def close(self) -> None:
        """`Store.close`."""
        if not self._closing:
            self._closing = True
            self._writer.close()
            self._wake_waiters()
        await asyncio.shield(self._ended)

    def rest(self) -> None:
        """`Store.rest`: newest facts, which the disk has, and pages, which the system has."""
        self._recent.forget(self._newest)
        if not self._closing:
            self._asking.append(self._loop.create_future())
            self._writer.ask(Shrink())
            self._readers.submit(self._shrink)

    def stats(self) -> StoreStats:
        """How the store does."""
        return StoreStats(
            queued=len(self._committing),
            groups=self._groups,
            commits=self._commits,
            rows=self._rows,
            last_commit_seconds=self._last_seconds,
            last_commit_at=self._last_at,
            newest_fact=self._newest,
            trouble=self._trouble,
        )

    async def _ask(self, order: Order, kind: type[_T]) -> _T:
        if self._closing:
            raise StoreUnavailable(self._refusal())
        self._writer.ask(order)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asking.append(future)
        return msgspec.convert(await future, kind)

    def _refusal(self) -> str:
        if self._closing:
            return "the store is closed"
        return f"the store is busy: {len(self._committing)} commits wait, try again in a moment"

    async def _new_facts(self, seconds: float) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        timer = self._loop.call_later(seconds, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _wake(waiter)

    # What the writer tells, in the event loop

    def settle(self, commits: int, outcome: Outcome) -> None:
        """Tell the callers of a group what became of it."""
        errors = outcome.errors
        self._groups += 1
        self._commits += commits - len(errors)
        self._rows += outcome.applied.rows
        self._last_seconds = outcome.seconds
        for at in range(commits):
            _resolve(self._committing.popleft(), errors.get(at) if errors else None)
        self._note(outcome.trouble)
        self._take_facts(outcome.applied)

    def answer(self, answer: Any) -> None:
        """Tell who asked."""
        _resolve(self._asking.popleft(), answer)

    def let_go(self) -> None:
        """Close what reads; not in the event loop."""
        self._readers.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    def unlock(self) -> None:
        """Let others open the database."""
        self._lock.release()

    def end(self) -> None:
        """The writer is gone: what it did not answer is in doubt."""
        self._closing = True
        for future in (*self._committing, *self._asking):
            _resolve(future, StoreUnavailable("the database's writer ended"))
        self._committing.clear()
        self._asking.clear()
        self._wake_waiters()
        if not self._ended.done():
            self._ended.set_result(None)

    def _take_facts(self, applied: Applied) -> None:
        for part in applied.facts:
            self._recent.add(part)
        if applied.last_fact:
            self._newest = applied.last_fact
            self._wake_waiters()
        if applied.facts_changed:
            self._recent.forget(self._newest)

    def _note(self, trouble: str) -> None:
        if trouble and not self._trouble:
            _log.error("the store can't write", reason=trouble)
        elif self._trouble and not trouble:
            _log.warning("the store writes again")
        self._trouble = trouble
        if not trouble:
            self._last_at = self._clock()

    def _shrink(self) -> None:
        for connection in self._connections:
            shrink(connection)

    def _read(self, text: str, parameters: tuple[Any, ...]) -> list[Row]:
        try:
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = open_reader(self._path)
                self._connections.append(connection)
            return cast(list[Row], connection.execute(text, parameters).fetchall())
        except sqlite3.Error as error:
            if generations.is_missing(error):
                return []
            if not is_trouble(error):
                raise StoreError(f"{type(error).__name__}: {error}, in: {text}") from error
            self._local.connection = None
            raise unavailable(self._path, error) from error


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _resolve(future: "asyncio.Future[Any]", answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, StoreError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _lock(path: Path) -> FileLock:
    """Take the database for this process."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        path.touch(mode=0o600)  # it holds tokens and texts; the log's file gets the same mode
    except OSError as error:
        raise StoreUnavailable(f"the database {path} can't be opened: {error}") from error
    return lock


def migrate(path: Path) -> list[str]:
    """Bring the schema of the database `path` up to date; the names of the files applied.

    Raises `StoreUnavailable` as `SqliteStore.open` does.
    """
    lock = _lock(path)
    try:
        writer, applied, _ = prepare(path, None)
        writer.close()
        return applied
    finally:
        lock.release()
