"""Reads partitions of a cluster of Kafka brokers, each from an offset that the caller keeps.

No consumer group: whoever reads a partition knows that by a lease or reads all of them, and its
offsets stand in the store beside what it made of the records. A cluster that goes away gives
`BrokersAway` until it is back; reading goes on where it stood.

The library gives nothing at all, of any partition, when it can't decode one record, as with a
header whose name is no UTF-8. Then a look is taken at one record after the other (`carefully`),
so that nobody stops for it, and nothing but it is passed over.
"""

import asyncio
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
import structlog
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

_log = structlog.get_logger(__name__)
BEGIN: Final = -2  # instead of an offset: the oldest that is kept
_FETCH_WAIT: Final = 250  # milliseconds for which a broker holds an answer without records
_SILENT: Final = 6.0  # seconds without an answer about any partition: the cluster is away
_FETCH: Final = 4 * 2**20  # octets of one answer
_PER_PARTITION: Final = 2**20  # octets, of these
_NEXT: Final = 2000  # milliseconds for which a record that should be there is waited for
UNDECODABLE: Final = UnicodeDecodeError  # what the library raises for a record

Place = tuple[str, int]  # (topic, partition)


class Isolation(StrEnum):
    """Which records of producers with transactions are read."""

    ALL = "read_uncommitted"
    COMMITTED = "read_committed"  # and none behind the first whose transaction is open


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

        One that can't be decoded is logged, and stands there without a value. Raises
        `BrokersAway` or `Refused`; the next call tries again.
        """
        client = await self._connected()
        try:
            found = await client.getmany(timeout_ms=int(wait * 1000), max_records=most)
        except UNDECODABLE:
            await self.close()
            return await self._carefully(most)
        except REFUSALS as error:
            await self.close()
            raise refusal(error, self.cluster, "") from None
        except (KafkaError, OSError) as error:
            await self.close()
            raise BrokersAway(away(self.cluster, error)) from None
        except Exception as error:  # nobody foresaw it: a new client may do better
            _log.exception("reading from a cluster failed", cluster=self.cluster.name)
            await self.close()
            raise BrokersAway(away(self.cluster, error)) from None
        if not found and self._is_silent(client):
            await self.close()
            raise BrokersAway(away(self.cluster, TimeoutError("no answer")))
        return [self._chunk(client, place, records) for place, records in found.items()]

    async def _carefully(self, most: int) -> list[Chunk]:
        chunks = await carefully(self.cluster, self._offsets, most)
        for chunk in chunks:
            self._offsets[chunk.topic, chunk.partition] = chunk.records[-1].offset + 1
            for record in chunk.records:
                if record.unreadable:
                    _log.error(
                        "a reader passes over a record that can't be decoded",
                        cluster=self.cluster.name,
                        topic=chunk.topic,
                        partition=chunk.partition,
                        offset=record.offset,
                        reason=record.unreadable,
                        what_to_do="look at who writes to the topic; the record stays there for"
                        " now",
                    )
        return chunks

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


async def carefully(
    cluster: Cluster,
    offsets: Mapping[Place, int],
    most: int,
    isolation: Isolation = Isolation.ALL,
) -> list[Chunk]:
    """About `most` records in all from `offsets` on, each decoded by itself, by a new client.

    One that can't be decoded is `unreadable`. There is at least one record. Raises `BrokersAway`
    or `Refused`.
    """
    share = max(1, most // len(offsets))
    client = await connected(cluster, isolation)
    try:
        kept = await extents_of(client, cluster, offsets)
        chunks = [
            await _one_by_one(client, place, offset, kept[place], share)
            for place, offset in offsets.items()
        ]
    except REFUSALS as error:
        raise refusal(error, cluster, "") from None
    except (KafkaError, OSError) as error:
        raise BrokersAway(away(cluster, error)) from None
    finally:
        await stopped(client)
    found = [chunk for chunk in chunks if chunk.records]
    if not found:
        raise BrokersAway(away(cluster, TimeoutError("what it had is not there any more")))
    return found


async def _one_by_one(
    client: AIOKafkaConsumer, place: Place, offset: int, kept: Extent, most: int
) -> Chunk:
    partition = TopicPartition(*place)
    begin = offset if kept.begin <= offset <= kept.end else kept.begin  # as the library does
    following = begin
    records: list[Incoming] = []
    client.assign([partition])
    client.seek(partition, following)
    while following < kept.end and len(records) < most:
        try:
            answer = await client.getmany(partition, timeout_ms=_NEXT, max_records=1)
        except UNDECODABLE as error:
            records.append(_unreadable(following, error))
            client.seek(partition, following + 1)
        else:
            if not answer:  # what is left are no records, but marks of transactions
                break
            records.append(incoming(answer[partition][0]))
        following = records[-1].offset + 1
        await asyncio.sleep(0)  # it does not wait for what it has fetched: others must have a turn
    lost = max(0, records[0].offset - offset) if records else 0
    return Chunk(topic=place[0], partition=place[1], records=records, end=kept.end, lost=lost)


def _unreadable(offset: int, error: Exception) -> Incoming:
    return Incoming(
        offset=offset,
        timestamp_ms=0,
        key=None,
        value=None,
        headers=(),
        unreadable=f"the client library can't decode it: {error}",
    )


async def connected(cluster: Cluster, isolation: Isolation = Isolation.ALL) -> AIOKafkaConsumer:
    """A consumer without partitions yet; raises `BrokersAway` or `Refused`."""
    client = AIOKafkaConsumer(
        **connection(cluster),
        isolation_level=isolation.value,
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
