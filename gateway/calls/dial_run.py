"""A `<Dial>` at work: carries out what `dial` says, and tells it what became of that.

Each branch is a child call with a SID of its own, called as `calling` does it, and the first that
answers is the dial's.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from carriers.caller_id import Caller
from gateway.calls import dial as machine
from gateway.calls.apps import APPLICATION
from gateway.calls.branch import DIAL_STATUS, Branch
from gateway.calls.browser import CLIENT
from gateway.calls.browser_reach import arms_of
from gateway.calls.calling import Around, Calling
from gateway.calls.dial import Dialling, Do, Order, Pickup
from gateway.calls.endings import Ended
from gateway.calls.house import House
from gateway.calls.leg import Answered, Event, Gone, Leg, PeerLeg, Rang
from gateway.calls.line import Line
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.orders import Redirect
from gateway.calls.reach import Asked
from gateway.calls.ringback import Ringback
from gateway.calls.taped import Taped
from twiml.call import DialEnded, DialStatus
from twiml.nouns import Application, Client, Number, Rung, Standing
from twiml.outcome import Goto
from twiml.verbs import Dial

_OK: Final = 200
_STAR: Final = "*"


class Applied(Protocol):
    """A branch that is an application: it has no leg, its documents are heard on the caller's."""

    @property
    def line(self) -> Line:
        """That of its call."""

    def start(self) -> None:
        """Find what it runs, and run it."""

    def redirect(self, order: Redirect) -> None:
        """Run another document at once."""

    def applied(self, sid: str) -> "Applied | None":
        """The call of an application that this dialled, in whatever depth."""

    def close(self, reason: str) -> None:
        """Nobody hears it any more."""

    def on(self, leg: Leg, event: Event) -> bool:
        """Take what a leg told; whether it is one that this called."""

    def on_key(self, key: str) -> None:
        """The caller pressed a key."""

    def line_of(self, sid: str) -> Line | None:
        """That of a call that this made, and that lives."""

    def let_go(self, sid: str, reason: str) -> None:
        """End a call that this made."""


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """Whose dial it is, and what it takes to work in that call.

    `leg` is the caller's. `origin` is how the origin of its calls begins. `depth` counts the
    applications that it is dialled in. `join` joins a leg to the caller, who is answered if need
    be, `answer` does that alone. `whisper` runs the document of a branch, `apply` makes one that is
    an application, `ended` takes the result.
    """

    line: Line
    leg: Leg
    asked: Asked
    origin: str = "dial"
    depth: int = 0
    around: Around
    join: Callable[[PeerLeg], None]
    answer: Callable[[], None]
    whisper: Callable[["DialRun", Branch], None]
    apply: Callable[["DialRun", Branch], Applied]
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
        self._is_answered = False  # somebody, who is not joined yet
        self._is_starred = False  # the caller hung up on them meanwhile
        nouns = [noun for noun in dial.nouns if not isinstance(noun, Standing)]
        self.branches = [self._branch(number, noun) for number, noun in enumerate(nouns)]
        self._applied: dict[int, Applied] = {}  # by branch
        self._taped = Taped(parent.around.tapes, dial)
        pickups = [_pickup(each) for each in nouns]
        order = Order.SEQUENTIAL if dial.sequential else Order.PARALLEL
        self._machine = Dialling(pickups, order)

    def start(self) -> None:
        """Call whoever is called first."""
        self._taped.rings()
        self._do(self._machine.start())

    def stop(self, reason: str) -> None:
        """Release everybody; `DialEnded` is given as for any other end."""
        self._do(self._machine.stop(reason))

    def line_of(self, sid: str) -> Line | None:
        """That of a call that it made, and that lives."""
        branch = self._made(sid)
        if branch is not None:
            return branch.line
        found = (each.line_of(sid) for each in self._applied.values())
        return next((line for line in found if line is not None), None)

    def let_go(self, sid: str, reason: str) -> None:
        """End a call that it made, however far it is: nobody else is asked for it."""
        branch = self._made(sid)
        if branch is None:
            for each in self._applied.values():
                each.let_go(sid, reason)
            return
        if branch.leg is not None:
            branch.leg.hang_up(_OK, reason)
            return
        self._release(branch, reason)
        self._do(self._machine.failed(branch.number, DialStatus.CANCELED))

    def applied(self, sid: str) -> Applied | None:
        """The call of an application that it made, or that such a one did."""
        for each in self._applied.values():
            if each.line.call.sid == sid:
                return each
            if (found := each.applied(sid)) is not None:
                return found
        return None

    def _made(self, sid: str) -> Branch | None:
        return next((each for each in self.branches if each.is_live and each.sid == sid), None)

    def ready(self, branch: Branch) -> None:
        """The branch has heard its document: join it."""
        self._do(self._machine.ready(branch.number))

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._machine.is_over

    @property
    def depth(self) -> int:
        """How many applications it is dialled in."""
        return self._parent.depth

    @property
    def asked(self) -> Asked:
        """For which call it calls, and as whom."""
        return self._parent.asked

    # What applications tell

    def answered(self, branch: Branch) -> None:
        """One has begun to run something."""
        self._do(self._machine.answered(branch.number))

    def left(self, branch: Branch, ended: Ended) -> None:
        """One has come to its end."""
        branch.line.end(ended.status, reason=ended.reason, error_code=ended.error_code)
        self._do(self._machine.failed(branch.number, DIAL_STATUS[branch.line.call.status]))

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
            applied = self._applied.values()
            return bool(applied) and any(each.on(leg, event) for each in applied)
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
        if key == _STAR and self._dial.hangup_on_star and self._is_answered:
            self._is_starred = self._is_starred or leg_id == self._parent.leg.id
        elif key == _STAR and is_callers and self._dial.hangup_on_star:
            self.stop(machine.STAR)
        elif is_callers and (applied := self._applied.get(self._machine.joined)) is not None:
            applied.on_key(key)

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
        self._is_answered = self._is_starred = False
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._dial.timeout, self._time_out)
        branch.begin()
        if isinstance(branch.noun, Application):
            applied = self._applied[branch.number] = self._parent.apply(self, branch)
            applied.start()
        else:
            self._calling.begin(branch, self._came_to_nothing)

    def _came_to_nothing(self, branch: Branch, status: CallStatus) -> None:
        self._do(self._machine.failed(branch.number, DIAL_STATUS[status]))

    def _time_out(self) -> None:
        self._timer = None
        self._do(self._machine.timed_out())

    def _release(self, branch: Branch, reason: str) -> None:
        self._calling.release(branch, reason)
        if (applied := self._applied.get(branch.number)) is not None:
            applied.close(reason)
        ended = _ENDED_BY.get(reason, CallStatus.CANCELED)
        branch.line.end(ended, reason=reason)

    def _join(self, branch: Branch) -> None:
        self._hush()
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(self._dial.time_limit, self.stop, machine.LIMIT)
        if branch.leg is None:  # an application's documents are heard on the caller's
            self._ringback.stop()
            self._parent.answer()
        else:
            self._parent.join(branch.leg)
        if self._dial.hangup_on_star:
            self._parent.around.media.listen(self._parent.leg.id)
        self._is_answered = False
        if self._is_starred:
            loop.call_soon(self.stop, machine.STAR)
        self._taped.joined()

    def _introduce(self, branch: Branch) -> None:
        """Press what is to be pressed first towards who answered, and let them hear a document."""
        self._is_answered = True
        if self._dial.hangup_on_star:
            self._parent.around.media.listen(self._parent.leg.id)
        digits = digits_of(branch.noun)
        if digits:
            self._parent.around.spawn(self._press(branch, digits))
        else:
            self._parent.whisper(self, branch)

    async def _press(self, branch: Branch, digits: str) -> None:
        leg = branch.leg
        assert leg is not None
        await self._parent.around.media.press(leg.id, digits)
        if branch.noun.url and branch.is_live:
            self._parent.whisper(self, branch)
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
        branch = self.branches[finished.branch] if finished.branch >= 0 else None
        call = None if branch is None else branch.line.call
        ended = DialEnded(
            ask=self._ask,
            status=finished.status,
            call_sid="" if call is None else call.sid,
            duration=call.duration if call is not None and call.started else None,
            bridged=finished.bridged,
            sip_response_code=0 if call is None else call.sip_code,
            sip_call_id="" if branch is None else branch.call_id,
            sip_headers=() if branch is None else branch.headers,
        )
        self._taped.end(ended, self._parent.ended)

    def _branch(self, number: int, noun: Rung) -> Branch:
        parent, house, now = self._parent, self._house, self._house.clock()
        call = Call(
            account_sid=parent.line.call.account_sid,
            sid=house.sid(),
            parent_sid=parent.line.call.sid,
            direction=CallDirection.OUTBOUND_DIAL,
            status=CallStatus.INITIATED,
            from_address=parent.asked.caller.number,
            to_address=_called(noun, parent.line.call),
            origin=_origin(noun, f"{parent.origin}:{parent.line.call.sid}"),
            owner=house.owner,
            status_callback=noun.status_callback,
            status_callback_method=noun.status_callback_method,
            status_callback_events=tuple([each.value for each in noun.status_callback_event]),
            date_created=now,
            date_updated=now,
        )
        return Branch(
            number,
            noun,
            house.line(call, parent.around.keeping, _told_of(noun)),
            () if isinstance(noun, Application) else arms_of(house, noun, parent.asked),
        )


