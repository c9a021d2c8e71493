"""The seats of one call's join: who has them, who is to have one, and what follows when they go.

A move is one seat that is to change hands. It is done when who comes is joined, and over when who
comes is gone; between the two the seat is lent, so that who leaves may go first.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.calls.calling import Around
from gateway.calls.dial import CALLER_GONE
from gateway.calls.dial_run import DialRun
from gateway.calls.documents import NotObtained, Obtained
from gateway.calls.hop import Hop
from gateway.calls.house import House
from gateway.calls.leg import Leg, PeerLeg
from gateway.calls.line import Line
from gateway.calls.model import CallDirection, CallLeg
from gateway.calls.seats import NOBODY, First, Move, Occupant, Plain, Seat
from gateway.calls.sip_leg import SipLeg
from protocols.sip.agent_events import SessionId

MOST: Final = 50
"""Times that seats of one call change hands: each leaves a record, and a phone may ask for ever."""

TRANSFERRED: Final = "transferred"
REPLACED: Final = "another call took its place (RFC 3891)"
GRACE: Final = 1.0
"""Seconds in which who asked may hang up by itself, when it was told that it worked."""

_OK: Final = 200
_CANCELLED: Final = 487
_UNAVAILABLE: Final = 503


class Joint(msgspec.Struct, frozen=True, kw_only=True):
    """The call whose parties are transferred, and what it takes to work in it.

    `leg` is the caller's, with `is_ours` a user of a domain of ours. `dial` gives the dial that
    joined it, if one is at work. `leave` ends the call when nobody has the caller's place,
    `handed_over` is told when another has it. `follow` has the call run another document, `keep`
    keeps what came of asking for it. `find` gives the leg of a session, and the transfers of its
    call.
    """

    line: Line
    leg: PeerLeg
    is_ours: bool
    around: Around
    dial: Callable[[], DialRun | None]
    leave: Callable[[str], None]
    handed_over: Callable[[], None]
    follow: Callable[[Obtained], None]
    keep: Callable[[Obtained | NotObtained], None]
    find: "Find"


class Places:
    """See the module."""

    def __init__(self, house: House, joint: Joint) -> None:
        self._house = house
        self._joint = joint
        self._occupants: dict[Seat, Occupant] = {}  # of those that changed hands
        self._move: Move | None = None
        self._grace: dict[str, tuple[asyncio.TimerHandle, SipLeg]] = {}
        self._replaced: set[str] = set()
        self._hops = 0
        self._begun = 0

    @property
    def keeps(self) -> bool:
        """Whether the call goes on without who called."""
        return Seat.CALLER in self._occupants

    # A seat is to change hands

    def offered(self, leg: SipLeg, account_sid: str) -> tuple[Seat, Leg] | None:
        """The seat of a leg that may be replaced for this account, and whom it is joined to."""
        seat = self._seat_of(leg)
        staying = None if seat is None else self._at(seat.opposite).leg
        if self._move is not None or self._joint.line.call.account_sid != account_sid:
            return None
        if self._begun == MOST:
            return None
        return None if seat is None or staying is None or not staying.is_up else (seat, staying)

    def _hop(self) -> Hop:
        call = self._joint.line.call
        self._hops += 1
        record = CallLeg(
            account_sid=call.account_sid,
            sid=call.sid,
            direction=CallDirection.OUTBOUND_DIAL,
            began=self._house.clock(),
        )
        joint = self._joint
        return Hop(
            joint.around.media, joint.around.tell, id=f"{call.sid}.hop{self._hops}", record=record
        )

    def _lend(self, move: Move) -> None:
        self._begun += 1
        self._move = move
        move.before.lend()

    # Who leaves, and who comes

    def _vacate(self, leg: Leg) -> None:
        """A leg is gone: perhaps who was to leave, or who has a seat."""
        if (waiting := self._grace.pop(leg.id, None)) is not None:
            waiting[0].cancel()
        if leg.id in self._replaced:
            self._joint.around.media.remove(leg.id)
        move = self._move
        if move is not None and leg is move.leaving:
            move.is_vacant = True
            self._occupants[move.seat] = move.after
        for occupant in self._all():
            if isinstance(occupant, Plain) and occupant.leg is leg:
                self._over(occupant, _UNAVAILABLE)

    def _all(self) -> list[Occupant]:
        """Who has a seat, and who is to have one."""
        coming = [] if self._move is None else [self._move.after]
        return [*self._occupants.values(), *coming]

    def _joined(self, leg: Leg | None) -> None:
        """Who comes is there: join it to who stays, and let who asked go."""
        move = self._move
        if move is None or leg is None:
            return
        joint = self._joint
        self._move = None
        move.is_joined = True
        self._occupants[move.seat] = move.after
        move.before.retire()
        joint.around.media.part(move.leaving.id)
        joint.around.media.join(move.staying.id, leg.id)
        if move.seat is Seat.CALLER:
            joint.handed_over()
        self._notify(move, _OK)
        self._let_go(move)

    def _let_go(self, move: Move) -> None:
        leaving = move.leaving
        self._replaced.add(leaving.id)
        if not leaving.is_up:
            self._joint.around.media.remove(leaving.id)
            return
        if move.transfer is None:
            leaving.hang_up(_OK, REPLACED)
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(GRACE, leaving.hang_up, _OK, TRANSFERRED)
        self._grace[leaving.id] = timer, leaving

    def _over(self, occupant: Occupant, code: int) -> None:
        """Who came, or was to come, is gone or never came."""
        move = self._move
        if move is not None and move.after is occupant:
            self._move = None
            self._notify(move, code)
            if not move.is_vacant:
                move.before.take_back()
                if move.leaving.is_up and move.staying.is_up:
                    self._joint.around.media.join(move.leaving.id, move.staying.id)
                return
            move.before.retire()
        for seat, each in list(self._occupants.items()):
            if each is occupant:
                del self._occupants[seat]
                self._left(seat)

    def _left(self, seat: Seat) -> None:
        """A seat is empty, and so is the join."""
        dial = self._joint.dial()
        for _, leaving in list(self._grace.values()):
            leaving.hang_up(_OK, TRANSFERRED)  # while its dial is there to hear of it
        if seat is Seat.CALLER:
            self._leave(CALLER_GONE)
        elif dial is not None:
            dial.conclude()

    def _leave(self, reason: str) -> None:
        """Nobody has the caller's place any more: the call is over."""
        if self._joint.leg.is_up:  # it was to hang up by itself
            self._joint.leg.hang_up(_OK, TRANSFERRED)
        else:
            self._joint.leave(reason)

    def parted(self) -> None:
        """The dial that joined the parties has ended: nobody is joined any more."""
        move, self._move = self._move, None
        if move is not None:
            self._notify(move, _CANCELLED)
            move.after.release(CALLER_GONE)
        for seat in (Seat.CALLED, Seat.CALLER):
            occupant = self._occupants.pop(seat, None)
            if occupant is not None:
                occupant.release(CALLER_GONE)
                if seat is Seat.CALLER:
                    self._leave(CALLER_GONE)

    def end(self, reason: str) -> None:
        """Let go of who has the caller's place: the call is to end, whatever it does."""
        occupant = self._occupants.pop(Seat.CALLER, None)
        if occupant is not None:
            occupant.release(reason)
            self._leave(reason)

    # Inside

    def _at(self, seat: Seat) -> Occupant:
        """Who has a seat."""
        found = self._occupants.get(seat)
        if found is not None:
            return found
        joint = self._joint
        if seat is Seat.CALLER:
            return Plain(joint.leg, is_ours=joint.is_ours)
        dial = joint.dial()
        return NOBODY if dial is None else First(dial, self._house.reach)

    def _seat_of(self, leg: Leg) -> Seat | None:
        return next((seat for seat in Seat if self._at(seat).leg is leg), None)

    def _notify(self, move: Move, status: int) -> None:
        if move.transfer is not None and move.leaving.is_up:
            move.leaving.notify(move.transfer, status)


Find = Callable[[SessionId], tuple[SipLeg, Places] | None]
