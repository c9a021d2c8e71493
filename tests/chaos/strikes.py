"""Carries out the blows of a plan, brings back what does not come back by itself, and keeps the
log of both.
"""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.judge import Interrupted, Interruption
from tests.chaos.members import FENCED, Member
from tests.chaos.plan import KILLED, STOPPED, Blow, Kind
from tests.chaos.waiting import holds_within
from tests.chaos.watch import Watch
from tests.kafka_cluster import KafkaCluster
from tests.postgres import PostgresServer

_AWAY_FOR: Final = (0.5, 3.0)  # seconds until a server that was killed is started again
_VICTIM_WITHIN: Final = 30.0  # seconds to wait for one that runs
_TAKEN_OVER_WITHIN: Final = 60.0
_ENDS_WITHIN: Final = 60.0  # seconds for a process that was taken for dead to see that it was
_FENCED_AFTER: Final = 15.0  # seconds without a renewal, at most, before a process ends by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """What was struck: `owned` are carriers, or how many queues; times since the epoch."""

    kind: Kind
    victim: str
    pid: int
    began: float
    ended: float
    carriers: tuple[str, ...] = ()
    queues: int = 0


class Striker:
    """Strikes members, brokers and the store's server."""

    def __init__(
        self,
        members: Sequence[Member],
        cluster: KafkaCluster,
        server: PostgresServer,
        watch: Watch,
        dice: random.Random,
    ) -> None:
        self._members = members
        self._cluster = cluster
        self._server = server
        self._watch = watch
        self._dice = dice
        self._mending: set[asyncio.Task[None]] = set()
        self._store_away: list[tuple[float, float]] = []
        self._servers = asyncio.Lock()  # one broker is away at a time, and no other server
        self.strokes: list[Stroke] = []
        self.faults: list[str] = []
        self._blows: dict[Kind, Callable[[Kind], Awaitable[None]]] = {
            Kind.API: self._kill_member,
            Kind.SMPP: self._kill_member,
            Kind.CORE: self._kill_member,
            Kind.BROKER: self._kill_broker,
            Kind.POSTGRES: self._kill_postgres,
            Kind.STOP_SMPP: self._stop_owner,
            Kind.STOP_CORE: self._stop_owner,
        }

    async def run(self, blows: Sequence[Blow]) -> None:
        """Strike when it is time; return when all that was struck is up again."""
        began = time.monotonic()
        for blow in blows:
            await asyncio.sleep(max(0.0, began + blow.at - time.monotonic()))
            await self._blows[blow.kind](blow.kind)
        await self.mended()

    async def mended(self) -> None:
        """Wait until every server is back."""
        while self._mending:
            await asyncio.wait(list(self._mending))

    def store_was_away(self, since: float, until: float) -> bool:
        """Whether it was at any moment between two times, seconds since the epoch."""
        return any(began <= until and since <= ended for began, ended in self._store_away)

    # -- processes of the gateway ------------------------------------------------------------

    async def _kill_member(self, kind: Kind) -> None:
        member = await self._victim(lambda each: each.role == kind.value)
        if member is None:
            self.faults.append(f"no process of the role {kind.value} ran, to be killed")
            return
        carriers, queues = self._owned(member.pid)
        began = time.time()
        pid = member.kill()
        self._note(
            Stroke(
                kind=kind,
                victim=member.name,
                pid=pid,
                began=began,
                ended=began,
                carriers=carriers,
                queues=queues,
            )
        )

    async def _stop_owner(self, kind: Kind) -> None:
        """SIGSTOP until others own what it owned; then it must end by itself, with 75."""
        role, owns = _OWNERS[kind]
        member = await self._victim(
            lambda each: each.role == role and bool(self._watch.owned_by(each.pid, owns))
        )
        if member is None:
            self.faults.append(f"no process of the role {role} owned a {owns}, to be stopped")
            return
        pid = member.pid
        carriers, queues = self._owned(pid)
        began = time.time()
        member.freeze()
        taken_over = await holds_within(
            lambda: pid not in self._watch.owners.values(), _TAKEN_OVER_WITHIN
        )
        if not taken_over:
            names = sorted(n for n, owner in self._watch.owners.items() if owner == pid)
            self.faults.append(f"{member.name} was stopped and nobody took over {names}")
        member.thaw()
        process = member.gateway.process
        assert process is not None
        if not await holds_within(lambda: process.poll() is not None, _ENDS_WITHIN):
            self.faults.append(
                f"{member.name} was taken for dead and goes on:\n{member.log_tail()}"
            )
        elif process.returncode not in (FENCED, -signal.SIGKILL):
            self.faults.append(f"{member.name} was taken for dead, and ended otherwise")
        stroke = Stroke(
            kind=kind,
            victim=member.name,
            pid=pid,
            began=began,
            ended=time.time(),
            carriers=carriers,
            queues=queues,
        )
        self._note(stroke)

    def _owned(self, pid: int) -> tuple[tuple[str, ...], int]:
        carriers = tuple(self._watch.owned_by(pid, "carrier"))
        return carriers, len(self._watch.owned_by(pid, "jobs"))

    async def _victim(self, suits: Callable[[Member], bool]) -> Member | None:
        found: list[Member] = []

        def some() -> bool:
            found[:] = [each for each in self._members if each.ready and each.pid and suits(each)]
            return bool(found)

        await holds_within(some, _VICTIM_WITHIN)
        return self._dice.choice(found) if found else None

    # -- servers -----------------------------------------------------------------------------

    async def _kill_broker(self, kind: Kind) -> None:
        await self._servers.acquire()
        node = self._dice.choice(list(self._cluster.nodes))
        began, pid = time.time(), self._cluster.pid(node)
        self._cluster.kill(node)
        self._note(Stroke(kind=kind, victim=f"broker{node}", pid=pid, began=began, ended=began))

        async def mend() -> None:
            await asyncio.sleep(self._dice.uniform(*_AWAY_FOR))
            await asyncio.to_thread(self._cluster.restart, node)

        self._mend(mend())

    async def _kill_postgres(self, kind: Kind) -> None:
        await self._servers.acquire()
        began, pid = time.time(), self._server.pid
        await asyncio.to_thread(self._server.kill)
        self._store_away.append((began, float("inf")))
        self._note(Stroke(kind=kind, victim="postgres", pid=pid, began=began, ended=began))

        async def mend() -> None:
            await asyncio.sleep(self._dice.uniform(*_AWAY_FOR))
            await asyncio.to_thread(self._server.restart)
            self._store_away[-1] = (began, time.time())

        self._mend(mend())

    def _mend(self, work: Awaitable[None]) -> None:
        async def mending() -> None:
            try:
                await work
            except AssertionError as error:
                self.faults.append(f"a server did not come back: {error}")
            finally:
                self._servers.release()

        task = asyncio.get_running_loop().create_task(mending())
        self._mending.add(task)
        task.add_done_callback(self._mending.discard)

    def _note(self, stroke: Stroke) -> None:
        self.strokes.append(stroke)
        print(described(stroke), flush=True)