def digits_of(noun: Rung) -> str:
    """What is pressed towards who answers, before anything else."""
    return noun.send_digits if isinstance(noun, Number) else ""


def _pickup(noun: Rung) -> Pickup:
    """An application's `url` is what it runs, anybody else's what they hear first."""
    if isinstance(noun, Application):
        return Pickup.JOIN
    return Pickup.WHISPER if noun.url or digits_of(noun) else Pickup.JOIN


def _called(noun: Rung, parent: Call) -> str:
    """What stands in To."""
    match noun:
        case Number(number=number):
            return number
        case Client(identity=identity):
            return CLIENT + identity
        case Application(copy_parent_to=True):
            return parent.to_address
        case Application(application_sid=sid):
            return sid
        case _:
            return noun.uris[0].uri


def _origin(noun: Rung, dialled: str) -> str:
    """What it runs, or else why it was made."""
    if isinstance(noun, Application):
        return APPLICATION + noun.application_sid
    return dialled


def _told_of(noun: Rung) -> tuple[tuple[str, str], ...]:
    """What is told of a call beside what it is."""
    if not isinstance(noun, Application):
        return ()
    customer = (("CustomerId", noun.customer_id),) if noun.customer_id else ()
    return (("ApplicationSid", noun.application_sid), *customer, *noun.parameters)


# What a child call ends as that was let go of before it was answered.
_ENDED_BY: Final = {machine.TOO_LATE: CallStatus.NO_ANSWER}
