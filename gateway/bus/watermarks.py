"""What the clusters keep of the clean topics, asked over one connection for each."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer

from gateway.bus.clusters import Clusters
from gateway.bus.kafka_client import BrokersAway, Refused, stopped
from gateway.bus.kafka_reader import Extent, connected, extents_of
from gateway.bus.merge import Place

Extents = dict[str, dict[Place, Extent]]  # by cluster


class Watermarks:
    """The first and the next offset of each place, by cluster."""

    def __init__(self, clusters: Clusters, places: Sequence[Place]) -> None:
        self._clusters = clusters
        self._places = places
        self._clients: dict[str, AIOKafkaConsumer] = {}
        self._asking = asyncio.Lock()
        self.last: Extents = {}  # of clusters that are away too, as they were

    async def read(self) -> Extents:
        """Of each cluster that answers, as it is now."""
        async with self._asking:
            names = self._clusters.names()
            answers = await asyncio.gather(*map(self._ask, names))
        found = {
            name: answer for name, answer in zip(names, answers, strict=True) if answer is not None
        }
        self.last |= found
        return found

    async def close(self) -> None:
        """Let go of the brokers."""
        for name in tuple(self._clients):
            await stopped(self._clients.pop(name))

    async def _ask(self, name: str) -> dict[Place, Extent] | None:
        cluster = self._clusters.cluster(name)
        try:
            await self._clusters.prepared(name)
            if name not in self._clients:
                self._clients[name] = await connected(cluster)
            return await extents_of(self._clients[name], cluster, self._places)
        except (BrokersAway, Refused):
            self._clusters.doubt(name)
            if name in self._clients:
                await stopped(self._clients.pop(name))
            return None
