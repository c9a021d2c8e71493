"""The bus without a broker: a reader of the facts table, with cursors in table `meta`.

A position is the id of the last fact that was read, as a decimal number.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import structlog

from gateway.bus.base import BEGINNING, Batch, BusStats, Position
from gateway.store.base import Fact, Insert, Query, Store, StoreUnavailable, Update, Write

_log = structlog.get_logger(__name__)

_WAIT: Final = 30.0  # seconds of one look for facts
_SETTLE: Final = 1.0  # seconds of one look whether the newest fact may be shown
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

    kind = "embedded"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def subscribe(self, after: Position, limit: int = 500) -> AsyncIterator[Batch]:
        """`Bus.subscribe`."""
        cursor = _fact_id(after)
        while not self._closed.done():
            facts = await self._look(cursor, limit, _WAIT)
            if not facts:
                continue
            cursor = facts[-1].id
            yield Batch(facts=facts, position=str(cursor))
            if len(facts) < limit:
                await asyncio.wait([self._closed], timeout=_LINGER)

    async def newest(self) -> Position:
        """`Bus.newest`."""
        newest = await self._newest_id()
        # The store shows a fact once no lower id can appear any more; until then there may be
        # facts before it that are still to come.
        while newest and not self._closed.done() and not await self._look(newest - 1, 1, _SETTLE):
            newest = await self._newest_id()
        return str(newest) if newest else BEGINNING

    async def position(self, reader: str) -> Position:
        """`Bus.position`."""
        rows = await self._store.fetch(_POSITION, _name(reader))
        return str(rows[0][0]) if rows else BEGINNING

    def moved(self, reader: str, position: Position) -> list[Write]:
        """`Bus.moved`."""
        row = (_name(reader), str(_fact_id(position)))
        return [(_FIRST, row), (_ACK, row)]

    async def ack(self, reader: str, position: Position) -> None:
        """`Bus.ack`."""
        if _fact_id(position) > _fact_id(await self.position(reader)):
            await self._store.commit(self.moved(reader, position))

    async def stats(self) -> BusStats:
        """`Bus.stats`; what is kept is the range of the ids, which have gaps after a restore."""
        newest = await self._newest_id()
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

    async def _newest_id(self) -> int:
        return int((await self._store.fetch(_NEWEST))[0][0] or 0)

    async def _look(self, after: int, limit: int, wait: float) -> list[Fact]:
        looking = asyncio.ensure_future(self._store.facts_after(after, limit, wait))
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


def _fact_id(position: Position) -> int:
    return int(position or 0)
