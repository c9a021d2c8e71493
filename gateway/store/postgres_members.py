"""Members and what they own: rows of `leases`, by the server's clock.

A commit under a lease keeps the member's row from being buried until it is done, by a lock that
lets renewals pass. So a burial waits for what is under way, or ends it: a process that stands
still in the middle of a commit loses its connections, not the others their time.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from asyncpg import exceptions as pg

from gateway.store.base import RESTORED, Fenced, Lease, member_name
from gateway.store.postgres_link import Connection, Link

_log = structlog.get_logger(__name__)

_TRIES: Final = 20
_PATIENCE: Final = "250ms"  # with a commit of the member that is to be buried
_KEPT_FOR: Final = 30 * 86400  # seconds that the name of a buried member is remembered

_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"
_IS_MEMBER: Final = "starts_with(name, 'member:')"
# After a restore, epochs of new names begin above all that were given before.
_FIRST: Final = f"1 + coalesce((SELECT epoch FROM leases WHERE name = '{RESTORED}'), 0)"
_RENEW: Final = f"""
INSERT INTO leases (name, holder, epoch, expires_at)
VALUES ($1, $2, {_FIRST}, {_NOW} + $3::float8)
ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at
WHERE leases.holder = excluded.holder
RETURNING epoch, expires_at"""
_LOCK_MEMBERS: Final = f"""
SELECT name, holder, epoch FROM leases
WHERE {_IS_MEMBER} AND holder <> '' AND (holder = $1 OR expires_at <= {_NOW} AND holder <> $2)
ORDER BY name FOR UPDATE"""
_DUE: Final = f"""
SELECT holder FROM leases
WHERE {_IS_MEMBER} AND holder <> '' AND (holder = $1 OR expires_at <= {_NOW} AND holder <> $2)"""
_BURY: Final = f"""
UPDATE leases SET holder = '', epoch = epoch + 1, expires_at = {_NOW} WHERE name = ANY ($1::text[])
"""
_FREE: Final = f"""
UPDATE leases SET holder = '' WHERE holder = ANY ($1::text[]) AND NOT {_IS_MEMBER}"""
_FORGET: Final = f"""
DELETE FROM leases WHERE {_IS_MEMBER} AND holder = '' AND expires_at < {_NOW} - {_KEPT_FOR}"""
_HOLDS: Final = """
SELECT expires_at FROM leases WHERE name = $1 AND holder = $2 AND epoch = $3 FOR KEY SHARE"""
_CLAIM: Final = f"""
INSERT INTO leases (name, holder, epoch, expires_at)
SELECT n, $2, {_FIRST}, 0 FROM unnest($1::text[]) AS n ORDER BY n
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = leases.epoch + 1
WHERE leases.holder = ''"""
_OWNED: Final = "SELECT name, epoch FROM leases WHERE name = ANY ($1::text[]) AND holder = $2"
_RELEASE: Final = "UPDATE leases SET holder = '' WHERE name = ANY ($1::text[]) AND holder = $2"
_ALL: Final = """
SELECT l.name, l.holder, l.epoch,
  CASE WHEN starts_with(l.name, 'member:') THEN l.expires_at ELSE coalesce(m.expires_at, 0) END
FROM leases l LEFT JOIN leases m ON m.name = 'member:' || l.holder AND m.holder = l.holder
WHERE l.holder <> '' ORDER BY l.name"""
# Who waits for a replica is left alone: to end the wait is to commit without it.
_END: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = ANY ($1::text[]) AND datname = current_database()
  AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
  AND wait_event IS DISTINCT FROM 'SyncRep'"""


async def renew(connection: Connection, holder: str, ttl: float) -> Lease:
    """`Store.renew`."""
    if ttl <= 0:
        return await _leave(connection, holder)
    row = await connection.fetchrow(_RENEW, member_name(holder), holder, ttl)
    if row is None:
        raise _buried(holder)
    return Lease(name=member_name(holder), holder=holder, epoch=row[0], expires_at=row[1])


async def _leave(connection: Connection, holder: str) -> Lease:
    name = member_name(holder)
    async with connection.transaction():
        row = await connection.fetchrow(
            f"SELECT epoch, {_NOW} FROM leases WHERE name = $1 AND holder = $2 FOR UPDATE",
            name,
            holder,
        )
        if row is None:
            raise _buried(holder)
        await connection.execute(_BURY, [name])
        await connection.execute(_FREE, [holder])
    return Lease(name=name, holder=holder, epoch=row[0], expires_at=row[1])


async def bury(connection: Connection, link: Link, holder: str, by: str) -> list[str]:
    """`Store.bury`."""
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
                rows = await connection.fetch(_LOCK_MEMBERS, holder, by)
                if rows:
                    await connection.execute(_BURY, [name for name, _, _ in rows])
                    await connection.execute(_FREE, [buried for _, buried, _ in rows])
                await connection.execute(_FORGET)
                return [buried for _, buried, _ in rows]
        except pg.LockNotAvailableError:
            if last:
                raise
            due = [name for (name,) in await connection.fetch(_DUE, holder, by)]
            ended = await connection.fetchval(_END, [link.application(name) for name in due])
            _log.warning("ended the connections of processes that stand still", ended=ended)
            await asyncio.sleep(0)
    raise AssertionError("the last try returns or raises")


async def claim(connection: Connection, names: Sequence[str], member: Lease) -> dict[str, Lease]:
    """`Store.claim`."""
    async with connection.transaction():
        expires_at = await connection.fetchval(_HOLDS, member.name, member.holder, member.epoch)
        if expires_at is None:
            raise _buried(member.holder)
        await connection.execute(_CLAIM, list(set(names)), member.holder)
        rows = await connection.fetch(_OWNED, list(names), member.holder)
    return {
        name: Lease(name=name, holder=member.holder, epoch=epoch, expires_at=expires_at)
        for name, epoch in rows
    }


async def release(connection: Connection, names: Sequence[str], member: Lease) -> None:
    """`Store.release`."""
    await connection.execute(_RELEASE, list(names), member.holder)


async def leases(connection: Connection) -> list[Lease]:
    """`Store.leases`."""
    return [
        Lease(name=name, holder=holder, epoch=epoch, expires_at=expires_at)
        for name, holder, epoch, expires_at in await connection.fetch(_ALL)
    ]


def _buried(holder: str) -> Fenced:
    return Fenced(f"the member {holder!r} was buried: come back under another name")
