"""Who is called, by every way there is: arms ring at once, the ways of an arm are tried in turn.

Each way is a leg of the branch's call. The first leg that answers is the branch's, the others are
let go; a branch comes to nothing when no arm has a way left.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from carriers.call_outcomes import CallOutcome
from carriers.trunks import EarlyMedia
from gateway.calls.branch import Branch, Failed, judged, nearest
from gateway.calls.browser import AnyWay, BrowserWay
from gateway.calls.dial import ELSEWHERE
from gateway.calls.hands import Spawn
from gateway.calls.house import House
from gateway.calls.keeping import Keeping, NotKept
from gateway.calls.leg import Answered, Event, Finished, Gone, Leg, PeerLeg, Rang, Retried, Tell
from gateway.calls.line import STATUS_OF_END
from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.model import CallLeg, CallStatus, Party
from gateway.calls.reach import Arm, NoArm
from gateway.calls.recording import Tapes
from gateway.calls.sip_leg import SipLeg
from gateway.calls.way import Way
from gateway.calls.webrtc_leg import WebRtcLeg
from gateway.forms import Address
from protocols.rtp.latch import LatchPolicy
from protocols.sip.agent_events import Source
from protocols.sip.errors import LocalProtocolError
from protocols.sip.transport import Destination, Flow, Hop

TCP_PATIENCE: Final = 4.0
"""Seconds for a large request over TCP to be answered, before it goes over UDP."""

_CANCELLED: Final = 487
_FAULT: Final = 500


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to call somebody in a call.

    `tell` takes what legs tell, `track` a leg whose end is to be awaited, `tapes` record the call.
    """

    media: CallMedia
    keeping: Keeping
    spawn: Spawn
    max_forwards: int
    tell: Tell
    track: Callable[[PeerLeg], None]
    tapes: Tapes


Ended = Callable[[Branch, CallStatus], None]


