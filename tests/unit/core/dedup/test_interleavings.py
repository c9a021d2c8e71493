"""Any interleaving of crashes, stopped owners, lost disks and clusters that come and go: a reader
has each fact once and misses none.

The real worker runs over logs in memory and a real index. What is drawn is what happens around
it. Facts come as a forwarder sends them: in their order, again from where it was killed, and to
another cluster from what dedup has confirmed.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.dedup.worker import Settings
from gateway.store.sqlite import SqliteStore
from tests.unit.core.dedup.dedup_world import (
    Clusters,
    Facts,
    Owner,
    by_headers,
    by_ids,
    ids_in,
    is_settled,
    settled,
    until,
)

QUICK = Settings(batch=4, patience=0.1, retry=0.001)

FACTS = st.tuples(st.just("facts"), st.integers(1, 9))
AGAIN = st.tuples(st.just("again"), st.integers(1, 12))
SETTLE = st.tuples(st.just("settle"), st.just(0))
# What happens to the next batch that is written; of it a beginning is there.
CUT = st.tuples(st.just("cut"), st.integers(0, 4))
CRASH = st.tuples(st.just("crash"), st.integers(0, 4))
ZOMBIE = st.tuples(st.just("zombie"), st.integers(0, 4))
LAND = st.tuples(st.just("land"), st.just(0))
DIE = st.tuples(st.just("die before the index"), st.just(0))
DISK = st.tuples(st.just("lose the disk"), st.just(0))
RESTART = st.tuples(st.just("restart"), st.just(0))
SWITCH = st.tuples(st.just("switch"), st.just(0))
AWAY = st.tuples(st.just("away"), st.integers(0, 1))
BACK = st.tuples(st.just("back"), st.just(0))

OF_ONE = st.one_of(FACTS, AGAIN, SETTLE, CUT, CRASH, ZOMBIE, LAND, DIE, DISK, RESTART)
OF_TWO = st.one_of(OF_ONE, SWITCH, AWAY, BACK)


class Play:
    """What happens, one thing after another."""

    def __init__(self, home: Path, store: SqliteStore, clusters: Clusters) -> None:
        self.clusters = clusters
        self.facts = Facts(clusters)
        self._disk = home / "index"
        self._store = store
        self._now = [1_000_000.0]
        self._epoch = 0
        self._cursor = 0
        self._all: list[Owner] = []
        self.owner = self._next()

    def _next(self) -> Owner:
        self._epoch += 1
        owner = Owner(
            self.clusters,
            self._disk,
            self._store,
            epoch=self._epoch,
            now=self._now,
            settings=QUICK,
        )
        self._all.append(owner.start())
        return owner

    async def does(self, what: str, number: int) -> None:
        match what:
            case "facts":
                self.facts.happen(number)
                self._forward()
            case "again":
                earlier = [each for each in self.facts.ids() if each <= self._cursor][:-number]
                self._cursor = earlier[-1] if earlier else 0
                self._forward()
            case "settle":
                await self._settle()
            case "cut":
                self.owner.outputs.faults.append(("cut", number))
            case "crash":
                self.owner.outputs.faults.append(("hang", number))
                await self._work()
                await self._crash()
            case "zombie":
                # It is left as it is: stopped, its index open, its batch under way.
                self.owner.outputs.faults.append(("park", number))
                await self._work()
                self.owner = self._next()
            case "land":
                self.clusters.land()
            case "die before the index":
                if self.owner.index is not None:
                    self.owner.index.dies = True
                await self._work()
                await self._crash()
            case "lose the disk":
                await self._crash()
                shutil.rmtree(self._disk, ignore_errors=True)
            case "restart":
                await self._crash()
            case "switch":
                names = self.clusters.names
                self._use(names[1 - names.index(self.clusters.active)])
            case "away":
                away = self.clusters.names[number]
                if not self.clusters.away:
                    self.clusters.away.add(away)
                    if away == self.clusters.active:
                        self._use(self.clusters.names[1 - number])
            case "back":
                self.clusters.away.clear()

    async def end(self) -> None:
        """Everything is well again, and all that was sent is copied."""
        self.clusters.away.clear()
        self.clusters.land()
        await self._crash()
        self._forward()
        await settled(self.owner, self.clusters)

    async def close(self) -> None:
        for each in self._all:
            await each.crash()

    def _use(self, cluster: str) -> None:
        self.clusters.active = cluster
        self._cursor = max(each.worker.stats().highest for each in self._all)
        self._forward()

    def _forward(self) -> None:
        if self.clusters.active not in self.clusters.away:
            self.facts.forward(self.clusters.active, self._cursor)
            self._cursor = max(self._cursor, *self.facts.ids(), 0)

    async def _work(self) -> None:
        """Until the owner is stuck, gone or has nothing to do."""
        owner = self.owner
        assert owner.task is not None
        task = owner.task
        await until(
            lambda: owner.outputs.stuck.is_set() or task.done() or is_settled(owner, self.clusters)
        )

    async def _settle(self) -> None:
        """Until all is copied, if the owner is not stuck for good."""
        await self._work()

    async def _crash(self) -> None:
        """The owner is gone, and the next one begins."""
        await self.owner.crash()
        self.owner = self._next()


def played(names: tuple[str, ...], script: list[tuple[str, int]]) -> tuple[Clusters, list[int]]:
    """The clusters after the script and its end, and the ids of all facts."""

    async def play() -> tuple[Clusters, list[int]]:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            store = await SqliteStore.open(home / "db", max_queued=100, clock=lambda: 0.0)
            it = Play(home, store, Clusters(*names))
            try:
                for what, number in script:
                    await it.does(what, number)
                await it.end()
            finally:
                await it.close()
                await store.close()
            return it.clusters, it.facts.ids()

    return asyncio.run(play())


EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@EXAMPLES
@given(st.lists(OF_ONE, max_size=14))
def test_in_one_cluster_readers_may_go_by_the_headers_alone(script: list[tuple[str, int]]) -> None:
    clusters, facts = played(("primary",), script)
    assert ids_in(by_headers(clusters.clean["primary"])) == facts


@EXAMPLES
@given(st.lists(OF_TWO, max_size=18))
def test_in_two_clusters_readers_go_by_the_ids(script: list[tuple[str, int]]) -> None:
    clusters, facts = played(("primary", "secondary"), script)
    logs = list(clusters.clean.values())
    for order in logs, logs[::-1]:
        assert sorted(by_ids(order)) == facts
    for log in logs:
        taken = ids_in(by_headers(log))
        assert len(taken) == len(set(taken))
