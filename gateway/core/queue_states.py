"""How the queues of jobs stand, as their owners see them, told to every process by the store.

An owner writes a row of table `meta` for each of its shards when something of it has changed, and
takes the row away when nothing waits there. So REST can answer in a process that owns nothing.
"""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.core.breaker import Circuit
from gateway.core.jobs import Scheduler
from gateway.core.owned import Queues
from gateway.core.records import Job, shard_of
from gateway.core.rounds import endlessly
from gateway.store.base import Delete, Insert, Lease, Query, Store, Update, Write

_EVERY: Final = 2.0  # seconds; …
_SHARE: Final = 10  # … or so many times what it takes, …
_SELDOM: Final = 10.0  # … which is not more than this
_MOST: Final = 100  # queues of one shard: those that do not answer, then the longest
_SLICE: Final = 500  # queues, or jobs, that are looked at in one turn of the loop
_NAME: Final = "queues:"  # with the number of a shard
_ALL: Final = Query("queue_states", "SELECT name, value FROM meta WHERE name LIKE 'queues:%'")
_FIRST: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_NEXT: Final = Update(table="meta", key=("name",), columns=("value",))
_GONE: Final = Delete(table="meta", key=("name",))


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has in memory for one endpoint; `more` is in the store alone.

    While the endpoint does not answer, it is tried again at `probe_at`.
    """

    endpoint: str
    account_sid: str
    waiting: int
    running: int
    retrying: int
    more: bool
    circuit: Circuit
    probe_at: float
    at: float = 0.0


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(list[QueueState])


async def of_account(store: Store, account_sid: str) -> list[QueueState]:
    """The queues in which the account has something, by endpoint."""
    found = [
        state
        for _, value in await store.fetch(_ALL)
        for state in _decoder.decode(value)
        if state.account_sid == account_sid
    ]
    return sorted(found, key=lambda state: state.endpoint)


class QueueReports:
    """Tells of the queues in `scheduler` that are among `own`; `is_behind` says that more wait."""

    def __init__(
        self,
        store: Store,
        fence: Lease | None,
        scheduler: Scheduler[Job],
        own: Callable[[], Queues],
        is_behind: Callable[[str], bool],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._fence = fence
        self._scheduler = scheduler
        self._own = own
        self._is_behind = is_behind
        self._clock = clock
        self._told: dict[int, list[QueueState]] = {}
        self._took = 0.0  # seconds, the last time
        self._looked_for = ""  # the marks of the queues whose rows are known

    async def run(self) -> None:
        """Tell of changes, until cancelled."""
        await endlessly(self._tell_later, "how queues stand was not told")

    async def _tell_later(self) -> None:
        await asyncio.sleep(min(_SELDOM, max(_EVERY, self._took * _SHARE)))
        began = asyncio.get_running_loop().time()
        await self.tell()
        self._took = asyncio.get_running_loop().time() - began

    async def tell(self) -> None:
        """Write what has changed since the last time."""
        await self._look_for_rows()
        states = await self._states()
        own, now = self._own(), self._clock()
        states = {shard: found for shard, found in states.items() if _is_own(found, own)}
        writes: list[Write] = []
        for shard in self._told.keys() | states.keys():
            fresh, told = states.get(shard, []), self._told.get(shard, [])
            if fresh == told or not _is_own(told, own):
                continue
            name = f"{_NAME}{shard}"
            if fresh:
                stamped = [msgspec.structs.replace(each, at=now) for each in fresh]
                row = (name, _encode(stamped).decode())
                writes += [(_FIRST, row), (_NEXT, row)]
            else:
                writes.append((_GONE, (name,)))
        if writes:
            await self._store.commit(writes, self._fence)
        self._told = states

    async def _look_for_rows(self) -> None:
        """Learn of rows that an earlier owner left, so that they are written anew or go."""
        own = self._own()
        marks = f"own {own.marks()}"
        if marks == self._looked_for:
            return
        left = [
            (int(name.removeprefix(_NAME)), _decoder.decode(value))
            for name, value in await self._store.fetch(_ALL)
        ]
        for shard, states in left:
            if _is_own(states, own):
                self._told.setdefault(shard, states)
        self._told = {shard: told for shard, told in self._told.items() if _is_own(told, own)}
        self._looked_for = marks

    async def _states(self) -> dict[int, list[QueueState]]:
        """Of each shard the first `_MOST`; others have their turn meanwhile."""
        own, scheduler = self._own(), self._scheduler
        found: defaultdict[int, list[tuple[bool, int, str]]] = defaultdict(list)
        for at, endpoint in enumerate(scheduler.endpoints()):
            if not at % _SLICE:
                await asyncio.sleep(0)
            if endpoint in own:
                is_closed = scheduler.standing(endpoint).circuit is Circuit.CLOSED
                rank = is_closed, -scheduler.count(endpoint), endpoint
                found[shard_of(endpoint)].append(rank)
        states: dict[int, list[QueueState]] = {}
        for shard, ranks in found.items():
            several: list[QueueState] = []
            looked_at = 0
            for _, minus_jobs, endpoint in heapq.nsmallest(_MOST, ranks):
                several += self._states_of(endpoint)
                looked_at -= minus_jobs
                if looked_at >= _SLICE:
                    await asyncio.sleep(0)
                    looked_at = 0
            states[shard] = sorted(several, key=_rank)[:_MOST]
            await asyncio.sleep(0)
        return states

    def _states_of(self, endpoint: str) -> list[QueueState]:
        standing = self._scheduler.standing(endpoint)
        return [
            QueueState(
                endpoint=endpoint,
                account_sid=account_sid,
                waiting=counts.waiting,
                running=counts.running,
                retrying=counts.retrying,
                more=self._is_behind(endpoint),
                circuit=standing.circuit,
                probe_at=standing.probe_at,
            )
            for account_sid, counts in self._scheduler.counts_by_account(endpoint).items()
        ]


def _is_own(states: list[QueueState], own: Queues) -> bool:
    return all(state.endpoint in own for state in states)


def _rank(state: QueueState) -> tuple[bool, int]:
    return state.circuit is Circuit.CLOSED, -(state.waiting + state.retrying)
