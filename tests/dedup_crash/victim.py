"""`python -m tests.dedup_crash.victim FOLDER …`: a process that owns one partition of dedup.

With an order it kills itself with -9 at that point's passage; without one it ends well when it
has copied the raw topic up to the offset it was given.
"""

import argparse
import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gateway.bus.clusters import Clusters
from gateway.bus.kafka_client import Cluster, clusters_of
from gateway.bus.topics import MESSAGES, Topic, topics
from gateway.core.dedup.kafka import KafkaLogs
from gateway.core.dedup.service import Dedup
from gateway.core.dedup.worker import Settings
from gateway.sections import Bus
from gateway.store.base import Lease
from gateway.store.sqlite import SqliteStore
from tests.crash.killable import soon
from tests.crash.points import arm
from tests.dedup_crash.points import ROWS

BATCH = 100
_LOOK_EVERY = 0.02  # seconds


async def take_any(cluster: Cluster, topics: Sequence[Topic]) -> None:
    """The records are the test's, not this store's."""


async def own(options: argparse.Namespace) -> None:
    folder: Path = options.folder
    bus = Bus(url=f"kafka://{options.bootstrap}", partitions=options.partitions)
    store = await SqliteStore.open(folder / "store.db", max_queued=1000, clock=time.time)
    clusters = Clusters(clusters_of(bus), topics(bus), take_any)
    clusters.start()
    logs = KafkaLogs(clusters)
    dedup = Dedup(
        store=store,
        logs=logs,
        folder=folder / "index",
        window=bus.dedup_window,
        fence=lambda: None,
        clock=time.time,
        monotonic=time.monotonic,
        settings=Settings(batch=BATCH),
    )
    name = f"{MESSAGES}:{options.partition}"
    lease = Lease(name=f"dedup:{name}", holder="victim", epoch=options.epoch, expires_at=0.0)
    await dedup.take_over(name, lease)
    stats = dedup.stats()[name]
    while not stats.attached or stats.inputs["primary"] < options.until:
        await asyncio.sleep(_LOOK_EVERY)
        stats = dedup.stats()[name]
    await dedup.close()
    await logs.close()
    await clusters.close()
    await store.close()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bootstrap")
    parser.add_argument("--partitions", type=int)
    parser.add_argument("--partition", type=int)
    parser.add_argument("--epoch", type=int)
    parser.add_argument("--until", type=int)
    parser.add_argument("--row", choices=[*ROWS])
    parser.add_argument("--passage", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.row:
        passages = itertools.count(1)
        arm(
            ROWS[options.row].point,
            lambda: next(passages) == options.passage,
            lambda: os.kill(os.getpid(), signal.SIGKILL),
            soon,
        )
    asyncio.run(own(options))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
