"""The traffic of one bind while it is up: its window of submissions, and what the wire says.

Turns events of the SMPP session into events of the carrier. A slot of the window is taken when a
submit_sm is written and freed only when the message path says that the outcome is durable, so
that what a crash can duplicate never exceeds the windows. Nothing here waits; `now` is seconds
since the epoch, `tick` is the session's own clock.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from carriers.counters import Counters
from carriers.events import (
    CarrierEvent,
    Delivery,
    Receipted,
    Received,
    Submission,
    Submitted,
    Uncertain,
    Unsent,
)
from carriers.health import CarrierHealth
from carriers.model import Carrier
from carriers.numbers import text_of_wire
from carriers.outcomes import UNKNOWN_ERROR, Outcome, OutcomeKind, outcome_of
from carriers.throttle import Throttle
from protocols.smpp.constants import CommandStatus
from protocols.smpp.errors import LocalProtocolError
from protocols.smpp.events import (
    Event,
    PduRejected,
    RequestReceived,
    RequestTimedOut,
    ResponseIgnored,
    ResponseReceived,
)
from protocols.smpp.pdu import DataSm, DataSmResp, DeliverSm, DeliverSmResp, SubmitSmResp, tlv
from protocols.smpp.receipt import parse
from protocols.smpp.session import Session
from protocols.smpp.states import BOUND, State
from protocols.smpp.tlv import Tag

_TOO_MANY: Final = frozenset({OutcomeKind.THROTTLED, OutcomeKind.QUEUE_FULL})
_CARRIERS_FAULT: Final = frozenset({OutcomeKind.RETRY, OutcomeKind.BIND_FATAL})

_ANSWERING: Final = BOUND | {State.UNBINDING}

_DELIVER_SM_RESP: Final = DeliverSmResp()
_DATA_SM_RESP: Final = DataSmResp()

_MOST_TEXTS: Final = 10_000  # whose answers may be unread
_UNANSWERED: Final = 2**31  # greater than any sequence_number

_COMMAND: Final = slice(4, 8)  # command_id, in the octets of a PDU
_BODY: Final = slice(16, None)  # what follows the header

_Sent = tuple[Submission, float]
Slots = dict[int, "tuple[Traffic, Submission]"]


class Ledger:
    """What all binds of one carrier share; `slots` is shared by all carriers.

    `slots` says in which bind a submission takes a slot, by the identity of the submission: its
    events carry the very object that was handed over, and the entry keeps it alive.
    """

    __slots__ = ("carrier", "counters", "health", "slots", "throttle", "window")

    def __init__(
        self, carrier: Carrier, health: CarrierHealth, throttle: Throttle, slots: Slots
    ) -> None:
        self.carrier = carrier.name
        self.window = carrier.window
        self.health = health
        self.throttle = throttle
        self.slots = slots
        self.counters = Counters()


class Traffic:
    """The submissions under way on one bind that is up, and the requests that it must answer."""

    def __init__(self, number: int, ledger: Ledger, session: Session) -> None:
        """`number` names the bind in events, and no other bind of this process."""
        self.number = number
        self.in_use = 0
        self._ledger = ledger
        self._session = session
        self._sent: dict[int, _Sent] = {}
        self._late: dict[int, _Sent] = {}  # timed out; the session remembers so many
        self._unanswered: dict[int, DeliverSmResp | DataSmResp] = {}
        # Of each text, the last request of ours that was written before its answer. The carrier
        # reads in order: when it answers a later request, it has read the answer before.
        self._texts: dict[int, int] = {}
        self._parted = False

    @property
    def free(self) -> int:
        """How many slots are free; none once either side unbinds."""
        if self._session.state not in BOUND:
            return 0
        return max(0, self._ledger.window - self.in_use)

    def submit(
        self, submissions: Sequence[Submission], now: float, tick: float
    ) -> list[CarrierEvent]:
        """Write `submissions` into the session, each taking a slot; return what could not be.

        The caller flushes. A submit_sm that SMPP cannot carry is reported as refused, for good:
        sending it again would not help. One that finds the session gone is `Unsent`.
        """
        ledger, session = self._ledger, self._session
        sent, slots, request = self._sent, ledger.slots, session.request
        failed: list[CarrierEvent] = []
        for submission in submissions:
            try:
                sequence_number = request(submission.pdu, tick)
            except LocalProtocolError as error:
                failed.append(self._not_written(submission, error, now))
                continue
            sent[sequence_number] = (submission, now)
            slots[id(submission)] = (self, submission)
        written = len(submissions) - len(failed)
        self.in_use += written
        ledger.counters.submitted += written
        return failed

    def answer(self, delivery: Delivery, command_status: int, tick: float) -> None:
        """Answer a deliver_sm or data_sm with its own response; the caller flushes.

        Once the carrier has unbound nobody reads answers: they are dropped, as second ones are.
        """
        response = self._unanswered.pop(delivery.sequence_number, None)
        if response is not None and self._session.state in _ANSWERING:
            self._session.answer(delivery.sequence_number, response, tick, command_status)
            if delivery.sequence_number in self._texts:
                self._texts[delivery.sequence_number] = self._session.issued

    def translate(self, events: Sequence[Event], now: float) -> list[CarrierEvent]:
        """What `events` of the session mean for the carrier's traffic, in their order."""
        translated: list[CarrierEvent] = []
        failures = successes = 0
        for event in events:
            match event:
                case ResponseReceived():
                    submitted = self._responded(event, now)
                    if submitted is not None:
                        translated.append(submitted)
                        if submitted.outcome.kind in _CARRIERS_FAULT:
                            failures += 1
                        else:
                            successes += 1
                case RequestReceived():
                    inbound = self._requested(event, now)
                    if inbound is not None:
                        translated.append(inbound)
                case RequestTimedOut():
                    uncertain = self._timed_out(event, now)
                    if uncertain is not None:
                        translated.append(uncertain)
                        failures += 1
                case PduRejected() | ResponseIgnored():
                    self._ledger.counters.rejected += 1
                case _:
                    pass  # the life of the session is `bind`'s
        if failures or successes:
            self._ledger.health.answered(failures, successes, now)
        return translated

    def abandon(self, reason: str, now: float) -> list[CarrierEvent]:
        """The bind is gone: all that had no answer is uncertain, and its slots are no more."""
        uncertain: list[CarrierEvent] = [
            self._uncertain(sent, reason, self._request_of(sequence_number), now)
            for sequence_number, sent in self._sent.items()
        ]
        self._sent.clear()
        self._late.clear()
        self._unanswered.clear()
        return uncertain

    def part(self) -> None:
        """The bind ends in good order: whatever was answered has been read."""
        self._parted = True

    def unread(self) -> tuple[int, ...]:
        """The texts, by sequence_number, whose answers the carrier may not have read."""
        read = self._read()
        return tuple(number for number, after in self._texts.items() if after >= read)

    def take_read(self) -> list[Delivery]:
        """The texts whose answers the carrier has surely read; each is told once."""
        read = self._read()
        numbers = [number for number, after in self._texts.items() if after < read]
        for number in numbers:
            del self._texts[number]
        return [Delivery(bind=self.number, sequence_number=number) for number in numbers]

    def _read(self) -> int:
        return _UNANSWERED if self._parted else self._session.answered

    def _request_of(self, sequence_number: int) -> bytes:
        try:
            return self._session.octets_of(sequence_number)
        except LocalProtocolError:
            return b""  # it was answered, and a defect of ours kept the answer from being read

    def _not_written(
        self, submission: Submission, error: LocalProtocolError, now: float
    ) -> Submitted | Unsent:
        carrier = self._ledger.carrier
        if self._session.state not in BOUND:
            self._ledger.counters.unsent += 1
            return Unsent(carrier=carrier, submission=submission, reason="bind lost", at=now)
        return Submitted(
            carrier=carrier,
            submission=submission,
            outcome=Outcome(
                kind=OutcomeKind.REFUSED,
                error_code=UNKNOWN_ERROR,
                status=CommandStatus.ESME_RSUBMITFAIL,
                reason=f"not sent, SMPP cannot carry it: {error}",
            ),
            carrier_id="",
            late=False,
            sent_at=now,
            at=now,
            octets=(),
        )

    def _responded(self, event: ResponseReceived, now: float) -> Submitted | None:
        ledger = self._ledger
        counters = ledger.counters
        if event.late:
            found = self._late.pop(event.sequence_number, None)
            if found is None:
                return None
            submission, sent_at = found
            counters.late += 1
        else:
            sent = self._sent.pop(event.sequence_number, None)
            if sent is None:
                return None
            submission, sent_at = sent
        status = event.command_status
        counters.statuses[status] = counters.statuses.get(status, 0) + 1
        counters.response_seconds.observe(now - sent_at)
        outcome = outcome_of(status)
        pdu = event.pdu
        self._pace(outcome.kind, sent_at, now)
        if pdu.tlvs:
            congestion_state = tlv(pdu, Tag.CONGESTION_STATE)
            if congestion_state:
                ledger.throttle.congested(congestion_state[0], now)
        return Submitted(
            carrier=ledger.carrier,
            submission=submission,
            outcome=outcome,
            carrier_id=pdu.message_id if isinstance(pdu, SubmitSmResp) else "",
            late=event.late,
            sent_at=sent_at,
            at=now,
            octets=(event.request, event.octets),
        )

    def _pace(self, kind: OutcomeKind, sent_at: float, now: float) -> None:
        throttle = self._ledger.throttle
        if kind in _TOO_MANY:
            throttle.refused(sent_at, now)
            self._ledger.health.throttled(throttle.paused_until, now)
        else:
            throttle.accepted(sent_at)

    def _requested(self, event: RequestReceived, now: float) -> Receipted | Received | None:
        pdu = event.pdu
        match pdu:
            case DeliverSm():
                payload = pdu.short_message
                self._unanswered[event.sequence_number] = _DELIVER_SM_RESP
            case DataSm():
                payload = b""
                self._unanswered[event.sequence_number] = _DATA_SM_RESP
            case _:
                return None
        if not payload and pdu.tlvs:
            payload = tlv(pdu, Tag.MESSAGE_PAYLOAD) or b""
        delivery = Delivery(bind=self.number, sequence_number=event.sequence_number)
        receipt = parse(payload, pdu.data_coding, pdu.tlvs, pdu.esm_class)
        from_address = text_of_wire(pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr)
        to_address = text_of_wire(pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr)
        if receipt is not None:
            self._ledger.counters.receipts += 1
            self._ledger.counters.final_receipts += receipt.is_final
            return Receipted(
                carrier=self._ledger.carrier,
                delivery=delivery,
                receipt=receipt,
                from_address=from_address,
                to_address=to_address,
                at=now,
                octets=(event.octets,),
            )
        self._ledger.counters.received += 1
        self._note_text(event.sequence_number)
        octets = event.octets
        return Received(
            carrier=self._ledger.carrier,
            delivery=delivery,
            from_address=from_address,
            to_address=to_address,
            esm_class=pdu.esm_class,
            data_coding=pdu.data_coding,
            payload=payload,
            tlvs=pdu.tlvs,
            at=now,
            octets=(octets,),
            digest=blake2b(octets[_COMMAND] + octets[_BODY], digest_size=16).hexdigest(),
        )

    def _note_text(self, sequence_number: int) -> None:
        texts = self._texts
        if len(texts) >= _MOST_TEXTS:
            del texts[next(iter(texts))]
        texts[sequence_number] = _UNANSWERED

    def _timed_out(self, event: RequestTimedOut, now: float) -> Uncertain | None:
        sent = self._sent.pop(event.sequence_number, None)
        if sent is None:
            return None
        self._late[event.sequence_number] = sent
        while len(self._late) > self._session.config.late_memory:
            del self._late[next(iter(self._late))]
        return self._uncertain(sent, "response timeout", event.request, now)

    def _uncertain(self, sent: _Sent, reason: str, octets: bytes, now: float) -> Uncertain:
        self._ledger.counters.uncertain += 1
        submission, sent_at = sent
        return Uncertain(
            carrier=self._ledger.carrier,
            submission=submission,
            reason=reason,
            sent_at=sent_at,
            at=now,
            octets=(octets,),
        )
