"""A `<Dial>` at work: carries out what `dial` says, and tells it what became of that.

Each branch is a child call with a SID of its own; its arms ring at once, and the ways of an arm are
tried in turn, each with a leg. The first leg that answers is the branch's, and the first branch
that answers is the dial's.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from carriers.call_outcomes import CallOutcome
from carriers.caller_id import Caller
from carriers.trunks import EarlyMedia
from gateway.calls import dial as machine
from gateway.calls.branch import DIAL_STATUS, Branch, Failed, judged, nearest
from gateway.calls.dial import Dialling, Do, Order, Pickup
from gateway.calls.hands import Spawn
from gateway.calls.house import House
from gateway.calls.keeping import Keeping, NotKept
from gateway.calls.leg import Answered, Event, Finished, Gone, Leg, Rang, Retried, Tell
from gateway.calls.line import STATUS_OF_END, Line
from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.model import Call, CallDirection, CallLeg, CallStatus, Party
from gateway.calls.reach import Arm, Asked
from gateway.calls.ringback import Ringback
from gateway.calls.sip_leg import SipLeg
from gateway.calls.way import Way
from gateway.forms import Address
from protocols.sip.agent_events import Source
from protocols.sip.errors import LocalProtocolError
from protocols.sip.transport import Destination, Flow, Hop
from twiml.call import DialEnded, DialStatus
from twiml.nouns import Noun, Number
from twiml.outcome import Goto
from twiml.verbs import Dial

TCP_PATIENCE: Final = 4.0
"""Seconds for a large request over TCP to be answered, before it goes over UDP."""

_OK: Final = 200
_CANCELLED: Final = 487
_FAULT: Final = 500


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """Whose dial it is, and what it takes to work in that call.

    `leg` is the caller's. `origin` is how the origin of its calls begins. `tell` takes what legs
    tell, `track` a leg whose end is to be awaited. `join` joins a leg to the caller, who is
    answered if need be, `whisper` runs the document of a branch, `ended` takes the result.
    """

    line: Line
    leg: Leg
    asked: Asked
    origin: str = "dial"
    media: CallMedia
    keeping: Keeping
    spawn: Spawn
    max_forwards: int
    tell: Tell
    track: Callable[[SipLeg], None]
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
        self._answers: dict[str, asyncio.Future[Gone | Answered]] = {}
        self._of_leg: dict[str, Branch] = {}
        self._progress: dict[str, int] = {}
        self._ways: dict[str, Way] = {}  # by leg
        self._ringback = Ringback(parent.leg, parent.media, dial.ring_tone)
        self._is_lent = False
        self.branches = [self._branch(number, noun) for number, noun in enumerate(dial.nouns)]
        pickups = [Pickup.WHISPER if each.url else Pickup.JOIN for each in dial.nouns]
        order = Order.SEQUENTIAL if dial.sequential else Order.PARALLEL
        self._machine = Dialling(pickups, order)

    def start(self) -> None:
        """Call whoever is called first."""
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
        branch = self._of_leg.get(leg.id)
        if branch is None:
            return False
        match event:
            case Rang():
                self._on_rang(branch, leg, event)
            case Retried() if isinstance(leg, SipLeg):
                branch.line.changed(leg.saved)
            case Answered():
                self._settle(leg.id, event)
                self._on_answered(branch, leg, event)
            case Gone():
                self._settle(leg.id, event)
                self._ringback.left(leg.id)
                if branch.leg is leg:
                    self._on_left(branch, event)
                self._parent.media.remove(leg.id)  # the call may last, and dial many more
            case Finished():
                self._of_leg.pop(leg.id, None)
                self._ways.pop(leg.id, None)
        return True

    def _on_rang(self, branch: Branch, leg: Leg, event: Rang) -> None:
        self._progress[leg.id] = max(self._progress.get(leg.id, 0), event.status)
        branch.line.move(CallStatus.RINGING)
        if not self._machine.rang(branch.number, event):
            return
        if event.early and self._passes(leg) and self._is_alone():
            self._ringback.hear(leg.id)
        else:
            self._ringback.ring(branch.line.call.to_address)

    def _passes(self, leg: Leg) -> bool:
        """Whether the caller may hear what comes before the answer."""
        return self._ringback.passes and self._ways[leg.id].early_media is EarlyMedia.PASS

    def _is_alone(self) -> bool:
        """Whether one leg is being called: of several nobody is heard before one answers."""
        legs = [leg for branch in self.branches for leg in branch.legs if not leg.record.ended]
        return len(legs) == 1

    def _on_answered(self, branch: Branch, leg: Leg, event: Answered) -> None:
        if branch.leg is not None or not isinstance(leg, SipLeg):
            if branch.leg is not leg:
                leg.hang_up(_CANCELLED, machine.ELSEWHERE)
            return
        branch.leg = leg
        branch.headers = tuple(event.headers)
        branch.call_id = leg.record.call_id
        branch.give_up_trying()
        for other in branch.legs:
            if other is not leg:
                other.hang_up(_CANCELLED, machine.ELSEWHERE)
        branch.line.move(CallStatus.IN_PROGRESS, leg.saved)
        self._parent.spawn(self._confirm(leg))
        self._do(self._machine.answered(branch.number))

    async def _confirm(self, leg: SipLeg) -> None:
        """Acknowledge the answer once it is durable: a restart can't hang up what it can't know."""
        try:
            await self._parent.keeping.durable()
        except NotKept as error:
            leg.hang_up(_FAULT, str(error))
            return
        leg.confirm()

    def _on_left(self, branch: Branch, gone: Gone) -> None:
        leg = branch.leg
        assert leg is not None
        branch.line.end(CallStatus.COMPLETED, reason=gone.reason, sip_code=200)
        for arm in branch.arms:
            arm.release()
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
                    self._parent.whisper(self.branches[number])
                case machine.Join(branch=number):
                    self._join(self.branches[number])
                case machine.Finish():
                    self._finish(each)

    def _call(self, branch: Branch) -> None:
        self._hush()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._dial.timeout, self._time_out)
        branch.begin()
        branch.tasks = [self._parent.spawn(self._try_all(branch, arm)) for arm in list(branch.arms)]

    def _time_out(self) -> None:
        self._timer = None
        self._do(self._machine.timed_out())

    def _release(self, branch: Branch, reason: str) -> None:
        branch.give_up_trying()
        for leg in branch.legs:
            leg.hang_up(_CANCELLED, reason)
        for arm in branch.arms:
            arm.release()
        ended = _ENDED_BY.get(reason, CallStatus.CANCELED)
        branch.line.end(ended, reason=reason)

    def _join(self, branch: Branch) -> None:
        self._hush()
        leg = branch.leg
        assert leg is not None
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(self._dial.time_limit, self.stop, machine.LIMIT)
        self._parent.join(leg)

    def _hush(self) -> None:
        for timer in (self._timer, self._limit):
            if timer is not None:
                timer.cancel()
        self._timer = self._limit = None

    def _finish(self, finished: machine.Finish) -> None:
        self._hush()
        self._ringback.stop()
        branch = self.branches[finished.branch] if finished.branch >= 0 else None
        self._parent.media.part(self._parent.leg.id)
        call = None if branch is None else branch.line.call
        self._parent.ended(
            DialEnded(
                ask=self._ask,
                status=finished.status,
                call_sid="" if call is None else call.sid,
                duration=call.duration if call is not None and call.started else None,
                bridged=finished.bridged,
                sip_response_code=0 if call is None else call.sip_code,
                sip_call_id="" if branch is None else branch.call_id,
                sip_headers=() if branch is None else branch.headers,
            )
        )

    # One arm

    async def _try_all(self, branch: Branch, arm: Arm) -> None:
        """Try the ways of an arm until one answers or none is left."""
        outcome: CallOutcome | None = None
        gone: Gone | None = None
        while (way := await arm.next(outcome, gone)) is not None:
            failed = await self._try(branch, way)
            if failed is None:
                return
            gone, outcome = failed.gone, judged(failed, way)
        arm.release()
        branch.arms.remove(arm)
        branch.outcome = nearest(branch.outcome, outcome)
        if not branch.arms:
            self._came_to_nothing(branch, arm.reason)

    def _came_to_nothing(self, branch: Branch, reason: str) -> None:
        outcome = branch.outcome
        status = CallStatus.FAILED if outcome is None else STATUS_OF_END[outcome.end]
        branch.line.end(
            status,
            reason=reason if outcome is None else outcome.reason,
            sip_code=0 if outcome is None else outcome.sip_code,
            error_code=0 if outcome is None else outcome.error_code,
        )
        self._do(self._machine.failed(branch.number, DIAL_STATUS[status]))

    async def _try(self, branch: Branch, way: Way) -> Failed | None:
        """One way, over TCP first where the request is large; None if it was answered."""
        for destination in self._destinations(way):
            leg = self._leg(branch, way, destination)
            failed = await self._try_at(branch, way, destination, leg)
            if failed is None or destination is way.destination:
                return failed
            if leg.is_heard or failed.gone.source is Source.OVERLOAD:
                return failed
            assert isinstance(destination, Hop)
            self._house.sizes.fail(destination, self._house.tools.station.now())
        raise AssertionError("a way leads somewhere")

    async def _try_at(
        self, branch: Branch, way: Way, destination: Destination, leg: SipLeg
    ) -> Failed | None:
        try:
            await leg.prepare(_signalling(destination), way.latch)
            answer = self._answers[leg.id] = asyncio.get_running_loop().create_future()
            self._parent.track(leg)
            leg.call(way, destination, self._parent.max_forwards)
        except (NoMedia, LocalProtocolError) as error:  # such as headers that can't be said
            leg.hang_up(_FAULT, str(error))
            reason = str(error)
            return Failed(Gone(by=Party.GATEWAY, status=0, source=Source.OVERLOAD, reason=reason))
        branch.line.trying(leg.saved)
        over_tcp = destination is not way.destination
        result = await self._answer(leg, answer, TCP_PATIENCE if over_tcp else None)
        if isinstance(result, Answered):
            return None
        branch.line.tried(leg.record)
        return Failed(result, self._progress.get(leg.id, 0))

    async def _answer(
        self, leg: SipLeg, answer: "asyncio.Future[Gone | Answered]", patience: float | None
    ) -> Gone | Answered:
        if patience is not None:
            done, _ = await asyncio.wait({answer}, timeout=patience)
            if not done and not leg.is_heard:
                leg.hang_up(_CANCELLED, "no answer over TCP")
        return await answer

    def _destinations(self, way: Way) -> tuple[Destination, ...]:
        destination = way.destination
        if isinstance(destination, Flow) or way.pinned:
            return (destination,)
        now = self._house.tools.station.now()
        return self._house.sizes.hops(destination, way.size, now)

    def _leg(self, branch: Branch, way: Way, destination: Destination) -> SipLeg:
        branch.attempts += 1
        call = branch.line.call
        record = CallLeg(
            account_sid=call.account_sid,
            sid=call.sid,
            attempt=branch.attempts,
            direction=CallDirection.OUTBOUND_DIAL,
            carrier=way.carrier,
            peer=way.gateway or _where(destination),
            transport=destination.transport,
            began=self._house.clock(),
        )
        leg = SipLeg(
            self._house.tools,
            self._parent.media,
            self._parent.tell,
            id=f"{call.sid}.{branch.attempts}",
            record=record,
            policy=way.policy,
        )
        branch.legs.append(leg)
        self._of_leg[leg.id], self._ways[leg.id] = branch, way
        return leg

    def _settle(self, leg_id: str, event: Gone | Answered) -> None:
        answer = self._answers.pop(leg_id, None)
        if answer is not None and not answer.done():
            answer.set_result(event)

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
            number, noun, house.line(call, parent.keeping), house.reach.arms(noun, parent.asked)
        )


def _signalling(destination: Destination) -> str:
    return destination.remote[0] if isinstance(destination, Flow) else destination.host


def _where(destination: Destination) -> str:
    if isinstance(destination, Flow):
        return str(Address(*destination.remote))
    return str(Address(destination.host, destination.port))


# What a child call ends as that was let go of before it was answered.
_ENDED_BY: Final = {machine.TOO_LATE: CallStatus.NO_ANSWER}
