"""One noun of a dial, being called: its child call, its legs, and what came of each way."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from carriers.call_outcomes import CallEnd, CallOutcome, Next, outcome_of_call
from gateway.calls.browser import AnyWay
from gateway.calls.dial import RANKS
from gateway.calls.leg import Gone, PeerLeg
from gateway.calls.line import STATUS_OF_END, Line
from gateway.calls.model import CallStatus, Party
from gateway.calls.reach import Arm
from protocols.sip.agent_events import Source
from twiml.call import DialStatus
from twiml.nouns import Rung

DIAL_STATUS: Final = {
    CallStatus.BUSY: DialStatus.BUSY,
    CallStatus.NO_ANSWER: DialStatus.NO_ANSWER,
    CallStatus.CANCELED: DialStatus.CANCELED,
    CallStatus.FAILED: DialStatus.FAILED,
    CallStatus.COMPLETED: DialStatus.COMPLETED,
}
"""What a dial says of a branch whose call ended so."""


class Failed(msgspec.Struct, frozen=True):
    """A way that came to nothing; `progress` is the highest provisional code that came before."""

    gone: Gone
    progress: int = 0


class Branch:
    """One noun: its child call, its arms, and the leg that answered."""

    def __init__(self, number: int, noun: Rung, line: Line, arms: Sequence[Arm]) -> None:
        self.number = number
        self.noun = noun
        self.line = line
        self.arms = list(arms)
        self.legs: list[PeerLeg] = []
        self.leg: PeerLeg | None = None
        self.attempts = 0
        self.outcome: CallOutcome | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self.call_id = ""
        self.tasks: list[asyncio.Task[None]] = []
        self._is_begun = False

    @property
    def sid(self) -> str:
        """That of its call."""
        return self.line.call.sid

    @property
    def is_live(self) -> bool:
        """Whether it is being called, or talks."""
        return self._is_begun and not self.line.is_over

    def begin(self) -> None:
        """Its turn has come."""
        self._is_begun = True
        self.line.begin(None)

    def give_up_trying(self) -> None:
        """Try no other way: one has answered, or none is wanted any more."""
        for task in self.tasks:
            task.cancel()
        self.tasks.clear()  # a task that was cancelled holds all that it was about


def judged(failed: Failed, way: AnyWay) -> CallOutcome:
    """What a failure means; one of our own is not the carrier's, and another way helps no more."""
    gone = failed.gone
    if gone.by is Party.GATEWAY and not gone.status:
        is_unsaid = gone.source is Source.OVERLOAD
        return CallOutcome(
            next=Next.GATEWAY if is_unsaid else Next.NOBODY,
            end=CallEnd.FAILED,
            error_code=0,
            sip_code=0,
            reason=gone.reason,
        )
    status = gone.status if gone.source is not Source.TRANSPORT else 0
    return outcome_of_call(status, progress=failed.progress, stop_codes=way.stop_codes)


def nearest(one: CallOutcome | None, other: CallOutcome | None) -> CallOutcome | None:
    """Of what several devices came to, what is nearest to a person."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda each: RANKS[DIAL_STATUS[STATUS_OF_END[each.end]]])
