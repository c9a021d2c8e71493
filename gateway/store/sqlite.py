"""The store on one SQLite file: group commit by one writer thread, reads by a few others.

Commits wait in a queue; the writer takes all that wait, applies them in one transaction with one
fsync, and tells the event loop once for the whole group.
"""

import asyncio
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar, cast

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
from gateway.store.sqlite_file import (
    FileLock,
    is_trouble,
    open_reader,
    shrink,
    unavailable,
    upgrade,
)
from gateway.store.sqlite_forget import forget
from gateway.store.sqlite_recent import RecentFacts
from gateway.store.sqlite_snapshot import snapshot
from gateway.store.sqlite_writer import Applied, Errors, Writer
from gateway.store.turns import Turns

_log = structlog.get_logger(__name__)

_MAX_GROUP: Final = 2000  # commits in one transaction
_LINGER: Final = 0.003  # seconds that the writer waits for more, while commits come together
_READERS: Final = 2
_SWITCH_INTERVAL: Final = 0.0001  # seconds; see `SqliteStore.open`
_PLACEHOLDER: Final = re.compile(r"\$\d+")
_FACTS: Final = Query(
    "facts_after",
    "SELECT id, account_sid, sid, version, type, at, data FROM facts"
    " WHERE id > $1 ORDER BY id LIMIT $2",
)

_T = TypeVar("_T")
_Queued = tuple[Sequence[Write], Lease | None, "asyncio.Future[None]"]


class _Request(msgspec.Struct, frozen=True):
    """Something else for the writer to do, in its turn among the commits."""

    call: Callable[[], Any]
    future: "asyncio.Future[Any]"


class _Outcome(msgspec.Struct, kw_only=True):
    """What became of a group: `trouble` is why none of it could be written."""

    errors: Errors = {}
    applied: Applied = msgspec.field(default_factory=Applied)
    seconds: float = 0.0
    trouble: str = ""


class SqliteStore:
    """`gateway.store.base.Store` on one file, for one process."""

    def __init__(
        self,
        path: Path,
        lock: FileLock,
        writer: Writer,
        max_queued: int,
        clock: Callable[[], float],
    ) -> None:
        """Use `open`."""
        self._path = path
        self._lock = lock
        self._writer = writer
        self._max_queued = max_queued
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Queued | _Request | None] = SimpleQueue()
        self._queued = 0
        self._come_together = False
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
        cls, path: Path, *, max_queued: int, clock: Callable[[], float]
    ) -> "SqliteStore":
        """Open the database `path`, make or upgrade its schema, and start the writer.

        More than `max_queued` commits waiting are refused. `clock` gives seconds since the epoch.
        Lowers the interpreter's switch interval, for the whole process: with the default of 5 ms
        a busy event loop holds each step of the writer up by as much (see also `turns`).
        Raises `StoreUnavailable` if another process has it open, or if it can't be opened.
        """
        lock, writer, newest = await asyncio.to_thread(_prepare, path, clock())
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL))
        store = cls(path, lock, writer, max_queued, clock)
        store._newest = newest
        store._recent.forget(newest)
        threading.Thread(target=store._write, name="store-write", daemon=True).start()
        return store

    def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> "asyncio.Future[None]":
        """`Store.commit`."""
        future = self._loop.create_future()
        if self._closing or self._queued >= self._max_queued:
            future.set_exception(StoreUnavailable(self._refusal()))
        else:
            self._queued += 1
            self._turns.asked()
            self._queue.put((writes, fence, future))
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
        return await self._ask(lambda: self._writer.renew(holder, ttl, self._clock()))

    async def bury(self, holder: str = "", *, by: str = "") -> list[str]:
        """`Store.bury`. Whoever opens the database buries the members of earlier runs."""
        return await self._ask(lambda: self._writer.bury(holder, by, self._clock()))

    async def claim(self, names: Sequence[str], member: Lease) -> dict[str, Lease]:
        """`Store.claim`."""
        return await self._ask(lambda: self._writer.claim(names, member))

    async def release(self, names: Sequence[str], member: Lease) -> None:
        """`Store.release`."""
        await self._ask(lambda: self._writer.release(names, member))

    async def leases(self) -> list[Lease]:
        """`Store.leases`."""
        return await self._ask(self._writer.leases)

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
        generation = generations.Generation(family, number)
        await self._ask(lambda: self._writer.drop(generation))
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
            self._queue.put(None)
            self._wake_waiters()
        await asyncio.shield(self._ended)

    def rest(self) -> None:
        """`Store.rest`: newest facts, which the disk has, and pages, which the system has."""
        self._recent.forget(self._newest)
        if not self._closing:
            self._queue.put(_Request(self._shrink, self._loop.create_future()))

    def stats(self) -> StoreStats:
        """How the store does."""
        return StoreStats(
            queued=self._queued,
            groups=self._groups,
            commits=self._commits,
            rows=self._rows,
            last_commit_seconds=self._last_seconds,
            last_commit_at=self._last_at,
            newest_fact=self._newest,
            trouble=self._trouble,
        )

    async def _ask(self, call: Callable[[], _T]) -> _T:
        if self._closing:
            raise StoreUnavailable(self._refusal())
        future: asyncio.Future[_T] = self._loop.create_future()
        self._turns.asked()
        self._queue.put(_Request(call, future))
        try:
            return await future
        finally:
            self._turns.answered()

    def _refusal(self) -> str:
        if self._closing:
            return "the store is closed"
        return f"the store is busy: {self._queued} commits wait, try again in a moment"

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

    def _settle(self, group: Sequence[_Queued], outcome: _Outcome) -> None:
        """In the event loop: tell the callers of a group what became of it."""
        errors = outcome.errors
        self._queued -= len(group)
        self._turns.answered(len(group))
        self._groups += 1
        self._commits += len(group) - len(errors)
        self._rows += outcome.applied.rows
        self._last_seconds = outcome.seconds
        for at, (_, _, future) in enumerate(group):
            if future.done():
                continue
            error = errors.get(at) if errors else None
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        self._note(outcome.trouble)
        self._take_facts(outcome.applied)

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

    def _end(self) -> None:
        self._wake_waiters()
        if not self._ended.done():
            self._ended.set_result(None)

    def _write(self) -> None:
        """The writer thread: it ends with the store, or with the event loop."""
        try:
            while self._write_waiting():
                pass
        except RuntimeError as error:  # the loop was closed under us
            _log.warning("the store's writer ends", reason=str(error))
        self._readers.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        self._writer.close()
        self._lock.release()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _write_waiting(self) -> bool:
        """Wait for work and do all that is there; False when nothing will come any more."""
        queue = self._queue
        items = [queue.get()]
        if self._come_together:
            # A group costs as much as several commits in it do: on a fast disk, waiting for them
            # is cheaper than beginning at once. Who commits alone never waits.
            time.sleep(_LINGER)
        while len(items) < _MAX_GROUP and not queue.empty():
            items.append(queue.get())
        self._come_together = len(items) > 1
        for kind, run in groupby(items, type):
            if kind is tuple:
                group = cast(list[_Queued], list(run))
                self._loop.call_soon_threadsafe(self._settle, group, self._apply(group))
            elif kind is _Request:
                for request in cast(list[_Request], list(run)):
                    self._loop.call_soon_threadsafe(_done(request))
        return items[-1] is not None

    def _apply(self, group: Sequence[_Queued]) -> _Outcome:
        started = time.perf_counter()
        outcome = _Outcome()
        try:
            outcome.applied = self._writer.apply(group, outcome.errors)
        except Exception as error:  # the thread must outlive whatever a commit does to it
            outcome.trouble = str(_told(error))
            for at in range(len(group)):
                outcome.errors.setdefault(at, StoreUnavailable(outcome.trouble))
        outcome.seconds = time.perf_counter() - started
        return outcome

    def _shrink(self) -> None:
        for connection in (self._writer.connection, *self._connections):
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


