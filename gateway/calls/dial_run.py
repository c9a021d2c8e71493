"""A `<Dial>` at work: carries out what `dial` says, and tells it what became of that.

Each branch is a child call with a SID of its own, called as `calling` does it, and the first that
answers is the dial's.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from carriers.caller_id import Caller
from gateway.calls import dial as machine
from gateway.calls.branch import DIAL_STATUS, Branch
from gateway.calls.calling import Around, Calling
from gateway.calls.dial import Dialling, Do, Order, Pickup
from gateway.calls.house import House
from gateway.calls.leg import Answered, Event, Gone, Leg, Rang
from gateway.calls.line import Line
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.reach import Asked
from gateway.calls.recording import FROM_RINGING, of_dial
from gateway.calls.ringback import Ringback
from gateway.calls.sip_leg import SipLeg
from gateway.media.wire import RecordingEnded
from gateway.recordings.model import Recording, RecordingStatus
from twiml.call import DialEnded, DialStatus
from twiml.nouns import Conference, Noun, Number, Queue, RecordMode
from twiml.outcome import Goto
from twiml.verbs import Dial

_OK: Final = 200
_STAR: Final = "*"


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """Whose dial it is, and what it takes to work in that call.

    `leg` is the caller's. `origin` is how the origin of its calls begins. `join` joins a leg to the
    caller, who is answered if need be, `whisper` runs the document of a branch, `ended` takes the
    result.
    """

    line: Line
    leg: Leg
    asked: Asked
    origin: str = "dial"
    around: Around
    join: Callable[[SipLeg], None]
    whisper: Callable[[Branch], None]
    ended: Callable[[DialEnded], None]


class DialRun:
    """See the module; `start` begins it, `stop` ends it early."""

    def __init__(self, house: House, parent: Parent, ask: int, dial: Dial) -> None:
        self._house = house
        self._parent = parent
        self._ask = ask
        self._dial = dial
        self._timer: asyncio.TimerHandle | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._calling = Calling(house, parent.around)
        self._ringback = Ringback(parent.leg, parent.around.media, dial.ring_tone)
        self._is_lent = False
        nouns = [noun for noun in dial.nouns if not isinstance(noun, Conference | Queue)]
        self.branches = [self._branch(number, noun) for number, noun in enumerate(nouns)]
        self._tape = ""  # the SID of its recording
        self._taped: Recording | None = None  # as it ended
        self._finished: machine.Finish | None = None
        pickups = [Pickup.WHISPER if each.url or digits_of(each) else Pickup.JOIN for each in nouns]
        order = Order.SEQUENTIAL if dial.sequential else Order.PARALLEL
        self._machine = Dialling(pickups, order)

    def start(self) -> None:
        """Call whoever is called first."""
        if self._dial.record in FROM_RINGING:
            self._record()
        self._do(self._machine.start())

    def stop(self, reason: str) -> None:
        """Release everybody; `DialEnded` is given as for any other end."""
        self._do(self._machine.stop(reason))

    def line_of(self, sid: str) -> Line | None:
        """That of a call that it made, and that lives."""
        branch = self._made(sid)
        return None if branch is None else branch.line

    def let_go(self, sid: str, reason: str) -> None:
        """End a call that it made, however far it is: nobody else is asked for it."""
        branch = self._made(sid)
        if branch is None:
            return
        if branch.leg is not None:
            branch.leg.hang_up(_OK, reason)
            return
        self._release(branch, reason)
        self._do(self._machine.failed(branch.number, DialStatus.CANCELED))

    def _made(self, sid: str) -> Branch | None:
        return next((each for each in self.branches if each.is_live and each.sid == sid), None)

    def ready(self, branch: Branch) -> None:
        """The branch has heard its document: join it."""
        self._do(self._machine.ready(branch.number))

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._machine.is_over

    # While another may have the place of who is joined

    @property
    def joined(self) -> Branch | None:
        """The branch that is joined to the caller, or was until another had its place."""
        number = self._machine.joined
        return self.branches[number] if number >= 0 else None

    @property
    def caller(self) -> Caller:
        """As whom it calls."""
        return self._parent.asked.caller

    @property
    def caller_id(self) -> str:
        """Under which name it was told to call, "" for the caller's own."""
        return self._dial.caller_id

    @property
    def refer(self) -> Goto | None:
        """Whom to ask what to do when who is joined wants to transfer the caller."""
        dial = self._dial
        return Goto(url=dial.refer_url, method=dial.refer_method) if dial.refer_url else None

    def lend(self) -> None:
        """Another may have the place of who is joined: whose going ends nothing from now on."""
        self._is_lent = True

    def take_back(self) -> None:
        """Nobody else has it."""
        self._is_lent = False

    def conclude(self) -> None:
        """Who had the place of who was joined is gone as well."""
        self._is_lent = False
        branch = self.joined
        if branch is not None:
            self._do(self._machine.failed(branch.number, DialStatus.COMPLETED))

    def hush(self) -> None:
        """Let its times pass: another dial has its place."""
        self._hush()

    # What legs tell

    def on(self, leg: Leg, event: Event) -> bool:
        """Take what a leg told; whether it is one of this dial's."""
        branch = self._calling.on(leg, event)
        if branch is None:
            return False
        match event:
            case Rang():
                self._on_rang(branch, leg, event)
            case Answered() if branch.leg is leg:
                self._do(self._machine.answered(branch.number))
            case Gone():
                self._ringback.left(leg.id)
                if branch.leg is leg:
                    self._on_left(branch, event)
        return True

    def on_key(self, leg_id: str, key: str) -> None:
        """The peer of a leg pressed a key: the caller may hang up by it on who is joined."""
        is_callers = leg_id == self._parent.leg.id and self.joined is not None
        if key == _STAR and is_callers and self._dial.hangup_on_star:
            self.stop(machine.STAR)

    def _on_rang(self, branch: Branch, leg: Leg, event: Rang) -> None:
        if not self._machine.rang(branch.number, event):
            return
        if event.early and self._passes(leg) and self._is_alone():
            self._ringback.hear(leg.id)
        else:
            self._ringback.ring(branch.line.call.to_address)

    def _passes(self, leg: Leg) -> bool:
        """Whether the caller may hear what comes before the answer."""
        return self._ringback.passes and self._calling.passes(leg)

    def _is_alone(self) -> bool:
        """Whether one leg is being called: of several nobody is heard before one answers."""
        legs = [leg for branch in self.branches for leg in branch.legs if not leg.record.ended]
        return len(legs) == 1

    def _on_left(self, branch: Branch, gone: Gone) -> None:
        branch.line.end(CallStatus.COMPLETED, reason=gone.reason, sip_code=_OK)
        if not self._is_lent:
            self._do(self._machine.failed(branch.number, DialStatus.COMPLETED))

    # What the machine wants

    def _do(self, dos: Sequence[Do]) -> None:
        for each in dos:
            match each:
                case machine.Call(branch=number):
                    self._call(self.branches[number])
                case machine.Release(branch=number, reason=reason):
                    self._release(self.branches[number], reason)
                case machine.Whisper(branch=number):
                    self._hush()
                    self._ringback.cover(self.branches[number].line.call.to_address)
                    self._introduce(self.branches[number])
                case machine.Join(branch=number):
                    self._join(self.branches[number])
                case machine.Finish():
                    self._finish(each)

    def _call(self, branch: Branch) -> None:
        self._hush()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._dial.timeout, self._time_out)
        branch.begin()
        self._calling.begin(branch, self._came_to_nothing)

    def _came_to_nothing(self, branch: Branch, status: CallStatus) -> None:
        self._do(self._machine.failed(branch.number, DIAL_STATUS[status]))

    def _time_out(self) -> None:
        self._timer = None
        self._do(self._machine.timed_out())

    def _release(self, branch: Branch, reason: str) -> None:
        self._calling.release(branch, reason)
        ended = _ENDED_BY.get(reason, CallStatus.CANCELED)
        branch.line.end(ended, reason=reason)

    def _join(self, branch: Branch) -> None:
        self._hush()
        leg = branch.leg
        assert leg is not None
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(self._dial.time_limit, self.stop, machine.LIMIT)
        self._parent.join(leg)
        if self._dial.hangup_on_star:
            self._parent.around.media.listen(self._parent.leg.id)
        if self._dial.record is not RecordMode.NEVER:
            self._record()

    def _record(self) -> None:
        tapes = self._parent.around.tapes
        self._tape = self._tape or tapes.begin(of_dial(self._dial), self._on_taped)

    def _on_taped(self, recording: Recording, event: RecordingEnded) -> None:
        self._taped = recording
        if self._finished is not None:
            self._tell_end(self._finished)

    def _introduce(self, branch: Branch) -> None:
        """Press what is to be pressed first towards who answered, and let them hear a document."""
        digits = digits_of(branch.noun)
        if digits:
            self._parent.around.spawn(self._press(branch, digits))
        else:
            self._parent.whisper(branch)

    async def _press(self, branch: Branch, digits: str) -> None:
        leg = branch.leg
        assert leg is not None
        await self._parent.around.media.press(leg.id, digits)
        if branch.noun.url and branch.is_live:
            self._parent.whisper(branch)
        else:
            self.ready(branch)

    def _hush(self) -> None:
        for timer in (self._timer, self._limit):
            if timer is not None:
                timer.cancel()
        self._timer = self._limit = None

    def _finish(self, finished: machine.Finish) -> None:
        self._hush()
        self._ringback.stop()
        self._parent.around.media.part(self._parent.leg.id)
        if self._tape and self._taped is None:
            self._finished = finished  # it is told when it is known how long the recording is
            self._parent.around.tapes.finish(self._tape)
        else:
            self._tell_end(finished)

    def _tell_end(self, finished: machine.Finish) -> None:
        branch = self.branches[finished.branch] if finished.branch >= 0 else None
        taped = self._taped
        if taped is not None and taped.status is not RecordingStatus.COMPLETED:
            taped = None
        call = None if branch is None else branch.line.call
        self._parent.ended(
            DialEnded(
                ask=self._ask,
                status=finished.status,
                call_sid="" if call is None else call.sid,
                duration=call.duration if call is not None and call.started else None,
                bridged=finished.bridged,
                recording_url="" if taped is None else self._parent.around.tapes.url(taped),
                recording_sid="" if taped is None else taped.sid,
                recording_duration=0 if taped is None else taped.seconds,
                sip_response_code=0 if call is None else call.sip_code,
                sip_call_id="" if branch is None else branch.call_id,
                sip_headers=() if branch is None else branch.headers,
            )
        )

    def _branch(self, number: int, noun: Noun) -> Branch:
        parent, house, now = self._parent, self._house, self._house.clock()
        call = Call(
            account_sid=parent.line.call.account_sid,
            sid=house.sid(),
            parent_sid=parent.line.call.sid,
            direction=CallDirection.OUTBOUND_DIAL,
            status=CallStatus.INITIATED,
            from_address=parent.asked.caller.number,
            to_address=noun.number if isinstance(noun, Number) else noun.uris[0].uri,
            origin=f"{parent.origin}:{parent.line.call.sid}",
            owner=house.owner,
            status_callback=noun.status_callback,
            status_callback_method=noun.status_callback_method,
            status_callback_events=tuple(each.value for each in noun.status_callback_event),
            date_created=now,
            date_updated=now,
        )
        return Branch(
            number,
            noun,
            house.line(call, parent.around.keeping),
            house.reach.arms(noun, parent.asked),
        )


def digits_of(noun: Noun) -> str:
    """What is pressed towards who answers, before anything else."""
    return noun.send_digits if isinstance(noun, Number) else ""


# What a child call ends as that was let go of before it was answered.
_ENDED_BY: Final = {machine.TOO_LATE: CallStatus.NO_ANSWER}
