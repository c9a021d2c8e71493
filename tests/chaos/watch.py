"""Who owns what, looked at all the time in the store: which process to strike, and who followed."""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any, Final

import asyncpg

_LOOK_EVERY: Final = 0.2
_LAST: Final = 2.0  # seconds: what was owned lately counts for whoever is struck
_AWAY: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the client says of a connection that broke in between
)
_LEASES: Final = "SELECT name, holder FROM leases WHERE holder <> '' AND name NOT LIKE 'member:%'"


class Watch:
    """Looks at the leases of the store at `url`; `owners` is what it saw last."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None
        self._seen: defaultdict[int, dict[str, float]] = defaultdict(dict)
        self.owners: dict[str, int] = {}  # processes by the names that they own

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="watch")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._let_go()

    def owned_by(self, pid: int, kind: str) -> list[str]:
        """What the process owned a moment ago, without the prefix."""
        since = time.monotonic() - _LAST
        return sorted(
            name.partition(":")[2]
            for name, at in self._seen[pid].items()
            if at >= since and name.startswith(f"{kind}:")
        )

    async def fetch(self, sql: str) -> list[Any]:
        """Rows of the store, however long it is away."""
        while True:
            try:
                connection = await asyncpg.connect(self._url, timeout=10)
                try:
                    return list(await connection.fetch(sql))
                finally:
                    await connection.close()
            except _AWAY:
                await asyncio.sleep(_LOOK_EVERY)

    async def _run(self) -> None:
        while True:
            try:
                if self._connection is None:
                    self._connection = await asyncpg.connect(self._url, timeout=5)
                rows = await self._connection.fetch(_LEASES, timeout=5)
            except _AWAY:
                self._let_go()
            else:
                self._take({row["name"]: pid_of(row["holder"]) for row in rows})
            await asyncio.sleep(_LOOK_EVERY)

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _take(self, owners: dict[str, int]) -> None:
        self.owners.clear()
        self.owners.update(owners)
        now = time.monotonic()
        for name, pid in owners.items():
            self._seen[pid][name] = now


def pid_of(holder: str) -> int:
    """The process in the name of a member: roles@host:process:chance."""
    return int(holder.rpartition(":")[0].rpartition(":")[2])
