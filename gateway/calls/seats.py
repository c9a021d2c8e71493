"""Who is joined to whom in a call, while places change hands.

A join has two seats: the one of who called, and the one of who was dialled. Whoever a transfer
brings takes the seat of who asked for it; the other one need not know.
"""

from enum import StrEnum
from typing import Final, Protocol

from gateway.calls.dial_run import DialRun
from gateway.calls.hop import Hop
from gateway.calls.leg import Leg
from gateway.calls.line import Line
from gateway.calls.reach import Reach
from gateway.calls.sip_leg import SipLeg
from protocols.sip.agent_events import TransferId
from twiml.nouns import Sip


class Seat(StrEnum):
    """The places of a join."""

    CALLER = "caller"
    CALLED = "called"

    @property
    def opposite(self) -> "Seat":
        """The other one."""
        return Seat.CALLED if self is Seat.CALLER else Seat.CALLER


class Occupant(Protocol):
    """Who has a seat."""

    @property
    def leg(self) -> Leg | None:
        """Its leg, if it has answered."""
        ...

    @property
    def is_ours(self) -> bool:
        """Whether it is a user of one of our domains."""
        ...

    def lend(self) -> None:
        """Another may take the seat: if its leg goes meanwhile, that is no end of the join."""
        ...

    def take_back(self) -> None:
        """The other one did not come."""
        ...

    def retire(self) -> None:
        """The other one has the seat."""
        ...

    def release(self, reason: str) -> None:
        """Let it go."""
        ...


class Dialled:
    """Who answered a dial of a transfer's, or will."""

    def __init__(self, run: DialRun, reach: Reach) -> None:
        self.run = run
        self._reach = reach

    @property
    def leg(self) -> Leg | None:
        """See `Occupant`."""
        branch = self.run.joined
        return None if branch is None else branch.leg

    @property
    def is_ours(self) -> bool:
        """See `Occupant`."""
        noun = None if self.run.joined is None else self.run.joined.noun
        return isinstance(noun, Sip) and self._reach.is_user(noun)

    def lend(self) -> None:
        """See `Occupant`."""
        self.run.lend()

    def take_back(self) -> None:
        """See `Occupant`."""
        self.run.take_back()

    def retire(self) -> None:
        """See `Occupant`."""
        self.run.hush()

    def release(self, reason: str) -> None:
        """See `Occupant`."""
        self.run.stop(reason)


class First(Dialled):
    """Who answered the dial of the call's own document, whose time limit holds on."""

    def retire(self) -> None:
        """See `Occupant`."""


class Plain:
    """Whose going the call hears of by itself: the caller."""

    def __init__(self, leg: Leg, *, is_ours: bool) -> None:
        self.leg: Leg | None = leg
        self.is_ours = is_ours

    def lend(self) -> None:
        """See `Occupant`."""

    def take_back(self) -> None:
        """See `Occupant`."""

    def retire(self) -> None:
        """See `Occupant`."""

    def release(self, reason: str) -> None:
        """See `Occupant`."""
        assert self.leg is not None
        self.leg.hang_up(200 if self.leg.is_up else 480, reason)


class Across(Plain):
    """A party of another call."""

    def __init__(self, hop: Hop) -> None:
        super().__init__(hop, is_ours=False)


class Newcomer(Plain):
    """Who came in to take the seat, with a call of its own."""

    def __init__(self, leg: SipLeg, line: Line) -> None:
        super().__init__(leg, is_ours=True)
        self.sip = leg
        self.line = line


class Nobody:
    """A seat that nobody has."""

    leg: Leg | None = None
    is_ours = False

    def lend(self) -> None:
        """See `Occupant`."""

    def take_back(self) -> None:
        """See `Occupant`."""

    def retire(self) -> None:
        """See `Occupant`."""

    def release(self, reason: str) -> None:
        """See `Occupant`."""


NOBODY: Final = Nobody()


class Move:
    """A seat that is to change hands; `transfer` is the REFER that is told how it goes, if any."""

    def __init__(
        self,
        seat: Seat,
        *,
        before: Occupant,
        after: Occupant,
        leaving: SipLeg,
        staying: Leg,
        transfer: TransferId | None = None,
    ) -> None:
        self.seat = seat
        self.before = before
        self.after = after
        self.leaving = leaving
        self.staying = staying
        self.transfer = transfer
        self.is_joined = False
        self.is_vacant = False  # who leaves was quicker than who comes
