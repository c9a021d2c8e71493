"""Copies facts out of the store to Kafka: by one member at a time, under a lease.

Facts are read behind a cursor, grouped by partition, sent in batches to the active cluster, and
the cursor moves when all are acknowledged: so what was sent is sent again after a crash, and what
was not is not passed over. One batch is under way per partition, for those of one SID stand in
one and have to stay in order.

When another cluster becomes active it gets, first, everything that dedup has not confirmed to
have copied: that may stand in a cluster that will never be back. Dedup drops what it knows.

A fact that can't be sent, whatever is done, is logged, counted and passed over: it stays in the
store, and nothing waits for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
import structlog

from gateway.bus.clusters import Clusters
from gateway.bus.kafka_client import MAX_BATCH, BrokersAway, Refused, TooLarge
from gateway.bus.ledger import Ledger
from gateway.bus.records import STORE, Origin, Outgoing, Unusable, encode, headers_of
from gateway.bus.status import ForwarderStatus, Place
from gateway.bus.topics import partition_of, topic_of
from gateway.store.base import Fact, Lease, Store, StoreError, StoreUnavailable

_log = structlog.get_logger(__name__)

_ROUND: Final = 4000  # facts of one round: what is lost of time when a round has to be repeated
_BATCH: Final = 1000  # records of one future
_WAIT: Final = 1.0  # seconds of one look for facts
# Seconds between rounds that are not full. A batch costs us, the broker and dedup more than the
# records in it, and each round makes one for each partition; a lone fact never waits.
_LINGER: Final = 0.2
_NOTE_EVERY: Final = 0.5  # seconds between moves of the durable cursor
_SHOW_EVERY: Final = 5.0  # seconds, while it does not move
_TRY_AGAIN: Final = 0.3  # seconds
_MILLISECONDS: Final = 1000

_Given = TypeVar("_Given")
Numbered = tuple[int, Outgoing]  # a record with its fact's id


class ForwarderStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the start: facts acknowledged, passed over, and moves to another cluster."""

    forwarded: int
    skipped: int
    rewinds: int


