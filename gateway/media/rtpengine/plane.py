"""The plane of workers with rtpengine before it: what passes between two peers unchanged is its.

A call that has lost its fronts is lost as one is whose worker died. One that begins while rtpengine
is away has its legs in the workers alone, and so have browsers' legs always, as a front has neither
ICE nor DTLS, and hops from one call to another, which are nobody's from outside.
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import structlog

from gateway.media import wire
from gateway.media.graph import Graph, Guest, Leg
from gateway.media.ng import NgAway, NgRefused
from gateway.media.plane import Full, Happened, Lost, Opened, Plane, WorkerLost
from gateway.media.rtpengine.front import Asks, Front
from gateway.media.rtpengine.keeper import Keeper
from gateway.media.rtpengine.readings import readings_of
from gateway.media.rtpengine.silence import Silences
from gateway.media.rtpengine.tied import Result, Tied
from protocols.rtp.dtmf import DURATION

_log = structlog.get_logger(__name__)

T = TypeVar("T")
Receiver = Callable[[Happened], None]
_ENDS_WITHIN: Final = 4.0  # seconds for what is left at the end of all
LOST: Final = "rtpengine lost its media"


class Rtpengine:
    """A `Plane`. `workers` makes the plane behind it, and is given who is told of that.

    `interfaces` are names of rtpengine's, towards the workers and towards peers, if it has two.
    """

    def __init__(
        self,
        ng: Asks,
        workers: Callable[[Receiver], Plane],
        receiver: Receiver,
        *,
        interfaces: Sequence[str] = (),
    ) -> None:
        self._ng = ng
        self._interfaces = interfaces
        self._receiver = receiver
        self._workers = workers(self._told)
        self._calls: dict[str, Tied] = {}
        self._guests: dict[str, frozenset[tuple[str, str]]] = {}  # by the call that borrows
        self._lent: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._numbers = itertools.count(1)
        self._token = secrets.token_hex(4)  # names are not to be those of a process before
        self._silences = Silences(self._receiver)
        self._lost_calls = 0
        self.keeper = Keeper(ng, self._fronts, self._lose_fronts, self._look)

    async def start(self) -> None:
        """Look whether rtpengine is there, and go on doing so."""
        await self.keeper.start()

    async def close(self) -> None:
        """Have nothing in rtpengine any more."""
        await self.keeper.close()
        try:
            async with asyncio.timeout(_ENDS_WITHIN):
                while self._tasks:
                    await asyncio.wait(set(self._tasks))
                for tied in list(self._calls.values()):
                    async with tied.turn:
                        await self._close(tied)
        except TimeoutError:
            _log.warning("rtpengine was not asked to forget all that it has")
        for task in self._tasks:
            task.cancel()

    def counts(self) -> dict[str, int]:
        """Whether it is there, 0 or 1, its fronts, those that are bridged, and calls it lost."""
        tied = self._calls.values()
        return {
            "up": int(self.keeper.is_there),
            "fronts": sum(len(each.fronts) for each in tied),
            "bridged": sum(len(each.bridged) for each in tied),
            "lost": self._lost_calls,
        }

    # A plane

    def open(self, call: str, near: str = "") -> Opened | Full:
        """See `Plane`."""
        opened = self._workers.open(call, near)
        if isinstance(opened, Opened) and call not in self._calls:
            self._calls[call] = Tied(
                call, opened.worker, workers=self._workers, source=self, lent=self._lent
            )
        return opened

    def apply(self, graph: Graph) -> asyncio.Future[Result]:
        """See `Plane`."""
        tied = self._calls.get(graph.call)
        if tied is None:
            return self._workers.apply(graph)
        return self._promise(self._apply(tied, graph))

    def press(self, call: str, leg: str, digits: str, duration: float = DURATION) -> None:
        """See `Plane`; while keys are pressed the worker has the leg."""
        tied = self._calls.get(call)
        if tied is None or leg not in tied.fronts:
            self._workers.press(call, leg, digits, duration)
            return
        tied.pressing[leg] += 1
        self._promise(self._press(tied, leg, digits, duration))

    def measure(self, call: str) -> None:
        """See `Plane`."""
        self._workers.measure(call)

    def end(self, call: str) -> asyncio.Future[None]:
        """See `Plane`."""
        tied = self._calls.get(call)
        return self._workers.end(call) if tied is None else self._promise(self._end(tied))

    # What a call that is tied to it wants: `tied.Fronts`

    def front(self, leg: Leg) -> Front | None:
        """See `tied.Fronts`."""
        if not self.keeper.is_there or leg.webrtc is not None or leg.is_hop:
            return None
        name = f"{self._token}-{next(self._numbers)}-{leg.id}"
        return Front(self._ng, name, self._interfaces)

    def left(self, front: Front, error: NgAway | NgRefused) -> None:
        """See `tied.Fronts`."""
        self.keeper.leave(front.name)
        if isinstance(error, NgAway):
            self.keeper.failed(error)

    # Inside

    async def _apply(self, tied: Tied, graph: Graph) -> Result:
        await self._borrow(graph)
        async with tied.turn:
            try:
                result = await tied.apply(graph)
            except (NgAway, NgRefused) as error:
                self._lose(tied, str(error))
                return Lost(call=tied.call)
        if isinstance(result, wire.Applied):
            self._give_back(graph)
        return result

    async def _press(self, tied: Tied, leg: str, digits: str, duration: float) -> None:
        await self._settle(tied)
        self._workers.press(tied.call, leg, digits, duration)

    async def _settle(self, tied: Tied) -> None:
        async with tied.turn:
            try:
                await tied.settle()
            except (NgAway, NgRefused) as error:
                self._lose(tied, str(error))

    async def _end(self, tied: Tied) -> None:
        async with tied.turn:
            await self._close(tied)
            await self._workers.end(tied.call)
            self._calls.pop(tied.call, None)
            self._silences.forget(tied.call)
        self._return(tied.call, frozenset())

    async def _close(self, tied: Tied) -> None:
        fronts = list(tied.fronts.values())
        try:
            if self.keeper.is_there:
                await tied.close()
        except NgAway as error:
            self.keeper.failed(error)
        except NgRefused as error:
            _log.warning("fronts can't be deleted", call=tied.call, reason=str(error))
        tied.fronts.clear()
        for front in fronts:
            if front.place is not None:
                self.keeper.leave(front.name)

    # Legs that are lent

    async def _borrow(self, graph: Graph) -> None:
        """Have the workers see what a graph's guests say before it is true."""
        guests = _guests_of(graph)
        held = self._guests.get(graph.call, frozenset())
        if fresh := guests - held:
            self._guests[graph.call] = held | guests
            self._lent |= fresh
            for call in {call for call, _ in fresh} & self._calls.keys():
                await self._settle(self._calls[call])

    def _give_back(self, graph: Graph) -> None:
        self._return(graph.call, _guests_of(graph))

    def _return(self, borrower: str, kept: frozenset[tuple[str, str]]) -> None:
        back = self._guests.pop(borrower, frozenset()) - kept
        if kept:
            self._guests[borrower] = kept
        self._lent -= back
        for each in self._guests.values():
            self._lent |= each
        for call in {call for call, _ in back} & self._calls.keys():
            self._promise(self._settle(self._calls[call]))

    # What the workers tell

    def _told(self, event: Happened) -> None:
        if isinstance(event, WorkerLost):
            self._receiver(event)
            return
        tied = self._calls.get(event.call)
        front = None if tied is None else tied.fronts.get(getattr(event, "leg", ""))
        match event:
            case wire.LegClosed(leg=leg) if tied is not None:
                readings = tied.closing.pop(leg, event.readings)
                self._receiver(msgspec.structs.replace(event, readings=readings))
            case wire.Latched() if front is not None:  # it is the front's address
                pass
            case wire.FellSilent(leg=leg) | wire.Resumed(leg=leg) if tied and leg in tied.bridged:
                pass  # it is on hold for the worker
            case wire.Measured() if front is not None and front.was_bridged:
                self._promise(self._measure(front, event))
            case wire.Pressed(leg=leg) if tied is not None and front is not None:
                tied.pressing[leg] = max(0, tied.pressing[leg] - 1)
                self._receiver(event)
                self._promise(self._settle(tied))
            case _:
                self._receiver(event)

    async def _measure(self, front: Front, event: wire.Measured) -> None:
        try:
            readings = readings_of(await front.look(), front.codec)
        except (NgAway, NgRefused):  # the keeper finds out
            readings = event.readings
        self._receiver(msgspec.structs.replace(event, readings=readings))

    # What becomes of fronts

    def _fronts(self) -> list[Front]:
        return [
            front
            for tied in self._calls.values()
            if not tied.is_lost
            for front in tied.fronts.values()
            if front.place is not None
        ]

    def _lose_fronts(self, gone: Iterable[Front]) -> None:
        names = {each.name for each in gone}
        for tied in list(self._calls.values()):
            if names & {each.name for each in tied.fronts.values()}:
                self._lose(tied, "rtpengine knows it no more, or does not answer")

    def _lose(self, tied: Tied, reason: str) -> None:
        """Let a call end whose fronts can't be relied on any more."""
        if tied.is_lost:
            return
        tied.is_lost = True
        self._lost_calls += 1
        _log.error("a call lost its media in rtpengine", call=tied.call, reason=reason)
        self._receiver(WorkerLost(worker=tied.worker, calls=(tied.call,), reason=LOST))

    async def _look(self) -> None:
        """See who is silent, and where those are whose address had to be learnt."""
        for tied in list(self._calls.values()):
            if any(each.is_learning for each in tied.fronts.values()):
                await self._settle(tied)
            try:
                await self._silences.look(tied)
            except NgRefused:
                self._lose_fronts(tied.fronts.values())

    # Tasks

    def _promise(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """What work comes to; it goes on though nobody should wait for it any more."""
        loop = asyncio.get_running_loop()
        promised: asyncio.Future[T] = loop.create_future()
        task = loop.create_task(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[T]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None:
                _log.error("a fault of the plane", error=repr(error))
            if promised.done():
                return
            if task.cancelled():
                promised.cancel()
            elif error is not None:
                promised.set_exception(error)
            else:
                promised.set_result(task.result())

        task.add_done_callback(done)
        return promised


def _guests_of(graph: Graph) -> frozenset[tuple[str, str]]:
    return frozenset((each.call, each.leg) for each in graph.nodes if isinstance(each, Guest))
