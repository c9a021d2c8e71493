"""Reads many partitions of one cluster with one consumer, for owners that come and go.

Each owner asks for its own partition at its own pace. What has come for it waits here, and no
more of its partition is taken while much of it waits.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from gateway.bus.clusters import Clusters
from gateway.bus.kafka_client import REFUSALS, BrokersAway, Refused, away, refusal, stopped
from gateway.bus.kafka_reader import (
    UNDECODABLE,
    Isolation,
    Place,
    carefully,
    connected,
    incoming,
)
from gateway.bus.records import Incoming
from gateway.core.dedup.ports import ClusterAway

_log = structlog.get_logger(__name__)
_MOMENT: Final = 0.5  # seconds for which `read` waits
_AT_ONCE: Final = 5000  # records of one answer
_ENOUGH: Final = 4000  # records that wait for one owner


class _Wish:
    """What one owner wants: records from `following` on; `waiting` have come."""

    __slots__ = ("arrived", "fetched", "following", "waiting", "why_not")

    def __init__(self, offset: int) -> None:
        self.following = offset
        self.fetched = offset
        self.waiting: list[Incoming] = []
        self.arrived = asyncio.Event()
        self.why_not = ""

    def take(self, records: Sequence[Incoming]) -> None:
        """These have come, at least one."""
        self.fetched = records[-1].offset + 1
        self.waiting += records
        self.arrived.set()


class Tap:
    """The consumer of one cluster. Connects by itself, and anew after the cluster was away."""

    def __init__(self, clusters: Clusters, name: str, isolation: Isolation) -> None:
        self._isolation = isolation
        self._clusters = clusters
        self._name = name
        self._cluster = clusters.cluster(name)
        self._wishes: dict[Place, _Wish] = {}
        self._client: AIOKafkaConsumer | None = None
        self._changed = asyncio.Event()  # the wishes, or what of them is hungry
        self._assigned: dict[Place, _Wish] = {}
        self._task: asyncio.Task[None] | None = None

    async def read(self, place: Place, offset: int, limit: int) -> list[Incoming]:
        """1 to `limit` records from `offset` on, or none after a moment.

        Raises `ClusterAway`.
        """
        wish = self._wishes.get(place)
        if wish is None or wish.following != offset:
            wish = self._wishes[place] = _Wish(offset)
            self._changed.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="dedup: tap")
        if not wish.waiting and not wish.why_not:
            wish.arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_MOMENT):
                    await wish.arrived.wait()
        if wish.why_not:
            raise ClusterAway(wish.why_not)
        records, wish.waiting = wish.waiting[:limit], wish.waiting[limit:]
        if records:
            wish.following = records[-1].offset + 1
            if len(wish.waiting) < _ENOUGH <= len(wish.waiting) + len(records):
                self._changed.set()
        return records

    def rest(self, place: Place) -> None:
        """Nobody wants the place any more."""
        if self._wishes.pop(place, None) is not None:
            self._changed.set()

    async def close(self) -> None:
        """Let go of the brokers."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._round()
                except (BrokersAway, Refused) as error:
                    await self._fail(str(error))
                except Exception as error:  # nobody foresaw it: a new client may do better
                    _log.exception("reading for dedup failed and begins again", cluster=self._name)
                    await self._fail(away(self._cluster, error))
        finally:
            await self._let_go()

    async def _round(self) -> None:
        self._changed.clear()
        if self._client is None and self._wishes:
            await self._clusters.prepared(self._name)
            self._client = await connected(self._cluster, self._isolation)
        if self._client is not None and self._assigned != self._wishes:
            self._assign(self._client)
        hungry = [
            TopicPartition(*place)
            for place, wish in self._assigned.items()
            if len(wish.waiting) < _ENOUGH
        ]
        if self._client is None or not hungry:
            await self._changed.wait()
            return
        try:
            fetched = await self._fetched(self._client, hungry)
        except UNDECODABLE:
            await self._go_carefully([(each.topic, each.partition) for each in hungry])
            return
        for place, records in fetched.items():
            wish = self._assigned[place.topic, place.partition]
            wish.take([incoming(each) for each in records])

    async def _go_carefully(self, places: Sequence[Place]) -> None:
        """Give everybody what is there, with what can't be decoded as such; then connect anew."""
        wishes = {place: self._assigned[place] for place in places}
        await self._let_go()
        offsets = {place: wish.fetched for place, wish in wishes.items()}
        for chunk in await carefully(self._cluster, offsets, _AT_ONCE, self._isolation):
            wishes[chunk.topic, chunk.partition].take(chunk.records)

    def _assign(self, client: AIOKafkaConsumer) -> None:
        self._assigned = dict(self._wishes)
        client.assign([TopicPartition(*place) for place in self._assigned])
        for place, wish in self._assigned.items():
            client.seek(TopicPartition(*place), wish.fetched)

    async def _fetched(
        self, client: AIOKafkaConsumer, hungry: list[TopicPartition]
    ) -> Mapping[Any, list[Any]]:
        """What has come of the partitions; nothing when the wishes have changed before it came."""
        moment = int(_MOMENT * 1000)
        fetching = asyncio.ensure_future(
            client.getmany(*hungry, timeout_ms=moment, max_records=_AT_ONCE)
        )
        changing = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({fetching, changing}, return_when=asyncio.FIRST_COMPLETED)
            return fetching.result() if fetching.done() else {}
        except REFUSALS as error:
            raise refusal(error, self._cluster, hungry[0].topic) from None
        except (KafkaError, OSError) as error:
            raise BrokersAway(away(self._cluster, error)) from None
        finally:
            fetching.cancel()
            changing.cancel()
            await asyncio.wait({fetching, changing})
            if not fetching.cancelled():
                fetching.exception()  # or it would be missed by nobody but the log

    async def _fail(self, why: str) -> None:
        """Tell everybody; who comes back wants it anew."""
        for wish in self._wishes.values():
            wish.why_not = why
            wish.arrived.set()
        self._wishes.clear()
        await self._let_go()

    async def _let_go(self) -> None:
        client, self._client = self._client, None
        self._assigned = {}
        if client is not None:
            await stopped(client)
