"""The clusters of the configuration at work: written to, probed, judged; one of them is active.

One value for a process. What is sent to a cluster is measured here, and one that is not written
to otherwise is probed, so that both the failing and the recovering of a cluster are noticed by
the same figures (`cluster_health`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from gateway.bus.cluster_health import (
    LIMITS,
    ClusterState,
    Failover,
    Limits,
    Switch,
    Verdict,
)
from gateway.bus.kafka_admin import prepare
from gateway.bus.kafka_client import BrokersAway, Cluster, Producer, Refused, TooLarge
from gateway.bus.records import Outgoing
from gateway.bus.status import ClusterStatus
from gateway.bus.topics import PROBE, Topic

_log = structlog.get_logger(__name__)

_JUDGE_EVERY: Final = 0.25  # seconds
_PROBE_EVERY: Final = 2.0  # seconds
_SAY_AGAIN: Final = 60.0  # seconds between two lines about the same refusal
_SURE_FOR: Final = 5.0  # seconds after a look at a cluster's topics in which no doubt counts

# Makes sure of a cluster that has the topics; raises `BrokersAway` or `Refused`.
Take = Callable[[Cluster, Sequence[Topic]], Awaitable[None]]


class Clusters:
    """Writes to any of the clusters, and knows to which one should."""

    def __init__(
        self,
        clusters: Sequence[Cluster],
        topics: Sequence[Topic],
        take: Take,
        limits: Limits = LIMITS,
    ) -> None:
        """`clusters` in the order of preference; those of `topics` that are missing are made.

        None is used that `take` refuses.
        """
        self._clusters = {cluster.name: cluster for cluster in clusters}
        self._topics = topics
        self._take = take
        self._producers = {cluster.name: Producer(cluster) for cluster in clusters}
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._prepared: dict[str, float] = {}  # and when, by `_clock`
        self._clock = asyncio.get_running_loop().time
        self._failover = Failover(tuple(self._clusters), limits, self._clock())
        self._states = dict.fromkeys(self._clusters, ClusterState.HEALTHY)
        self._switched: asyncio.Future[Switch] = asyncio.get_running_loop().create_future()
        self._writes = 0
        self._said: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    # -- what it knows

    @property
    def active(self) -> str:
        """The name of the cluster to write to."""
        return self._failover.active

    @property
    def reason(self) -> str:
        """Why it is that one; "" for the first that never failed."""
        return self._failover.reason

    @property
    def since(self) -> float:
        """Since when, in seconds since the epoch."""
        return self._at(self._failover.since)

    def cluster(self, name: str) -> Cluster:
        """The cluster of this name."""
        return self._clusters[name]

    def names(self) -> tuple[str, ...]:
        """All of them, in the order of preference."""
        return tuple(self._clusters)

    def switched(self) -> "asyncio.Future[Switch]":
        """Done when another cluster becomes active, after this call."""
        return self._switched

    def status(self) -> list[ClusterStatus]:
        """How each does."""
        verdicts = self._failover.verdicts(self._clock())
        return [self._status(name, verdict) for name, verdict in verdicts.items()]

    # -- what it does

    def start(self) -> None:
        """Begin to judge and to probe."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._judge(), name="bus-judge"),
            *(
                loop.create_task(self._probe(name), name=f"bus-probe-{name}")
                for name in self._clusters
            ),
        ]

    async def prepared(self, name: str) -> None:
        """Be sure that the cluster has the topics and is ours; raises `BrokersAway` or `Refused`.

        Before anything is read too: brokers make a topic that is asked for, of any size. Costs
        nothing until somebody doubts it.
        """
        if name in self._prepared:
            return
        task = self._preparing.get(name)
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(self._prepare(name))
            self._preparing[name] = task
        await asyncio.wait([task])  # whoever comes meanwhile shares what becomes of it
        task.result()

    async def _prepare(self, name: str) -> None:
        cluster = self._clusters[name]
        await prepare(cluster, self._topics)
        await self._take(cluster, self._topics)
        self._prepared[name] = self._clock()

    def doubt(self, name: str) -> None:
        """Prepare the cluster again before its next use: it did not do what it was asked.

        Its topics may be gone, and it may be another one at the same address. However many come
        with the same doubt, and however often, one look every few seconds is enough.
        """
        at = self._prepared.get(name)
        if at is not None and self._clock() - at >= _SURE_FOR:
            del self._prepared[name]

    async def send(self, name: str, topic: str, partition: int, records: Sequence[Outgoing]) -> int:
        """As `Producer.send` to this cluster, measured."""
        self._writes += 1
        write, health = self._writes, self._failover[name]
        health.began(write, self._clock())
        try:
            await self.prepared(name)
            offset = await self._producers[name].send(topic, partition, records)
        except TooLarge:
            health.acknowledged(write, self._clock())
            raise
        except (BrokersAway, Refused) as error:
            health.failed(write, self._clock(), str(error))
            self.doubt(name)
            self._say(name, error)
            raise
        except BaseException:
            health.given_up(write)
            raise
        health.acknowledged(write, self._clock())
        return offset

    async def close(self) -> None:
        """Stop judging, let go of the brokers."""
        for task in (*self._tasks, *self._preparing.values()):
            task.cancel()
            await asyncio.wait([task])
        for producer in self._producers.values():
            await producer.close()

    async def _judge(self) -> None:
        while True:
            await asyncio.sleep(_JUDGE_EVERY)
            now = self._clock()
            for name, verdict in self._failover.verdicts(now).items():
                self._tell(name, verdict)
            switch = self._failover.judge(now)
            if switch is not None:
                _log.warning(
                    "the bus is written to another cluster",
                    cluster=switch.to,
                    before=switch.from_,
                    reason=switch.reason,
                )
                done, self._switched = self._switched, asyncio.get_running_loop().create_future()
                done.set_result(switch)

    def _tell(self, name: str, verdict: Verdict) -> None:
        if verdict.state is self._states[name]:
            return
        self._states[name] = verdict.state
        if verdict.state is ClusterState.FAILED:
            _log.warning("a cluster of the bus failed", cluster=name, reason=verdict.reason)
        else:
            _log.info("a cluster of the bus is well again", cluster=name)

    async def _probe(self, name: str) -> None:
        """While nobody else writes to it: write to each partition of the probe's topic."""
        partitions = next(topic.partitions for topic in self._topics if topic.name == PROBE)
        while True:
            if name != self.active or not self._failover[name].answers:
                record = Outgoing(
                    key=None, value=b"{}", headers=[], timestamp_ms=int(time.time() * 1000)
                )
                await asyncio.gather(
                    *(self.send(name, PROBE, each, [record]) for each in range(partitions)),
                    return_exceptions=True,
                )
            await asyncio.sleep(_PROBE_EVERY)

    def _say(self, name: str, error: BrokersAway | Refused) -> None:
        """What somebody has to mend, at once; that a cluster is away is told when it counts."""
        now = self._clock()
        if isinstance(error, Refused) and now - self._said.get(name, -_SAY_AGAIN) >= _SAY_AGAIN:
            self._said[name] = now
            _log.error("a cluster of the bus refuses us", cluster=name, reason=str(error))

    def _status(self, name: str, verdict: Verdict) -> ClusterStatus:
        return ClusterStatus(
            name=name,
            brokers=self._clusters[name].brokers,
            state=verdict.state,
            since=self._at(verdict.since),
            reason=verdict.reason,
            errors=verdict.errors,
            p99=verdict.p99,
        )

    def _at(self, moment: float) -> float:
        return time.time() - (self._clock() - moment)
