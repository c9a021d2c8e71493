"""Applications that are dialled: a child call without a peer, whose documents the caller hears.

What the documents of an application say is heard on the caller's leg, keys that the caller presses
are theirs, and whoever they dial is joined to the caller. So nothing is carried anywhere, and the
child is a call like any other all the same: with a SID, an end and callbacks of its own. Who dials
applications from applications comes to an end: there are `MOST` in one call, and no more than
`DEEPEST` in each other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway import applications
from gateway.calls import endings
from gateway.calls.apology import apologise
from gateway.calls.apps import App, app_of_application
from gateway.calls.branch import Branch
from gateway.calls.caller_ids import caller_as
from gateway.calls.calling import Around
from gateway.calls.dial import CALLER_GONE
from gateway.calls.dial_run import Applied, DialRun, Parent
from gateway.calls.documented import Documented
from gateway.calls.elsewhere import NOT_BY_SIP
from gateway.calls.endings import Ended
from gateway.calls.hands import Hands, Spawn
from gateway.calls.instead import run_instead
from gateway.calls.leg import Event, Leg, PeerLeg
from gateway.calls.line import Line
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.orders import Redirect
from gateway.calls.reach import Asked
from gateway.store.base import StoreError
from twiml.call import DialEnded, Ending, HungUp, KeyPressed, Referred, ReferStatus
from twiml.call import Event as TwimlEvent
from twiml.errors import Finding, Level
from twiml.nouns import Application
from twiml.outcome import Goto
from twiml.verbs import Dial, Refer, RejectReason
from twiml.voice import Pickup

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


class ApplicationCall(Documented):
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
        self.line = branch.line
        self._media = host.around.media
        self._keeping = host.around.keeping
        self._of = dial
        self._branch = branch
        self._noun: Final = branch.noun
        self._refuses = refuses
        self._is_answered = self._is_over = False
        self._beginning: asyncio.Task[None] | None = None  # or what is said at the end
        self._dial: DialRun | None = None
        self._unanswered: Ended | None = None  # what the last one came to
        self._equip(Pickup.RINGING)

    def parts(self) -> tuple[object, ...]:
        """What holds each other in a ring."""
        return self._interpreter, self._hands, self

    # What its dial asks: `dial_run.Applied`

    def start(self) -> None:
        """Find what it runs, and run it."""
        self._beginning = self._spawn(self._begin())

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
        if self._meetings is not None:
            self._meetings.left()
        if self._dial is not None:
            self._dial.stop(reason)
        if self._takes is not None:
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
        return None if self._dial is None else self._dial.applied(sid)

    def on(self, leg: Leg, event: Event) -> bool:
        """See `dial_run.Applied`."""
        return self._dial is not None and self._dial.on(leg, event)

    def on_key(self, key: str) -> None:
        """See `dial_run.Applied`."""
        if self._dial is not None:
            self._dial.on_key(self._host.leg.id, key)
        if self._meetings is not None:
            self._meetings.on_key(key)
        self._give(KeyPressed(key=key))

    def line_of(self, sid: str) -> Line | None:
        """See `dial_run.Applied`."""
        return None if self._dial is None else self._dial.line_of(sid)

    def let_go(self, sid: str, reason: str) -> None:
        """See `dial_run.Applied`."""
        if self._dial is not None:
            self._dial.let_go(sid, reason)

    # What its documents ask: `twiml.call.FullCall`

    def answer(self) -> None:
        """See `twiml.call.Call`."""
        if not self._is_answered:
            self._is_answered = True
            self.line.move(CallStatus.IN_PROGRESS)
            self.line.hasten()  # nobody waits for it, and apps may be told of where it goes now
            self._of.answered(self._branch)

    def reject(self, reason: RejectReason) -> None:
        """See `twiml.call.Call`."""
        self._leave_later(Ended(status=CallStatus.BUSY, reason=f"<Reject reason='{reason}'>"))

    def hang_up(self, ending: Ending) -> None:
        """See `twiml.call.Call`: the caller goes on below the dial."""
        _, ended = endings.ENDINGS[ending]
        if ending is Ending.FAILED and self._is_answered:
            self._beginning = self._spawn(self._apologise(ended))
            return
        if ending is Ending.DONE and self._unanswered is not None and not self._is_answered:
            ended = self._unanswered
        self._leave_later(ended)

    async def _apologise(self, ended: Ended) -> None:
        await apologise(self._hands.prompting)
        self._leave(ended)

    def refer(self, ask: int, refer: Refer) -> None:
        """See `twiml.call.Sending`: nobody is there who could be sent elsewhere."""
        why = "an application has no SIP peer that could be sent elsewhere"
        self._hands.note(Finding(code=NOT_BY_SIP, level=Level.WARNING, line=0, message=why))
        self._give(Referred(ask=ask, status=ReferStatus.FAILED))

    # What a dial of its document asks

    def _parent(self, dial: Dial) -> Parent:
        host = self._host
        caller = caller_as(dial.caller_id, self._of.asked.caller)
        return Parent(
            line=self.line,
            leg=host.leg,
            asked=Asked(call=self.line.call, caller=caller, codecs=host.leg.codecs),
            depth=self._of.depth + 1,
            around=msgspec.structs.replace(host.around, tapes=self._tapes),
            join=self._join,
            answer=self.answer,
            whisper=host.whisper,
            apply=self._applications.apply,
            ended=self._dial_ended,
        )

    def _join(self, leg: PeerLeg) -> None:
        self.answer()
        self._host.join(leg)

    def _dial_ended(self, ended: DialEnded) -> None:
        self._dial = None
        self._unanswered = None if ended.bridged else endings.unanswered(ended)[1]
        self._give(ended)

    # What its documents stand on: `documented.Documented`

    @property
    def leg(self) -> PeerLeg:
        """That of the caller, who hears it."""
        return self._host.leg

    def hands_of(
        self, line: Line, give: Callable[[TwimlEvent], None], leg: PeerLeg | None = None
    ) -> Hands:
        """What a document of it may ask; there is but one leg that could hear it."""
        return self._host.hands_of(line, give)

    async def _taken(self) -> None:
        self.answer()
        await self._host.taken()

    async def _stood(self) -> None:
        await self._host.taken()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._host.around.spawn(work)

    def _errand(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._host.errand(work)

    def _as_told(self) -> Call:
        """To its documents the caller is who came, as if the application had a number."""
        return msgspec.structs.replace(self.line.call, direction=CallDirection.INBOUND)

    def _give(self, event: TwimlEvent) -> None:
        self._host.later(self._interpreter.on, event)

    # Inside

    def _fail(self, code: int, reason: str) -> None:
        self._hands.note(Finding(code=code, level=Level.ERROR, line=0, message=reason))
        self._leave(Ended(status=CallStatus.FAILED, reason=reason, error_code=code))

    def _leave_later(self, ended: Ended) -> None:
        """End it when the document that said so has returned."""
        self._host.later(self._leave, ended)

    def _leave(self, ended: Ended) -> None:
        if not self._is_over:
            self.close(CALLER_GONE)
            self._of.left(self._branch, ended)
