"""What carriers say of our texts, turned into state: answers, silences and receipts.

Synchronous and without I/O: events of one batch go in, `Changes` come out. Flights that are
not in memory were loaded by the service before.
"""

from collections.abc import Callable
from typing import Final

from carriers.events import Receipted, Submitted, Uncertain, Unsent
from carriers.model import OnUncertain
from carriers.outcomes import DeliveryStatus, OutcomeKind
from gateway.events import FactType, message_fact
from gateway.messages import receipts, segments, trace
from gateway.messages.book import Book
from gateway.messages.changes import Answered, Changes
from gateway.messages.flight import Flight, PartState
from gateway.messages.receipts import NotedReceipt
from gateway.messages.segments import Segment, SegmentState
from gateway.messages.states import StateWriter
from gateway.model import MessageStatus
from protocols.smpp.receipt import id_key

_ESME_ROK: Final = 0
_EXPIRED: Final = 30036
_BARRED: Final = 30002
_FIRST_DELAY: Final = 0.5  # seconds before what the carrier refused for now goes again
_LONGEST_DELAY: Final = 60.0
_TAKEN: Final = (PartState.SENT, PartState.DELIVERED, PartState.UNDELIVERED)
_RESTART: Final = "the gateway stopped while this was being sent"


class Settler:
    """Settles parts; `policy_of` says what a carrier's lost answers mean."""

    def __init__(
        self, book: Book, states: StateWriter, policy_of: Callable[[str], OnUncertain]
    ) -> None:
        self._book = book
        self._states = states
        self._policy_of = policy_of

    def submitted(self, event: Submitted, changes: Changes) -> None:
        """The carrier answered a submit_sm."""
        changes.settled.append(event)
        sent = event.submission
        self._keep_frames(sent.sid, _frames(event), changes)
        flight = self._book.get(sent.sid)
        if event.outcome.kind is OutcomeKind.ACCEPTED:
            self._accepted(event, flight, changes)
            return
        if flight is None or _is_outdated(event, flight):
            return
        match event.outcome.kind:
            case OutcomeKind.REFUSED | OutcomeKind.BIND_FATAL:
                self._refused(event, flight, changes)
            case _:
                reason, delay = event.outcome.reason, _delay(event)
                self._wait_again(flight, event, changes, reason=reason, delay=delay)

    def _keep_frames(self, sid: str, frames: list[trace.Frame], changes: Changes) -> None:
        if frames and not self._book.is_wiped(sid):
            changes.write(trace.kept(sid, frames))

    def _wait_again(
        self,
        flight: Flight,
        event: Answered,
        changes: Changes,
        *,
        reason: str,
        delay: float = 0.0,
    ) -> None:
        """The part must be submitted again."""
        sent = event.submission
        before = flight.parts[sent.part - 1]
        if not flight.note(sent.part, PartState.WAITING):
            return
        if before is PartState.HELD:
            changes.write(segments.forgotten(sent.sid, sent.part, sent.attempt))
        self.conclude(flight, event.at, changes, reason=reason, delay=delay)

    def _accepted(self, event: Submitted, flight: Flight | None, changes: Changes) -> None:
        sent = event.submission
        self._book.learn_id(event.carrier, id_key(event.carrier_id), sent.sid, sent.part)
        row = _segment(event, SegmentState.SENT, carrier_id=event.carrier_id)
        if flight is None or not flight.note(sent.part, PartState.SENT, sent.attempt):
            changes.write(segments.inserted(row))
            if event.late:  # a receipt was quicker, or nobody waits for it any more
                changes.write(segments.identified(row))
            return
        self._store_answer(row, event, changes)
        self.conclude(flight, event.at, changes)

    def _refused(self, event: Submitted, flight: Flight, changes: Changes) -> None:
        sent = event.submission
        if not flight.note(sent.part, PartState.REFUSED, sent.attempt):
            return
        flight.error_code = event.outcome.error_code
        refused = _segment(event, SegmentState.REFUSED, error_code=event.outcome.error_code)
        self._store_answer(refused, event, changes)
        self.conclude(flight, event.at, changes, reason=event.outcome.reason)

    def _store_answer(self, row: Segment, event: Submitted, changes: Changes) -> None:
        changes.write(segments.inserted(row))
        if event.late:  # the part may have a row already, as held
            changes.write(segments.changed(row))

    def unsent(self, event: Unsent, changes: Changes) -> None:
        """A submission never reached the wire: it waits again."""
        changes.settled.append(event)
        flight = self._book.get(event.submission.sid)
        if flight is not None:
            self._wait_again(flight, event, changes, reason=event.reason)

    def uncertain(self, event: Uncertain, changes: Changes) -> None:
        """A submit_sm was never answered: sent again, or held for what may still come."""
        changes.settled.append(event)
        sent = event.submission
        frames = [trace.Frame(event.sent_at, True, octets) for octets in event.octets]
        self._keep_frames(sent.sid, frames, changes)
        flight = self._book.get(sent.sid)
        if flight is None:
            return
        if self._policy_of(event.carrier) is OnUncertain.RESEND:
            self._wait_again(flight, event, changes, reason=event.reason)
        elif flight.note(sent.part, PartState.HELD, sent.attempt):
            self._hold(flight, event, changes)

    def _hold(self, flight: Flight, event: Uncertain, changes: Changes) -> None:
        sent = event.submission
        changes.write(
            segments.inserted(_segment(event, SegmentState.HELD)),
            message_fact(
                flight.message,
                FactType.MESSAGE_HELD,
                event.at,
                part=sent.part,
                carrier=event.carrier,
                reason=event.reason,
            ),
        )
        self.conclude(flight, event.at, changes)

    def receipted(self, event: Receipted, flight: Flight, part: int, changes: Changes) -> None:
        """A receipt for part `part` of `flight`; answered once this is durable."""
        changes.answers.append((event.delivery, _ESME_ROK))
        message = flight.message
        if message.body or message.media:  # a receipt quotes the text: none of one redacted
            frames = [trace.Frame(event.at, False, octets) for octets in event.octets]
            self._keep_frames(message.sid, frames, changes)
        self.apply(receipts.noted(event), flight, part, event.at, changes)

    def apply(
        self,
        receipt: NotedReceipt,
        flight: Flight,
        part: int,
        now: float,
        changes: Changes,
    ) -> None:
        """What the receipt says, be it fresh or one that waited for its message."""
        if receipt.status is DeliveryStatus.PENDING:
            self._note_progress(receipt, flight, part, now, changes)
            return
        delivered = receipt.status is DeliveryStatus.DELIVERED
        before = flight.parts[part - 1]
        if not flight.note(part, PartState.DELIVERED if delivered else PartState.UNDELIVERED):
            return
        if not delivered:
            flight.error_code = receipt.error_code
        self._store_part(receipt, flight, part, before, now, changes)
        self.conclude(flight, now, changes, reason=receipt.reason)

    def _note_progress(
        self, receipt: NotedReceipt, flight: Flight, part: int, now: float, changes: Changes
    ) -> None:
        """On its way: a line in the timeline, no state."""
        changes.write(
            message_fact(
                flight.message,
                FactType.MESSAGE_RECEIPT,
                now,
                part=part,
                state=receipt.state,
                reason=receipt.reason,
            )
        )

    def _store_part(
        self,
        receipt: NotedReceipt,
        flight: Flight,
        part: int,
        before: PartState,
        now: float,
        changes: Changes,
    ) -> None:
        message = flight.message
        delivered = flight.parts[part - 1] is PartState.DELIVERED
        row = Segment(
            account_sid=message.account_sid,
            sid=message.sid,
            part=part,
            attempt=flight.attempts[part - 1] or message.attempt,
            carrier=receipt.carrier,
            carrier_id=receipt.carrier_id,
            id_key=id_key(receipt.carrier_id),
            state=SegmentState.DELIVERED if delivered else SegmentState.UNDELIVERED,
            error_code=0 if delivered else flight.error_code,
            at=now,
        )
        # A receipt that came before the answer finds no row yet.
        if before in (PartState.OUT, PartState.WAITING):
            changes.write(segments.inserted(row))
        changes.write(segments.changed(row))

    def conclude(
        self,
        flight: Flight,
        now: float,
        changes: Changes,
        *,
        reason: str = "",
        delay: float = 0.0,
    ) -> None:
        """Bring the message of `flight` to the states that its parts make due.

        If it must be submitted again, that is after `delay` seconds.
        """
        flight.due = max(flight.due, now + delay)
        for status in flight.verdicts():
            self._enter(flight, status, now, changes, reason)
            if status is MessageStatus.QUEUED:
                changes.requeued.append((flight, flight.due))
        self._book.keep(flight)

    def _enter(
        self, flight: Flight, status: MessageStatus, now: float, changes: Changes, reason: str
    ) -> None:
        message = flight.message
        match status:
            case MessageStatus.QUEUED:  # its references stay: a receipt may yet name them
                self._states.advance(
                    flight, status, now, changes, reason=reason, carrier=message.carrier
                )
            case MessageStatus.FAILED:
                self._book.forget_references(flight)
                changes.finished.append(message.sid)
                self._states.advance(
                    flight,
                    status,
                    now,
                    changes,
                    error_code=flight.error_code,
                    reason=reason,
                    refused=flight.listed([PartState.REFUSED]),
                    sent=flight.listed(_TAKEN),
                )
            case MessageStatus.SENT:
                self._book.forget_references(flight)
                changes.finished.append(message.sid)
                self._states.advance(flight, status, now, changes, carrier=message.carrier)
            case MessageStatus.UNDELIVERED:
                self._states.advance(flight, status, now, changes, error_code=flight.error_code)
            case _:
                self._states.advance(flight, status, now, changes)

    # -- after a restart, and at the end of patience ---------------------------------------

    def recovered(self, flight: Flight, now: float, changes: Changes) -> None:
        """The last run ended while this was being sent: its open parts are uncertain."""
        message = flight.message
        if self._policy_of(message.carrier) is OnUncertain.HOLD:
            waiting = flight.waiting()
            for part in waiting:
                flight.note(part, PartState.HELD, message.attempt)
                changes.write(segments.inserted(_held(flight, part, now)))
            if waiting:
                changes.write(
                    message_fact(
                        message,
                        FactType.MESSAGE_HELD,
                        now,
                        parts=waiting,
                        carrier=message.carrier,
                        reason=_RESTART,
                    )
                )
        else:
            for part in flight.listed([PartState.HELD]):
                if part in flight.kept:
                    continue
                changes.write(segments.forgotten(message.sid, part, flight.attempts[part - 1]))
                flight.note(part, PartState.WAITING)
        self.conclude(flight, now, changes, reason=_RESTART)

    def expire(self, flight: Flight, now: float, changes: Changes) -> None:
        """Its validity ended before a carrier took it: `failed`, 30036."""
        reason = "its validity period ended before the carrier took it"
        self._stop(flight, now, changes, _EXPIRED, reason)

    def bar(self, flight: Flight, now: float, changes: Changes) -> None:
        """Its account was suspended or closed before it left: `failed`, 30002."""
        self._stop(flight, now, changes, _BARRED, "its account is not active any more")

    def _stop(
        self, flight: Flight, now: float, changes: Changes, error_code: int, reason: str
    ) -> None:
        if flight.message.status is not MessageStatus.QUEUED:
            return  # a late answer was quicker
        self._book.forget_references(flight)
        changes.finished.append(flight.message.sid)
        self._states.advance(
            flight,
            MessageStatus.FAILED,
            now,
            changes,
            error_code=error_code,
            reason=reason,
            sent=flight.listed(_TAKEN),
        )
        self._book.keep(flight)

    def give_up(self, flight: Flight, now: float, changes: Changes) -> None:
        """Its validity ended while it was held: nobody will tell us any more."""
        self._book.forget_references(flight)
        changes.finished.append(flight.message.sid)
        self._states.advance(
            flight,
            MessageStatus.FAILED,
            now,
            changes,
            error_code=_EXPIRED,
            reason="the carrier never said whether it took it, and its validity period is over",
            held=flight.listed([PartState.HELD]),
        )
        self._book.keep(flight)


