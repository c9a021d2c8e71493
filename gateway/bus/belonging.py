"""Whose facts stand in a cluster's topics: those of this store, or of another.

Ids of facts and epochs of owners count within one store. What a second store tells through the
same topics, every reader drops as known, without a word. So a store takes a cluster, known by the
id that its brokers gave it, whose topics of facts never held anything, and writes that down; any
other is another store's, and refused.
"""

from collections.abc import Sequence
from typing import Final

from gateway.bus.kafka_admin import identity_of
from gateway.bus.kafka_client import BrokersAway, Cluster, Refused
from gateway.bus.kafka_reader import extents
from gateway.bus.status import ROW
from gateway.bus.topics import FACT_TOPICS, Topic
from gateway.store.base import Insert, Store, StoreError

_TAKEN: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))


class Belonging:
    """Takes clusters for the store of this process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, cluster: Cluster, topics: Sequence[Topic]) -> None:
        """Be sure that the cluster, which has the topics, is this store's.

        Raises `Refused` if it is another's, `BrokersAway` if it or the store can't be asked.
        """
        row = f"cluster:{await identity_of(cluster)}"
        try:
            if await self._is_taken(row):
                return
            held = await _held(cluster, topics)
            # Another process of this store may have taken it, and written to it, meanwhile.
            if held and not await self._is_taken(row):
                raise Refused(
                    f"the {cluster.name} cluster holds facts that this store never sent (topic"
                    f" {', '.join(held)}): give the gateway the store that they belong to, or"
                    " another cluster. If that store is gone for good, delete the topics of the"
                    " bus and the folder dedup of each data folder"
                )
            if not held:
                await self._store.commit([(_TAKEN, (row, cluster.name))])
        except StoreError as error:
            raise BrokersAway(f"whether the cluster is ours stands in the store: {error}") from None

    async def _is_taken(self, row: str) -> bool:
        return bool(await self._store.fetch(ROW, row))


async def _held(cluster: Cluster, topics: Sequence[Topic]) -> list[str]:
    """The topics of facts that hold records, or did."""
    places = [
        (topic.name, partition)
        for topic in topics
        if topic.name in FACT_TOPICS
        for partition in range(topic.partitions)
    ]
    found = await extents(cluster, places)
    return sorted({topic for (topic, _), extent in found.items() if extent.end})
