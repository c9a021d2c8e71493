"""One call whose legs have fronts: what is wanted of it made true, one change after the other.

A leg comes in with a front if rtpengine is there, and else stands in its worker alone for good.
Before the worker's graph changes the fronts are aimed as the new one wants them. The worker has
versions of its own, for it is told things that signalling knows nothing of.
"""

import asyncio
from collections import Counter
from collections.abc import Container
from contextlib import suppress
from typing import Final, Protocol

import msgspec
import structlog

from gateway.media import graph
from gateway.media.graph import Graph
from gateway.media.ng import NgAway, NgRefused
from gateway.media.plane import Lost, Plane
from gateway.media.rtpengine.bridging import bridges
from gateway.media.rtpengine.descriptions import peer_of
from gateway.media.rtpengine.front import INSIDE, Front
from gateway.media.rtpengine.readings import readings_of
from gateway.media.wire import Applied, Place, Readings, Refused
from protocols.rtp.latch import LatchPolicy
from protocols.sdp.description import Direction
from protocols.sdp.media import Stream

_log = structlog.get_logger(__name__)

Result = Applied | Refused | Lost


class Fronts(Protocol):
    """Who has fronts to give."""

    def front(self, leg: graph.Leg) -> Front | None:
        """One for a leg, not created yet; None if it is to have none."""

    def left(self, front: Front, error: BaseException) -> None:
        """One may be there and is nobody's: to make it or to delete it failed."""


