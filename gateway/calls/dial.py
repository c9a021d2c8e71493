"""One `<Dial>` as a table-driven machine: who is called when, who wins, what it comes to.

A branch is a noun of the dial. The machine is told what became of branches and says what is to be
done; it has no clock and does no I/O. What comes late, of a branch that is over, changes nothing.
Source of the rules: https://www.twilio.com/docs/voice/twiml/dial.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from gateway.calls.leg import Rang
from twiml.call import DialStatus


class State(StrEnum):
    """How far a branch is."""

    IDLE = "idle"
    TRYING = "trying"
    RINGING = "ringing"
    HELD = "held"  # answered, and its own document runs
    JOINED = "joined"
    OVER = "over"


class Order(StrEnum):
    """All branches at once, or each when the one before it came to nothing."""

    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"


class Pickup(StrEnum):
    """What happens when a branch answers: it is joined, or hears its own document first."""

    JOIN = "join"
    WHISPER = "whisper"


# What is to be done


class Call(msgspec.Struct, frozen=True):
    """Call this branch; the time for it to answer begins anew."""

    branch: int


class Release(msgspec.Struct, frozen=True):
    """Let go of this branch, however far it is."""

    branch: int
    reason: str


class Ring(msgspec.Struct, frozen=True):
    """Let the caller know that this branch rings, and hear what there is to hear."""

    branch: int
    rang: Rang


class Whisper(msgspec.Struct, frozen=True):
    """Run this branch's document; `ready` says that it is done."""

    branch: int


class Join(msgspec.Struct, frozen=True):
    """Join this branch to the caller."""

    branch: int


class Finish(msgspec.Struct, frozen=True):
    """It is over; `branch` was joined, or was the last that was tried, -1 if none was."""

    branch: int
    status: DialStatus
    bridged: bool


Do = Call | Release | Ring | Whisper | Join | Finish

_LIVE: Final = frozenset({State.TRYING, State.RINGING, State.HELD, State.JOINED})
_UNANSWERED: Final = frozenset({State.TRYING, State.RINGING})
# Of several branches that came to nothing the one nearest to a person says what it was.
RANKS: Final = {
    DialStatus.FAILED: 0,
    DialStatus.CANCELED: 1,
    DialStatus.NO_ANSWER: 2,
    DialStatus.BUSY: 3,
}
ELSEWHERE: Final = "answered elsewhere"
TOO_LATE: Final = "nobody answered in time"
LIMIT: Final = "the time limit of the dial"
STAR: Final = "the caller pressed the star key"
CALLER_GONE: Final = "the caller is gone"


class Dialling:
    """The machine of one dial with a `Pickup` for each branch; there is one at least."""

    def __init__(self, pickups: Sequence[Pickup], order: Order) -> None:
        self._pickups = tuple(pickups)
        self._order = order
        self._states = [State.IDLE] * len(self._pickups)
        self._best: tuple[int, int, DialStatus] | None = None
        self._last = -1
        self.is_over = False

    @property
    def joined(self) -> int:
        """The branch that is joined, -1 for none."""
        return self._states.index(State.JOINED) if State.JOINED in self._states else -1

    def state(self, branch: int) -> State:
        """How far a branch is."""
        return self._states[branch]

    def start(self) -> list[Do]:
        """Begin."""
        if self._order is Order.SEQUENTIAL:
            return self._call(0)
        return [do for branch in range(len(self._states)) for do in self._call(branch)]

    def rang(self, branch: int, rang: Rang) -> list[Do]:
        """The branch is being told."""
        if self._states[branch] not in _UNANSWERED:
            return []
        self._states[branch] = State.RINGING
        return [Ring(branch, rang)]

    def answered(self, branch: int) -> list[Do]:
        """The branch answered; the first one has it, the others are let go."""
        if self._states[branch] not in _UNANSWERED:
            return []
        others = self._release(ELSEWHERE, but=branch)
        if self._pickups[branch] is Pickup.WHISPER:
            self._states[branch] = State.HELD
            return [*others, Whisper(branch)]
        self._states[branch] = State.JOINED
        return [*others, Join(branch)]

    def ready(self, branch: int) -> list[Do]:
        """The branch has heard its document."""
        if self._states[branch] is not State.HELD:
            return []
        self._states[branch] = State.JOINED
        return [Join(branch)]

    def failed(self, branch: int, status: DialStatus) -> list[Do]:
        """The branch came to nothing, or was let go of by its peer."""
        state = self._states[branch]
        if state not in _LIVE:
            return []
        self._states[branch] = State.OVER
        if state is State.JOINED:
            return self._finish(branch, DialStatus.COMPLETED, bridged=True)
        if state is State.HELD:
            status = DialStatus.NO_ANSWER  # its document refused the caller
        return self._next(branch, status)

    def timed_out(self) -> list[Do]:
        """Those that were called have not answered in time."""
        released: list[Do] = []
        waiting = [each for each, state in enumerate(self._states) if state in _UNANSWERED]
        for branch in waiting:
            self._states[branch] = State.OVER
            released.append(Release(branch, TOO_LATE))
        for branch in waiting:
            released += self._next(branch, DialStatus.NO_ANSWER)
        return released

    def stop(self, reason: str) -> list[Do]:
        """The caller is gone, the time is over, or another document goes on."""
        if self.is_over:
            return []
        joined, tried = self.joined, self._last
        released = self._release(reason)
        if joined >= 0:
            return [*released, *self._finish(joined, DialStatus.COMPLETED, bridged=True)]
        return [*released, *self._finish(tried, DialStatus.CANCELED, bridged=False)]

    def _call(self, branch: int) -> list[Do]:
        self._states[branch] = State.TRYING
        self._last = branch
        return [Call(branch)]

    def _release(self, reason: str, but: int = -1) -> list[Do]:
        released: list[Do] = []
        for branch, state in enumerate(self._states):
            if state in _LIVE and branch != but:
                self._states[branch] = State.OVER
                released.append(Release(branch, reason))
            elif state is State.IDLE:
                self._states[branch] = State.OVER
        return released

    def _next(self, branch: int, status: DialStatus) -> list[Do]:
        rank = (RANKS.get(status, 0), branch, status)
        if self._best is None or rank[:2] > self._best[:2]:
            self._best = rank
        if self._order is Order.SEQUENTIAL and State.IDLE in self._states:
            return self._call(self._states.index(State.IDLE))
        if any(state is not State.OVER for state in self._states) or self.is_over:
            return []
        return self._finish(self._best[1], self._best[2], bridged=False)

    def _finish(self, branch: int, status: DialStatus, *, bridged: bool) -> list[Do]:
        self.is_over = True
        return [Finish(branch, status, bridged)]
