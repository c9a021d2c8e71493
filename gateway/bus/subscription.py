"""One reader of the clean topics: a task for each cluster reads, and what they read is merged."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import structlog

from gateway.bus.clusters import Clusters
from gateway.bus.filter import Range
from gateway.bus.kafka_client import BrokersAway, Refused, stopped
from gateway.bus.kafka_reader import Chunk, Reader, connected, offsets_since
from gateway.bus.merge import BEGIN, Item, Merge, Place, Progress
from gateway.bus.records import Unusable, Why, decode
from gateway.store.base import Fact

_log = structlog.get_logger(__name__)

_READ: Final = 1000  # records of one look
_QUIET: Final = 0.5  # seconds without a record after which a cluster counts as silent
_MOST_WAITING: Final = 5000  # records of one cluster in memory, about
_TRY_AGAIN: Final = 1.0  # seconds
_WHAT_TO_DO: Final = {
    Why.POISON: "look at who writes to the topic: only dedup should",
    Why.NEWER: "upgrade this process; `trunkline tracking rebuild` then counts the record",
}


@dataclass(frozen=True)
class Logs:
    """Which logs there are in each cluster: the partitions of the clean topics."""

    topics: tuple[str, ...]
    partitions: int

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Each of them."""
        return tuple(
            (topic, partition) for topic in self.topics for partition in range(self.partitions)
        )

    def by_topic(self, offsets: Mapping[Place, int]) -> dict[str, list[int]]:
        """The offsets as `Progress` has them."""
        return {
            topic: [offsets.get((topic, partition), BEGIN) for partition in range(self.partitions)]
            for topic in self.topics
        }

    def seen_up_to(self, fact_id: int) -> dict[str, list[list[Range]]]:
        """That all facts up to this one were had, as `Progress` has it."""
        ranges: list[Range] = [(0, fact_id)] if fact_id else []
        return {topic: [list(ranges) for _ in range(self.partitions)] for topic in self.topics}

    def offset(self, progress: Progress, cluster: str, place: Place) -> int:
        """The next offset that is to be read of a place."""
        topic, partition = place
        offsets = progress.offsets.get(cluster, {}).get(topic, [])
        return offsets[partition] if partition < len(offsets) else BEGIN


class Subscription:
    """Facts in batches: `next` until it gives None, or `close`."""

    def __init__(
        self, clusters: Clusters, logs: Logs, progress: Progress, since: float | None = None
    ) -> None:
        """Begin after `progress`; what it does not name begins with what was written at `since`
        (seconds since the epoch), or with the oldest that is kept.
        """
        self._clusters = clusters
        self._since = since
        self._merge = Merge(clusters.names(), logs.topics, logs.partitions, progress)
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._is_closed = False
        self._unusable = 0
        self._tasks = [
            asyncio.get_running_loop().create_task(self._read(name), name=f"bus-reader-{name}")
            for name in clusters.names()
        ]

    async def next(self, limit: int) -> list[Fact] | None:
        """1 to `limit` facts; None when it was closed."""
        while not self._is_closed:
            facts = self._merge.take(limit)
            self._room.set()
            if facts:
                return facts
            self._news.clear()
            await self._news.wait()
        return None

    def progress(self) -> Progress:
        """After the facts that were given."""
        return self._merge.progress()

    async def close(self) -> None:
        """Read no more. Harmless the second time."""
        self._is_closed = True
        self._news.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- one task for each cluster -------------------------------------------------------------

    async def _read(self, name: str) -> None:
        reader: Reader | None = None
        is_away = False
        try:
            while True:
                try:
                    await self._clusters.prepared(name)
                    reader = reader or await self._reader(name)
                    chunks = await reader.read(_READ, _QUIET)
                except (BrokersAway, Refused) as error:
                    self._clusters.doubt(name)
                    if not is_away:
                        _log.warning(
                            "a reader of the bus goes on without a cluster until it is back",
                            cluster=name,
                            reason=str(error),
                        )
                    is_away = True
                    self._merge.away(name)
                    self._news.set()
                    await asyncio.sleep(_TRY_AGAIN)
                    continue
                is_away = False
                self._take(name, chunks)
                while self._merge.waiting(name) > _MOST_WAITING:
                    self._room.clear()
                    await self._room.wait()
        finally:
            if reader is not None:
                await reader.close()

    def _take(self, name: str, chunks: Iterable[Chunk]) -> None:
        nothing = True
        for chunk in chunks:
            nothing = False
            self._merge.feed(name, (chunk.topic, chunk.partition), self._items(name, chunk))
        if nothing:
            self._merge.silent(name)
        self._news.set()

    def _items(self, name: str, chunk: Chunk) -> list[Item]:
        if chunk.lost:
            _log.warning(
                "records were gone before a reader of the bus came to them",
                cluster=name,
                topic=chunk.topic,
                partition=chunk.partition,
                records=chunk.lost,
            )
        items: list[Item] = []
        for record in chunk.records:
            if not record.value:  # the mark of an owner of dedup
                items.append((record.offset + 1, None))
                continue
            found = decode(record.value)
            if isinstance(found, Unusable):
                self._pass_over(name, chunk, record.offset, found)
                items.append((record.offset + 1, None))
            else:
                items.append((record.offset + 1, found))
        return items

    def _pass_over(self, name: str, chunk: Chunk, offset: int, unusable: Unusable) -> None:
        """Say so: of the first, the second, the fourth… of this reader."""
        self._unusable += 1
        if self._unusable & (self._unusable - 1) == 0:
            _log.warning(
                "a reader of the bus passes over a record",
                cluster=name,
                topic=chunk.topic,
                partition=chunk.partition,
                offset=offset,
                why=unusable.why.value,
                reason=unusable.reason,
                so_far=self._unusable,
                what_to_do=_WHAT_TO_DO[unusable.why],
            )

    async def _reader(self, name: str) -> Reader:
        offsets = self._merge.offsets(name)
        unknown = [place for place, offset in offsets.items() if offset == BEGIN]
        if unknown and self._since is not None:
            cluster = self._clusters.cluster(name)
            client = await connected(cluster)
            try:
                found = await offsets_since(client, cluster, unknown, self._since)
            finally:
                await stopped(client)
            self._merge.found(name, found)
        return Reader(self._clusters.cluster(name), self._merge.offsets(name))
