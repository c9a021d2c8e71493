"""How the bus is, as any process can tell it: from rows that its workers leave in the store."""

from typing import Final, Self

import msgspec

from gateway.bus.base import Bus
from gateway.store.base import Query, Store

FORWARDER: Final = "bus:forwarder"
CURSOR: Final = "cursor:kafka"
SENT: Final = "sent:kafka"

ROW: Final = Query("bus_row", "SELECT value FROM meta WHERE name = $1")
COPIED: Final = Query("bus_copied", "SELECT name, value FROM meta WHERE name LIKE 'dedup:%'")
NEWEST: Final = Query("bus_newest_fact", "SELECT max(id) FROM facts")
_SILENT: Final = 15.0  # seconds after which a forwarder that said nothing counts as gone

Place = tuple[str, int]  # (topic, partition)


class ClusterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a cluster does, as the forwarder sees it.

    `since` is in seconds since the epoch, `p99` in seconds, `errors` a share of the writes.
    """

    name: str
    brokers: tuple[str, ...]
    state: str
    since: float
    reason: str
    errors: float
    p99: float


class ForwarderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the forwarder said last, at `at`, both times in seconds since the epoch."""

    at: float
    epoch: int
    active: str
    since: float
    reason: str
    clusters: list[ClusterStatus]
    forwarded: int
    skipped: int
    rewinds: int

    def encode(self) -> str:
        """As it stands in the store."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> Self | None:
        """None for what another version of the program wrote."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError:
            return None


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Facts by their ids: the last that was sent to the raw partition, and that dedup copied."""

    topic: str
    partition: int
    sent: int
    copied: int


class BusStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `newest` and `cursor` are ids of facts, `readers` says how many each lacks.

    With the embedded bus `forwarder` is None and there are no partitions.
    """

    kind: str
    newest: int
    kept: int
    readers: dict[str, int]
    cursor: int = 0
    backlog: int = 0
    forwarder: ForwarderStatus | None = None
    forwarder_is_silent: bool = False
    partitions: list[PartitionStatus] = []


async def bus_status(store: Store, bus: Bus, now: float) -> BusStatus:
    """How the bus is at `now`, seconds since the epoch."""
    newest = int((await store.fetch(NEWEST))[0][0] or 0)
    stats = await bus.stats()
    if bus.kind == "embedded":
        return BusStatus(kind=bus.kind, newest=newest, kept=stats.kept, readers=stats.behind)
    cursor = await cursor_of(store)
    said = await _row(store, FORWARDER)
    forwarder = ForwarderStatus.decode(said) if said else None
    return BusStatus(
        kind=bus.kind,
        newest=newest,
        kept=stats.kept,
        readers=stats.behind,
        cursor=cursor,
        backlog=max(0, newest - cursor),
        forwarder=forwarder,
        forwarder_is_silent=forwarder is None or now - forwarder.at > _SILENT,
        partitions=await _partitions(store),
    )


async def cursor_of(store: Store) -> int:
    """The fact up to which all are in Kafka."""
    return int(await _row(store, CURSOR) or 0)


async def sent(store: Store) -> dict[Place, int]:
    """Of each raw partition the last fact that was sent to it."""
    found: dict[Place, int] = {}
    text = await _row(store, SENT)
    for name, fact_id in msgspec.json.decode(text or "{}", type=dict[str, int]).items():
        topic, _, partition = name.rpartition(":")
        found[topic, int(partition)] = fact_id
    return found


def encode_sent(places: dict[Place, int]) -> str:
    """What `sent` reads."""
    names = {f"{topic}:{partition}": fact_id for (topic, partition), fact_id in places.items()}
    return msgspec.json.encode(names).decode()


async def copied(store: Store) -> dict[Place, int]:
    """Of each raw partition the last fact that dedup confirmed to have copied."""
    found: dict[Place, int] = {}
    for name, value in await store.fetch(COPIED):
        _, topic, partition = name.split(":")
        found[topic, int(partition)] = int(value)
    return found


async def _partitions(store: Store) -> list[PartitionStatus]:
    last, done = await sent(store), await copied(store)
    return [
        PartitionStatus(
            topic=topic,
            partition=partition,
            sent=last.get((topic, partition), 0),
            copied=done.get((topic, partition), 0),
        )
        for topic, partition in sorted(last.keys() | done.keys())
    ]


async def _row(store: Store, name: str) -> str:
    rows = await store.fetch(ROW, name)
    return str(rows[0][0]) if rows else ""
