"""Transfers in one call: who asked for them goes, and whoever they bring is joined to the other.

A party asks by REFER (RFC 3515), blindly or with the dialog of a call of its own that is to give
way (RFC 5589 §7), or a newcomer's INVITE names the dialog that it replaces (RFC 3891). A user of a
domain may ask for whatever it could have called; who is anybody else's may not, for it would call
at our cost. An app may be asked instead, by the `referUrl` of its `<Dial>`. Until who comes has
answered, both parties stay joined; who asked may hang up before, and the other one waits.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from gateway.calls import places
from gateway.calls.branch import Branch
from gateway.calls.caller_ids import may_call_as
from gateway.calls.description import Disagreed
from gateway.calls.dial_run import DialRun, Parent
from gateway.calls.documents import Obtained
from gateway.calls.hop import Hop
from gateway.calls.house import House
from gateway.calls.keeping import NotKept
from gateway.calls.leg import Event, Gone, Leg, Rang, Tell, Transferred
from gateway.calls.line import Line
from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.model import Call, CallStatus
from gateway.calls.places import GRACE, Joint, Places
from gateway.calls.reach import LATCH, Asked
from gateway.calls.referral import noun_of
from gateway.calls.seats import Across, Dialled, First, Move, Newcomer, Occupant, Seat
from gateway.calls.sip_leg import SipLeg
from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import Invited
from protocols.sip.headers import Reason, write_reason
from protocols.sip.message import Headers
from protocols.sip.uri import format_uri
from twiml.call import DialEnded, DialStatus
from twiml.nouns import Noun, Number
from twiml.outcome import Goto
from twiml.verbs import Dial

_log = structlog.get_logger(__name__)

_ACCEPTED: Final = Reply(status=202)
_OK: Final = 200
_FAULT: Final = 500
_UNAVAILABLE: Final = 503
_NOBODY_THERE: Final = 480  # a 481 would end the call of who asks (RFC 3261 §12.2.1.2)
_PENDING: Final = 491
_CANCELLED: Final = 487
# What a transfer is said to have come to whose call was never answered by a code.
_CODES: Final = {
    DialStatus.BUSY: 486,
    DialStatus.NO_ANSWER: 480,
    DialStatus.CANCELED: 487,
    DialStatus.FAILED: _UNAVAILABLE,
}


class Transfers(Places):
    """One call's; made when the first is asked for."""

    def __init__(self, house: House, joint: Joint) -> None:
        super().__init__(house, joint)
        self._runs: list[DialRun] = []
        self._gone: dict[str, asyncio.Event] = {}
        self._newcomers: list[Newcomer] = []

    @property
    def runs(self) -> list[DialRun]:
        """The dials of its transfers."""
        return self._runs

    def forget(self) -> None:
        """Let go of its dials, which know it: the call is over."""
        self._runs = []

    def line_of(self, sid: str) -> Line | None:
        """That of a call which took the place of another in this one."""
        lines = [comer.line for comer in self._newcomers if comer.sip.record.sid == sid]
        return next((line for line in lines if not line.is_over), None)

    # What legs tell

    def on(self, leg: Leg, event: Event) -> bool:
        """Take what a leg of the call tells; whether it is one of a transfer's."""
        if isinstance(event, Gone):
            self._on_gone(leg, event)
        for run in self._runs:
            if run.on(leg, event):
                self._progressed(run, event)
                return True
        return isinstance(leg, Hop)

    def _progressed(self, run: DialRun, event: Event) -> None:
        move = self._move
        if isinstance(event, Rang) and move is not None and _is_of(move.after, run):
            self._notify(move, event.status)

    def _on_gone(self, leg: Leg, gone: Gone) -> None:
        if (waiting := self._gone.pop(leg.id, None)) is not None:
            waiting.set()
        for comer in self._newcomers:
            if comer.leg is leg:
                _end_line(comer, gone)
                self._joint.around.media.remove(leg.id)
        self._vacate(leg)

    # A transfer is asked for

    def ask(self, leg: SipLeg, wanted: Transferred) -> None:
        """Take what a party wants: it is answered at once, and done in time."""
        seat = self._seat_of(leg)
        staying = None if seat is None else self._at(seat.opposite).leg
        if seat is None or staying is None or not staying.is_up:
            self._refuse(leg, wanted, _NOBODY_THERE, "nobody is joined to who asks")
        elif self._move is not None:
            self._refuse(leg, wanted, _PENDING, "another transfer is under way")
        elif self._begun == places.MOST:
            self._refuse(leg, wanted, 403, f"{places.MOST} transfers of a call are enough")
        elif seat is Seat.CALLED and (goto := self._app(seat)) is not None:
            self._ask_app(seat, leg, staying, wanted, goto)
        elif not self._at(seat).is_ours:
            self._refuse(leg, wanted, 403, "only users of our domains may transfer")
        elif wanted.replaced is not None and (found := self._joint.find(wanted.replaced)):
            self._attend(seat, leg, staying, wanted, *found)
        else:
            self._dial(seat, leg, staying, wanted)

    def _refuse(self, leg: SipLeg, wanted: Transferred, status: int, why: str) -> None:
        _log.warning("a transfer was refused", call=self._joint.line.call.sid, why=why)
        reason = write_reason(Reason(protocol="SIP", cause=status, text=why))
        leg.answer_transfer(wanted.transfer, Reply(status=status, headers=Headers((reason,))))

    def _begin(self, leg: SipLeg, wanted: Transferred, move: Move) -> None:
        _log.info("a transfer begins", call=self._joint.line.call.sid, leg=leg.id)
        leg.answer_transfer(wanted.transfer, _ACCEPTED)
        self._lend(move)

    # To who is called for it

    def _dial(self, seat: Seat, leg: SipLeg, staying: Leg, wanted: Transferred) -> None:
        account = self._joint.line.call.account_sid
        noun = noun_of(wanted.refer_to, wanted.referred_by, self._house.reach, account)
        if noun is None:
            self._refuse(leg, wanted, 416, "nobody can be called by this scheme")
            return
        if wanted.replaces is not None and isinstance(noun, Number):
            self._refuse(leg, wanted, _NOBODY_THERE, "the call to be replaced is over")
            return
        dial = self._joint.dial()
        assert dial is not None, "they are joined"
        if not may_call_as(dial.caller_id, (noun,), self._joint.line.call, self._house.holder):
            self._refuse(leg, wanted, 403, "the callerId of the dial is not the account's")
            return
        asked = Asked(
            call=self._joint.line.call,
            caller=dial.caller,
            codecs=staying.codecs,
            replaces=wanted.replaces,
        )
        run = self._run(staying, noun, asked)
        move = Move(
            seat,
            before=self._at(seat),
            after=Dialled(run, self._house.reach),
            leaving=leg,
            staying=staying,
            transfer=wanted.transfer,
        )
        self._begin(leg, wanted, move)
        run.start()

    def _run(self, staying: Leg, noun: Noun, asked: Asked) -> DialRun:
        joint = self._joint
        parent = Parent(
            line=joint.line,
            leg=staying,
            asked=asked,
            origin="transfer",
            around=joint.around,
            join=lambda leg: self._joined(leg),
            answer=_nothing,
            whisper=_no_document,
            apply=_no_document,
            ended=self._run_ended,
        )
        run = DialRun(self._house, parent, len(self._runs), Dial(nouns=(noun,)))
        self._runs.append(run)
        return run

    def _run_ended(self, ended: DialEnded) -> None:
        run = self._runs[ended.ask]
        code = ended.sip_response_code or _CODES.get(ended.status, _UNAVAILABLE)
        for occupant in self._all():
            if _is_of(occupant, run):
                self._over(occupant, code)
                break

    # To a party of another call

    def _attend(
        self,
        seat: Seat,
        leg: SipLeg,
        staying: Leg,
        wanted: Transferred,
        other_leg: SipLeg,
        others: Places,
    ) -> None:
        theirs = others.offered(other_leg, self._joint.line.call.account_sid)
        if others is self or theirs is None:
            self._refuse(leg, wanted, _NOBODY_THERE, "the other call has nobody to be joined to")
            return
        ours, their_hop = self._hop(), others._hop()
        ours.tie(their_hop)
        move = Move(
            seat,
            before=self._at(seat),
            after=Across(ours),
            leaving=leg,
            staying=staying,
            transfer=wanted.transfer,
        )
        their_seat, their_party = theirs
        their_move = Move(
            their_seat,
            before=others._at(their_seat),
            after=Across(their_hop),
            leaving=other_leg,
            staying=their_party,
        )
        self._begin(leg, wanted, move)
        others._lend(their_move)
        self._joint.around.spawn(self._cross(ours, move, others, their_move))

    async def _cross(self, hop: Hop, move: Move, others: Places, their_move: Move) -> None:
        heard = _stream_of(their_move.staying)
        try:
            if heard is None:
                raise NoMedia("the other party has no media", is_full=False)
            await hop.open(heard, move.staying.codecs)
        except NoMedia as error:
            _log.warning(
                "two calls can't be joined", call=self._joint.line.call.sid, why=str(error)
            )
            hop.hang_up(_UNAVAILABLE, str(error))
            return
        if hop.is_up and self._move is move and others._move is their_move:
            self._joined(hop)
            others._joined(their_move.after.leg)

    # To who comes by itself

    def admit(
        self,
        old: SipLeg,
        call: Call,
        event: Invited,
        make_leg: Callable[[CallMedia, Tell], SipLeg],
    ) -> bool:
        """Let a newcomer take the place of `old` (RFC 3891 §3); False if nobody may."""
        offered = self.offered(old, call.account_sid)
        if offered is None or not self._at(offered[0]).is_ours:
            return False
        joint, (seat, staying) = self._joint, offered
        leg = make_leg(joint.around.media, joint.around.tell)
        line = self._house.line(
            msgspec.structs.replace(call, origin=f"replaces:{joint.line.call.sid}"),
            joint.around.keeping,
        )
        leg.receive(event)
        joint.around.track(leg)
        line.begin(leg.saved)
        after = Newcomer(leg, line)
        self._newcomers.append(after)
        self._lend(Move(seat, before=self._at(seat), after=after, leaving=old, staying=staying))
        joint.around.spawn(self._welcome(after))
        return True

    async def _welcome(self, comer: Newcomer) -> None:
        leg = comer.sip
        if comer.line.is_over:  # its CANCEL came with it
            return
        try:
            leg.expect(leg.invited.flow.remote[0], LATCH)
            await leg.prepare()
            comer.line.move(CallStatus.IN_PROGRESS, leg.saved)
            await self._joint.around.keeping.durable()
            await leg.answer()
        except (NoMedia, NotKept, Disagreed) as error:
            leg.hang_up(_FAULT, str(error))
            return
        if leg.is_up:
            self._joined(leg)

    # To whom an app names

    def _app(self, seat: Seat) -> Goto | None:
        before = self._at(seat)
        return before.run.refer if isinstance(before, First) else None

    def _ask_app(
        self, seat: Seat, leg: SipLeg, staying: Leg, wanted: Transferred, goto: Goto
    ) -> None:
        before = self._at(seat)
        move = Move(
            seat,
            before=before,
            after=before,
            leaving=leg,
            staying=staying,
            transfer=wanted.transfer,
        )
        target = format_uri(wanted.refer_to.uri)
        parameters = (*goto.parameters, ("ReferTransferTarget", target))
        asked = msgspec.structs.replace(goto, parameters=parameters)
        gone = self._gone[leg.id] = asyncio.Event()
        self._begin(leg, wanted, move)
        self._joint.around.spawn(self._follow(move, asked, gone))

    async def _follow(self, move: Move, goto: Goto, gone: asyncio.Event) -> None:
        """Run what the app says for who stays, when who asked has had time to go."""
        line = self._joint.line
        line.hasten()
        found = await self._house.documents.fetch(line.call, goto, extra=line.extra)
        self._joint.keep(found)
        if self._move is not move:
            return  # the call went on to something else meanwhile
        if not isinstance(found, Obtained):
            self._over(move.after, _UNAVAILABLE)
            return
        self._notify(move, _OK)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await gone.wait()
        if self._move is move:
            self._move = None
            self._joint.follow(found)


def _end_line(comer: Newcomer, gone: Gone) -> None:
    status = CallStatus.NO_ANSWER if gone.status == _CANCELLED else CallStatus.FAILED
    answered = comer.sip.record.answered
    comer.line.end(status, reason=gone.reason, sip_code=gone.status, answered=answered)


def _is_of(occupant: Occupant, run: DialRun) -> bool:
    return isinstance(occupant, Dialled) and occupant.run is run


def _nothing() -> None:
    """The caller of a transfer's dial has answered long since."""


def _no_document(run: DialRun, branch: Branch) -> Any:
    """A transfer's noun has no document."""


def _stream_of(leg: Leg) -> Any:
    return leg.stream if isinstance(leg, SipLeg | Hop) else None