_OWNERS: Final = {Kind.STOP_SMPP: ("smpp", "carrier"), Kind.STOP_CORE: ("core", "dedup")}


def described(stroke: Stroke) -> str:
    """A line of the log of blows."""
    clock = time.strftime("%H:%M:%S", time.localtime(stroke.began))
    how = f"stopped for {stroke.ended - stroke.began:.1f} s" if stroke.kind in STOPPED else "killed"
    owned = [*stroke.carriers, *([f"{stroke.queues} queues"] if stroke.queues else [])]
    owner = f", owner of {', '.join(owned)}" if owned else ""
    return f"  {clock} {how}: {stroke.victim} ({stroke.pid}){owner}"


def kills(strokes: Sequence[Stroke]) -> dict[Kind, int]:
    """How often each kind was killed with -9."""
    return {kind: sum(each.kind is kind for each in strokes) for kind in KILLED}


def interrupted(
    strokes: Sequence[Stroke],
    members: Sequence[Member],
    windows: dict[str, int],
    unsettled: int,
) -> Interrupted:
    """What explains that something was done twice: blows, and owners who ended by themselves.

    `windows` is how many submit_sm may be under way to each carrier, `unsettled` how many
    callbacks of one process.
    """
    carriers: dict[str, list[Interruption]] = {name: [] for name in windows}
    queues: list[Interruption] = []
    struck = {each.pid for each in strokes}
    for each in strokes:
        for name in each.carriers:
            carriers[name].append(_interruption(each.victim, each.began, each.ended, windows[name]))
        if each.queues:
            queues.append(_interruption(each.victim, each.began, each.ended, unsettled))
    for member in members:
        for ending in member.endings:
            if ending.why != "fenced" or ending.pid in struck:
                continue
            since = ending.at - _FENCED_AFTER
            if member.role == "smpp":
                for name, window in windows.items():
                    carriers[name].append(_interruption(member.name, since, ending.at, window))
            if member.role == "core":
                queues.append(_interruption(member.name, since, ending.at, unsettled))
    return Interrupted(carriers=carriers, queues=queues)


def _interruption(name: str, began: float, ended: float, bound: int) -> Interruption:
    return Interruption(name=name, began=began, ended=ended, bound=bound)
