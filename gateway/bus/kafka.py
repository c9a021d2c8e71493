"""The bus over Kafka: reads the clean topics of every cluster, all partitions.

Each subscription reads on its own; there is no consumer group. A cluster that is away is tried
again and again, while the others are read on.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from gateway.bus import positions
from gateway.bus.base import BEGINNING, Batch, BusStats, Position
from gateway.bus.clusters import Clusters
from gateway.bus.merge import Progress
from gateway.bus.status import NEWEST, cursor_of
from gateway.bus.subscription import Logs, Subscription
from gateway.bus.watermarks import Watermarks
from gateway.store.base import Query, Store, Write

_MARGIN: Final = 60.0  # seconds by which the clocks of two processes may differ
_SETTLE: Final = 1.0  # seconds of one look whether the newest fact may be shown
_FACT_TIME: Final = Query(
    "bus_fact_time", "SELECT at FROM facts WHERE id <= $1 ORDER BY id DESC LIMIT 1"
)
FORWARDER: Final = "kafka"  # what is not in Kafka yet, among the readers


class KafkaBus:
    """`gateway.bus.base.Bus` over the clean topics of one cluster or two."""

    kind = "kafka"

    def __init__(
        self,
        store: Store,
        clusters: Clusters,
        *,
        topics: Sequence[str],
        partitions: int,
    ) -> None:
        """`topics` are the clean ones."""
        self._store = store
        self._clusters = clusters
        self._logs = Logs(topics=tuple(topics), partitions=partitions)
        self._watermarks = Watermarks(clusters, self._logs.places)
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open: set[Subscription] = set()

    async def subscribe(self, after: Position, limit: int = 500) -> AsyncIterator[Batch]:
        """`Bus.subscribe`."""
        if self._closed.done():
            return
        progress, since = await self._from(after)
        subscription = Subscription(self._clusters, self._logs, progress, since)
        self._open.add(subscription)
        try:
            while (facts := await subscription.next(limit)) is not None:
                yield Batch(facts=facts, position=positions.written(subscription.progress()))
        finally:
            self._open.discard(subscription)
            await subscription.close()

    async def newest(self) -> Position:
        """`Bus.newest`."""
        ends = await self._watermarks.read()  # first: what is had by its id may stand behind them
        newest = await self._settled()
        if len(ends) < len(self._clusters.names()):
            return str(newest)  # where to begin is looked up when the cluster is back
        return positions.written(
            Progress(
                offsets={
                    name: self._logs.by_topic({place: each.end for place, each in extents.items()})
                    for name, extents in ends.items()
                },
                seen=self._logs.seen_up_to(newest),
            )
        )

    async def position(self, reader: str) -> Position:
        """`Bus.position`."""
        return await positions.stored(self._store, reader)

    def moved(self, reader: str, position: Position) -> list[Write]:
        """`Bus.moved`."""
        return positions.moved(reader, position)

    async def ack(self, reader: str, position: Position) -> None:
        """`Bus.ack`."""
        before = await self.position(reader)
        if before != BEGINNING:
            merged = positions.later(self._progress(before), self._progress(position))
            position = positions.written(merged)
        if position not in (before, BEGINNING):
            await self._store.commit(self.moved(reader, position))

    async def stats(self) -> BusStats:
        """`Bus.stats`; of a cluster that is away as it was when last heard of."""
        extents = await self._watermarks.read()
        last = self._watermarks.last | extents
        newest = await self._newest()
        behind = {}
        for reader, position in (await positions.all_stored(self._store)).items():
            progress = self._progress(position)
            behind[reader] = sum(
                max(0, extent.end - max(extent.begin, self._logs.offset(progress, name, place)))
                for name, places in last.items()
                for place, extent in places.items()
            )
        cursor = await cursor_of(self._store)
        if cursor:
            behind[FORWARDER] = max(0, newest - cursor)
        kept = sum(each.end - each.begin for places in last.values() for each in places.values())
        return BusStats(kept=kept, behind=behind)

    async def close(self) -> None:
        """`Bus.close`."""
        if not self._closed.done():
            self._closed.set_result(None)
        for subscription in tuple(self._open):
            await subscription.close()
        await self._watermarks.close()

    async def _from(self, after: Position) -> tuple[Progress, float | None]:
        """Where a subscription begins: see `positions`."""
        fact_id = positions.fact_of(after)
        if fact_id is None:
            return positions.read(after), None
        rows = await self._store.fetch(_FACT_TIME, fact_id)
        since = rows[0][0] - _MARGIN if rows else None
        return self._progress(after), since

    def _progress(self, position: Position) -> Progress:
        fact_id = positions.fact_of(position)
        if fact_id is None:
            return positions.read(position)
        return Progress(seen=self._logs.seen_up_to(fact_id))

    async def _settled(self) -> int:
        """The newest fact, once no lower id can appear any more."""
        newest = await self._newest()
        while newest and not await self._store.facts_after(newest - 1, 1, _SETTLE):
            newest = await self._newest()
        return newest

    async def _newest(self) -> int:
        return int((await self._store.fetch(NEWEST))[0][0] or 0)
