"""The rooms and queues that one call is in: its dials that call nobody are handed on from here."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gateway.calls.attending import Attending
from gateway.calls.dial import CALLER_GONE
from gateway.calls.hands import Hands
from gateway.calls.leg import PeerLeg
from gateway.calls.line import Line
from gateway.calls.media import CallMedia
from gateway.calls.queueing import Enqueued, Serving
from gateway.calls.recording import Tapes
from gateway.calls.visitor import Visitor
from twiml.call import Ending, Event, QueueResult
from twiml.nouns import Conference, Queue
from twiml.verbs import Dial, Enqueue

if TYPE_CHECKING:
    from gateway.calls.house import House

__all__ = ["Meeting", "Meetings"]


class Meetings:
    """See the module."""

    def __init__(self, house: "House", visitor: Visitor) -> None:
        self._house = house
        self._visitor = visitor
        self._dialled: Attending | Serving | None = None
        self._enqueued: Enqueued | None = None

    def dial(self, ask: int, dial: Dial) -> bool:
        """Begin a dial, if it is one of these."""
        match dial.nouns[:1]:
            case (Conference(),):
                self._dialled = Attending(self._house, self._visitor, ask, dial)
            case (Queue(),):
                self._dialled = Serving(self._house, self._visitor, ask, dial)
            case _:
                return False
        self._dialled.start()
        return True

    def enqueue(self, ask: int, enqueue: Enqueue) -> None:
        """See `twiml.call.Queueing`."""
        self._enqueued = Enqueued(self._house, self._visitor, ask, enqueue)
        self._enqueued.start()

    def stop(self) -> None:
        """Another document goes on."""
        if self._dialled is not None:
            self._dialled.stop("another document goes on")
        if self._enqueued is not None:
            self._enqueued.stop(QueueResult.REDIRECTED)

    def left(self) -> None:
        """The caller is gone."""
        if self._dialled is not None:
            self._dialled.stop(CALLER_GONE)
        if self._enqueued is not None:
            self._enqueued.stop(QueueResult.HANGUP)

    def on_key(self, key: str) -> None:
        """The caller pressed a key."""
        if self._dialled is not None:
            self._dialled.on_key(key)
        if self._enqueued is not None:
            self._enqueued.on_key(key)


class Meeting(ABC):
    """A call that may be in rooms and queues; a part of `scoped.Scoped`."""

    line: Line
    _media: CallMedia
    _tapes: Tapes
    _hands: Hands
    _up: asyncio.Event
    _meetings: Meetings

    def enqueue(self, ask: int, enqueue: Enqueue) -> None:
        """See `twiml.call.Queueing`."""
        self._meetings.enqueue(ask, enqueue)

    @property
    @abstractmethod
    def leg(self) -> PeerLeg:
        """Its first leg, once there is one."""

    @abstractmethod
    def hands_of(
        self, line: Line, give: Callable[[Event], None], leg: PeerLeg | None = None
    ) -> Hands:
        """What a document of this call may ask, for a leg that is up."""

    @abstractmethod
    def answer(self) -> None:
        """See `twiml.call.Call`."""

    @abstractmethod
    def hang_up(self, ending: Ending) -> None:
        """See `twiml.call.Call`."""

    @abstractmethod
    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ends with the call."""

    @abstractmethod
    def _give(self, event: Event) -> None:
        """Tell the call's own documents."""

    def _visitor(self) -> Visitor:
        """The call as rooms and queues see it."""
        return Visitor(
            line=self.line,
            leg=lambda: self.leg,
            media=self._media,
            tapes=self._tapes,
            spawn=self._spawn,
            ready=self._taken,
            hands_of=lambda give: self.hands_of(self.line, give, self.leg),
            note=self._hands.note,
            give=self._give,
            hang_up=self.hang_up,
        )

    async def _taken(self) -> None:
        """A room and a queue are joined at once, which answers who still rings."""
        if not self._up.is_set():
            self.answer()
        await self._up.wait()
