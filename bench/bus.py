"""What a fact costs on its way through Kafka: CPU of the forwarder and of a reader.

Facts of texts, three of each SID, are committed to a store; then, each alone in its process, the
forwarder sends them to a broker, records are copied to the clean topics without dedup, and the
bus reads them. Figures are CPU of this process, the store's threads included; the broker is
another process on the same cores.

    python bench/bus.py --facts 200000 --broker mock
    python bench/bus.py --broker real        # Apache Kafka; tests/interop/provide kafka
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from gateway.bus.base import BEGINNING
from gateway.bus.belonging import Belonging
from gateway.bus.clusters import Clusters
from gateway.bus.forwarder import Forwarder
from gateway.bus.kafka import KafkaBus
from gateway.bus.kafka_client import Cluster, Producer
from gateway.bus.kafka_reader import BEGIN, Reader
from gateway.bus.records import Origin
from gateway.bus.topics import FACT_TOPICS, MESSAGES, clean, topics
from gateway.config import Bus
from gateway.sids import SMS, new_sid
from gateway.store.base import Insert
from gateway.store.sqlite import SqliteStore
from tests.integration.bus_world import copied
from tests.kafka_cluster import KafkaCluster
from tests.kafka_mock import MockCluster

FACT = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))
KINDS = ("message.queued", "message.sent", "message.delivered")
DATA = '{"status":"delivered","carrier":"acme","segments":1}'
ACCOUNT = "AC" + "0" * 32


class Stopwatch:
    """CPU and wall time since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = self._now()

    def _now(self) -> tuple[float, float]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime, time.perf_counter()

    def row(self, stage: str, count: int) -> dict[str, float | str]:
        cpu, wall = self._now()
        cpu, wall = cpu - self._cpu, wall - self._wall
        return {
            "stage": stage,
            "facts": count,
            "cpu_us": round(cpu / count * 1e6, 2),
            "per_second": round(count / wall),
        }


@asynccontextmanager
async def brokers(kind: str, place: Path, partitions: int) -> AsyncIterator[str]:
    """Where the brokers are."""
    if kind == "real":
        cluster = await asyncio.to_thread(KafkaCluster.start, place)
        try:
            yield cluster.bootstrap
        finally:
            await asyncio.to_thread(cluster.stop_all)
        return
    async with await MockCluster.start(1) as mock:
        for topic in topics(Bus(partitions=partitions)):
            await mock.topic(topic.name, partitions=partitions)
        yield mock.bootstrap


async def fill(store: SqliteStore, count: int) -> None:
    sids = [new_sid(SMS, time.time()) for _ in range((count + 2) // 3)]
    rows = [
        (ACCOUNT, sid, version, kind, time.time(), DATA)
        for start in range(0, len(sids), 300)
        for version, kind in enumerate(KINDS, 1)
        for sid in sids[start : start + 300]
    ][:count]
    for start in range(0, count, 2000):
        await store.commit([(FACT, row) for row in rows[start : start + 2000]])


async def forward(store: SqliteStore, clusters: Clusters, partitions: int, count: int) -> None:
    forwarder = Forwarder(
        store, clusters, partitions=partitions, epoch=1, fence=None, clock=time.time
    )
    task = forwarder.start()
    while not task.done():
        await asyncio.sleep(0.002)
        if forwarder.stats().forwarded >= count:
            break
    await forwarder.close()


async def copy(cluster: Cluster, partitions: int, count: int) -> None:
    reader = Reader(cluster, {(MESSAGES, each): BEGIN for each in range(partitions)})
    producer = Producer(cluster)
    done = 0
    while done < count:
        for chunk in await reader.read(4000, 1.0):
            records = [
                copied(
                    each,
                    Origin(
                        epoch=1, cluster="primary", partition=chunk.partition, offset=each.offset
                    ),
                )
                for each in chunk.records
            ]
            await producer.send(clean(MESSAGES), chunk.partition, records)
            done += len(records)
    await reader.close()
    await producer.close()


async def read(bus: KafkaBus, count: int) -> None:
    done = 0
    async for batch in bus.subscribe(BEGINNING):
        done += len(batch.facts)
        if done >= count:
            break
    await bus.close()


async def run(kind: str, count: int, partitions: int) -> list[dict[str, float | str]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        async with brokers(kind, place, partitions) as bootstrap:
            config = Bus(url=f"kafka://{bootstrap}", partitions=partitions)
            cluster = Cluster(
                name="primary", brokers=tuple(bootstrap.split(",")), settings={}, timeout=30.0
            )
            store = await SqliteStore.open(place / "store.db", max_queued=10_000, clock=time.time)
            clusters = Clusters([cluster], topics(config), Belonging(store).take)
            await clusters.prepared("primary")
            await fill(store, count)
            rows = []
            watch = Stopwatch()
            await forward(store, clusters, partitions, count)
            rows.append(watch.row("forward", count))
            watch = Stopwatch()
            await copy(cluster, partitions, count)
            rows.append(watch.row("copy without dedup", count))
            bus = KafkaBus(
                store, clusters, topics=[clean(each) for each in FACT_TOPICS], partitions=partitions
            )
            watch = Stopwatch()
            await read(bus, count)
            rows.append(watch.row("read", count))
            await clusters.close()
            await store.close()
            return rows


def main() -> None:
    """Run it and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=16)
    parser.add_argument("--broker", choices=("mock", "real"), default="mock")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = uvloop.run(run(given.broker, given.facts, given.partitions))
    print(f"{'stage':<22}{'facts':>10}{'CPU us/fact':>14}{'facts/s':>12}")
    for row in rows:
        print(f"{row['stage']:<22}{row['facts']:>10}{row['cpu_us']:>14}{row['per_second']:>12}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
