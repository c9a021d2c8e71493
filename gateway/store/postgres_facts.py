"""Facts in their order, though many processes append them at once.

Ids are drawn before commits, so a low id may become visible after a higher one. Whoever appends
takes its transaction's id first. So: read which ids are drawn, then take a transaction id; every
transaction that drew one of those has a lower one. When all lower ones have ended, no id among
those that were drawn can appear any more.
"""

import asyncio
from functools import partial
from typing import Any, Final

import structlog

from gateway.store.base import Fact, StoreError, StoreUnavailable
from gateway.store.postgres_link import Connection, Pool

_log = structlog.get_logger(__name__)

_LOOK_EVERY: Final = 0.05  # seconds between looks for what other processes append
_SETTLES_WITHIN: Final = 0.002  # seconds that a transaction under way usually takes
_LONG: Final = 5.0  # seconds after which somebody should look at it
_FRESH: Final = 10.0  # seconds after which nobody knows, if nobody wants facts any more

_DRAWN: Final = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM facts_id"
_BOUND: Final = f"""
WITH drawn AS MATERIALIZED ({_DRAWN})
SELECT *, pg_current_xact_id() FROM drawn"""
_ENDED: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::xid8"
_OLDEST: Final = """
SELECT pid, application, database, state, extract(epoch FROM clock_timestamp() - began)::bigint
FROM (
    SELECT backend_xid, pid::text, application_name, datname::text, state, xact_start
    FROM pg_stat_activity WHERE backend_xid IS NOT NULL
    UNION ALL
    SELECT transaction, '', gid, database::text, 'prepared', prepared FROM pg_prepared_xacts
) AS held (xact, pid, application, database, state, began) ORDER BY age(xact) DESC LIMIT 1"""
_FACTS: Final = """
SELECT id, account_sid, sid, version, type, at, data FROM facts
WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3"""


class Facts:
    """Reads facts for the readers of one process, which share what is found out."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._settled = 0  # no id up to here can appear any more
        self._drawn = 0
        self._held_since = self._held_until = 0.0  # of the loop's clock
        self._told = False
        self._one_looks = asyncio.Lock()
        self._appended = asyncio.Event()
        self._waiters: set[asyncio.Future[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def newest(self) -> int:
        """The highest id that is known."""
        return max(self._drawn, self._settled)

    @property
    def held(self) -> float:
        """For how long facts have waited for older transactions, seconds."""
        known = self._loop.time() - self._held_until < _FRESH
        return self._held_until - self._held_since if known else 0.0

    async def after(self, cursor: int, limit: int, wait: float) -> list[Fact]:
        """`Store.facts_after`."""
        deadline = self._loop.time() + wait
        await self._look(cursor)
        while True:
            self._check()
            if cursor < self._settled:
                upto = self._settled
                rows = await self._pool.run(partial(_read, after=cursor, upto=upto, limit=limit))
                if rows:
                    return rows
                cursor = upto  # others' ids that came to nothing
            remaining = deadline - self._loop.time()
            if remaining <= 0:
                return []
            await self._something(remaining)

    def appended(self) -> None:
        """Facts were appended here."""
        self._appended.set()

    async def close(self) -> None:
        """End whoever waits."""
        self._closed = True
        self._appended.set()
        self._wake_all(None)
        if self._watch is not None:
            await self._watch

    def _check(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    async def _look(self, cursor: int) -> None:
        """See whether more than `cursor` is settled; one at a time does, for all."""
        if cursor < self._settled:
            return
        async with self._one_looks:
            self._check()
            if cursor < self._settled:
                return
            self._drawn = max(self._drawn, await self._pool.run(_drawn))
            if self._drawn <= self._settled:
                return
            drawn, bound = await self._pool.run(_bound)
            patient_until = self._loop.time() + _LOOK_EVERY
            while not await self._pool.run(partial(_ended, bound=bound)):
                if self._closed or self._loop.time() >= patient_until:
                    await self._hold()
                    return
                await asyncio.sleep(_SETTLES_WITHIN)
            self._settled = max(self._settled, drawn)
            self._let_go()

    async def _hold(self) -> None:
        """Something older is under way; when it is for long, say once what."""
        now = self._loop.time()
        if now - self._held_until >= _FRESH:
            self._held_since = now
        self._held_until = now
        if self._told or self.held < _LONG or self._closed:
            return
        self._told = True
        if (oldest := await self._pool.run(_oldest)) is not None:
            names = ("pid", "application", "database", "state", "seconds")
            _log.warning(
                "facts wait for a transaction that was left open on the server: end it",
                **dict(zip(names, oldest, strict=True)),
            )

    def _let_go(self) -> None:
        if self._told:
            _log.info("facts wait no more", seconds=round(self.held))
        self._held_since = self._held_until = 0.0
        self._told = False

    async def _something(self, seconds: float) -> None:
        """Until there may be more, for at most `seconds`."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.add(waiter)
        timer = self._loop.call_later(seconds, _wake, waiter, None)
        if self._watch is None or self._watch.done():
            self._watch = self._loop.create_task(self._watch_for_all(), name="store-facts")
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    async def _watch_for_all(self) -> None:
        """Look again and again, as long as somebody waits."""
        while self._waiters and not self._closed:
            before = self._settled
            self._appended.clear()
            try:
                await self._look(before)
            except StoreError as error:
                self._wake_all(error)
                return
            if self._settled > before:
                self._wake_all(None)
                await asyncio.sleep(0)  # whoever wants more waits again
            else:
                timer = self._loop.call_later(_LOOK_EVERY, self._appended.set)
                await self._appended.wait()
                timer.cancel()

    def _wake_all(self, error: StoreError | None) -> None:
        for waiter in self._waiters:
            _wake(waiter, error)


def _wake(waiter: "asyncio.Future[None]", error: StoreError | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(type(error)(*error.args))


async def _drawn(connection: Connection) -> int:
    return int(await connection.fetchval(_DRAWN))


async def _bound(connection: Connection) -> tuple[int, int]:
    row = await connection.fetchrow(_BOUND)
    assert row is not None
    return row[0], row[1]


async def _ended(connection: Connection, bound: int) -> bool:
    return bool(await connection.fetchval(_ENDED, bound))


async def _oldest(connection: Connection) -> tuple[Any, ...] | None:
    row = await connection.fetchrow(_OLDEST)
    return None if row is None else tuple(row)


async def _read(connection: Connection, after: int, upto: int, limit: int) -> list[Fact]:
    rows = await connection.fetch(_FACTS, after, upto, limit)
    return [Fact(**dict(zip(Fact.__struct_fields__, row, strict=True))) for row in rows]
