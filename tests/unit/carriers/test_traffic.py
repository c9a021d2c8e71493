"""The traffic of one bind, without sockets: two sessions back to back."""

import pytest

from carriers import traffic
from carriers.events import Receipted, Received, Submission, Submitted, Uncertain, Unsent
from carriers.health import CarrierHealth
from carriers.model import Carrier, CarrierKind
from carriers.throttle import Throttle
from carriers.traffic import Ledger, Traffic
from protocols.smpp.events import BindRequested, Event, RequestReceived
from protocols.smpp.pdu import BindTransceiver, DataSm, DeliverSm, SubmitSm, SubmitSmResp
from protocols.smpp.session import Role, Session, SessionConfig

NOW = 1_000_000.0


class Pair:
    """A bound ESME session with its traffic, and the message centre's session."""

    def __init__(self, window: int = 4, late_memory: int = 10) -> None:
        config = SessionConfig(window=100, response_timeout=10.0, late_memory=late_memory)
        self.esme = Session(Role.ESME, config, 0.0)
        self.smsc = Session(Role.SMSC, config, 0.0)
        carrier = Carrier(name="acme", kind=CarrierKind.SMPP, window=window)
        health, throttle = CarrierHealth("acme", 1, NOW), Throttle(0, NOW)
        self.ledger = Ledger(carrier, health, throttle, {})
        self.esme.bind(BindTransceiver(system_id="me"), 0.0)
        [requested] = self.to_smsc()
        assert isinstance(requested, BindRequested)
        self.smsc.accept_bind(requested.sequence_number, "smsc", 0.0)
        self.to_esme()
        self.traffic = Traffic(1, self.ledger, self.esme)

    def to_smsc(self) -> list[Event]:
        return _carry(self.esme, self.smsc)

    def to_esme(self) -> list[Event]:
        return _carry(self.smsc, self.esme)


def _carry(sender: Session, receiver: Session) -> list[Event]:
    data = sender.data_to_send()
    if data:
        receiver.receive_data(data, 0.0)
    events = []
    while (event := receiver.next_event()) is not None:
        events.append(event)
    return events


def submissions(n: int) -> list[Submission]:
    return [
        Submission(account_sid="AC1", sid="SM1", part=part, attempt=1, pdu=SubmitSm())
        for part in range(1, n + 1)
    ]


def test_nothing_is_written_once_the_carrier_unbinds() -> None:
    pair = Pair()
    assert pair.traffic.free == 4
    pair.smsc.unbind(0.0)
    pair.to_esme()
    assert pair.traffic.free == 0
    [unsent] = pair.traffic.submit(submissions(1), NOW, 0.0)
    assert isinstance(unsent, Unsent)
    assert unsent.reason == "bind lost"
    assert pair.traffic.in_use == 0
    assert not pair.ledger.slots
    assert pair.ledger.counters.unsent == 1


def test_a_second_answer_is_none_and_late_ones_are_dropped() -> None:
    pair = Pair()
    for _ in range(2):
        pair.smsc.request(DeliverSm(short_message=b"hi"), 0.0)
    one, two = pair.traffic.translate(pair.to_esme(), NOW)
    assert isinstance(one, Received)
    assert isinstance(two, Received)
    pair.traffic.answer(one.delivery, 0, 0.0)
    assert pair.esme.data_to_send()
    pair.traffic.answer(one.delivery, 0, 0.0)
    assert not pair.esme.data_to_send()
    pair.smsc.unbind(0.0)
    pair.to_esme()
    pair.esme.data_to_send()
    pair.traffic.answer(two.delivery, 0, 0.0)
    assert not pair.esme.data_to_send()


def test_late_answers_are_recognised_as_far_back_as_the_session_does() -> None:
    pair = Pair(late_memory=2)
    pair.traffic.submit(submissions(3), NOW, 0.0)
    requests = [event for event in pair.to_smsc() if isinstance(event, RequestReceived)]
    pair.esme.handle_timer(10.0)
    timed_out = _carry(pair.smsc, pair.esme)
    uncertain = pair.traffic.translate(timed_out, NOW + 10)
    assert [type(event) for event in uncertain] == [Uncertain] * 3
    assert {(e.sent_at, e.at) for e in uncertain if isinstance(e, Uncertain)} == {(NOW, NOW + 10)}
    assert len(pair.traffic._late) == 2  # bounded, whatever the carrier never answers
    for request in requests:
        pair.smsc.answer(request.sequence_number, SubmitSmResp(message_id="x"), 0.0)
    late = pair.traffic.translate(pair.to_esme(), NOW + 11)
    assert [(e.submission.part, e.late) for e in late if isinstance(e, Submitted)] == [
        (2, True),
        (3, True),
    ]
    assert pair.ledger.counters.rejected == 1  # the forgotten one answers nothing
    assert pair.traffic.abandon("lost", NOW + 12) == []


def test_intermediate_notifications_are_receipts_and_alike_texts_are_not() -> None:
    pair = Pair()
    looks_like = b"id:1 sub:001 dlvrd:001 submit date:1 done date:1 stat:DELIVRD err:000 text:"
    pair.smsc.request(DeliverSm(esm_class=0x20, short_message=looks_like), 0.0)
    pair.smsc.request(DeliverSm(esm_class=0x00, short_message=looks_like), 0.0)
    intermediate, text = pair.traffic.translate(pair.to_esme(), NOW)
    assert isinstance(intermediate, Receipted)
    assert intermediate.receipt.intermediate
    assert isinstance(text, Received)
    assert text.payload == looks_like
    pair.smsc.request(DeliverSm(esm_class=0x04, short_message=looks_like), 0.0)
    pair.traffic.translate(pair.to_esme(), NOW)
    counters = pair.ledger.counters
    assert (counters.receipts, counters.final_receipts) == (2, 1)


