"""The ports of dedup over Kafka. All partitions that this process owns share what reads from a
cluster, what asks it, and the clusters of the bus, which write to it and judge it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer

from gateway.bus import topics
from gateway.bus.clusters import Clusters
from gateway.bus.kafka_client import BrokersAway, Refused, stopped
from gateway.bus.kafka_reader import Isolation, Place, connected, extents_of, offsets_since
from gateway.bus.records import Incoming, Outgoing
from gateway.core.dedup.ports import ClusterAway, Span
from gateway.core.dedup.tap import Tap

_AWAY_FOR: Final = 1.0  # seconds for which a cluster that was away is not asked again
_PIECE: Final = 800_000  # octets that surely fit one batch of the producer
_OVERHEAD: Final = 200  # octets of a record beside its key and value, and more


class _Inquirer:
    """Asks one cluster what is kept. When it is away all who ask are told at once."""

    def __init__(self, clusters: Clusters, name: str) -> None:
        self._clusters = clusters
        self._name = name
        self._cluster = clusters.cluster(name)
        self._client: AIOKafkaConsumer | None = None
        self._busy = asyncio.Lock()
        self._away_until = 0.0
        self._why = ""

    async def span(self, place: Place) -> Span:
        async with self._busy:
            client = await self._connected()
            try:
                extent = (await extents_of(client, self._cluster, [place]))[place]
            except (BrokersAway, Refused) as error:
                raise await self._failed(str(error)) from None
        return Span(first=extent.begin, next=extent.end)

    async def since(self, place: Place, at: float) -> int:
        async with self._busy:
            client = await self._connected()
            try:
                return (await offsets_since(client, self._cluster, [place], at))[place]
            except (BrokersAway, Refused) as error:
                raise await self._failed(str(error)) from None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await stopped(client)

    async def _connected(self) -> AIOKafkaConsumer:
        if asyncio.get_running_loop().time() < self._away_until:
            raise ClusterAway(self._why)
        if self._client is None:
            try:
                await self._clusters.prepared(self._name)
                self._client = await connected(self._cluster)
            except (BrokersAway, Refused) as error:
                raise await self._failed(str(error)) from None
        return self._client

    async def _failed(self, why: str) -> ClusterAway:
        self._clusters.doubt(self._name)
        await self.close()
        self._why = why
        self._away_until = asyncio.get_running_loop().time() + _AWAY_FOR
        return ClusterAway(why)


class _Hub:
    """What asks one cluster, and what reads from it."""

    def __init__(self, clusters: Clusters, name: str) -> None:
        self.inquirer = _Inquirer(clusters, name)
        # What a producer took back, as a submit, is not to be copied. The clean topic is written
        # without transactions, and is read up to an offset that was acknowledged.
        self.raw = Tap(clusters, name, Isolation.COMMITTED)
        self.clean = Tap(clusters, name, Isolation.ALL)


class KafkaLogs:
    """The clusters; `inputs` and `outputs` are those of one partition."""

    def __init__(self, clusters: Clusters) -> None:
        """`clusters` are closed by whoever made them, after this."""
        self._clusters = clusters
        self._hubs = {name: _Hub(clusters, name) for name in clusters.names()}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the clusters."""
        return tuple(self._hubs)

    def inputs(self, topic: str, partition: int) -> "KafkaInputs":
        """The raw topic `topic`."""
        return KafkaInputs(self._hubs, (topic, partition))

    def outputs(self, topic: str, partition: int) -> "KafkaOutputs":
        """The clean topic of the raw one `topic`."""
        return KafkaOutputs(self._clusters, self._hubs, (topics.clean(topic), partition))

    async def close(self) -> None:
        """Let go of the brokers; no worker may be left."""
        for hub in self._hubs.values():
            await hub.raw.close()
            await hub.clean.close()
            await hub.inquirer.close()


class KafkaInputs:
    """`Inputs` over Kafka."""

    def __init__(self, hubs: Mapping[str, _Hub], place: Place) -> None:
        self._hubs = hubs
        self._place = place

    async def kept(self, cluster: str) -> Span:
        """`Inputs.kept`."""
        return await self._hubs[cluster].inquirer.span(self._place)

    async def read(self, cluster: str, offset: int, limit: int) -> list[Incoming]:
        """`Inputs.read`."""
        return await self._hubs[cluster].raw.read(self._place, offset, limit)

    async def rest(self, cluster: str) -> None:
        """`Inputs.rest`."""
        self._hubs[cluster].raw.rest(self._place)


class KafkaOutputs:
    """`Outputs` over Kafka."""

    def __init__(self, clusters: Clusters, hubs: Mapping[str, _Hub], place: Place) -> None:
        self._clusters = clusters
        self._hubs = hubs
        self._place = place

    def active(self) -> str:
        """`Outputs.active`."""
        return self._clusters.active

    async def kept(self, cluster: str) -> Span:
        """`Outputs.kept`."""
        return await self._hubs[cluster].inquirer.span(self._place)

    async def since(self, cluster: str, at: float) -> int:
        """`Outputs.since`."""
        return await self._hubs[cluster].inquirer.since(self._place, at)

    async def read(self, cluster: str, offset: int, limit: int) -> list[Incoming]:
        """`Outputs.read`."""
        return await self._hubs[cluster].clean.read(self._place, offset, limit)

    async def rest(self, cluster: str) -> None:
        """`Outputs.rest`."""
        self._hubs[cluster].clean.rest(self._place)

    async def append(self, cluster: str, records: Sequence[Outgoing]) -> int:
        """`Outputs.append`."""
        first = following = -1
        for piece in _pieces(records):
            try:
                offset = await self._clusters.send(cluster, *self._place, piece)
            except (BrokersAway, Refused) as error:
                raise ClusterAway(str(error)) from None
            if following not in (-1, offset):
                raise ClusterAway("another process writes to the partition")
            first = offset if first < 0 else first
            following = offset + len(piece)
        return first


def _pieces(records: Sequence[Outgoing]) -> list[Sequence[Outgoing]]:
    """The records in parts that are batches each."""
    pieces: list[Sequence[Outgoing]] = []
    begin = size = 0
    for at, record in enumerate(records):
        octets = len(record.value) + len(record.key or b"") + _OVERHEAD
        if size + octets > _PIECE and at > begin:
            pieces.append(records[begin:at])
            begin, size = at, 0
        size += octets
    pieces.append(records[begin:])
    return pieces
