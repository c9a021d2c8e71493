"""A member that renews its lease, and buries others but never itself."""

import asyncio
from pathlib import Path
from typing import Any

from gateway.membership import Membership
from gateway.store.base import Lease
from gateway.store.sqlite import SqliteStore

TTL = 0.2
PATIENCE = 60.0


class Held:
    """A store whose renewals wait behind what it does, as behind a disk that stands still."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.free = asyncio.Event()
        self.free.set()
        self.buried = asyncio.Event()

    async def renew(self, holder: str, ttl: float) -> Lease:
        await self.free.wait()
        return await self._store.renew(holder, ttl)

    async def bury(self, holder: str = "", *, by: str = "") -> list[str]:
        found = await self._store.bury(holder, by=by)
        self.buried.set()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_who_waited_longer_than_its_time_is_not_buried_by_itself(tmp_path: Path) -> None:
    wall, steady = [1000.0], [0.0]
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=9, clock=lambda: wall[0])
    held = Held(store)
    member = Membership(held, holder="me", ttl=TTL, monotonic=lambda: steady[0])
    await member.join()
    for steady[0] in (0.6 * TTL, 1.2 * TTL):  # it is alive, and the store was not away lately
        await member._renew()
    held.free.clear()
    held.buried.clear()
    wall[0] += 1000.0
    async with asyncio.timeout(PATIENCE):
        await held.buried.wait()
    assert [lease.holder for lease in await store.leases()] == ["me"]
    held.free.set()
    await member.leave()
    assert not member.lost.is_set()
    await store.close()