def test_failures_of_the_carrier_are_counted_and_refusals_of_messages_are_not() -> None:
    pair = Pair(window=100)
    pair.ledger.health.bind_up(NOW, 1)
    for status, expected in ((0x08, 30), (0x0B, 0)):
        pair.traffic.submit(submissions(30), NOW, 0.0)
        for event in pair.to_smsc():
            assert isinstance(event, RequestReceived)
            pair.smsc.answer(event.sequence_number, SubmitSmResp(), 0.0, status)
        pair.traffic.translate(pair.to_esme(), NOW)
        assert pair.ledger.health.value(NOW).failures == expected


def text_in(pair: Pair, *bodies: bytes) -> list[Received]:
    for body in bodies:
        pair.smsc.request(DeliverSm(source_addr="123", short_message=body), 0.0)
    received = pair.traffic.translate(pair.to_esme(), NOW)
    assert all(isinstance(event, Received) for event in received)
    return [event for event in received if isinstance(event, Received)]


def test_a_digest_is_equal_for_octet_equal_texts_alone() -> None:
    pair = Pair()
    one, two, other = text_in(pair, b"hi", b"hi", b"hi ")
    assert one.delivery != two.delivery
    assert one.digest == two.digest != other.digest
    pair.smsc.request(DataSm(source_addr="123"), 0.0)
    pair.smsc.request(DeliverSm(source_addr="123", dest_addr_ton=1, short_message=b"hi"), 0.0)
    received = pair.traffic.translate(pair.to_esme(), NOW)
    digests = {event.digest for event in received if isinstance(event, Received)}
    assert len(digests | {one.digest}) == 3


def test_an_answer_is_unread_until_a_later_request_is_answered() -> None:
    pair = Pair()
    pair.traffic.submit(submissions(1), NOW, 0.0)
    [before] = [event for event in pair.to_smsc() if isinstance(event, RequestReceived)]
    one, two = text_in(pair, b"a", b"b")
    both = (one.delivery.sequence_number, two.delivery.sequence_number)
    assert pair.traffic.unread() == both
    pair.traffic.answer(one.delivery, 0, 0.0)
    pair.smsc.answer(before.sequence_number, SubmitSmResp(message_id="1"), 0.0)
    pair.traffic.translate(pair.to_esme(), NOW)
    assert pair.traffic.unread() == both  # that request was written before the answer
    pair.traffic.submit(submissions(1), NOW, 0.0)
    [after] = [event for event in pair.to_smsc() if isinstance(event, RequestReceived)]
    pair.smsc.answer(after.sequence_number, SubmitSmResp(message_id="2"), 0.0)
    pair.traffic.translate(pair.to_esme(), NOW)
    assert pair.traffic.unread() == both[1:]


def test_what_was_surely_read_is_told_once() -> None:
    pair = Pair()
    one, two, _ = text_in(pair, b"a", b"b", b"c")
    for each in (two, one):
        pair.traffic.answer(each.delivery, 0, 0.0)
    assert pair.traffic.take_read() == []
    pair.traffic.submit(submissions(1), NOW, 0.0)
    [after] = [event for event in pair.to_smsc() if isinstance(event, RequestReceived)]
    pair.smsc.answer(after.sequence_number, SubmitSmResp(message_id="1"), 0.0)
    pair.traffic.translate(pair.to_esme(), NOW)
    [late] = text_in(pair, b"d")
    pair.traffic.answer(late.delivery, 0, 0.0)
    assert pair.traffic.take_read() == [one.delivery, two.delivery]
    assert pair.traffic.take_read() == []


def test_an_answered_enquire_link_tells_what_was_read_too() -> None:
    pair = Pair()
    [one] = text_in(pair, b"a")
    pair.esme.handle_timer(3600.0)
    pair.to_smsc()
    pair.traffic.answer(one.delivery, 0, 0.0)
    pair.to_esme()
    assert pair.traffic.take_read() == []  # that was asked before the answer
    pair.esme.handle_timer(7200.0)
    pair.to_smsc()
    pair.to_esme()
    assert pair.traffic.take_read() == [one.delivery]
    assert pair.traffic.unread() == ()


def test_a_bind_that_ends_in_good_order_leaves_what_was_not_answered_unread() -> None:
    pair = Pair()
    one, two = text_in(pair, b"a", b"b")
    pair.traffic.answer(one.delivery, 0, 0.0)
    pair.smsc.unbind(0.0)
    pair.traffic.translate(pair.to_esme(), NOW)
    pair.traffic.answer(two.delivery, 0, 0.0)
    pair.traffic.part()
    assert pair.traffic.unread() == (two.delivery.sequence_number,)


def test_what_is_remembered_of_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "_MOST_TEXTS", 3)
    pair = Pair()
    received = text_in(pair, *[b"x"] * 5)
    numbers = [event.delivery.sequence_number for event in received]
    assert pair.traffic.unread() == tuple(numbers[2:])