def _done(request: _Request) -> Callable[[], None]:
    """In the writer's thread: what is left to do in the event loop."""
    try:
        return partial(_answer, request.future, request.call())
    except StoreError as error:
        return partial(_refuse, request.future, error)
    except Exception as error:  # the thread must outlive it
        return partial(_refuse, request.future, _told(error))


def _answer(future: "asyncio.Future[Any]", answer: Any) -> None:
    if not future.done():
        future.set_result(answer)


def _refuse(future: "asyncio.Future[Any]", error: StoreError) -> None:
    if not future.done():
        future.set_exception(error)


def _told(error: Exception) -> StoreUnavailable:
    if isinstance(error, StoreUnavailable):
        return error
    _log.error("the store's writer failed", exc_info=error)
    return StoreUnavailable(f"the store's writer failed ({type(error).__name__}: {error})")


def _prepare(path: Path, now: float) -> tuple[FileLock, Writer, int]:
    lock, writer = _take(path)
    try:
        applied = upgrade(writer.connection, path)
        newest = writer.learn(now)
    except BaseException as error:
        writer.close()
        lock.release()
        if isinstance(error, sqlite3.Error):
            raise unavailable(path, error) from error
        raise
    if applied:
        _log.info("the store's schema was brought up to date", applied=applied)
    return lock, writer, newest


def _take(path: Path) -> tuple[FileLock, Writer]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        path.touch(mode=0o600)  # it holds tokens and texts; the log's file gets the same mode
    except OSError as error:
        raise StoreUnavailable(f"the database {path} can't be opened: {error}") from error
    try:
        return lock, Writer(path)
    except sqlite3.Error as error:
        lock.release()
        raise unavailable(path, error) from error


def migrate(path: Path) -> list[str]:
    """Bring the schema of the database `path` up to date; the names of the files applied.

    Raises `StoreUnavailable` as `SqliteStore.open` does.
    """
    lock, writer = _take(path)
    try:
        return upgrade(writer.connection, path)
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        writer.close()
        lock.release()
