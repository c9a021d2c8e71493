"""What was under way when a backup was made: it may have left since, and nobody knows.

`resend` leaves it to the message path, which does as after a crash. `hold` keeps what may have
left for a receipt until its validity ends, whatever the carrier's `on_uncertain` says. `fail`
ends it, and tells the apps.
"""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Final

from gateway.events import FactType, message_fact
from gateway.messages import records, segments
from gateway.messages.book import Book
from gateway.messages.callbacks import CallbackPolicy
from gateway.messages.changes import Changes
from gateway.messages.flight import Flight, PartState
from gateway.messages.segments import Segment, SegmentState
from gateway.messages.states import StateWriter, next_message
from gateway.model import Message, MessageStatus
from gateway.store.base import Store

_UNKNOWN: Final = 30008  # Twilio: what became of it is not known
_REASON: Final = "it was under way when the backup was made that the store was restored from"
_PAGE: Final = 200


class InFlight(StrEnum):
    """What becomes of messages that were queued or being sent."""

    RESEND = "resend"
    HOLD = "hold"
    FAIL = "fail"


async def settle(store: Store, choice: InFlight, now: float, policy: CallbackPolicy) -> int:
    """Do as `choice` says, in a store that nobody else uses; how many messages were under way."""
    book = Book(0)
    states = StateWriter(policy)
    count = 0
    async for messages in _under_way(store):
        for message in messages:
            if message.reference >= 0:
                book.learn_references(Flight(message))
    async for messages in _under_way(store):
        count += len(messages)
        changes = Changes()
        for message in messages:
            rows = await store.fetch(segments.OF_MESSAGE, message.sid)
            flight = Flight.restored(message, map(segments.segment_of, rows))
            _SETTLE[choice](flight, book, states, now, changes)
        if changes.writes:
            await store.commit(changes.writes)
    return count


async def _under_way(store: Store) -> AsyncIterator[list[Message]]:
    """Pages of the messages that are queued or being sent, carrier by carrier."""
    for carrier, _ in await store.fetch(records.OPEN_CARRIERS):
        made_at, sid = 0.0, ""
        while rows := await store.fetch(records.OPEN, carrier, made_at, made_at, sid, _PAGE):
            messages = records.messages_of(rows)
            yield messages
            made_at, sid = messages[-1].date_created, messages[-1].sid


def _resend(flight: Flight, book: Book, states: StateWriter, now: float, changes: Changes) -> None:
    """The message path takes it up as it is."""


def _hold(flight: Flight, book: Book, states: StateWriter, now: float, changes: Changes) -> None:
    """It may have been submitted, under references that nobody here knows."""
    message = flight.message
    if message.status is MessageStatus.QUEUED:
        fields: dict[str, int] = {"attempt": message.attempt + 1}
        if message.reference < 0:
            fields["reference"] = book.free_reference(message.carrier, 0, message.parts)
        message = flight.message = next_message(message, MessageStatus.SENDING, now, **fields)
        book.learn_references(flight)
        changes.write(records.changed(message))
    parts = flight.listed([PartState.WAITING, PartState.HELD])
    for part in parts:
        kept = Segment(
            account_sid=message.account_sid,
            sid=message.sid,
            part=part,
            attempt=flight.attempts[part - 1] or message.attempt,
            carrier=message.carrier,
            carrier_id="",
            id_key="",
            state=SegmentState.KEPT,
            error_code=0,
            at=now,
        )
        changes.write(segments.inserted(kept), segments.changed(kept))
    if parts:
        changes.write(
            message_fact(
                message,
                FactType.MESSAGE_HELD,
                now,
                parts=parts,
                carrier=message.carrier,
                reason=_REASON,
            )
        )


def _fail(flight: Flight, book: Book, states: StateWriter, now: float, changes: Changes) -> None:
    states.advance(flight, MessageStatus.FAILED, now, changes, error_code=_UNKNOWN, reason=_REASON)


_SETTLE: Final = {InFlight.RESEND: _resend, InFlight.HOLD: _hold, InFlight.FAIL: _fail}