class Forwarder:
    """The outbox's one reader. Runs until it is closed or its lease has passed."""

    def __init__(
        self,
        store: Store,
        clusters: Clusters,
        *,
        partitions: int,
        epoch: int,
        fence: Lease | None,
        clock: Callable[[], float],
    ) -> None:
        """`epoch` is that of the lease on the name `forwarder`, `fence` the member's lease."""
        self._store = store
        self._clusters = clusters
        self._partitions = partitions
        self._epoch = epoch
        self._clock = clock
        self._ledger = Ledger(store, fence, clock)
        self._cluster = ""
        self._noted_at = 0.0
        self._noted = -1
        self._task: asyncio.Task[None] | None = None
        self._forwarded = self._skipped = self._rewinds = 0

    def stats(self) -> ForwarderStats:
        """What it did."""
        return ForwarderStats(
            forwarded=self._forwarded, skipped=self._skipped, rewinds=self._rewinds
        )

    def start(self) -> "asyncio.Task[None]":
        """Begin; the task ends with `Fenced` when somebody else does this now."""
        self._task = asyncio.get_running_loop().create_task(self.run(), name="bus-forwarder")
        return self._task

    async def close(self) -> None:
        """End, with the cursor noted."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def run(self) -> None:
        """Copy until cancelled. Raises `Fenced` when somebody else does so."""
        before = await self._patiently(self._ledger.load)
        self._cluster = self._clusters.active
        try:
            if before is not None and before.active not in ("", self._cluster):
                await self._patiently(self._rewind)
            await self._copy()
        except asyncio.CancelledError:
            with suppress(StoreError):  # the next one sends a little again, then
                await self._ledger.note(self._status())
            raise

    async def _copy(self) -> None:
        facts: list[Fact] = []
        while True:
            switched = self._clusters.switched()
            if self._clusters.active != self._cluster:
                await self._patiently(self._rewind)
                facts = []
            facts = facts or await self._patiently(self._next)
            if facts and await self._sent(facts, switched):
                self._forwarded += len(facts)
                self._ledger.advance(facts[-1].id)
                full, facts = len(facts) == _ROUND, []
                if not full:
                    await asyncio.sleep(_LINGER)
            await self._note()

    # -- one round -----------------------------------------------------------------------------

    async def _next(self) -> list[Fact]:
        return await self._store.facts_after(self._ledger.cursor, _ROUND, _WAIT)

    async def _sent(self, facts: Sequence[Fact], switched: "asyncio.Future[Any]") -> bool:
        """Send the facts of one round; False if another cluster became active meanwhile."""
        groups = self._grouped(facts)
        if not groups:
            return True
        sending = asyncio.ensure_future(self._deliver_all(groups))
        try:
            await asyncio.wait({sending, switched}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                return False
            sending.result()
        finally:
            if not sending.done():
                sending.cancel()
                await asyncio.wait([sending])
        for place, group in groups.items():
            self._ledger.sent(place, group[-1][0])
        return True

    def _grouped(self, facts: Sequence[Fact]) -> dict[Place, list[Numbered]]:
        """The facts as records, by partition, each with the one before it."""
        now = int(self._clock() * _MILLISECONDS)
        groups: dict[Place, list[Numbered]] = {}
        before: dict[Place, int] = {}
        for fact in facts:
            place = (topic_of(fact.type), partition_of(fact.sid, self._partitions))
            after = before.get(place)
            if after is None:
                after = self._ledger.before(place)
            if fact.id <= after:
                continue  # this partition has it, though others do not
            value = encode(fact, after)
            if isinstance(value, Unusable) or len(value) > MAX_BATCH:
                self._skip(fact.id, _reason(value))
                continue
            before[place] = fact.id
            record = Outgoing(
                key=fact.sid.encode(),
                value=value,
                headers=headers_of(
                    Origin(epoch=self._epoch, cluster=STORE, partition=0, offset=fact.id)
                ),
                timestamp_ms=now,
            )
            groups.setdefault(place, []).append((fact.id, record))
        return groups

    async def _deliver_all(self, groups: Mapping[Place, Sequence[Numbered]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for place, group in groups.items():
                tasks.create_task(self._deliver(place, group))

    async def _deliver(self, place: Place, group: Sequence[Numbered]) -> None:
        """Send the records of one partition, batch after batch, however long that takes."""
        for start in range(0, len(group), _BATCH):
            await self._deliver_batch(place, group[start : start + _BATCH])

    async def _deliver_batch(self, place: Place, batch: Sequence[Numbered]) -> None:
        topic, partition = place
        records = [record for _, record in batch]
        while True:
            try:
                await self._clusters.send(self._cluster, topic, partition, records)
                return
            except TooLarge as error:
                if len(batch) > 1:
                    break
                self._skip(batch[0][0], str(error))
                return
            except (BrokersAway, Refused):
                await asyncio.sleep(_TRY_AGAIN)
        half = len(batch) // 2
        await self._deliver_batch(place, batch[:half])
        await self._deliver_batch(place, batch[half:])

    def _skip(self, fact_id: int, reason: str) -> None:
        self._skipped += 1
        _log.error(
            "a fact is not sent to Kafka and stays in the store alone; nothing waits for it",
            fact=fact_id,
            reason=reason,
        )

    # -- what is durable -----------------------------------------------------------------------

    async def _rewind(self) -> None:
        """Begin again, for the cluster that is active now, behind what dedup has confirmed."""
        cursor = self._ledger.cursor
        await self._ledger.rewind()
        self._cluster = self._clusters.active
        self._rewinds += 1
        _log.info(
            "facts that may stand in the other cluster alone are sent again",
            cluster=self._cluster,
            facts=max(0, cursor - self._ledger.cursor),
        )

    async def _note(self) -> None:
        """Make the cursor durable, and show how things are, every now and then."""
        now = asyncio.get_running_loop().time()
        moved = self._ledger.cursor != self._noted
        if now - self._noted_at < (_NOTE_EVERY if moved else _SHOW_EVERY):
            return
        self._noted_at, self._noted = now, self._ledger.cursor
        await self._patiently(lambda: self._ledger.note(self._status()))

    def _status(self) -> ForwarderStatus:
        clusters = self._clusters
        return ForwarderStatus(
            at=self._clock(),
            epoch=self._epoch,
            active=clusters.active,
            since=clusters.since,
            reason=clusters.reason,
            clusters=clusters.status(),
            forwarded=self._forwarded,
            skipped=self._skipped,
            rewinds=self._rewinds,
        )

    async def _patiently(self, do: Callable[[], Awaitable[_Given]]) -> _Given:
        """What `do` gives, once the store is there."""
        while True:
            try:
                return await do()
            except StoreUnavailable as error:
                _log.warning("Kafka's forwarder waits for the store", reason=str(error))
                await asyncio.sleep(_TRY_AGAIN)


def _reason(value: bytes | Unusable) -> str:
    if isinstance(value, Unusable):
        return value.reason
    return f"its record has {len(value)} octets, the most is {MAX_BATCH}"