def _segment(
    event: Submitted | Uncertain, state: SegmentState, *, carrier_id: str = "", error_code: int = 0
) -> Segment:
    """The row of the part that `event` is about."""
    sent = event.submission
    return Segment(
        account_sid=sent.account_sid,
        sid=sent.sid,
        part=sent.part,
        attempt=sent.attempt,
        carrier=event.carrier,
        carrier_id=carrier_id,
        id_key=id_key(carrier_id) if carrier_id else "",
        state=state,
        error_code=error_code,
        at=event.at,
    )


def _is_outdated(event: Submitted, flight: Flight) -> bool:
    """Whether a late refusal is of an earlier attempt than the one that is under way."""
    sent = event.submission
    out = flight.parts[sent.part - 1] is PartState.OUT
    return out and sent.attempt < flight.message.attempt


def _frames(event: Submitted) -> list[trace.Frame]:
    """The PDUs of an answer: none where SMPP could not carry the text.

    The submit_sm of a late one was kept when it became uncertain.
    """
    request, answers = event.octets[:1], event.octets[1:]
    sent = [] if event.late else [trace.Frame(event.sent_at, True, octets) for octets in request]
    return sent + [trace.Frame(event.at, False, octets) for octets in answers]


def _delay(event: Submitted) -> float:
    """Until the next attempt; after ESME_RTHROTTLED the bind itself waits."""
    if event.outcome.kind is OutcomeKind.THROTTLED:
        return 0.0
    return min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(event.submission.attempt - 1, 16))


def _held(flight: Flight, part: int, now: float) -> Segment:
    message = flight.message
    return Segment(
        account_sid=message.account_sid,
        sid=message.sid,
        part=part,
        attempt=message.attempt,
        carrier=message.carrier,
        carrier_id="",
        id_key="",
        state=SegmentState.HELD,
        error_code=0,
        at=now,
    )
