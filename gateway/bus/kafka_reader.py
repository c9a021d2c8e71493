"""Reads partitions of a cluster of Kafka brokers, each from an offset that the caller keeps.

No consumer group: whoever reads a partition knows that by a lease or reads all of them, and its
offsets stand in the store beside what it made of the records. A cluster that goes away gives
`BrokersAway` until it is back; reading goes on where it stood.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from gateway.bus.kafka_client import (
    REFUSALS,
    BrokersAway,
    Cluster,
    away,
    connection,
    refusal,
    started,
    stopped,
)
from gateway.bus.records import Incoming

BEGIN: Final = -2  # instead of an offset: the oldest that is kept
_FETCH_WAIT: Final = 250  # milliseconds for which a broker holds an answer without records
_SILENT: Final = 6.0  # seconds without an answer about any partition: the cluster is away
_FETCH: Final = 4 * 2**20  # octets of one answer
_PER_PARTITION: Final = 2**20  # octets, of these

Place = tuple[str, int]  # (topic, partition)


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Records of one partition, one after the other; `end` is the next offset of its log.

    `lost` counts offsets before the first record that are no longer kept: nobody can read them.
    """

    topic: str
    partition: int
    records: list[Incoming]
    end: int
    lost: int = 0


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a partition: offsets from `begin` up to but without `end`."""

    begin: int
    end: int


class Reader:
    """Reads some partitions of one cluster. Connects by itself, and anew after it was away."""

    def __init__(self, cluster: Cluster, offsets: Mapping[Place, int]) -> None:
        """Read each partition of `offsets` from its offset on, which may be `BEGIN`."""
        self.cluster = cluster
        self._offsets = dict(offsets)
        self._client: AIOKafkaConsumer | None = None
        self._answered = 0  # milliseconds since the epoch, by this machine's clock
        self._silent_since = 0.0

    async def read(self, most: int, wait: float) -> list[Chunk]:
        """Up to `most` records, as chunks; [] if none came within `wait` seconds.

        Raises `BrokersAway` or `Refused`; the next call tries again.
        """
        client = await self._connected()
        try:
            found = await client.getmany(timeout_ms=int(wait * 1000), max_records=most)
        except REFUSALS as error:
            await self.close()
            raise refusal(error, self.cluster, "") from None
        except (KafkaError, OSError) as error:
            await self.close()
            raise BrokersAway(away(self.cluster, error)) from None
        if not found and self._is_silent(client):
            await self.close()
            raise BrokersAway(away(self.cluster, TimeoutError("no answer")))
        return [self._chunk(client, place, records) for place, records in found.items()]

    def offset(self, topic: str, partition: int) -> int:
        """The offset of the next record that `read` gives of the partition."""
        return self._offsets[topic, partition]

    async def close(self) -> None:
        """Let go of the brokers; `read` would connect again."""
        client, self._client = self._client, None
        if client is not None:
            await stopped(client)

    async def _connected(self) -> AIOKafkaConsumer:
        if self._client is not None:
            return self._client
        client = await connected(self.cluster)
        try:
            await self._find(client)
            client.assign([TopicPartition(*place) for place in self._offsets])
            for place, offset in self._offsets.items():
                client.seek(TopicPartition(*place), offset)
        except BaseException:
            await stopped(client)
            raise
        self._client = client
        self._silent_since = asyncio.get_running_loop().time()
        return client

    async def _find(self, client: AIOKafkaConsumer) -> None:
        """Put numbers for `BEGIN`, so that what is deleted meanwhile is not asked for."""
        places = [place for place, offset in self._offsets.items() if offset == BEGIN]
        for place, extent in (await extents_of(client, self.cluster, places)).items():
            self._offsets[place] = extent.begin

    def _is_silent(self, client: AIOKafkaConsumer) -> bool:
        """Nothing came: because there is nothing, or because nobody answers?"""
        answered = max(
            client.last_poll_timestamp(TopicPartition(*place)) or 0 for place in self._offsets
        )
        now = asyncio.get_running_loop().time()
        if answered != self._answered:
            self._answered, self._silent_since = answered, now
        return now - self._silent_since > _SILENT

    def _chunk(self, client: AIOKafkaConsumer, place: Any, records: list[Any]) -> Chunk:
        key = (place.topic, place.partition)
        expected = self._offsets[key]
        self._offsets[key] = records[-1].offset + 1
        return Chunk(
            topic=place.topic,
            partition=place.partition,
            records=[incoming(record) for record in records],
            end=client.highwater(place) or records[-1].offset + 1,
            lost=max(0, records[0].offset - expected),
        )


def incoming(record: Any) -> Incoming:
    """A record of the library as ours."""
    return Incoming(
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=record.headers,
    )


async def connected(cluster: Cluster) -> AIOKafkaConsumer:
    """A consumer without partitions yet; raises `BrokersAway` or `Refused`."""
    client = AIOKafkaConsumer(
        **connection(cluster),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_FETCH_WAIT,
        fetch_max_bytes=_FETCH,
        max_partition_fetch_bytes=_PER_PARTITION,
    )
    await started(client, cluster)
    return client


async def extents_of(
    client: AIOKafkaConsumer, cluster: Cluster, places: Iterable[Place]
) -> dict[Place, Extent]:
    """What is kept of each partition; raises `BrokersAway` or `Refused`."""
    wanted = [TopicPartition(*place) for place in places]
    try:
        begins = await client.beginning_offsets(wanted)
        ends = await client.end_offsets(wanted)
    except REFUSALS as error:
        raise refusal(error, cluster, "") from None
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokersAway(away(cluster, error)) from None
    return {
        (place.topic, place.partition): Extent(begin=begins[place], end=ends[place])
        for place in wanted
    }


async def extents(cluster: Cluster, places: Iterable[Place]) -> dict[Place, Extent]:
    """What is kept of each partition of the cluster; raises `BrokersAway` or `Refused`."""
    client = await connected(cluster)
    try:
        return await extents_of(client, cluster, places)
    finally:
        await stopped(client)


async def offsets_since(
    client: AIOKafkaConsumer, cluster: Cluster, places: Iterable[Place], at: float
) -> dict[Place, int]:
    """Of each partition the offset of the first record written at `at` (seconds since the epoch)
    or later; the next one to be written if there is none. Raises `BrokersAway` or `Refused`.
    """
    wanted = [TopicPartition(*place) for place in places]
    try:
        # In this order: what is written in between is behind the end, and not passed over.
        ends = await client.end_offsets(wanted)
        found = await client.offsets_for_times(dict.fromkeys(wanted, max(0, int(at * 1000))))
    except REFUSALS as error:
        raise refusal(error, cluster, "") from None
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokersAway(away(cluster, error)) from None
    return {
        (place.topic, place.partition): ends[place] if found[place] is None else found[place].offset
        for place in wanted
    }
