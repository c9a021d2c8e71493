"""Applications that are dialled: a child call without a peer, whose documents the caller hears.

What the documents of an application say is heard on the caller's leg, keys that the caller presses
are theirs, and whoever they dial is joined to the caller. So nothing is carried anywhere, and the
child is a call like any other all the same: with a SID, an end and callbacks of its own. Who dials
applications from applications comes to an end: there are `MOST` in one call, and no more than
`DEEPEST` in each other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from gateway import applications
from gateway.calls import endings
from gateway.calls.apology import apologise
from gateway.calls.apps import App, app_of_application
from gateway.calls.branch import Branch
from gateway.calls.caller_ids import caller_as, may_call_as, not_theirs
from gateway.calls.calling import Around
from gateway.calls.dial import CALLER_GONE
from gateway.calls.dial_run import Applied, DialRun, Parent
from gateway.calls.elsewhere import NOT_BY_SIP, Elsewhere, Sending
from gateway.calls.endings import Ended
from gateway.calls.hands import Handed, Hands, Spawn
from gateway.calls.instead import run_instead
from gateway.calls.leg import Event, Leg, PeerLeg
from gateway.calls.line import Line
from gateway.calls.meeting import Meetings
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.orders import Redirect
from gateway.calls.reach import Asked
from gateway.calls.recording import Tapes
from gateway.calls.taking import Takes, Taking, verbs_of
from gateway.calls.visitor import Visitor
from gateway.store.base import StoreError
from twiml.call import DialEnded, DialStatus, Ending, HungUp, KeyPressed, Referred, ReferStatus
from twiml.call import Event as TwimlEvent
from twiml.errors import Finding, Level
from twiml.nouns import Application
from twiml.outcome import Goto
from twiml.verbs import Dial, Enqueue, Refer, RejectReason
from twiml.voice import Interpreter, Pickup

if TYPE_CHECKING:
    from gateway.calls.house import House

__all__ = ["DEEPEST", "MOST", "Applications", "Host"]

DEEPEST: Final = 8
MOST: Final = 100
"""Each leaves a call behind, and may take no time at all."""

NO_APPLICATION: Final = 21218
_LOOP: Final = 13215
_NO_URL: Final = 11200


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The call whose caller hears applications, on `leg`.

    `hands_of` makes hands for what is heard on the leg, `taken` answers who still rings and returns
    when they can hear. `errand` runs what outlives the call, `later` calls something in a turn of
    its own, and what raises there ends the call. `join` joins a leg to the caller, `whisper` is a
    `Parent`'s.
    """

    around: Around
    leg: PeerLeg
    hands_of: Callable[[Line, Callable[[TwimlEvent], None]], Hands]
    taken: Callable[[], Awaitable[None]]
    errand: Spawn
    later: Callable[..., None]
    join: Callable[[PeerLeg], None]
    whisper: Callable[[DialRun, Branch], None]


class Applications:
    """Those of one call; `host` gives what they need of it, when its leg is there."""

    def __init__(self, house: "House", host: Callable[[], Host]) -> None:
        self._house = house
        self._host = host
        self._calls: list[ApplicationCall] = []

    def apply(self, dial: DialRun, branch: Branch) -> "ApplicationCall":
        """Make a branch of a dial of this call that is an application."""
        enough = len(self._calls) >= MOST or dial.depth >= DEEPEST
        made = ApplicationCall(self._house, self._host(), self, dial, branch, refuses=enough)
        self._calls.append(made)
        return made

    def forget(self) -> None:
        """The call is over: the cookies of its applications go."""
        for each in self._calls:
            self._house.documents.forget(each.line.call.sid)

    def parts(self) -> list[object]:
        """What there is of them to `untie`."""
        return [part for each in self._calls for part in each.parts()]