class Tied:
    """See the module. `lent` has the legs that other calls have as guests: (call, leg)."""

    def __init__(
        self,
        call: str,
        worker: int,
        *,
        workers: Plane,
        source: Fronts,
        lent: Container[tuple[str, str]],
    ) -> None:
        self.call: Final = call
        self.worker: Final = worker
        self.turn: Final = asyncio.Lock()  # whoever changes it has it
        self.fronts: dict[str, Front] = {}
        self.bridged: dict[str, str] = {}
        self.pressing: Counter[str] = Counter()  # keys under way, by leg
        self.closing: dict[str, Readings] = {}  # of legs that are about to close
        self.over: Final = asyncio.Event()  # it has no media any more, or is to have none
        self._workers = workers
        self._source = source
        self._lent = lent
        self._alone: set[str] = set()  # legs without a front
        self._wanted = Graph(call=call, version=0)
        self._version = 0
        self._told: dict[str, str] = {}  # which are bridged as its worker has it

    @property
    def is_learning(self) -> bool:
        """Whether it is not known yet where some peer sends from."""
        return any(each.is_learning for each in self.fronts.values())

    @property
    def silences(self) -> dict[str, float]:
        """How long its legs may say nothing, in seconds."""
        return {each.id: each.silence for each in _legs(self._wanted)}

    # With its turn

    async def apply(self, wanted: Graph) -> Result:
        """Make a graph true; raises `NgRefused` when fronts are lost.

        It raises `NgAway` when rtpengine is silent, and then may be tried again, or another graph.
        """
        if wanted.version < max(1, self._wanted.version):
            reason = f"version {self._wanted.version} holds already"
            return Refused(call=self.call, version=wanted.version, reason=reason)
        await self._come(wanted)
        result = await self._place(wanted)
        if isinstance(result, Applied):
            await self._aim(wanted)
            await self._read_leaving(wanted)
            result = await self._work(wanted)
        if isinstance(result, Refused):
            await self._take_back()
            return msgspec.structs.replace(result, version=wanted.version)
        if isinstance(result, Lost):
            return result
        await self._leave(wanted)
        self._wanted = wanted
        places = {id: self._place_of(id, place) for id, place in result.places.items()}
        return Applied(call=self.call, version=wanted.version, places=places)

    async def settle(self) -> Result | None:
        """Look anew at what may be bridged, as others borrow legs or press keys; see `apply`.

        What the worker says, None if it has nothing to do.
        """
        if not self._wanted.version:
            return None
        await self._aim(self._wanted)
        if self.bridged == self._told:
            return None
        return await self._work(self._wanted)

    async def close(self) -> None:
        """Have no fronts any more; a fault is for those that are left."""
        fronts, self.fronts = dict(self.fronts), {}
        self.bridged = {}
        for id, front in fronts.items():
            seen = await front.delete()
            if front.was_bridged:
                self.closing[id] = readings_of(seen, front.codec)

    # Inside

    async def _come(self, wanted: Graph) -> None:
        """Fronts for legs that are new, as far as there are any to be had."""
        for leg in _legs(wanted):
            if leg.id in self.fronts or leg.id in self._alone:
                continue
            front = self._source.front(leg)
            if front is None:
                self._alone.add(leg.id)
                continue
            try:
                await front.create(leg.host)
            except BaseException as error:
                self._source.left(front, error)
                if not isinstance(error, NgAway | NgRefused):
                    raise
                _log.warning("a leg is in its worker alone", call=self.call, reason=str(error))
                self._alone.add(leg.id)
            else:
                self.fronts[leg.id] = front

    async def _place(self, wanted: Graph) -> Result:
        """Let the worker have ports for legs that nobody has described before they are needed."""
        unplaced = {id for id, front in self.fronts.items() if front.worker is None}
        if not any(each.id in unplaced and each.stream for each in _legs(wanted)):
            return Applied(call=self.call, version=wanted.version, places={})
        nodes = tuple(
            msgspec.structs.replace(each, stream=None)
            if isinstance(each, graph.Leg) and each.id in unplaced
            else each
            for each in wanted.nodes
        )
        return await self._work(msgspec.structs.replace(wanted, nodes=nodes))

    async def _aim(self, wanted: Graph) -> None:
        """Aim fronts at the workers, then those at each other that are bridged."""
        bridged = self._bridges(wanted)
        described = []
        for leg in _legs(wanted):
            front = self.fronts.get(leg.id)
            if front is None or leg.stream is None:
                continue
            front.describe(peer_of(leg, leg.stream, front.peer))
            described.append((leg.id, front))
        for id, front in described:
            if front.worker is not None and (id not in bridged or front.inner is None):
                await front.aim(front.worker)
        for id, front in described:
            other = self.fronts[bridged[id]].inner if id in bridged else None
            if other is not None:
                await front.aim(other)
                front.was_bridged = True
        for id in self.bridged.keys() - bridged.keys():
            if id in self.fronts:
                self.fronts[id].turns += 1
        self.bridged = bridged

    def _bridges(self, wanted: Graph) -> dict[str, str]:
        """Those that nothing stands in the way of."""
        busy = {id for id in self.fronts if (self.call, id) in self._lent or self.pressing[id]}
        placed = {id for id, front in self.fronts.items() if front.worker is not None}
        return bridges(wanted, placed - busy)

    async def _work(self, wanted: Graph) -> Result:
        """Let the worker make it true, as far as it has to do with it."""
        self._version += 1
        nodes = tuple(
            self._inside(each) if isinstance(each, graph.Leg) else each for each in wanted.nodes
        )
        inside = msgspec.structs.replace(wanted, version=self._version, nodes=nodes)
        result = await self._workers.apply(inside)
        if isinstance(result, Applied):
            self._told = dict(self.bridged)
            for id, front in self.fronts.items():
                front.worker = result.places.get(id, front.worker)
        return result

    def _inside(self, leg: graph.Leg) -> graph.Leg:
        """A leg as its worker has it: its peer is its front, and on hold while it is bridged."""
        front = self.fronts.get(leg.id)
        if front is None:
            return leg
        stream = leg.stream
        return msgspec.structs.replace(
            leg,
            host=INSIDE,
            signalling=INSIDE,
            latch=LatchPolicy.NAMED,
            stream=None if stream is None else _stream(stream, front, leg.id in self.bridged),
            offers=leg.offers + front.turns,
        )

    def _place_of(self, id: str, place: Place) -> Place:
        front = self.fronts.get(id)
        return place if front is None or front.place is None else front.place

    async def _read_leaving(self, wanted: Graph) -> None:
        """How those were that go, before the worker says that they are closed."""
        there = {each.id for each in _legs(wanted)}
        for id, front in self.fronts.items():
            if id in there or not front.was_bridged:
                continue
            with suppress(NgAway, NgRefused):  # then the worker says how it was
                self.closing[id] = readings_of(await front.look(), front.codec)

    async def _leave(self, wanted: Graph) -> None:
        there = {each.id for each in _legs(wanted)}
        self._alone &= there
        for id in self.fronts.keys() - there:
            await self._drop(id)

    async def _take_back(self) -> None:
        """Have what held before a graph that was refused."""
        for id in self.fronts.keys() - {each.id for each in _legs(self._wanted)}:
            await self._drop(id)
        self.closing.clear()
        await self._aim(self._wanted)

    async def _drop(self, id: str) -> None:
        front = self.fronts.pop(id)
        try:
            await front.delete()
        except BaseException as error:
            self._source.left(front, error)
            if not isinstance(error, NgAway | NgRefused):
                raise


def _legs(wanted: Graph) -> list[graph.Leg]:
    return [each for each in wanted.nodes if isinstance(each, graph.Leg)]


def _stream(stream: Stream, front: Front, is_bridged: bool) -> Stream:
    inner = None if stream.remote is None else front.inner
    return msgspec.structs.replace(
        stream,
        remote=None if inner is None else inner.address,
        remote_rtcp=None if inner is None else (inner.address[0], inner.control),
        is_private=False,
        rtcp_mux=False,
        direction=Direction.INACTIVE if is_bridged else stream.direction,
    )
