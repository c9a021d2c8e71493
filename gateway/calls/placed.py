"""One call that REST makes: who is called by every way there is; its life is `scoped`'s.

What it runs begins when somebody has answered; until then it may be cancelled, and told to run
something else.
"""

import asyncio
from typing import Final

import msgspec

from carriers.caller_id import Caller
from gateway.calls import endings
from gateway.calls.apology import apologise
from gateway.calls.branch import Branch
from gateway.calls.browser import CLIENT
from gateway.calls.browser_reach import arms_of
from gateway.calls.callbacks import sound_of
from gateway.calls.calling import Calling
from gateway.calls.dial import TOO_LATE
from gateway.calls.endings import Ended
from gateway.calls.house import House
from gateway.calls.leg import Answered, Event, Gone, Leg, PeerLeg
from gateway.calls.media import NoMedia
from gateway.calls.model import Call, CallStatus
from gateway.calls.ordered import NORMAL
from gateway.calls.orders import Amend, Order, Place, Redirect
from gateway.calls.places import Find
from gateway.calls.reach import Asked
from gateway.calls.recording import of_start
from gateway.calls.room_announced import Announced
from gateway.calls.scoped import Scoped
from gateway.core.runner import Job
from gateway.recordings.model import Recording, RecordingSource
from twiml.call import Ending
from twiml.nouns import Client, Noun, Number, Sip, SipUri
from twiml.verbs import RejectReason, StartRecording
from twiml.voice import Pickup

_CANCELLED: Final = 487


def noun_of(place: Place) -> Noun | Client:
    """Whom it calls."""
    if place.to.startswith(CLIENT):
        return Client(identity=place.to.removeprefix(CLIENT), parameters=place.headers)
    if place.to.startswith("+") or place.to.isdecimal():
        return Number(number=place.to)
    uri = SipUri(uri=place.to, username=place.username, password=place.password)
    return Sip(uris=(uri,), headers=place.headers)


class Placed(Scoped):
    """See the module; `run` it when its row is stored. It begins after `wait` seconds.

    `find` is `places.Joint`'s.
    """

    def __init__(self, house: House, call: Call, place: Place, find: Find, *, wait: float) -> None:
        sid = place.application_sid
        super().__init__(
            house,
            call,
            find,
            caller=Caller(number=place.caller, display=place.display),
            pickup=Pickup.ANSWERED,
            extra=(("ApplicationSid", sid),) if sid else (),
        )
        self._place = place
        self._what = place.runs  # it runs when it is answered
        self._time_limit = place.time_limit
        self._wait = wait
        self._has_begun = False  # what it runs
        self._noun = noun_of(place)
        self._calling = Calling(house, self._around)
        self._branch: Branch | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def _is_ours(self) -> bool:
        return self._house.reach.is_user(self._noun)

    async def run(self) -> None:
        """See `Scoped`; who was called into a conference is in it no more then."""
        house, call, conference_sid = self._house, self.line.call, self._place.conference_sid
        try:
            await super().run()
        finally:
            if conference_sid:
                over = Announced(house.store, lease=house.lease, clock=house.clock).over
                await over(call.account_sid, conference_sid, call.sid)

    async def _begin(self) -> None:
        """Wait for its turn, find it a place, and let them ring."""
        await asyncio.sleep(self._wait)
        try:
            self._media.open()
        except NoMedia as error:
            self._end(endings.FAULT, Ended(status=CallStatus.FAILED, reason=str(error)))
            return
        self.line.move(CallStatus.INITIATED)
        asked = Asked(call=self.line.call, caller=self._caller)
        arms = arms_of(self._house, self._noun, asked)
        branch = self._branch = Branch(0, self._noun, self.line, arms)
        loop = asyncio.get_running_loop()
        late = Ended(status=CallStatus.NO_ANSWER, reason=TOO_LATE)
        self._timer = loop.call_later(
            self._place.timeout, self._dare, self._end, endings.UNAVAILABLE, late
        )
        self._calling.begin(branch, self._came_to_nothing)

    def _came_to_nothing(self, branch: Branch, status: CallStatus) -> None:
        self._hush()
        self._leave(branch.line.call.reason)

    def _hush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What its documents ask: `twiml.call.Call`

    def answer(self) -> None:
        """It is answered."""

    def reject(self, reason: RejectReason) -> None:
        """It is answered, and is hung up."""
        self.hang_up(Ending.DONE)

    def hang_up(self, ending: Ending) -> None:
        """See `twiml.call.Call`."""
        code, ended = endings.ENDINGS[ending]
        if ending is Ending.FAILED:
            self._spawn(self._apologise(code, ended))
        else:
            self._end(code, ended)

    async def _apologise(self, code: int, ended: Ended) -> None:
        await apologise(self._hands.prompting)
        self._end(code, ended)

    # What legs tell

    def _take(self, leg: Leg, event: Event) -> None:
        branch = self._calling.on(leg, event)
        if branch is not None and isinstance(event, Answered) and branch.leg is leg:
            self._on_answered(branch.leg)
        super()._take(leg, event)

    def _on_answered(self, leg: PeerLeg) -> None:
        if self._over.is_set():
            leg.hang_up(_CANCELLED, self._ending.reason)
        elif self.first is None:
            self._hush()
            self.first = leg
            self._up.set()
            if self._place.recording is not None:
                self._record(self._place.recording)
            self._limit(self._time_limit)
            self._spawn(self._run_documents(leg))

    def _record(self, start: StartRecording) -> None:
        """Record all of it; what came of that is told with its end, as Twilio does."""
        wanted = of_start(start, RecordingSource.OUTBOUND_API)
        if self._tapes.begin(wanted, also=self._sounded):
            self.line.await_sound()

    def _sounded(self, recording: Recording) -> list[Job]:
        return self.line.sounded(sound_of(recording, self._tapes.url(recording)))

    def _on_gone(self, gone: Gone) -> None:
        self._hush()
        super()._on_gone(gone)

    async def _run_documents(self, leg: PeerLeg) -> None:
        if self._place.send_digits:
            await self._media.press(leg.id, self._place.send_digits)
        self._has_begun = True
        super().redirect(self._what)

    # Ends

    def order(self, order: Order) -> None:
        """See `Scoped`; a limit of time holds from the answer."""
        if isinstance(order, Amend) and self.first is None and order.time_limit:
            self._time_limit = order.time_limit
            order = msgspec.structs.replace(order, time_limit=0)
        super().order(order)

    def redirect(self, order: Redirect) -> None:
        """See `Scoped`; what is not running yet is replaced."""
        if self._has_begun:
            super().redirect(order)
        else:
            self._what = order

    def _limit(self, seconds: int) -> None:
        if seconds:
            super().order(Amend(time_limit=seconds))

    def _let_first_go(self, code: int, ended: Ended) -> None:
        self._hush()
        if self.first is not None:
            self.first.hang_up(NORMAL, ended.reason)
            return
        if self._branch is not None:
            self._calling.release(self._branch, ended.reason)
        self.line.end(ended.status, reason=ended.reason, error_code=ended.error_code)
        self._leave(ended.reason)