class ApplicationCall(Handed, Taking, Sending):
    """One of them, a `dial_run.Applied` and a `twiml.call.FullCall`."""

    def __init__(
        self,
        house: "House",
        host: Host,
        applications: Applications,
        dial: DialRun,
        branch: Branch,
        *,
        refuses: bool,
    ) -> None:
        assert isinstance(branch.noun, Application)
        self._house = house
        self._host = host
        self._applications = applications
        self._dial = dial
        self._branch = branch
        self._noun: Final = branch.noun
        self._refuses = refuses
        self._is_answered = self._is_over = False
        self._beginning: asyncio.Task[None] | None = None  # or what is said at the end
        self._run: DialRun | None = None  # the dial of its own document
        self._unanswered: Ended | None = None  # what the last one came to
        around = host.around
        self._tapes = Tapes(
            house.recordings,
            call=lambda: self.line.call,
            media=around.media,
            keeping=around.keeping,
            leg=lambda: host.leg.id,
            errand=host.errand,
        )
        self._interpreter = Interpreter(self, pickup=Pickup.RINGING, verbs=verbs_of(self))
        self._hands = host.hands_of(self.line, self._interpreter.on)
        self._takes = Takes(
            self._tapes,
            prompting=self._hands.prompting,
            beep=house.prompts.beep,
            spawn=around.spawn,
            give=self._give,
        )
        self._meetings = Meetings(house, self._visitor())
        self._elsewhere = Elsewhere(
            call=self._as_it_came,
            leg=lambda: host.leg,
            stands=host.taken,
            station=house.tools.station,
            accept=house.texts,
            holder=house.holder,
            note=self._hands.note,
            spawn=around.spawn,
            give=self._give,
        )

    @property
    def line(self) -> Line:
        """That of the child call."""
        return self._branch.line

    def parts(self) -> tuple[object, ...]:
        """What holds each other in a ring."""
        return self._interpreter, self._hands, self

    # What its dial asks: `dial_run.Applied`

    def start(self) -> None:
        """Find what it runs, and run it."""
        self._beginning = self._host.around.spawn(self._begin())

    async def _begin(self) -> None:
        if self._refuses:
            self._fail(_LOOP, "applications dial applications: there were enough of them")
            return
        try:
            app = await self._app()
        except StoreError as error:
            self._leave(Ended(status=CallStatus.FAILED, reason=str(error)))
            return
        if app is None:
            self._fail(NO_APPLICATION, f"there is no application {self._noun.application_sid}")
        elif not app.url:
            self._fail(_NO_URL, f"no voice URL says what {self._noun.application_sid} does")
        else:
            self.line.move(CallStatus.RINGING)
            self._interpreter.start(Goto(url=app.url, method=app.method))

    async def _app(self) -> App | None:
        """What runs; a URL that the noun has goes before the application's own."""
        noun, account = self._noun, self.line.call.account_sid
        found = await applications.get(self._house.store, account, noun.application_sid)
        if found is None:
            return None
        app = app_of_application(found)
        if app.fallback is not None:
            self._hands.fall_back_to(app.fallback)
        if app.status_callback and not noun.status_callback:
            self.line.tell_at(app.status_callback, app.status_callback_method)
        return App(url=noun.url, method=noun.method) if noun.url else app

    def close(self, reason: str) -> None:
        """Nobody hears it any more; what its documents are owed is still told."""
        if self._is_over:
            return
        self._is_over = True
        if self._beginning is not None and self._beginning is not asyncio.current_task():
            self._beginning.cancel()
        self._give(HungUp())
        self._meetings.left()
        if self._run is not None:
            self._run.stop(reason)
        self._takes.close()
        self._hands.close()

    def redirect(self, order: Redirect) -> None:
        """See `dial_run.Applied`."""
        documents = self._house.documents
        reason = run_instead(order, documents, self.line, self._hands, self._interpreter)
        if reason:
            self._leave_later(Ended(status=CallStatus.FAILED, reason=reason))

    def applied(self, sid: str) -> Applied | None:
        """See `dial_run.Applied`."""
        return None if self._run is None else self._run.applied(sid)

    def on(self, leg: Leg, event: Event) -> bool:
        """See `dial_run.Applied`."""
        return self._run is not None and self._run.on(leg, event)

    def on_key(self, key: str) -> None:
        """See `dial_run.Applied`."""
        if self._run is not None:
            self._run.on_key(self._host.leg.id, key)
        self._meetings.on_key(key)
        self._give(KeyPressed(key=key))

    def line_of(self, sid: str) -> Line | None:
        """See `dial_run.Applied`."""
        return None if self._run is None else self._run.line_of(sid)

    def let_go(self, sid: str, reason: str) -> None:
        """See `dial_run.Applied`."""
        if self._run is not None:
            self._run.let_go(sid, reason)

    # What its documents ask: `twiml.call.FullCall`

    def answer(self) -> None:
        """See `twiml.call.Call`."""
        if not self._is_answered:
            self._is_answered = True
            self.line.move(CallStatus.IN_PROGRESS)
            self._dial.answered(self._branch)

    def reject(self, reason: RejectReason) -> None:
        """See `twiml.call.Call`."""
        self._leave_later(Ended(status=CallStatus.BUSY, reason=f"<Reject reason='{reason}'>"))

    def hang_up(self, ending: Ending) -> None:
        """See `twiml.call.Call`: the caller goes on below the dial."""
        _, ended = endings.ENDINGS[ending]
        if ending is Ending.FAILED and self._is_answered:
            self._beginning = self._host.around.spawn(self._apologise(ended))
            return
        if ending is Ending.DONE and self._unanswered is not None:
            ended = self._unanswered
        self._leave_later(ended)

    async def _apologise(self, ended: Ended) -> None:
        await apologise(self._hands.prompting)
        self._leave(ended)

    def connect(self) -> None:
        """See `twiml.call.Call`: of whispers alone."""

    def stop(self, ask: int) -> None:
        """See `twiml.call.Call`."""
        super().stop(ask)
        self._takes.stop(ask)
        self._elsewhere.stop(ask)
        self._meetings.stop()
        if self._run is not None:
            self._run.stop("another document goes on")

    def enqueue(self, ask: int, enqueue: Enqueue) -> None:
        """See `twiml.call.Queueing`."""
        self._meetings.enqueue(ask, enqueue)

    def refer(self, ask: int, refer: Refer) -> None:
        """See `twiml.call.Sending`: nobody is there who could be sent elsewhere."""
        why = "an application has no SIP peer that could be sent elsewhere"
        self._hands.note(Finding(code=NOT_BY_SIP, level=Level.WARNING, line=0, message=why))
        self._give(Referred(ask=ask, status=ReferStatus.FAILED))

    def dial(self, ask: int, dial: Dial) -> None:
        """See `twiml.call.Call`."""
        call, host, asked = self.line.call, self._host, self._dial.asked
        if not may_call_as(dial.caller_id, dial.nouns, call, self._house.holder):
            self._hands.note(not_theirs(dial.caller_id))
            self._give(DialEnded(ask=ask, status=DialStatus.FAILED))
            return
        if self._meetings.dial(ask, dial):
            return
        caller = caller_as(dial.caller_id, asked.caller)
        parent = Parent(
            line=self.line,
            leg=host.leg,
            asked=Asked(call=call, caller=caller, codecs=host.leg.codecs),
            depth=self._dial.depth + 1,
            around=msgspec.structs.replace(host.around, tapes=self._tapes),
            join=self._join,
            answer=self.answer,
            whisper=host.whisper,
            apply=self._applications.apply,
            ended=self._dial_ended,
        )
        self._run = DialRun(self._house, parent, ask, dial)
        self._run.start()

    def _join(self, leg: PeerLeg) -> None:
        self.answer()
        self._host.join(leg)

    def _dial_ended(self, ended: DialEnded) -> None:
        self._run = None
        self._unanswered = None if ended.bridged else endings.unanswered(ended)[1]
        self._give(ended)

    # Inside

    def _visitor(self) -> Visitor:
        host = self._host
        return Visitor(
            line=self.line,
            leg=lambda: host.leg,
            media=host.around.media,
            tapes=self._tapes,
            spawn=host.around.spawn,
            ready=self._taken,
            hands_of=lambda give: host.hands_of(self.line, give),
            note=self._hands.note,
            give=self._give,
            hang_up=self.hang_up,
        )

    async def _taken(self) -> None:
        self.answer()
        await self._host.taken()

    def _as_it_came(self) -> Call:
        """To its documents the caller is who came, as if the application had a number."""
        return msgspec.structs.replace(self.line.call, direction=CallDirection.INBOUND)

    def _give(self, event: TwimlEvent) -> None:
        self._host.later(self._interpreter.on, event)

    def _fail(self, code: int, reason: str) -> None:
        self._hands.note(Finding(code=code, level=Level.ERROR, line=0, message=reason))
        self._leave(Ended(status=CallStatus.FAILED, reason=reason, error_code=code))

    def _leave_later(self, ended: Ended) -> None:
        """End it when the document that said so has returned."""
        self._host.later(self._leave, ended)

    def _leave(self, ended: Ended) -> None:
        if not self._is_over:
            self.close(CALLER_GONE)
            self._dial.left(self._branch, ended)
