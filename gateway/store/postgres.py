"""The store on PostgreSQL, for many processes.

One connection writes, in groups; one renews the membership, which so never waits behind anything
else; one is for hints; the others read, and do what members do seldom: claim, release, bury.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from gateway.store import postgres_arrivals as arrivals
from gateway.store import postgres_members as members
from gateway.store import postgres_partitions as partitions
from gateway.store import postgres_schema as schema
from gateway.store.base import (
    FAMILIES,
    TIMED,
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
from gateway.store.postgres_facts import Facts
from gateway.store.postgres_hints import Hints
from gateway.store.postgres_link import FAILURES, Connection, Link, Pool, Result
from gateway.store.postgres_queue import CommitQueue
from gateway.store.postgres_snapshot import snapshot
from gateway.store.postgres_writer import Writer, has_nul, printable

_log = structlog.get_logger(__name__)

_NOT_READING: Final = 3  # connections
_UPKEEP_EVERY: Final = 3600.0  # seconds
_UPKEEP_AGAIN: Final = 60.0  # seconds after it failed
_OLD_TOKENS: Final = "DELETE FROM commit_tokens WHERE at < extract(epoch FROM now()) - 30 * 86400"


async def migrate(url: str) -> list[str]:
    """Bring the database at `url` to this program's schema; the names of the steps applied.

    Older programs may not run meanwhile, nor afterwards. Raises `StoreUnavailable`.
    """
    link = Link(url, "migrate")
    applied = await schema.migrate(link, schema.steps())
    pool = Pool(link, 1)
    try:
        await pool.run(partitions.make_ahead)
    except FAILURES as error:
        raise link.told(error) from error
    finally:
        await pool.close()
    return applied


class PostgresStore:
    """`gateway.store.base.Store` on a database that several processes share."""

    def __init__(self, link: Link, readers: int, queue: CommitQueue) -> None:
        """Use `open`."""
        self._link = link
        self._queue = queue
        self._pool = Pool(link, readers)
        self._renewals = Pool(link, 1)
        self._facts = Facts(self._pool)
        self._hints = Hints(link)
        self._writer: Writer
        self._upkeep: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        connections: int,
        max_queued: int,
        clock: Callable[[], float],
        writer: str,
    ) -> "PostgresStore":
        """Connect to `url`, make or expand its schema, and start to write.

        At most `connections` are made, but never fewer than four. More than `max_queued` commits
        waiting are refused. `clock` gives seconds since the epoch. `writer` names this process
        among the others: as a member it must have the same name. Raises `StoreUnavailable`.
        """
        link = Link(url, writer)
        queue = CommitQueue(max_queued, clock)
        store = cls(link, max(1, connections - _NOT_READING), queue)
        try:
            await store._start()
        except BaseException:
            await store.close()
            raise
        return store

    async def _start(self) -> None:
        await schema.expand(self._link, schema.steps())
        await self._ask(partitions.make_ahead)
        known = await self._ask(schema.tables)
        self._writer = Writer(
            self._link,
            self._pool,
            known,
            away=self._queue.note_away,
            lost=self._queue.note_lost,
        )
        await self._writer.connect()
        await self._hints.start()
        self._queue.start(self._writer, self._facts.appended)
        self._upkeep = asyncio.get_running_loop().create_task(self._keep_up(), name="store-upkeep")

    def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> "asyncio.Future[None]":
        """`Store.commit`."""
        return self._queue.put(writes, fence)

    async def fetch(self, query: Query, *parameters: Any) -> list[Row]:
        """`Store.fetch`."""
        return await self._fetch(query.sql, parameters)

    async def facts_after(self, cursor: int, limit: int, wait: float = 0.0) -> list[Fact]:
        """`Store.facts_after`."""
        self._check()
        try:
            return await self._facts.after(cursor, limit, wait)
        except FAILURES as error:
            raise self._link.told(error) from error

    async def renew(self, holder: str, ttl: float) -> Lease:
        """`Store.renew`."""
        return await self._on(self._renewals, partial(members.renew, holder=holder, ttl=ttl))

    async def bury(self, holder: str = "", *, by: str = "") -> list[str]:
        """`Store.bury`."""
        return await self._ask(partial(members.bury, link=self._link, holder=holder, by=by))

    async def claim(self, names: Sequence[str], member: Lease) -> dict[str, Lease]:
        """`Store.claim`."""
        return await self._ask(partial(members.claim, names=names, member=member))

    async def release(self, names: Sequence[str], member: Lease) -> None:
        """`Store.release`."""
        await self._ask(partial(members.release, names=names, member=member))

    async def leases(self) -> list[Lease]:
        """`Store.leases`."""
        return await self._ask(members.leases)

    def hint(self, subject: str) -> None:
        """`Store.hint`."""
        self._hints.hint(subject)

    def watch(self, subject: str) -> asyncio.Event:
        """`Store.watch`."""
        return self._hints.watch(subject)

    async def horizon(self) -> Horizon:
        """`Store.horizon`."""
        return await self._ask(arrivals.horizon)

    async def arrived(
        self, query: Query, since: Horizon, until: Horizon, *parameters: Any
    ) -> tuple[list[Row], Horizon]:
        """`Store.arrived`."""
        if since == until:
            return [], until
        sql = arrivals.condition(query.sql, len(parameters))
        between = arrivals.values(since, until, self._link.writer)
        return await self._fetch(sql, (*parameters, *between)), until

    async def generations(self, family: str) -> list[int]:
        """`Store.generations`."""
        _known(family, FAMILIES)
        return await self._ask(partial(schema.generations, family=family))

    async def drop_generation(self, family: str, number: int) -> None:
        """`Store.drop_generation`."""
        _known(family, FAMILIES)
        await self._ask(partial(schema.drop_generation, family=family, number=number))
        self._writer.forget(family, number)

    async def forget(self, table: str, before: float) -> int:
        """`Store.forget`."""
        _known(table, TIMED)
        return await self._ask(partial(partitions.forget, table=table, before=before))

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """`Store.snapshot`."""
        return snapshot(self._link)

    async def close(self) -> None:
        """`Store.close`."""
        if self._upkeep is not None:
            self._upkeep.cancel()
        await self._queue.close()
        await self._facts.close()
        await self._hints.close()
        await self._renewals.close()
        await self._pool.close()

    def rest(self) -> None:
        """`Store.rest`: what is kept stands in the server's memory."""

    def stats(self) -> StoreStats:
        """How the store does."""
        stats = self._queue.stats(self._facts.newest)
        return msgspec.structs.replace(stats, facts_held=self._facts.held)

    def _check(self) -> None:
        if self._queue.is_closed:
            raise StoreUnavailable("the store is closed")

    async def _ask(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        """What `work` gives, on one of the connections that read."""
        return await self._on(self._pool, work)

    async def _on(self, pool: Pool, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        self._check()
        try:
            return await pool.run(work)
        except FAILURES as error:
            raise self._link.told(error) from error

    async def _fetch(self, sql: str, parameters: tuple[Any, ...]) -> list[Row]:
        self._check()
        try:
            return await self._pool.run(partial(_rows, sql=sql, parameters=parameters))
        except FAILURES as error:
            if schema.is_missing_generation(error):
                return []
            if has_nul(error):
                return await self._fetch(sql, printable(parameters))
            told = self._link.told(error)
            raise type(told)(f"{told}, in: {sql}") from error

    async def _keep_up(self) -> None:
        """Hourly: partitions for what is to come, and what nobody needs any more."""
        pause = _UPKEEP_EVERY
        while True:
            await asyncio.sleep(pause)
            try:
                made, left = await self._ask(partitions.make_ahead)
                await self._ask(_drop_old_tokens)
                pause = _UPKEEP_AGAIN if left else _UPKEEP_EVERY
            except StoreError as error:
                _log.warning("the hourly upkeep of the database failed", reason=str(error))
                pause = _UPKEEP_AGAIN
            else:
                _log.info("partitions made", names=made)


def _known(name: str, names: Collection[str]) -> None:
    if name not in names:
        raise StoreError(f"{name!r} is none of {', '.join(names)}")


async def _drop_old_tokens(connection: Connection) -> None:
    await connection.execute(_OLD_TOKENS)


async def _rows(connection: Connection, sql: str, parameters: tuple[Any, ...]) -> list[Row]:
    return [tuple(row) for row in await connection.fetch(sql, *parameters)]
