"""The bus on Kafka, put together: facts copied out, each record copied once, submits read."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import structlog

from gateway.bus import topics
from gateway.bus.backlog import Backlog
from gateway.bus.belonging import Belonging
from gateway.bus.clusters import Clusters
from gateway.bus.forwarder import Forwarder
from gateway.bus.kafka import KafkaBus
from gateway.bus.kafka_client import clusters_of
from gateway.bus.submits import Submits, Take
from gateway.core.dedup.kafka import KafkaLogs
from gateway.core.dedup.service import Dedup, partitions
from gateway.daemon.core import Maker
from gateway.daemon.ground import Ground
from gateway.owners import Group, Owners, Role
from gateway.store.base import Fenced, Lease

_log = structlog.get_logger(__name__)
_FOLDER: Final = "dedup"
_AGAIN: Final = 5.0  # seconds after which a forwarder that failed begins again


class Kafka:
    """The clusters and what works with them; `take` accepts submits."""

    def __init__(self, ground: Ground, owners: Owners, take: Take) -> None:
        config = ground.config.bus
        self._ground = ground
        self._owners = owners
        self._take = take
        self._clusters = Clusters(
            clusters_of(config), topics.topics(config), Belonging(ground.store).take
        )
        self._logs = KafkaLogs(self._clusters)
        self.dedup = Dedup(
            store=ground.store,
            logs=self._logs,
            folder=ground.data / _FOLDER,
            window=config.dedup_window,
            fence=owners.lease,
            clock=ground.clock,
            monotonic=time.monotonic,
        )
        self.backlog = Backlog(ground.store, config.max_backlog)
        self.bus = KafkaBus(
            ground.store,
            self._clusters,
            topics=[topics.clean(each) for each in topics.FACT_TOPICS],
            partitions=config.partitions,
        )

    async def open(self, stack: AsyncExitStack) -> None:
        """Begin to look at the backlog and to judge the clusters; `stack` ends it."""
        await self.backlog.look()
        self.backlog.start()
        stack.push_async_callback(self.backlog.close)
        self._clusters.start()
        stack.push_async_callback(self._clusters.close)
        stack.push_async_callback(self._logs.close)
        stack.push_async_callback(self.dedup.close)

    def groups(self) -> list[Group]:
        """The partitions of which one process each copies every record once."""
        names = partitions(self._ground.config.bus)
        return [Group(kind="dedup", role=Role.CORE, names=lambda: names, estate=self.dedup)]

    def works(self) -> dict[str, Maker]:
        """The works of which there is one in all processes."""
        works: dict[str, Maker] = {"forwarder": self._start_forwarder}
        if self._ground.config.bus.submit:
            works["submits"] = self._start_submits
        return works

    async def _start_forwarder(self, lease: Lease) -> "Background":
        return Background(self._forward(lease.epoch), "bus: forwarder")

    async def _forward(self, epoch: int) -> None:
        while True:
            forwarder = Forwarder(
                self._ground.store,
                self._clusters,
                partitions=self._ground.config.bus.partitions,
                epoch=epoch,
                fence=self._owners.lease(),
                clock=self._ground.clock,
            )
            try:
                await forwarder.run()
            except Fenced:
                return  # the process ends
            except Exception:  # nothing was passed over: it goes on where the cursor stands
                _log.exception("the forwarder failed and begins again")
            await asyncio.sleep(_AGAIN)

    async def _start_submits(self, lease: Lease) -> Submits:
        config = self._ground.config.bus
        submits = Submits(self._ground.store, self._clusters, config.partitions, self._take)
        submits.start()
        return submits


class Background:
    """A work that is one coroutine."""

    def __init__(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._task = asyncio.get_running_loop().create_task(work, name=name)

    async def close(self) -> None:
        """End it."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
