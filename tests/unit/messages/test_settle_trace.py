"""Which PDUs an answer leaves in a message's timeline."""

from carriers.events import Submission, Submitted, Uncertain
from carriers.model import OnUncertain
from carriers.outcomes import Outcome, OutcomeKind
from gateway.messages import trace
from gateway.messages.book import Book
from gateway.messages.callbacks import CallbackPolicy, MessageStates
from gateway.messages.changes import Changes
from gateway.messages.flight import Flight, PartState
from gateway.messages.settle import Settler
from gateway.messages.states import StateWriter
from gateway.model import Direction, Message, MessageStatus
from protocols.smpp.pdu import SubmitSm

SENT_AT, TIMED_OUT_AT, ANSWERED_AT = 10.0, 20.0, 21.0
REQUEST, RESPONSE = b"submit_sm", b"submit_sm_resp"
ACCEPTED = Outcome(kind=OutcomeKind.ACCEPTED, error_code=0, status=0, reason="")
REFUSED = Outcome(kind=OutcomeKind.REFUSED, error_code=30008, status=0x45, reason="too long")
SUBMISSION = Submission(account_sid="AC1", sid="SM1", part=1, attempt=1, pdu=SubmitSm())


def settler() -> tuple[Settler, Flight]:
    """A settler that knows one message, which is out."""
    message = Message(
        account_sid="AC1",
        sid="SM1",
        direction=Direction.OUTBOUND_API,
        status=MessageStatus.SENDING,
        from_address="+15550001000",
        to_address="+15550002000",
        body="text",
        num_segments=1,
        parts=1,
        encoding="gsm7",
        origin="rest",
        carrier="acme",
        attempt=1,
        valid_until=1000.0,
        date_created=1.0,
        date_updated=1.0,
    )
    book = Book(10)
    flight = Flight(message)
    flight.note(1, PartState.OUT)
    book.keep(flight)
    states = StateWriter(CallbackPolicy(states=MessageStates.ALL, retry_for=60.0))
    return Settler(book, states, lambda _: OnUncertain.HOLD), flight


def submitted(outcome: Outcome, octets: tuple[bytes, ...], *, late: bool = False) -> Submitted:
    """An answer to the one submission."""
    return Submitted(
        carrier="acme",
        submission=SUBMISSION,
        outcome=outcome,
        carrier_id="",
        late=late,
        sent_at=SENT_AT,
        at=ANSWERED_AT,
        octets=octets,
    )


def frames(changes: Changes) -> list[trace.Frame]:
    """The PDUs that `changes` keep."""
    return trace.frames_of([row[1:] for write, row in changes.writes if write is trace.INSERT])


def test_an_answer_leaves_the_request_and_itself() -> None:
    room, flight = settler()
    changes = Changes()
    room.submitted(submitted(ACCEPTED, (REQUEST, RESPONSE)), changes)
    assert frames(changes) == [
        trace.Frame(SENT_AT, True, REQUEST),
        trace.Frame(ANSWERED_AT, False, RESPONSE),
    ]
    assert flight.message.status is MessageStatus.SENT


def test_a_late_answer_does_not_repeat_the_request() -> None:
    room, flight = settler()
    changes = Changes()
    room.uncertain(
        Uncertain(
            carrier="acme",
            submission=SUBMISSION,
            reason="response timeout",
            sent_at=SENT_AT,
            at=TIMED_OUT_AT,
            octets=(REQUEST,),
        ),
        changes,
    )
    room.submitted(submitted(ACCEPTED, (REQUEST, RESPONSE), late=True), changes)
    assert frames(changes) == [
        trace.Frame(SENT_AT, True, REQUEST),  # when it left, not when it timed out
        trace.Frame(ANSWERED_AT, False, RESPONSE),
    ]
    assert flight.message.status is MessageStatus.SENT


def test_what_was_never_written_leaves_nothing_and_fails() -> None:
    room, flight = settler()
    changes = Changes()
    room.submitted(submitted(REFUSED, ()), changes)
    assert frames(changes) == []
    assert flight.message.status is MessageStatus.FAILED
