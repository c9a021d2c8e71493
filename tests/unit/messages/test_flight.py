"""What the parts of a message make of the whole."""

import msgspec
import pytest

from gateway.messages.flight import Flight, PartState
from gateway.messages.segments import Segment, SegmentState
from gateway.model import Direction, Message, MessageStatus

W, OUT, H, S, R, D, U = (
    PartState.WAITING,
    PartState.OUT,
    PartState.HELD,
    PartState.SENT,
    PartState.REFUSED,
    PartState.DELIVERED,
    PartState.UNDELIVERED,
)
QUEUED, SENDING, SENT, DELIVERED, UNDELIVERED, FAILED = (
    MessageStatus.QUEUED,
    MessageStatus.SENDING,
    MessageStatus.SENT,
    MessageStatus.DELIVERED,
    MessageStatus.UNDELIVERED,
    MessageStatus.FAILED,
)


def message(parts: int, status: MessageStatus = SENDING) -> Message:
    return Message(
        account_sid="AC1",
        sid="SM1",
        direction=Direction.OUTBOUND_API,
        status=status,
        from_address="+15550001000",
        to_address="+15550002000",
        body="text",
        num_segments=parts,
        parts=parts,
        encoding="gsm7",
        origin="rest",
        valid_until=100.0,
        date_created=1.0,
        date_updated=1.0,
    )


def flight(status: MessageStatus, *parts: PartState) -> Flight:
    it = Flight(message(len(parts), status))
    it.parts = list(parts)
    return it


@pytest.mark.parametrize(
    ("status", "parts", "verdicts"),
    [
        (SENDING, [OUT], ()),
        (SENDING, [S], (SENT,)),
        (SENDING, [S, OUT], ()),
        (SENDING, [S, W], (QUEUED,)),
        (SENDING, [W, OUT], ()),
        (SENDING, [S, R, OUT], ()),
        (SENDING, [S, R, S], (FAILED,)),
        (SENDING, [R, W], (FAILED,)),
        (SENDING, [H], ()),
        (SENDING, [H, S], ()),
        (SENDING, [H, W], (QUEUED,)),
        (SENDING, [D], (SENT, DELIVERED)),
        (SENDING, [U], (SENT, UNDELIVERED)),
        (SENDING, [D, S], (SENT,)),
        (QUEUED, [W], ()),
        (QUEUED, [S], (SENDING, SENT)),
        (QUEUED, [D], (SENDING, SENT, DELIVERED)),
        (QUEUED, [R], (FAILED,)),  # refused late, while it waited to be sent again
        (SENT, [D, S], ()),
        (SENT, [D, D], (DELIVERED,)),
        (SENT, [D, U], (UNDELIVERED,)),
        (SENT, [U, S], (UNDELIVERED,)),
        (UNDELIVERED, [U, D], ()),
        (UNDELIVERED, [D, D], (DELIVERED,)),
        (DELIVERED, [D, D], ()),
        (FAILED, [R, D], ()),
    ],
)
def test_verdicts(
    status: MessageStatus, parts: list[PartState], verdicts: tuple[MessageStatus, ...]
) -> None:
    assert flight(status, *parts).verdicts() == verdicts


@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [
        (W, OUT, True),
        (OUT, W, True),
        (OUT, S, True),
        (H, S, True),
        (S, D, True),
        (S, W, False),
        (D, S, False),
        (D, U, False),
        (U, D, True),
        (U, S, False),
        (R, S, True),
    ],
)
def test_what_may_follow_what(before: PartState, after: PartState, taken: bool) -> None:
    it = flight(SENDING, before)
    assert it.note(1, after) is taken
    assert it.parts[0] is (after if taken else before)


def test_restored_from_segments_the_rest_waits() -> None:
    segment = Segment(
        account_sid="AC1",
        sid="SM1",
        part=2,
        attempt=1,
        carrier="c",
        carrier_id="A1",
        id_key="a1",
        state=SegmentState.SENT,
        error_code=0,
        at=2.0,
    )
    refused = msgspec.structs.replace(segment, part=3, state=SegmentState.REFUSED, error_code=30005)
    it = Flight.restored(message(3), [segment, refused])
    assert it.parts == [W, S, R]
    assert it.waiting() == [1]
    assert it.attempts == [0, 1, 1]
    assert it.error_code == 30005


def test_settled_when_nothing_can_come() -> None:
    assert flight(DELIVERED, D, D).settled()
    assert flight(UNDELIVERED, D, U).settled()
    assert not flight(SENT, D, S).settled()
    assert not flight(SENDING, H).settled()
