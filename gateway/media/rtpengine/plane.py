"""The plane of workers with rtpengine before it: what passes between two peers unchanged is its.

A call that has lost its fronts is lost as one is whose worker died. One that begins while rtpengine
is away has its legs in the workers alone, and so have browsers' legs always, as a front has neither
ICE nor DTLS, and hops from one call to another, which are nobody's from outside.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import structlog

from gateway.media import wire
from gateway.media.graph import Graph, Guest, Leg
from gateway.media.ng import NgAway, NgForgotten, NgRefused
from gateway.media.plane import Full, Happened, Lost, Opened, Plane, WorkerLost
from gateway.media.rtpengine import keeper
from gateway.media.rtpengine.descriptions import is_behind
from gateway.media.rtpengine.front import Asks, Front
from gateway.media.rtpengine.heard import Heard
from gateway.media.rtpengine.keeper import Keeper
from gateway.media.rtpengine.leftovers import Leftovers
from gateway.media.rtpengine.names import Names
from gateway.media.rtpengine.silence import Silences
from gateway.media.rtpengine.tied import Result, Tied
from protocols.rtp.dtmf import DURATION
from protocols.rtp.latch import LatchPolicy

_log = structlog.get_logger(__name__)

T = TypeVar("T")
Receiver = Callable[[Happened], None]
_ENDS_WITHIN: Final = 4.0  # seconds for what is left at the end of all
_LEARN_EVERY: Final = 0.1  # seconds between looks at a peer that has to be learnt
_LEARN_OFTEN: Final = 50  # looks; after that it is looked at with the others
LOST: Final = "rtpengine lost its media"


class Rtpengine:
    """A `Plane`. `workers` makes the plane behind it, and is given who is told of that.

    `interfaces` are names of rtpengine's, towards the workers and towards peers, if it has two;
    `names` has those of its calls.
    """

    def __init__(
        self,
        ng: Asks,
        workers: Callable[[Receiver], Plane],
        receiver: Receiver,
        names: Names,
        *,
        interfaces: Sequence[str] = (),
    ) -> None:
        self._ng: Final = Heard(ng)
        self._interfaces = interfaces
        self._receiver = receiver
        self._workers = workers(self._told)
        self._calls: dict[str, Tied] = {}
        self._guests: dict[str, frozenset[tuple[str, str]]] = {}  # by the call that borrows
        self._lent: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._names = names
        self._silences = Silences(self._receiver)
        self._lost_calls = 0
        self._leftovers = Leftovers(self._ng, names)
        self.keeper = Keeper(self._ng, self._fronts, self._lose_fronts, self._look, self._leftovers)

    async def start(self) -> None:
        """Look whether rtpengine is there, and go on doing so."""
        await self.keeper.start()

    async def close(self) -> None:
        """Have nothing in rtpengine any more."""
        await self.keeper.close()
        for tied in self._calls.values():
            tied.over.set()
        try:
            async with asyncio.timeout(_ENDS_WITHIN):
                while self._tasks:
                    await asyncio.wait(set(self._tasks))
                for tied in list(self._calls.values()):
                    async with tied.turn:
                        await self._close(tied)
                await self._leftovers.clear()
        except (TimeoutError, NgAway):
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

    def end(self, call: str) -> asyncio.Future[None]:
        """See `Plane`; what is still wanted of the call, or held, is given up."""
        tied = self._calls.get(call)
        if tied is None:
            return self._workers.end(call)
        tied.over.set()
        return self._promise(self._end(tied))

    # What a call that is tied to it wants: `tied.Fronts`

    def front(self, leg: Leg) -> Front | None:
        """See `tied.Fronts`; who has to be learnt is learnt by a worker, and by what it knows."""
        is_learnt = leg.latch is LatchPolicy.ANY or is_behind(leg, leg.claimed)
        if not self.keeper.is_there or leg.webrtc is not None or leg.is_hop or is_learnt:
            return None
        return Front(self._ng, self._names.new(leg.id), self._interfaces)

    def left(self, front: Front, error: BaseException) -> None:
        """See `tied.Fronts`."""
        self.keeper.leave(front.name)
        if isinstance(error, NgAway):
            self.keeper.failed(error)

    # Inside

    async def _apply(self, tied: Tied, graph: Graph) -> Result:
        if tied.over.is_set():
            return Lost(call=tied.call)
        await self._borrow(graph)
        async with tied.turn:
            result = await self._carry_out(tied, lambda: tied.apply(graph))
        if isinstance(result, wire.Applied):
            self._give_back(graph)
            if tied.is_learning:
                self._promise(self._learn(tied))
        return result

    async def _press(self, tied: Tied, leg: str, digits: str, duration: float) -> None:
        await self._settle(tied)
        self._workers.press(tied.call, leg, digits, duration)

    async def _settle(self, tied: Tied) -> None:
        async with tied.turn:
            result = await self._carry_out(tied, tied.settle)
        if isinstance(result, wire.Refused):
            self._lose(tied, result.reason)

    async def _learn(self, tied: Tied) -> None:
        """See at once where a peer is, for nobody hears it until that is known."""
        for _ in range(_LEARN_OFTEN):
            await asyncio.sleep(_LEARN_EVERY)
            if tied.over.is_set() or not tied.is_learning:
                return
            await self._settle(tied)

    async def _carry_out(self, tied: Tied, step: Callable[[], Awaitable[T]]) -> T | Lost:
        """Do a step with a call's turn; while rtpengine is silent it is held, and tried again."""
        loop = asyncio.get_running_loop()
        until = 0.0
        while not tied.over.is_set():
            try:
                return await step()
            except NgAway as error:
                self.keeper.failed(error)
                until = until or loop.time() + keeper.GIVEN_UP
                await self._hold(tied, until - loop.time())
                if loop.time() >= until:
                    self._lose(tied, str(error))
            except NgRefused as error:
                self._lose(tied, str(error))
            except Exception as error:
                self._lose(tied, repr(error))
                raise
        return Lost(call=tied.call)

    async def _hold(self, tied: Tied, patience: float) -> None:
        """Wait until rtpengine answers, the call is over, or patience ends."""
        waits = [asyncio.ensure_future(each) for each in (self.keeper.back(), tied.over.wait())]
        try:
            await asyncio.wait(
                waits, timeout=max(0.0, patience), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in waits:
                each.cancel()

    async def _end(self, tied: Tied) -> None:
        async with tied.turn:
            try:
                try:
                    await self._close(tied)
                finally:
                    await self._workers.end(tied.call)
            finally:
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
        finally:
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
            lenders = {call for call, _ in fresh} & self._calls.keys()
            settling = [self._promise(self._settle(self._calls[each])) for each in lenders]
            await asyncio.gather(*settling, return_exceptions=True)  # a fault is its lender's alone

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
            case wire.Pressed(leg=leg) if tied is not None and front is not None:
                tied.pressing[leg] = max(0, tied.pressing[leg] - 1)
                self._receiver(event)
                self._promise(self._settle(tied))
            case _:
                self._receiver(event)

    # What becomes of fronts

    def _fronts(self) -> list[Front]:
        return [
            front
            for tied in self._calls.values()
            if not tied.over.is_set()
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
        if tied.over.is_set():
            return
        tied.over.set()
        self._lost_calls += 1
        _log.error("a call lost its media in rtpengine", call=tied.call, reason=reason)
        self._receiver(WorkerLost(worker=tied.worker, calls=(tied.call,), reason=LOST))

    async def _look(self) -> None:
        """See who is silent, and where those are whose address had to be learnt."""
        for tied in list(self._calls.values()):
            if tied.over.is_set():
                continue
            if tied.is_learning:
                self._promise(self._settle(tied))
            try:
                await self._silences.look(tied)
            except NgForgotten as error:
                self._lose(tied, str(error))
            except NgRefused as error:
                _log.warning("who is silent can't be seen", call=tied.call, reason=str(error))

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
