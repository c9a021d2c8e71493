"""Clusters in memory for the tests of dedup: logs, what can go wrong with them, and readers that
apply the documented filters, written here a second time.
"""

import asyncio
import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from gateway.bus.filter import Seen
from gateway.bus.records import Headers, Incoming, Outgoing, encode
from gateway.core.dedup.index import Index, Memory
from gateway.core.dedup.machine import Outrun
from gateway.core.dedup.notes import Notes, note_name
from gateway.core.dedup.ports import ClusterAway, Span
from gateway.core.dedup.shelf import open_index
from gateway.core.dedup.state import State
from gateway.core.dedup.steady import SteadyClock
from gateway.core.dedup.worker import Settings, Worker
from gateway.store.base import Fact, Lease, Store

TOPIC = "trunkline.messages"
PARTITION = 3
WINDOW = 1000.0
FAST = Settings(batch=5, patience=2.0, retry=0.002, again=0.05)
WAIT = 0.005  # seconds that a read without records takes
MEMORY = Memory(cache=2**20, buffers=2**22)
LIMIT = 30.0  # seconds for what should take none


class Log:
    """One partition of a topic in one cluster."""

    def __init__(self) -> None:
        self.records: list[Incoming] = []
        self.first = 0

    def add(self, records: Iterable[Outgoing]) -> int:
        begin = len(self.records)
        for record in records:
            self.records.append(
                Incoming(
                    offset=len(self.records),
                    timestamp_ms=record.timestamp_ms,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                )
            )
        return begin

    def kept(self) -> Span:
        return Span(first=self.first, next=len(self.records))

    def read(self, offset: int, limit: int) -> list[Incoming]:
        if offset > len(self.records):
            offset = self.first  # as a consumer does that is out of range
        begin = max(offset, self.first)
        return self.records[begin : begin + limit]


class Clusters:
    """The raw and the clean log of one partition in each cluster, and what is away."""

    def __init__(self, *names: str) -> None:
        self.names = names or ("primary",)
        self.raw = {name: Log() for name in self.names}
        self.clean = {name: Log() for name in self.names}
        self.away: set[str] = set()
        self.active = self.names[0]
        self.parked: list[tuple[str, Sequence[Outgoing]]] = []

    def land(self) -> None:
        """What was under way when its writer was stopped arrives at the brokers."""
        for cluster, records in self.parked:
            self.clean[cluster].add(records)
        self.parked.clear()

    def check(self, cluster: str) -> None:
        if cluster in self.away:
            raise ClusterAway(f"the {cluster} cluster does not answer")


class Raw:
    """`Inputs` over the logs."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def kept(self, cluster: str) -> Span:
        self._clusters.check(cluster)
        return self._clusters.raw[cluster].kept()

    async def read(self, cluster: str, offset: int, limit: int) -> list[Incoming]:
        self._clusters.check(cluster)
        records = self._clusters.raw[cluster].read(offset, limit)
        if not records:
            await asyncio.sleep(WAIT)
        else:
            await asyncio.sleep(0)
        return records

    async def rest(self, cluster: str) -> None:
        pass


class Clean:
    """`Outputs` over the logs; `faults` say what happens to the next batches that are written.

    ("cut", n): n of the records are written, then the cluster does not answer. ("lost", n): the
    same, and it is away from then on. ("hang", n): n of them, and nothing more is heard.
    ("park", 0): as the latter, but what is left is under way and arrives with `Clusters.land`.
    """

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self.faults: deque[tuple[str, int]] = deque()
        self.stuck = asyncio.Event()
        self.ended = False  # the process is gone

    def active(self) -> str:
        return self._clusters.active

    async def kept(self, cluster: str) -> Span:
        self._clusters.check(cluster)
        return self._clusters.clean[cluster].kept()

    async def since(self, cluster: str, at: float) -> int:
        self._clusters.check(cluster)
        log = self._clusters.clean[cluster]
        found = (r.offset for r in log.records[log.first :] if r.timestamp_ms >= at * 1000)
        return next(found, len(log.records))

    async def read(self, cluster: str, offset: int, limit: int) -> list[Incoming]:
        self._clusters.check(cluster)
        await asyncio.sleep(0)
        return self._clusters.clean[cluster].read(offset, limit)

    async def rest(self, cluster: str) -> None:
        pass

    async def append(self, cluster: str, records: Sequence[Outgoing]) -> int:
        self._clusters.check(cluster)
        await asyncio.sleep(0)
        log = self._clusters.clean[cluster]
        if not self.faults or not records[0].value:  # marks are spared
            return log.add(records)
        what, count = self.faults.popleft()
        log.add(records[:count])
        if what == "lost":
            self._clusters.away.add(cluster)
        if what in ("cut", "lost"):
            raise ClusterAway("the brokers did not acknowledge")
        if what == "park":
            self._clusters.parked.append((cluster, records[count:]))
        self.stuck.set()
        while True:  # a process that is stopped has no patience that could end
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                if self.ended or what != "park":
                    raise


class Facts:
    """The facts of a store that belong to the partition, and the forwarder that copies them."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self.all: list[tuple[Fact, int]] = []
        self._ids = itertools.count(7, 3)  # others go to other partitions

    def happen(self, count: int) -> None:
        for _ in range(count):
            number = next(self._ids)
            after = self.all[-1][0].id if self.all else 0
            self.all.append((fact(number), after))

    def forward(self, cluster: str, after: int, up_to: int | None = None) -> None:
        """Write those above the id `after` to the raw topic."""
        last = self.all[-1][0].id if up_to is None and self.all else up_to or 0
        self._clusters.raw[cluster].add(
            outgoing(encode(each, before)) for each, before in self.all if after < each.id <= last
        )

    def ids(self) -> list[int]:
        return [each.id for each, _ in self.all]


