"""The bus without a broker: a reader of the facts table, with cursors in table `meta`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import structlog

from gateway.bus.base import BusStats
from gateway.store.base import Fact, Insert, Query, Store, StoreUnavailable, Update

_log = structlog.get_logger(__name__)

_WAIT: Final = 30.0  # seconds of one look for facts
_LINGER: Final = 0.02  # seconds between batches that are not full
_STORE_AWAY: Final = 0.5  # seconds between tries to read from it
_POSITION: Final = Query("bus_position", "SELECT value FROM meta WHERE name = $1")
_NEWEST: Final = Query("bus_newest", "SELECT max(id) FROM facts")
_OLDEST: Final = Query("bus_oldest", "SELECT min(id) FROM facts")
_CURSOR: Final = "cursor:"
_POSITIONS: Final = Query(
    "bus_positions", "SELECT name, value FROM meta WHERE name LIKE 'cursor:%' ORDER BY name"
)
_FIRST: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_ACK: Final = Update(table="meta", key=("name",), columns=("value",))


class EmbeddedBus:
    """`gateway.bus.base.Bus` over a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._positions: dict[str, int] = {}

    async def subscribe(self, after: int, limit: int = 500) -> AsyncIterator[list[Fact]]:
        """`Bus.subscribe`."""
        while not self._closed.done():
            facts = await self._look(after, limit)
            if not facts:
                continue
            yield facts
            after = facts[-1].id
            if len(facts) < limit:
                await asyncio.wait([self._closed], timeout=_LINGER)

    async def newest(self) -> int:
        """`Bus.newest`."""
        return int((await self._store.fetch(_NEWEST))[0][0] or 0)

    async def position(self, reader: str) -> int:
        """`Bus.position`."""
        if reader not in self._positions:
            rows = await self._store.fetch(_POSITION, _name(reader))
            self._positions[reader] = int(rows[0][0]) if rows else 0
        return self._positions[reader]

    async def ack(self, reader: str, position: int) -> None:
        """`Bus.ack`."""
        if position <= await self.position(reader):
            return
        name, value = _name(reader), str(position)
        await self._store.commit([(_FIRST, (name, value)), (_ACK, (name, value))])
        self._positions[reader] = max(position, self._positions[reader])

    async def stats(self) -> BusStats:
        """`Bus.stats`; as ids have no gaps worth the name, what is kept is their range."""
        newest = await self.newest()
        oldest = int((await self._store.fetch(_OLDEST))[0][0] or newest + 1)
        positions = await self._store.fetch(_POSITIONS)
        return BusStats(
            kept=newest - oldest + 1,
            behind={
                name.removeprefix(_CURSOR): max(0, newest - max(int(value), oldest - 1))
                for name, value in positions
            },
        )

    async def close(self) -> None:
        """`Bus.close`."""
        if not self._closed.done():
            self._closed.set_result(None)

    async def _look(self, after: int, limit: int) -> list[Fact]:
        looking = asyncio.ensure_future(self._store.facts_after(after, limit, _WAIT))
        either: set[asyncio.Future[Any]] = {looking, self._closed}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return looking.result() if looking.done() else []
        except StoreUnavailable as error:
            _log.warning("the bus waits for the store", reason=str(error))
            await asyncio.wait([self._closed], timeout=_STORE_AWAY)
            return []
        finally:
            looking.cancel()


def _name(reader: str) -> str:
    return f"{_CURSOR}{reader}"
