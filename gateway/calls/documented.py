"""A call that runs documents: all that they may ask for, put together once.

It is what a call with a leg of its own (`scoped`) and an application that is heard on its caller's
(`applied`) have in common. Whose leg it is, what runs there and for how long is theirs.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gateway.calls.caller_ids import may_call_as, not_theirs
from gateway.calls.dial_run import DialRun, Parent
from gateway.calls.elsewhere import Elsewhere, Sending
from gateway.calls.hands import Handed, Hands
from gateway.calls.keeping import Keeping
from gateway.calls.leg import PeerLeg
from gateway.calls.line import Line
from gateway.calls.media import CallMedia
from gateway.calls.meeting import Meetings, is_meeting
from gateway.calls.model import Call
from gateway.calls.recording import Tapes
from gateway.calls.taking import Takes, Taking
from gateway.calls.visitor import Visitor
from twiml.call import DialEnded, DialStatus, Ending, Event
from twiml.verbs import Dial, Enqueue, RejectReason
from twiml.voice import Interpreter, Pickup, call_verbs

if TYPE_CHECKING:
    from gateway.calls.house import House

__all__ = ["Documented"]

_SENT_ON = "another document goes on"


class Documented(Handed, Taking, Sending, ABC):
    """See the module; a `twiml.call.FullCall`. `_equip` comes before anything is asked of it."""

    line: Line
    _house: "House"
    _media: CallMedia
    _keeping: Keeping
    _dial: DialRun | None  # the dial of its document
    # What few calls have stands in the class: up to 29 attributes of an object, as a call that came
    # in has, are kept in a table that all of its class share.
    _takes: Takes | None = None
    _meetings: Meetings | None = None
    _elsewhere: Elsewhere | None = None

    def _equip(self, pickup: Pickup) -> None:
        """Make what every document needs, and who runs them."""
        self._tapes = Tapes(
            self._house.recordings,
            call=lambda: self.line.call,
            media=self._media,
            keeping=self._keeping,
            leg=lambda: self.leg.id,
            errand=self._errand,
        )
        self._interpreter = Interpreter(self, pickup=pickup, verbs=call_verbs(self))
        self._hands = self.hands_of(self.line, self._interpreter.on)

    # What few documents ask for, made for the first that does

    @property
    def takes(self) -> Takes:
        """See `Taking`."""
        if self._takes is None:
            self._takes = Takes(
                self._tapes,
                prompting=self._hands.prompting,
                beep=self._house.prompts.beep,
                spawn=self._spawn,
                give=self._give,
            )
        return self._takes

    @property
    def elsewhere(self) -> Elsewhere:
        """See `Sending`."""
        if self._elsewhere is None:
            self._elsewhere = Elsewhere(
                call=self._as_told,
                leg=lambda: self.leg,
                stands=self._stood,
                station=self._house.tools.station,
                accept=self._house.texts,
                holder=self._house.holder,
                note=self._hands.note,
                spawn=self._spawn,
                give=self._give,
            )
        return self._elsewhere

    @property
    def meetings(self) -> Meetings:
        """The rooms and queues that it is in."""
        if self._meetings is None:
            self._meetings = Meetings(self._house, self._visitor())
        return self._meetings

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

    # What calls differ in

    @property
    @abstractmethod
    def leg(self) -> PeerLeg:
        """Whose party hears its documents, once there is one."""

    @abstractmethod
    def hands_of(
        self, line: Line, give: Callable[[Event], None], leg: PeerLeg | None = None
    ) -> Hands:
        """What a document of this call may ask, for `leg` if that is up."""

    @abstractmethod
    def answer(self) -> None:
        """See `twiml.call.Call`."""

    @abstractmethod
    def reject(self, reason: RejectReason) -> None:
        """See `twiml.call.Call`."""

    @abstractmethod
    def hang_up(self, ending: Ending) -> None:
        """See `twiml.call.Call`."""

    @abstractmethod
    def _parent(self, dial: Dial) -> Parent:
        """The call as a dial of its document sees it."""

    @abstractmethod
    async def _taken(self) -> None:
        """Answer who still rings, and return when they can hear."""

    @abstractmethod
    def _stood(self) -> Awaitable[Any]:
        """Return when the peer knows that it was answered."""

    @abstractmethod
    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ends with the call."""

    @abstractmethod
    def _errand(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that the end of the call does not end."""

    @abstractmethod
    def _give(self, event: Event) -> None:
        """Tell its documents, in a turn of its own."""

    def _as_told(self) -> Call:
        """The call as its documents take it."""
        return self.line.call

    # What its documents ask: `twiml.call.Call`

    def connect(self) -> None:
        """See `twiml.call.Call`: of whispers alone."""

    def stop(self, ask: int) -> None:
        """See `twiml.call.Call`."""
        super().stop(ask)
        if self._takes is not None:
            self._takes.stop(ask)
        if self._elsewhere is not None:
            self._elsewhere.stop(ask)
        if self._meetings is not None:
            self._meetings.stop()
        if self._dial is not None:
            self._dial.stop(_SENT_ON)

    def enqueue(self, ask: int, enqueue: Enqueue) -> None:
        """See `twiml.call.Queueing`."""
        self.meetings.enqueue(ask, enqueue)

    def dial(self, ask: int, dial: Dial) -> None:
        """See `twiml.call.Call`."""
        if not may_call_as(dial.caller_id, dial.nouns, self.line.call, self._house.holder):
            self._hands.note(not_theirs(dial.caller_id))
            self._give(DialEnded(ask=ask, status=DialStatus.FAILED))
            return
        if is_meeting(dial):
            self.meetings.dial(ask, dial)
            return
        self._dial = DialRun(self._house, self._parent(dial), ask, dial)
        self._dial.start()
