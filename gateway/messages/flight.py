"""One outbound message on its way: what is known of each part, and what that makes of the whole.

Pure: `Flight` is told what became of parts and answers with the state that the message has
reached. Who owns flights, writes states and sends PDUs stands above (`dispatch`, `settle`).
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

from gateway.messages.segments import Segment, SegmentState
from gateway.model import Message, MessageStatus


class PartState(Enum):
    """What is known of one part, over all attempts."""

    WAITING = "waiting"  # to be submitted, for the first time or again
    OUT = "out"  # submitted, not answered
    HELD = "held"  # submitted, and the answer may never come
    SENT = "sent"
    REFUSED = "refused"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


_OPEN: Final = frozenset({PartState.WAITING, PartState.OUT, PartState.HELD, PartState.REFUSED})
_FROM_STORE: Final = {
    SegmentState.HELD: PartState.HELD,
    SegmentState.KEPT: PartState.HELD,
    SegmentState.SENT: PartState.SENT,
    SegmentState.REFUSED: PartState.REFUSED,
    SegmentState.DELIVERED: PartState.DELIVERED,
    SegmentState.UNDELIVERED: PartState.UNDELIVERED,
}
# What may follow what. A late response settles a held or waiting part; a receipt settles any
# part that was ever out; a delivered part stays delivered whatever comes after.
_NEXT: Final[dict[PartState, frozenset[PartState]]] = {
    PartState.WAITING: frozenset(PartState) - {PartState.WAITING},
    PartState.OUT: frozenset(PartState) - {PartState.OUT},
    PartState.HELD: frozenset(PartState) - {PartState.HELD},
    PartState.REFUSED: frozenset({PartState.WAITING, PartState.SENT, PartState.DELIVERED}),
    PartState.SENT: frozenset({PartState.DELIVERED, PartState.UNDELIVERED}),
    PartState.UNDELIVERED: frozenset({PartState.DELIVERED}),
    PartState.DELIVERED: frozenset(),
}


class Flight:
    """A message and its parts; `message` is always the newest value that was written."""

    __slots__ = ("attempts", "due", "error_code", "kept", "message", "parts")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.parts = [PartState.WAITING] * message.parts
        self.attempts = [0] * message.parts  # in which attempt the part was last answered
        self.error_code = 0  # why a part was refused or not delivered, Twilio's code
        self.due = 0.0  # when the next attempt may start, if one is needed
        self.kept: frozenset[int] = frozenset()  # parts that no policy may send again

    @classmethod
    def restored(cls, message: Message, segments: Iterable[Segment]) -> "Flight":
        """The flight as the store knows it; parts without a row are WAITING."""
        flight = cls(message)
        for segment in segments:
            flight.note(segment.part, _FROM_STORE[segment.state], segment.attempt)
            if segment.state is SegmentState.KEPT:
                flight.kept |= {segment.part}
            if segment.error_code:
                flight.error_code = segment.error_code
        return flight

    def note(self, part: int, state: PartState, attempt: int = 0) -> bool:
        """Part `part` (from 1) is now `state`; False if what was known says otherwise."""
        if state not in _NEXT[self.parts[part - 1]]:
            return False
        self.parts[part - 1] = state
        if attempt:
            self.attempts[part - 1] = attempt
        return True

    def waiting(self) -> list[int]:
        """The parts that a next attempt must submit."""
        return [n for n, state in enumerate(self.parts, 1) if state is PartState.WAITING]

    def listed(self, states: Sequence[PartState]) -> list[int]:
        """The parts that are in one of `states`."""
        return [n for n, state in enumerate(self.parts, 1) if state in states]

    def verdicts(self) -> tuple[MessageStatus, ...]:
        """The states that the message must now pass through, in order; () to wait.

        `sent` when all parts are answered; `failed` when one is refused and none is out;
        `queued` when parts must be submitted again; then `delivered` when every part is, and
        `undelivered` when one is not. A receipt that overtakes the responses gives both.
        """
        status = self.message.status
        if status in (MessageStatus.SENDING, MessageStatus.QUEUED):
            return self._while_sending(status)
        if status in (MessageStatus.SENT, MessageStatus.UNDELIVERED):
            return self._after_receipts(status)
        return ()

    def _while_sending(self, status: MessageStatus) -> tuple[MessageStatus, ...]:
        parts = self.parts
        if PartState.OUT in parts:
            return ()
        if PartState.REFUSED in parts:
            return (MessageStatus.FAILED,)
        if PartState.WAITING in parts:
            return (MessageStatus.QUEUED,) if status is MessageStatus.SENDING else ()
        if PartState.HELD in parts:
            return ()
        path = (MessageStatus.SENT, *self._after_receipts(MessageStatus.SENT))
        # A late answer can complete a message that had gone back to the queue.
        return path if status is MessageStatus.SENDING else (MessageStatus.SENDING, *path)

    def _after_receipts(self, status: MessageStatus) -> tuple[MessageStatus, ...]:
        if all(state is PartState.DELIVERED for state in self.parts):
            return (MessageStatus.DELIVERED,)
        if PartState.UNDELIVERED in self.parts and status is MessageStatus.SENT:
            return (MessageStatus.UNDELIVERED,)
        return ()

    def settled(self) -> bool:
        """Whether no part can change the message any more."""
        return not _OPEN.intersection(self.parts) and PartState.SENT not in self.parts