def fact(number: int, **fields: Any) -> Fact:
    given = {"sid": f"SM{number:032x}", "version": 2, "type": "message.sent", **fields}
    return Fact(id=number, account_sid="AC" + "0" * 32, at=1.5, data="{}", **given)


def outgoing(value: Any, at: float = 0.0, headers: Headers | None = None) -> Outgoing:
    assert isinstance(value, bytes), value
    return Outgoing(key=b"k", value=value, headers=headers or [], timestamp_ms=int(at * 1000))


def ids_in(records: Iterable[Incoming]) -> list[int]:
    return [msgspec.json.decode(each.value)["id"] for each in records if each.value]


def by_headers(log: Log) -> list[Incoming]:
    """What a reader of one clean log has who goes by the headers alone."""
    epoch, last = 0, defaultdict[str, int](lambda: -1)
    taken = []
    for record in log.records:
        said = dict(record.headers)
        wrote, offset = int(said["epoch"]), int(said["offset"])
        source = f"{said['cluster'].decode()}/{said['partition'].decode()}"
        if wrote < epoch:
            continue
        epoch = wrote
        if offset > last[source]:
            last[source] = offset
            taken.append(record)
    return taken


def by_ids(logs: Sequence[Log]) -> list[int]:
    """The ids that a reader has who goes by the ids, and reads one clean log after another."""
    seen, taken = Seen(), []
    for log in logs:
        for record in log.records:
            if record.value:
                said = msgspec.json.decode(record.value)
                if not seen.has(said["id"]):
                    seen.add(said["after"], said["id"])
                    taken.append(said["id"])
    return taken


class Died(BaseException):
    """The process is gone."""


class Mortal(Index):
    """An index whose process dies before it writes keys, when told to."""

    dies = False

    def commit(self, keys: Iterable[tuple[float, Sequence[bytes]]], state: State) -> None:
        groups = list(keys)
        if self.dies and any(those for _, those in groups):
            raise Died
        super().commit(groups, state)


class Owner:
    """A process that owns the partition: the real worker over logs in memory, a disk for real."""

    def __init__(
        self,
        clusters: Clusters,
        disk: Path,
        store: Store,
        *,
        epoch: int,
        now: list[float],
        fence: Lease | None = None,
        settings: Settings = FAST,
    ) -> None:
        self.outputs = Clean(clusters)
        self.epoch = epoch
        clock = SteadyClock(lambda: now[0], lambda: now[0])
        self.index: Mortal | None = None
        self.worker = Worker(
            topic=TOPIC,
            partition=PARTITION,
            epoch=epoch,
            clusters=clusters.names,
            inputs=Raw(clusters),
            outputs=self.outputs,
            open_index=lambda: open_index(disk, epoch, self._open),
            window=WINDOW,
            notes=Notes(
                store,
                note_name(TOPIC, PARTITION),
                fence=lambda: fence,
                monotonic=asyncio.get_running_loop().time,
                every=WAIT,
            ),
            clock=clock,
            settings=settings,
        )
        self.task: asyncio.Task[None] | None = None

    def _open(self, folder: Path) -> Index:
        self.index = Mortal(folder, window=WINDOW, memory=MEMORY)
        return self.index

    def start(self) -> "Owner":
        self.task = asyncio.get_running_loop().create_task(self.worker.run())
        return self

    async def crash(self) -> None:
        """End it as `kill -9` would, but for the files that this process cannot but close."""
        assert self.task is not None
        self.outputs.ended = True
        self.task.cancel()
        with suppress(asyncio.CancelledError, Outrun, Died):
            await self.task

    async def stop(self) -> None:
        assert self.task is not None
        self.worker.stop()
        async with asyncio.timeout(LIMIT):
            await self.task


async def until(condition: Callable[[], object]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 (of what is waited for nobody tells)
            await asyncio.sleep(WAIT)


async def settled(owner: Owner, clusters: Clusters) -> None:
    """Wait until the owner has read all that there is in the clusters that answer."""
    async with asyncio.timeout(LIMIT):
        while not is_settled(owner, clusters):
            assert owner.task is not None
            if owner.task.done():
                owner.task.result()
                raise AssertionError("the owner has ended")
            await asyncio.sleep(WAIT)


def is_settled(owner: Owner, clusters: Clusters) -> bool:
    stats = owner.worker.stats()
    here = [name for name in clusters.names if name not in clusters.away]
    return bool(here) and all(
        name in stats.attached and owner.worker.position(name) == len(clusters.raw[name].records)
        for name in here
    )


def twice(taken: Iterable[int]) -> list[int]:
    return [each for each, count in Counter(taken).items() if count > 1]
