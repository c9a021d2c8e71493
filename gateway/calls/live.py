"""One call that came in: how it is taken, answered or refused; its life is `scoped`'s."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from carriers.caller_id import Caller
from gateway import applications
from gateway.calls import endings
from gateway.calls.apology import apologise
from gateway.calls.apps import App, app_of_application
from gateway.calls.description import Disagreed
from gateway.calls.endings import Ended
from gateway.calls.house import House
from gateway.calls.keeping import NotKept
from gateway.calls.leg import Gone, PeerLeg, Tell
from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.model import Call, CallStatus
from gateway.calls.ordered import NORMAL
from gateway.calls.orders import Redirect
from gateway.calls.places import Find
from gateway.calls.scoped import Scoped
from gateway.store.base import StoreError
from protocols.rtp.latch import LatchPolicy
from twiml.call import Ending
from twiml.verbs import RejectReason
from twiml.voice import Pickup

_REJECTED: Final = {RejectReason.BUSY: 486, RejectReason.REJECTED: 603}


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was let in: what it is, who calls, what runs for it, how its media may latch.

    `signalling` is the address that it is signalled from, `max_forwards` how often it may be passed
    on. `refused` is told why it is refused after all, for the log, `parted` that its caller went.
    """

    call: Call
    caller: Caller
    app: App
    refused: Callable[[str], None]
    parted: Callable[[], None]
    latch: LatchPolicy = LatchPolicy.SIGNALLED
    signalling: str = ""
    max_forwards: int = 70
    extra: tuple[tuple[str, str], ...] = ()


class Live(Scoped):
    """See the module; made in the turn in which its INVITE came, then `run`.

    `make_leg` makes its leg of the call's media and of who is told, `find` is `places.Joint`'s.
    """

    _after_answer: Ended | None = None  # how it ends as soon as it is answered

    def __init__(
        self,
        house: House,
        arrival: Arrival,
        make_leg: Callable[[CallMedia, Tell], PeerLeg],
        find: Find,
    ) -> None:
        super().__init__(
            house,
            arrival.call,
            find,
            caller=arrival.caller,
            pickup=Pickup.RINGING,
            fallback=arrival.app.fallback,
            extra=arrival.extra,
        )
        self._arrival = arrival
        self._is_taken = self._is_answering = False
        self._placed = asyncio.Event()  # its leg is prepared
        self.first = make_leg(self._media, self.on)
        self._track(self.first)

    def start(self, event: Any) -> None:
        """Take what its signalling told of it, in that turn."""
        leg = self.leg
        leg.receive(event)
        self.line.begin(leg.saved)
        if not self._arrival.app.twiml:
            self.line.hasten()  # an app is asked, and may look at it

    @property
    def _max_forwards(self) -> int:
        return self._arrival.max_forwards

    @property
    def _is_ours(self) -> bool:
        return bool(self.line.call.domain)

    async def _begin(self) -> None:
        """Find the call a place, and ask what to do with it.

        It asks first: whom a document calls at once has its ports with the caller, of one graph.
        """
        try:
            self._media.open()
            app = await self._app()
            if self._over.is_set():
                return
            self.leg.expect(self._arrival.signalling, self._arrival.latch)
            self._ask(app)
            await self.leg.prepare()
            self._placed.set()
        except NoMedia as error:
            code = endings.FULL if error.is_full else endings.FAULT
            self._end(code, Ended(status=CallStatus.FAILED, reason=str(error)))
        except StoreError as error:
            self._end(endings.FAULT, Ended(status=CallStatus.FAILED, reason=str(error)))

    def _ask(self, app: App) -> None:
        if not (app.url or app.twiml):
            reason = "no voice_url or voice_twiml says what to do with it"
            self._end(endings.UNAVAILABLE, Ended(status=CallStatus.FAILED, reason=reason))
            return
        self.redirect(Redirect(url=app.url, method=app.method, twiml=app.twiml))

    async def _app(self) -> App:
        """What runs: what its number or domain says, or the application that this refers to."""
        app, call = self._arrival.app, self.line.call
        if not app.application_sid:
            return app
        found = await applications.get(self._house.store, call.account_sid, app.application_sid)
        if found is None:
            return App()
        app = app_of_application(found)
        if app.fallback is not None:
            self._hands.fall_back_to(app.fallback)
        if app.status_callback:
            self.line.tell_at(app.status_callback, app.status_callback_method)
        return app

    def answer(self) -> None:
        """See `twiml.call.Call`."""
        if not self._is_taken:
            self._is_taken = True
            self._spawn(self._answer())

    async def _answer(self) -> None:
        """Take the call: what a restart needs is durable before the 2xx (RFC 3261 §13.3.1.4)."""
        await self._placed.wait()
        leg = self.leg
        if leg.is_up or self.line.is_over or self._is_answering:
            return
        self._is_answering = True
        self.line.move(CallStatus.IN_PROGRESS, leg.saved)
        try:
            leg.describe()
            await self._keeping.durable()
            await leg.answer()
            self._up.set()
        except (NotKept, NoMedia, Disagreed) as error:
            self._end(endings.FAULT, Ended(status=CallStatus.FAILED, reason=str(error)))
            return
        if self._after_answer is not None:
            self._end(endings.UNAVAILABLE, self._after_answer)

    def reject(self, reason: RejectReason) -> None:
        """See `twiml.call.Call`."""
        code = _REJECTED[reason]
        self._end(code, Ended(status=CallStatus.BUSY, reason=f"<Reject reason='{reason}'>"))

    def hang_up(self, ending: Ending) -> None:
        """See `twiml.call.Call`."""
        code, ended = endings.ENDINGS[ending]
        if ending is Ending.FAILED:
            self._ending = ended  # if the caller does not wait for it
            self.answer()
            self._spawn(self._apologise(code, ended))
            return
        if self._unanswered is not None and not self._is_taken:
            code, ended = self._unanswered
        self._part_with(code, ended)

    async def _apologise(self, code: int, ended: Ended) -> None:
        await apologise(self._hands.prompting)
        self._part_with(code, ended)

    def _part_with(self, code: int, ended: Ended) -> None:
        """Let the caller go, who is answered first if that is under way."""
        if self._is_taken and not self.leg.is_up:
            self._after_answer = ended  # it was asked for first, and is under way
        else:
            self._end(code, ended)

    def _join(self, leg: PeerLeg) -> None:
        super()._join(leg)
        if not self.leg.is_up:
            # One graph has all that the join changes; who disagrees is met again by the answer.
            with contextlib.suppress(Disagreed):
                self.leg.describe()
            self._spawn(self._answer())

    def _on_gone(self, gone: Gone) -> None:
        self._arrival.parted()
        super()._on_gone(gone)

    def _let_first_go(self, code: int, ended: Ended) -> None:
        reason = ended.reason
        if self.leg.is_up:
            self.leg.hang_up(NORMAL, reason)
            return
        if ended.status is CallStatus.FAILED:  # nobody's wish
            self._arrival.refused(reason)
        self.leg.refuse(endings.refusal(code, reason))