class Calling:
    """See the module."""

    def __init__(self, house: House, around: Around) -> None:
        self._house = house
        self._around = around
        self._answers: dict[str, asyncio.Future[Gone | Answered]] = {}
        self._of_leg: dict[str, tuple[Branch, PeerLeg]] = {}
        self._progress: dict[str, int] = {}
        self._ways: dict[str, AnyWay] = {}  # by leg

    def begin(self, branch: Branch, ended: Ended) -> None:
        """Let all its arms ring; `ended` is told what it ended as if nobody answers."""
        spawn = self._around.spawn
        branch.tasks = [spawn(self._try_all(branch, arm, ended)) for arm in list(branch.arms)]

    def release(self, branch: Branch, reason: str) -> None:
        """Let go of a branch, however far it is; its call is for others to end."""
        branch.give_up_trying()
        for leg in branch.legs:
            leg.hang_up(_CANCELLED, reason)
        for arm in branch.arms:
            arm.release()

    def passes(self, leg: Leg) -> bool:
        """Whether what a leg sends before its answer may be heard, as far as its trunk goes."""
        return self._ways[leg.id].early_media is EarlyMedia.PASS

    # What legs tell

    def on(self, leg: Leg, event: Event) -> Branch | None:
        """Take what a leg told; the branch that it is of, None for a stranger's."""
        found = self._of_leg.get(leg.id)
        if found is None:
            return None
        branch, peer = found
        match event:
            case Rang(status=status):
                self._progress[leg.id] = max(self._progress.get(leg.id, 0), status)
                branch.line.move(CallStatus.RINGING)
            case Retried():
                branch.line.changed(peer.saved)
            case Answered():
                self._settle(leg.id, event)
                self._on_answered(branch, peer, event)
            case Gone():
                self._settle(leg.id, event)
                if branch.leg is leg:
                    for arm in branch.arms:
                        arm.release()
                self._around.media.remove(leg.id)  # the call may last, and dial many more
            case Finished():
                self._of_leg.pop(leg.id, None)
                self._ways.pop(leg.id, None)
        return branch

    def _on_answered(self, branch: Branch, leg: PeerLeg, event: Answered) -> None:
        if branch.leg is not None:
            if branch.leg is not leg:
                leg.hang_up(_CANCELLED, ELSEWHERE)
            return
        branch.leg = leg
        branch.headers = tuple(event.headers)
        branch.call_id = leg.record.call_id if isinstance(leg, SipLeg) else ""
        branch.give_up_trying()
        for other in branch.legs:
            if other is not leg:
                other.hang_up(_CANCELLED, ELSEWHERE)
        branch.line.move(CallStatus.IN_PROGRESS, leg.saved)
        self._around.spawn(self._confirm(leg))

    async def _confirm(self, leg: PeerLeg) -> None:
        """Acknowledge the answer once it is durable: a restart can't hang up what it can't know."""
        try:
            await self._around.keeping.durable()
        except NotKept as error:
            leg.hang_up(_FAULT, str(error))
            return
        leg.confirm()

    # One arm

    async def _try_all(self, branch: Branch, arm: Arm, ended: Ended) -> None:
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
            ended(branch, _came_to_nothing(branch, arm))

    async def _try(self, branch: Branch, way: AnyWay) -> Failed | None:
        """One way, over TCP first where the request is large; None if it was answered."""
        if isinstance(way, BrowserWay):
            return await self._try_device(branch, way)
        for destination in self._destinations(way):
            leg = self._sip_leg(branch, way, destination)
            begin = partial(leg.call, way, destination, self._around.max_forwards)
            patience = None if destination is way.destination else TCP_PATIENCE
            signalling = _signalling(destination)
            failed = await self._try_leg(branch, leg, way.latch, signalling, begin, patience)
            if failed is None or destination is way.destination:
                return failed
            if leg.is_heard or failed.gone.source is Source.OVERLOAD:
                return failed
            assert isinstance(destination, Hop)
            self._house.sizes.fail(destination, self._house.tools.station.now())
        raise AssertionError("a way leads somewhere")

    async def _try_device(self, branch: Branch, way: BrowserWay) -> Failed | None:
        """A browser, by the socket that it has at this moment."""
        leg = self._browser_leg(branch, way)
        begin = partial(leg.call, way)
        return await self._try_leg(branch, leg, LatchPolicy.SIGNALLED, "", begin, None)

    async def _try_leg(
        self,
        branch: Branch,
        leg: PeerLeg,
        latch: LatchPolicy,
        signalling: str,
        begin: Callable[[], None],
        patience: float | None,
    ) -> Failed | None:
        try:
            leg.expect(signalling, latch)
            await leg.prepare()
            answer = self._answers[leg.id] = asyncio.get_running_loop().create_future()
            self._around.track(leg)
            begin()
        except (NoMedia, LocalProtocolError) as error:  # such as headers that can't be said
            leg.hang_up(_FAULT, str(error))
            reason = str(error)
            return Failed(Gone(by=Party.GATEWAY, status=0, source=Source.OVERLOAD, reason=reason))
        branch.line.trying(leg.saved)
        if patience is not None:
            await self._hasten(leg, answer, patience)
        result = await answer
        if isinstance(result, Answered):
            return None
        branch.line.tried(leg.record)
        return Failed(result, self._progress.get(leg.id, 0))

    async def _hasten(
        self, leg: PeerLeg, answer: "asyncio.Future[Gone | Answered]", patience: float
    ) -> None:
        done, _ = await asyncio.wait({answer}, timeout=patience)
        if not done and not leg.is_heard:
            leg.hang_up(_CANCELLED, "no answer over TCP")

    def _destinations(self, way: Way) -> tuple[Destination, ...]:
        destination = way.destination
        if isinstance(destination, Flow) or way.pinned:
            return (destination,)
        now = self._house.tools.station.now()
        return self._house.sizes.hops(destination, way.size, now)

    def _sip_leg(self, branch: Branch, way: Way, destination: Destination) -> SipLeg:
        around, peer = self._around, way.gateway or _where(destination)
        id, record = self._record(branch, peer, destination.transport, carrier=way.carrier)
        leg = SipLeg(
            self._house.tools,
            around.media,
            around.tell,
            id=id,
            record=record,
            policy=way.policy,
            claimed=way.uri.host,
        )
        self._add(branch, way, leg)
        return leg

    def _browser_leg(self, branch: Branch, way: BrowserWay) -> WebRtcLeg:
        around, flow = self._around, way.device.flow
        id, record = self._record(branch, str(Address(*flow.remote)), flow.transport)
        record = msgspec.structs.replace(record, call_id=id)  # in the ladder
        leg = WebRtcLeg(
            self._house.tools, around.media, around.tell, id=id, record=record, policy=way.policy
        )
        self._add(branch, way, leg)
        return leg

    def _record(
        self, branch: Branch, peer: str, transport: str, carrier: str = ""
    ) -> tuple[str, CallLeg]:
        """The name of another leg of a branch, and what is known of it."""
        branch.attempts += 1
        call = branch.line.call
        record = CallLeg(
            account_sid=call.account_sid,
            sid=call.sid,
            attempt=branch.attempts,
            direction=call.direction,
            carrier=carrier,
            peer=peer,
            transport=transport,
            began=self._house.clock(),
        )
        return f"{call.sid}.{branch.attempts}", record

    def _add(self, branch: Branch, way: AnyWay, leg: PeerLeg) -> None:
        branch.legs.append(leg)
        self._of_leg[leg.id], self._ways[leg.id] = (branch, leg), way

    def _settle(self, leg_id: str, event: Gone | Answered) -> None:
        answer = self._answers.pop(leg_id, None)
        if answer is not None and not answer.done():
            answer.set_result(event)


def _came_to_nothing(branch: Branch, arm: Arm) -> CallStatus:
    """End its call as the best of its ways did, or as an arm that had none."""
    outcome = branch.outcome
    none = arm.status if isinstance(arm, NoArm) else CallStatus.FAILED
    status = none if outcome is None else STATUS_OF_END[outcome.end]
    branch.line.end(
        status,
        reason=arm.reason if outcome is None else outcome.reason,
        sip_code=0 if outcome is None else outcome.sip_code,
        error_code=0 if outcome is None else outcome.error_code,
    )
    return status


def _signalling(destination: Destination) -> str:
    return destination.remote[0] if isinstance(destination, Flow) else destination.host


def _where(destination: Destination) -> str:
    if isinstance(destination, Flow):
        return str(Address(*destination.remote))
    return str(Address(destination.host, destination.port))
