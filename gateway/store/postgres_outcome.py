"""What becomes of a COMMIT: the answer, or what can be found out without one.

A connection may be lost while the server commits. Each group leaves a number in a row of its
process, in the same transaction: after reconnecting, the row tells whether the group was
committed.

A COMMIT has no time limit. Where it waits for a replica, who ends the wait makes the server call
it committed with the replica not having it, and a failover would lose it. So what takes long is
looked at over another connection, and left alone while the server is at it.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Final

from asyncpg import exceptions as pg

from gateway.store.base import StoreError, StoreUnavailable
from gateway.store.postgres_link import FAILURES, Connection, Link, Pool, closed, is_lost

_PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds between attempts to reconnect
_LOOK_EVERY: Final = 5.0  # seconds, at a COMMIT that is not answered
_UNLIMITED: Final = 10 * 365 * 86400.0  # seconds; for the library, None is its usual limit

_COMMITTED: Final = "SELECT number FROM commit_tokens WHERE writer = $1 FOR UPDATE"
_STATE: Final = (
    "SELECT state = 'active', coalesce(wait_event = 'SyncRep', false) FROM pg_stat_activity"
    " WHERE pid = $1 AND application_name = $2"
)
_END_OLD: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid = $1 AND application_name = $2 AND wait_event IS DISTINCT FROM 'SyncRep'"
)
_NO_REPLICA: Final = (
    "no replica confirms what is committed: start one of synchronous_standby_names again, or"
    " change that setting and reload"
)


class Outcomes:
    """Commits, and finds out. `away` is told what is in the way, each time that turns out."""

    def __init__(self, link: Link, pool: Pool, away: Callable[[str], None]) -> None:
        self._link = link
        self._pool = pool
        self._away = away
        self._application = link.application(link.writer)
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Find out no more."""
        self._closing.set()

    async def commit(self, connection: Connection, number: int) -> bool:
        """Commit group `number`; whether the connection is still of use.

        Raises only if it is known not to be committed.
        """
        pid = connection.get_server_pid()
        try:
            status = await self._answer(connection, pid)
        except FAILURES as error:
            if not is_lost(error):
                raise
            connection.terminate()
            if not await self._was_committed(number, pid):
                raise
            return False
        if status != "COMMIT":
            raise StoreUnavailable(f"PostgreSQL answered {status} to COMMIT: look at its log")
        return True

    async def _answer(self, connection: Connection, pid: int) -> str:
        def watch() -> None:
            self._watch = self._loop.create_task(self._look_after(connection, pid))

        timer = self._loop.call_later(_LOOK_EVERY, watch)
        try:
            return str(await connection.execute("COMMIT", timeout=_UNLIMITED))
        finally:
            timer.cancel()
            if self._watch is not None:
                self._watch.cancel()
                self._watch = None

    async def _look_after(self, connection: Connection, pid: int) -> None:
        """Look after a COMMIT that is not answered; end a connection that will not answer."""
        while not self._closing.is_set():
            try:
                state = await self._pool.run(partial(self._state, pid=pid))
            except (*FAILURES, StoreError) as error:
                self._away(str(self._link.told(error)))
            else:
                at_it, unreplicated = state
                if not at_it:
                    break
                if unreplicated:
                    self._away_for_a_replica()
            await self._told_to_close(_LOOK_EVERY)
        connection.terminate()

    async def _was_committed(self, number: int, pid: int) -> bool:
        """Ask until the server tells what became of group `number`, of its process `pid`."""
        for pause in chain(_PAUSES, iter(lambda: _PAUSES[-1], 0.0)):
            try:
                connection = await self._link.connect()
                try:
                    # The old session may still be at it, and holds the row until it is done.
                    return bool(await connection.fetchval(_COMMITTED, self._link.writer) == number)
                except pg.LockNotAvailableError:
                    _, unreplicated = await self._state(connection, pid)
                    if unreplicated:
                        self._away_for_a_replica()
                    else:
                        await connection.execute(_END_OLD, pid, self._application)
                finally:
                    await closed(connection)
            except (*FAILURES, StoreUnavailable) as error:
                self._away(str(self._link.told(error)))
            if await self._told_to_close(pause):
                break
        raise StoreError("the store was closed before PostgreSQL told what became of a commit")

    async def _state(self, connection: Connection, pid: int) -> tuple[bool, bool]:
        """Whether the session `pid` is at something, and whether that waits for a replica."""
        row = await connection.fetchrow(_STATE, pid, self._application)
        return (False, False) if row is None else (bool(row[0]), bool(row[1]))

    def _away_for_a_replica(self) -> None:
        self._away(f"PostgreSQL at {self._link.place}: {_NO_REPLICA}")

    async def _told_to_close(self, seconds: float) -> bool:
        """Wait; whether the store is to close meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True
