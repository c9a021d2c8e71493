"""Reads the clean topic of submits, all partitions of every cluster, and hands on what is there.

How far each cluster was read stands in table `meta` and moves in the commit of what was made of
the records. Whoever takes them knows a record that comes twice by its id, so a cluster that is
read again from an older offset does no harm.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from gateway.bus.clusters import Clusters
from gateway.bus.kafka_client import BrokersAway, Refused
from gateway.bus.kafka_reader import BEGIN, Chunk, Reader
from gateway.bus.topics import SUBMIT, clean
from gateway.store.base import Fenced, Insert, Query, Store, StoreError, Update, Write

_log = structlog.get_logger(__name__)

_TOPIC: Final = clean(SUBMIT)
_READ: Final = 1000  # records of one look
_WAIT: Final = 1.0  # seconds of one look
_TRY_AGAIN: Final = 1.0  # seconds
_END_WITHIN: Final = 5.0  # seconds for a batch that is being taken when all of it ends
_SAY_AGAIN: Final = 60.0  # seconds between two lines about the same
_OFFSETS: Final = Query("submit_offsets", "SELECT value FROM meta WHERE name = $1")
_FIRST: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_NEXT: Final = Update(table="meta", key=("name",), columns=("value",))
_decode: Final = msgspec.json.Decoder(list[int]).decode
_encode: Final = msgspec.json.Encoder().encode

# Makes something of the values of records, and stores it together with the writes.
Take = Callable[[Sequence[bytes], Sequence[Write]], Awaitable[object]]


class Submits:
    """Hands records to `take`, one batch of a cluster at a time, until `close`."""

    def __init__(self, store: Store, clusters: Clusters, partitions: int, take: Take) -> None:
        self._store = store
        self._clusters = clusters
        self._partitions = partitions
        self._take = take
        self._tasks: list[asyncio.Task[None]] = []
        self._said: dict[str, tuple[str, float]] = {}  # why a cluster's wait, and when that was

    def start(self) -> None:
        """Begin where the last one ended."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run(name), name=f"submits: {name}")
            for name in self._clusters.names()
        ]

    async def close(self) -> None:
        """Stop after the batch that is being taken; one that is not durable is read again."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, name: str) -> None:
        while True:
            try:
                await self._read(name)
            except Fenced:
                return  # the process ends
            except (BrokersAway, Refused) as error:
                self._clusters.doubt(name)
                self._say(name, str(error))
            except StoreError as error:
                self._say(name, str(error))
            except Exception:  # the next try may do better; nothing was passed over
                _log.exception("a batch of submits failed", cluster=name)
            await asyncio.sleep(_TRY_AGAIN)

    def _say(self, name: str, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        before, at = self._said.get(name, ("", 0.0))
        if reason != before or now - at >= _SAY_AGAIN:
            self._said[name] = reason, now
            _log.warning("submits wait", cluster=name, reason=reason)

    async def _read(self, name: str) -> None:
        await self._clusters.prepared(name)
        offsets = await self._known(name)
        places = {(_TOPIC, partition): offset for partition, offset in enumerate(offsets)}
        reader = Reader(self._clusters.cluster(name), places)
        try:
            while True:
                chunks = await reader.read(_READ, _WAIT)
                if chunks:
                    await self._hand_on(name, reader, chunks)
        finally:
            await reader.close()

    async def _hand_on(self, name: str, reader: Reader, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            if chunk.lost:
                _log.error(
                    "submits were gone from the topic before they were read",
                    cluster=name,
                    partition=chunk.partition,
                    records=chunk.lost,
                )
        offsets = [reader.offset(_TOPIC, partition) for partition in range(self._partitions)]
        row = (_name(name), _encode(offsets).decode())
        # The mark of an owner of dedup has no value.
        values = [record.value for chunk in chunks for record in chunk.records if record.value]
        await self._taken(values, [(_FIRST, row), (_NEXT, row)])

    async def _taken(self, values: Sequence[bytes], moved: Sequence[Write]) -> None:
        """Take a batch; whoever cancels us meanwhile waits for it."""
        taking = asyncio.ensure_future(self._take(values, moved))
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait({taking}, timeout=_END_WITHIN)
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            raise

    async def _known(self, name: str) -> list[int]:
        rows = await self._store.fetch(_OFFSETS, _name(name))
        known = _decode(rows[0][0]) if rows else []
        return [*known, *[BEGIN] * self._partitions][: self._partitions]


def _name(cluster: str) -> str:
    return f"submit:{cluster}"
