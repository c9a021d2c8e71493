"""Sessions back to back: binding, messages both ways, the window, unbinding, and bad peers."""

import struct

import pytest

from protocols.smpp.codec import encode
from protocols.smpp.errors import LocalProtocolError
from protocols.smpp.events import (
    BindKind,
    BindRefused,
    BindRequested,
    Bound,
    Closed,
    CloseReason,
    Outbound,
    PduRejected,
    RequestReceived,
    RequestTimedOut,
    ResponseIgnored,
    ResponseReceived,
    Unbinding,
    Unbound,
)
from protocols.smpp.pdu import (
    AlertNotification,
    Bind,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    CommandStatus,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from protocols.smpp.session import Role, Session, SessionConfig, State
from tests.unit.smpp.smpp_pair import BINDS, Pair, events_of, frames_of

TEXT = SubmitSm(source_addr="1", destination_addr="2", short_message=b"hello")
REPLY = DeliverSm(source_addr="2", destination_addr="1", short_message=b"hi")


def receive(session: Session, pdu: Pdu, number: int, now: float, status: int = 0) -> None:
    session.receive_data(encode(pdu, sequence_number=number, command_status=status), now)


# Binding


@pytest.mark.parametrize(
    ("declared", "kind", "state", "response"),
    [
        (BindReceiver, BindKind.RECEIVER, State.BOUND_RX, BindReceiverResp),
        (BindTransmitter, BindKind.TRANSMITTER, State.BOUND_TX, BindTransmitterResp),
        (BindTransceiver, BindKind.TRANSCEIVER, State.BOUND_TRX, BindTransceiverResp),
    ],
)
def test_binding(declared: type[Bind], kind: BindKind, state: State, response: type[Pdu]) -> None:
    pair = Pair()
    bind = declared(system_id="me", password="pw", system_type="VMS")
    pair.esme.bind(bind, pair.now)
    assert pair.esme.state is State.BINDING
    ours, theirs = pair.exchange()
    assert ours == []
    assert theirs == [BindRequested(sequence_number=1, kind=kind, pdu=bind)]
    assert pair.smsc.state is State.BINDING
    pair.smsc.accept_bind(1, "smsc", pair.now)
    assert pair.smsc.state is state
    ours, theirs = pair.exchange()
    pdu = response(system_id="smsc", tlvs=((0x0210, b"\x34"),))
    assert ours == [Bound(kind=kind, system_id="smsc", interface_version=0x34, pdu=pdu)]
    assert theirs == []
    assert pair.esme.state is state
    assert pair.esme.kind is pair.smsc.kind is kind


def test_an_old_esme_gets_no_tlv_and_an_smsc_without_one_has_no_version() -> None:
    pair = Pair()
    pair.esme.bind(BindTransceiver(interface_version=0x33), pair.now)
    pair.exchange()
    pair.smsc.accept_bind(1, "smsc", pair.now)
    (bound,), _ = pair.exchange()
    assert isinstance(bound, Bound)
    assert bound.pdu.tlvs == ()
    assert bound.interface_version == 0


def test_refused_bind() -> None:
    pair = Pair()
    pair.esme.bind(BindTransmitter(), pair.now)
    pair.exchange()
    pair.smsc.refuse_bind(1, CommandStatus.ESME_RINVPASWD, pair.now)
    octets = pair.smsc.data_to_send()
    assert octets.hex() == "00000010800000020000000e00000001"
    pair.esme.receive_data(octets, pair.now)
    assert events_of(pair.esme) == [BindRefused(command_status=0x0E)]
    assert pair.esme.state is pair.smsc.state is State.OPEN
    pair.bind(BindReceiver)
    assert pair.esme.state is pair.smsc.state is State.BOUND_RX


def test_bind_is_refused_with_an_error_only() -> None:
    pair = Pair()
    pair.esme.bind(BindTransmitter(), pair.now)
    pair.exchange()
    with pytest.raises(LocalProtocolError, match="not with ESME_ROK"):
        pair.smsc.refuse_bind(1, 0, pair.now)


def test_bind_answered_with_generic_nack_is_refused() -> None:
    pair = Pair()
    pair.esme.bind(BindTransceiver(), pair.now)
    receive(pair.esme, GenericNack(), 1, pair.now, CommandStatus.ESME_RINVCMDID)
    assert events_of(pair.esme) == [BindRefused(command_status=3)]
    assert pair.esme.state is State.OPEN


def test_bind_answered_with_the_response_of_another_kind_is_what_we_asked_for() -> None:
    pair = Pair()
    pair.esme.bind(BindReceiver(), pair.now)
    receive(pair.esme, BindTransceiverResp(system_id="x"), 1, pair.now)
    (bound,) = events_of(pair.esme)
    assert isinstance(bound, Bound)
    assert bound.kind is BindKind.RECEIVER
    assert pair.esme.state is State.BOUND_RX


def test_bind_answered_with_something_else_still_waits() -> None:
    pair = Pair()
    pair.esme.bind(BindReceiver(), pair.now)
    receive(pair.esme, SubmitSmResp(), 1, pair.now, 8)
    (ignored,) = events_of(pair.esme)
    assert isinstance(ignored, ResponseIgnored)
    assert pair.esme.state is State.BINDING


def test_response_with_another_number_does_not_bind() -> None:
    pair = Pair()
    pair.esme.bind(BindReceiver(), pair.now)
    receive(pair.esme, BindReceiverResp(), 2, pair.now)
    (ignored,) = events_of(pair.esme)
    assert isinstance(ignored, ResponseIgnored)
    assert pair.esme.state is State.BINDING


def test_only_the_bind_that_waits_is_answered() -> None:
    pair = Pair()
    with pytest.raises(LocalProtocolError, match="no bind waits for an answer in state open"):
        pair.smsc.accept_bind(1, "smsc", pair.now)
    pair.esme.bind(BindTransmitter(), pair.now)
    pair.exchange()
    with pytest.raises(LocalProtocolError, match="has sequence_number 1, not 2"):
        pair.smsc.accept_bind(2, "smsc", pair.now)
    with pytest.raises(LocalProtocolError, match="no bind waits"):
        pair.esme.accept_bind(1, "me", pair.now)
    pair.smsc.accept_bind(1, "smsc", pair.now)
    with pytest.raises(LocalProtocolError, match="no bind waits for an answer in state bound_tx"):
        pair.smsc.refuse_bind(1, 8, pair.now)


def test_a_system_id_that_does_not_fit_leaves_the_bind_waiting() -> None:
    pair = Pair()
    pair.esme.bind(BindTransmitter(), pair.now)
    pair.exchange()
    with pytest.raises(LocalProtocolError, match="system_id takes at most 15"):
        pair.smsc.accept_bind(1, "x" * 16, pair.now)
    pair.smsc.accept_bind(1, "x", pair.now)
    assert pair.smsc.state is State.BOUND_TX


@pytest.mark.parametrize("answered", ["before", "after"])
def test_second_bind_is_already_bound(answered: str) -> None:
    pair = Pair()
    receive(pair.smsc, BindTransmitter(), 1, pair.now)
    if answered == "after":
        pair.smsc.accept_bind(1, "smsc", pair.now)
    pair.smsc.data_to_send()
    events_of(pair.smsc)
    receive(pair.smsc, BindReceiver(), 2, pair.now)
    (rejected,) = events_of(pair.smsc)
    assert isinstance(rejected, PduRejected)
    assert rejected.command_status == CommandStatus.ESME_RALYBND
    assert pair.smsc.data_to_send().hex() == "00000010800000010000000500000002"


def test_outbind() -> None:
    pair = Pair()
    pair.smsc.outbind(Outbind(system_id="smsc", password="pw"), pair.now)
    assert pair.smsc.state is State.OUTBOUND
    ours, _ = pair.exchange()
    assert ours == [Outbound(pdu=Outbind(system_id="smsc", password="pw"))]
    assert pair.esme.state is State.OUTBOUND
    pair.bind(BindReceiver)
    assert pair.smsc.state is State.BOUND_RX


# Messages


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (TEXT, SubmitSmResp(message_id="a1")),
        (DataSm(source_addr="1", tlvs=((0x0424, b"x"),)), DataSmResp(message_id="a2")),
        (QuerySm(message_id="a1"), QuerySmResp(message_id="a1", message_state=2)),
    ],
)
def test_request_to_the_smsc(request_: Pdu, response: Pdu) -> None:
    pair = Pair().bind()
    number = pair.esme.request(request_, pair.now)
    octets = pair.esme.octets_of(number)
    assert octets == encode(request_, sequence_number=number)
    ours, theirs = pair.exchange()
    assert (ours, theirs) == (
        [],
        [RequestReceived(sequence_number=number, pdu=request_, octets=octets)],
    )
    pair.smsc.answer(number, response, pair.now)
    ours, _ = pair.exchange()
    assert ours == [
        ResponseReceived(
            sequence_number=number,
            command_status=0,
            pdu=response,
            octets=encode(response, sequence_number=number),
            late=False,
            request=octets,
        )
    ]


@pytest.mark.parametrize(
    ("request_", "response"),
    [(REPLY, DeliverSmResp()), (DataSm(source_addr="2"), DataSmResp(message_id="b"))],
)
def test_request_to_the_esme(request_: Pdu, response: Pdu) -> None:
    pair = Pair().bind()
    number = pair.smsc.request(request_, pair.now)
    (received,), _ = pair.exchange()
    assert isinstance(received, RequestReceived)
    pair.esme.answer(number, response, pair.now, CommandStatus.ESME_RX_T_APPN)
    _, (answered,) = pair.exchange()
    assert isinstance(answered, ResponseReceived)
    assert answered.command_status == CommandStatus.ESME_RX_T_APPN
    assert pair.smsc.window_free == 10


def test_nothing_answers_a_message_but_the_application() -> None:
    pair = Pair().bind()
    pair.esme.request(TEXT, pair.now)
    pair.smsc.request(REPLY, pair.now)
    pair.exchange()
    assert pair.smsc.data_to_send() == pair.esme.data_to_send() == b""
    assert pair.esme.window_free == pair.smsc.window_free == 9


def test_alert_notification_takes_no_place_in_the_window() -> None:
    pair = Pair(smsc=SessionConfig(window=1)).bind()
    alert = AlertNotification(source_addr="44", esme_addr="1")
    pair.smsc.request(REPLY, pair.now)
    number = pair.smsc.request(alert, pair.now)
    assert pair.smsc.window_free == 0
    (_, received), _ = pair.exchange()
    assert isinstance(received, RequestReceived)
    assert received.pdu == alert
    with pytest.raises(LocalProtocolError, match=rf"no request waits under .* {number}"):
        pair.smsc.octets_of(number)


def test_generic_nack_is_the_answer_to_its_number() -> None:
    pair = Pair().bind()
    number = pair.esme.request(TEXT, pair.now)
    pair.exchange()
    pair.smsc.nack(number, CommandStatus.ESME_RINVCMDID, pair.now)
    (answered,), _ = pair.exchange()
    assert isinstance(answered, ResponseReceived)
    assert (answered.pdu, answered.command_status) == (GenericNack(), 3)
    assert pair.esme.window_free == 10


@pytest.mark.parametrize("number", [0, 77])
def test_generic_nack_to_nothing_is_ignored(number: int) -> None:
    pair = Pair().bind()
    waiting = pair.esme.request(TEXT, pair.now)
    receive(pair.esme, GenericNack(), number, pair.now, 3)
    (ignored,) = events_of(pair.esme)
    octets = encode(GenericNack(), sequence_number=number, command_status=3)
    assert ignored == ResponseIgnored(
        sequence_number=number, command_status=3, pdu=GenericNack(), octets=octets
    )
    assert pair.esme.octets_of(waiting)


def test_response_of_another_command_is_ignored_and_the_request_waits() -> None:
    pair = Pair().bind()
    number = pair.esme.request(TEXT, pair.now)
    receive(pair.esme, QuerySmResp(), number, pair.now)
    (ignored,) = events_of(pair.esme)
    assert isinstance(ignored, ResponseIgnored)
    receive(pair.esme, SubmitSmResp(), number, pair.now)
    (answered,) = events_of(pair.esme)
    assert isinstance(answered, ResponseReceived)


def test_second_response_is_ignored() -> None:
    pair = Pair().bind()
    number = pair.esme.request(TEXT, pair.now)
    receive(pair.esme, SubmitSmResp(message_id="1"), number, pair.now)
    receive(pair.esme, SubmitSmResp(message_id="2"), number, pair.now)
    first, second = events_of(pair.esme)
    assert isinstance(first, ResponseReceived)
    assert isinstance(second, ResponseIgnored)


def test_all_requests_of_a_batch_are_written_at_once() -> None:
    pair = Pair().bind()
    numbers = [pair.esme.request(TEXT, pair.now) for _ in range(5)]
    octets = pair.esme.data_to_send()
    assert [frame.sequence_number for frame in frames_of(octets)] == numbers
    assert pair.esme.data_to_send() == b""


def test_a_request_that_does_not_fit_changes_nothing() -> None:
    pair = Pair().bind()
    with pytest.raises(LocalProtocolError, match="source_addr takes at most 20"):
        pair.esme.request(SubmitSm(source_addr="x" * 21), pair.now)
    assert pair.esme.window_free == 10
    assert pair.esme.data_to_send() == b""


# Refused commands


def test_messages_need_a_bind_that_carries_them() -> None:
    pair = Pair()
    with pytest.raises(LocalProtocolError, match=r"submit_sm from the ESME .* in state open"):
        pair.esme.request(TEXT, pair.now)
    pair.bind(BindReceiver)
    with pytest.raises(LocalProtocolError, match="not allowed in state bound_rx"):
        pair.esme.request(TEXT, pair.now)
    with pytest.raises(LocalProtocolError, match="deliver_sm from the ESME"):
        pair.esme.request(REPLY, pair.now)


@pytest.mark.parametrize("pdu", [EnquireLink(), Unbind()])
def test_the_link_is_the_sessions_own_business(pdu: Pdu) -> None:
    pair = Pair().bind()
    with pytest.raises(LocalProtocolError, match="the session's own business"):
        pair.esme.request(pdu, pair.now)


def test_roles_are_kept() -> None:
    pair = Pair()
    with pytest.raises(LocalProtocolError, match="bind_receiver from the SMSC"):
        pair.smsc.bind(BindReceiver(), pair.now)
    with pytest.raises(LocalProtocolError, match="outbind from the ESME"):
        pair.esme.outbind(Outbind(), pair.now)
    with pytest.raises(LocalProtocolError, match="unbind from the ESME is not allowed"):
        pair.esme.unbind(pair.now)
    with pytest.raises(LocalProtocolError, match="submit_sm_resp from the SMSC is not allowed"):
        pair.smsc.answer(1, SubmitSmResp(), pair.now)


@pytest.mark.parametrize("pdu", [TEXT, EnquireLinkResp(), UnbindResp(), BindReceiverResp()])
def test_answers_are_responses_to_messages(pdu: Pdu) -> None:
    pair = Pair().bind()
    with pytest.raises(LocalProtocolError, match="answers no message request"):
        pair.esme.answer(1, pdu, pair.now)


# The window and its numbers


def test_window_edge() -> None:
    pair = Pair(esme=SessionConfig(window=3)).bind()
    assert pair.esme.window_free == 3
    numbers = [pair.esme.request(TEXT, pair.now) for _ in range(3)]
    assert pair.esme.window_free == 0
    with pytest.raises(LocalProtocolError, match="the window is full: 3 requests wait"):
        pair.esme.request(TEXT, pair.now)
    receive(pair.esme, SubmitSmResp(), numbers[1], pair.now)
    assert pair.esme.window_free == 1
    pair.esme.request(TEXT, pair.now)
    assert pair.esme.window_free == 0


def test_numbers_wrap_past_those_in_use() -> None:
    pair = Pair(esme=SessionConfig(first_sequence_number=0x7FFF_FFFD)).bind()
    numbers = [pair.esme.request(TEXT, pair.now) for _ in range(3)]
    assert numbers == [0x7FFF_FFFE, 0x7FFF_FFFF, 1]
    pair.exchange()
    for number in numbers:
        pair.smsc.answer(number, SubmitSmResp(message_id=f"{number:x}"), pair.now)
    ours, _ = pair.exchange()
    assert [event.sequence_number for event in ours] == numbers


def test_numbers_differ_from_the_bind_and_the_enquire_link_that_wait() -> None:
    pair = Pair(esme=SessionConfig(enquire_link_interval=5)).bind()
    session = pair.esme
    session.handle_timer(pair.now + 5)
    (enquiry,) = frames_of(session.data_to_send())
    session._window._next = enquiry.sequence_number
    assert session.request(TEXT, pair.now) == enquiry.sequence_number + 1
    session._window._next = 4
    session.unbind(pair.now)
    (_, unbind) = frames_of(session.data_to_send())
    session._window._next = unbind.sequence_number
    assert session._take_number() == unbind.sequence_number + 1


# Unbinding and closing


def test_unbind_by_the_esme() -> None:
    pair = Pair().bind()
    pair.esme.unbind(pair.now)
    assert pair.esme.state is State.UNBINDING
    ours, theirs = pair.exchange()
    assert theirs == [Unbinding(), Unbound()]
    assert ours == [Unbound(), Closed(reason=CloseReason.UNBOUND, outstanding=())]
    assert pair.esme.closed
    assert pair.smsc.state is State.UNBOUND
    pair.smsc.receive_data(b"", pair.now)
    assert events_of(pair.smsc) == [Closed(reason=CloseReason.UNBOUND, outstanding=())]


def test_unbind_by_the_smsc_names_what_is_outstanding() -> None:
    pair = Pair().bind()
    number = pair.esme.request(TEXT, pair.now)
    pair.smsc.unbind(pair.now)
    ours, theirs = pair.exchange()
    assert ours == [Unbinding(), Unbound()]
    assert isinstance(theirs[0], RequestReceived)
    assert theirs[1:] == [Unbound(), Closed(reason=CloseReason.UNBOUND, outstanding=())]
    pair.esme.receive_data(b"", pair.now)
    assert events_of(pair.esme) == [Closed(reason=CloseReason.UNBOUND, outstanding=(number,))]
    assert pair.esme.octets_of(number) == encode(TEXT, sequence_number=number)


def test_both_unbind_at_once() -> None:
    pair = Pair().bind()
    pair.esme.unbind(pair.now)
    pair.smsc.unbind(pair.now)
    ours, theirs = pair.exchange()
    for events in (ours, theirs):
        assert events == [
            Unbinding(),
            Unbound(),
            Closed(reason=CloseReason.UNBOUND, outstanding=()),
        ]


@pytest.mark.parametrize(
    ("pdu", "status"), [(UnbindResp(), CommandStatus.ESME_RSYSERR), (GenericNack(), 3)]
)
def test_refused_unbind_ends_the_session_all_the_same(pdu: Pdu, status: int) -> None:
    pair = Pair().bind()
    pair.esme.unbind(pair.now)
    (unbind,) = frames_of(pair.esme.data_to_send())
    receive(pair.esme, pdu, unbind.sequence_number, pair.now, status)
    assert events_of(pair.esme)[-1] == Closed(reason=CloseReason.UNBOUND, outstanding=())


def test_something_else_with_the_number_of_unbind_is_ignored() -> None:
    pair = Pair().bind()
    pair.esme.unbind(pair.now)
    (unbind,) = frames_of(pair.esme.data_to_send())
    receive(pair.esme, EnquireLinkResp(), unbind.sequence_number, pair.now)
    (ignored,) = events_of(pair.esme)
    assert isinstance(ignored, ResponseIgnored)
    assert pair.esme.state is State.UNBINDING


def test_messages_under_way_are_taken_and_answered_while_unbinding() -> None:
    pair = Pair().bind()
    sent = pair.esme.request(TEXT, pair.now)
    delivered = pair.smsc.request(REPLY, pair.now)
    pair.esme.unbind(pair.now)
    pair.esme.receive_data(pair.smsc.data_to_send(), pair.now)
    (received,) = events_of(pair.esme)
    assert isinstance(received, RequestReceived)
    pair.esme.answer(delivered, DeliverSmResp(), pair.now)
    receive(pair.esme, SubmitSmResp(), sent, pair.now)
    receive(pair.esme, EnquireLink(), 99, pair.now)
    (answered,) = events_of(pair.esme)
    assert isinstance(answered, ResponseReceived)
    kinds = [type(frame.pdu) for frame in frames_of(pair.esme.data_to_send())]
    assert kinds == [SubmitSm, Unbind, DeliverSmResp, EnquireLinkResp]
    with pytest.raises(LocalProtocolError, match="not allowed in state unbinding"):
        pair.esme.request(TEXT, pair.now)
    with pytest.raises(LocalProtocolError, match="not allowed in state unbinding"):
        pair.esme.unbind(pair.now)


def test_after_unbind_only_enquire_link_is_answered_well() -> None:
    pair = Pair().bind()
    receive(pair.smsc, Unbind(), 50, pair.now)
    pair.smsc.data_to_send()
    events_of(pair.smsc)
    receive(pair.smsc, EnquireLink(), 51, pair.now)
    receive(pair.smsc, TEXT, 52, pair.now)
    receive(pair.smsc, BindReceiver(), 53, pair.now)
    answers = frames_of(pair.smsc.data_to_send())
    assert [(type(a.pdu), a.command_status) for a in answers] == [
        (EnquireLinkResp, 0),
        (SubmitSmResp, CommandStatus.ESME_RINVBNDSTS),
        (BindReceiverResp, CommandStatus.ESME_RINVBNDSTS),
    ]
    with pytest.raises(LocalProtocolError, match="not allowed in state unbound"):
        pair.smsc.answer(1, SubmitSmResp(), pair.now)


def test_peer_closes() -> None:
    pair = Pair().bind()
    numbers = tuple(pair.esme.request(TEXT, pair.now) for _ in range(3))
    pair.esme.receive_data(b"", pair.now)
    assert events_of(pair.esme) == [Closed(reason=CloseReason.PEER_CLOSED, outstanding=numbers)]
    assert pair.esme.closed
    assert pair.esme.timer() is None


def test_we_close() -> None:
    pair = Pair().bind()
    pair.esme.close()
    pair.esme.close()
    assert events_of(pair.esme) == [Closed(reason=CloseReason.CLOSED, outstanding=())]


def test_after_the_end_nothing_happens_and_nothing_is_written() -> None:
    pair = Pair().bind()
    pair.esme.close()
    events_of(pair.esme)
    receive(pair.esme, REPLY, 1, pair.now)
    pair.esme.receive_data(b"", pair.now)
    pair.esme.handle_timer(pair.now + 1000)
    assert pair.esme.next_event() is None
    for command in (
        lambda: pair.esme.request(TEXT, pair.now),
        lambda: pair.esme.answer(1, DeliverSmResp(), pair.now),
        lambda: pair.esme.nack(1, 8, pair.now),
        lambda: pair.esme.unbind(pair.now),
        lambda: pair.esme.bind(BindReceiver(), pair.now),
        lambda: pair.smsc.accept_bind(1, "x", pair.now),
    ):
        with pytest.raises(LocalProtocolError):
            command()
    assert pair.esme.data_to_send() == b""


# Peers that misbehave


def test_bad_pdu_is_answered_and_the_next_one_taken() -> None:
    pair = Pair().bind()
    bad = struct.pack(">IIII", 18, 4, 0, 70) + b"\0\0"
    good = encode(TEXT, sequence_number=71)
    pair.smsc.receive_data(bad + good, pair.now)
    rejected, received = events_of(pair.smsc)
    assert isinstance(rejected, PduRejected)
    assert rejected.command_status == CommandStatus.ESME_RINVCMDLEN
    assert "source_addr_npi ends before" in rejected.reason
    assert rejected.octets == bad
    assert isinstance(received, RequestReceived)
    assert received.sequence_number == 71
    assert pair.smsc.data_to_send().hex() == "00000010800000040000000200000046"


def test_unknown_command_gets_generic_nack() -> None:
    pair = Pair().bind()
    pair.smsc.receive_data(struct.pack(">IIII", 16, 0x111, 0, 70), pair.now)
    (rejected,) = events_of(pair.smsc)
    assert isinstance(rejected, PduRejected)
    assert rejected.command_status == CommandStatus.ESME_RINVCMDID
    assert pair.smsc.data_to_send().hex() == "00000010800000000000000300000046"
    assert pair.smsc.state is State.BOUND_TRX


def test_unknown_response_is_reported_and_not_answered() -> None:
    pair = Pair().bind()
    pair.smsc.receive_data(struct.pack(">IIII", 16, 0x8000_0111, 0, 70), pair.now)
    (rejected,) = events_of(pair.smsc)
    assert isinstance(rejected, PduRejected)
    assert pair.smsc.data_to_send() == b""


def test_broken_alert_notification_gets_generic_nack() -> None:
    pair = Pair().bind()
    pair.esme.receive_data(struct.pack(">IIII", 16, 0x102, 0, 70), pair.now)
    assert pair.esme.data_to_send().hex() == "00000010800000000000000200000046"


def test_unreadable_length_costs_the_session() -> None:
    pair = Pair().bind()
    number = pair.smsc.request(REPLY, pair.now)
    pair.smsc.data_to_send()
    stream = b"\0\0\0\x0f" + encode(TEXT, sequence_number=1)
    pair.smsc.receive_data(stream, pair.now)
    rejected, closed = events_of(pair.smsc)
    assert isinstance(rejected, PduRejected)
    assert rejected.command_status == CommandStatus.ESME_RINVCMDLEN
    assert closed == Closed(reason=CloseReason.UNREADABLE, outstanding=(number,))
    assert pair.smsc.data_to_send().hex() == "00000010800000000000000200000000"


def test_max_pdu_is_the_configs() -> None:
    pair = Pair(smsc=SessionConfig(max_pdu=100)).bind()
    pair.smsc.receive_data(struct.pack(">IIII", 101, 4, 0, 70), pair.now)
    assert pair.smsc.closed
    assert pair.smsc.data_to_send().hex() == "00000010800000000000000200000046"


def test_message_before_the_bind_is_answered_with_the_state() -> None:
    pair = Pair()
    pair.esme.bind(BindTransceiver(), pair.now)
    pair.esme.data_to_send()
    receive(pair.esme, REPLY, 5, pair.now)
    (rejected,) = events_of(pair.esme)
    assert isinstance(rejected, PduRejected)
    assert rejected.command_status == CommandStatus.ESME_RINVBNDSTS
    assert rejected.reason == "deliver_sm from the SMSC is not allowed in state binding"
    assert pair.esme.data_to_send().hex() == "00000010800000050000000400000005"


@pytest.mark.parametrize("declared", BINDS)
def test_enquire_link_is_answered_while_bound(declared: type[Bind]) -> None:
    pair = Pair().bind(declared)
    for session in (pair.esme, pair.smsc):
        receive(session, EnquireLink(), 0x7FFF_FFFF, pair.now)
        assert session.next_event() is None
        assert session.data_to_send().hex() == "0000001080000015000000007fffffff"


def test_octet_by_octet_gives_the_same_events() -> None:
    stream = b"".join(
        (
            encode(BindTransceiver(system_id="me"), sequence_number=1),
            encode(TEXT, sequence_number=2),
            encode(EnquireLink(), sequence_number=3),
            struct.pack(">IIII", 17, 4, 0, 4) + b"x",
            encode(SubmitSmResp(), sequence_number=5),
        )
    )
    whole, pieces = (Session(Role.SMSC, SessionConfig(), 0.0) for _ in range(2))
    whole.receive_data(stream, 0.0)
    for octet in stream:
        pieces.receive_data(bytes([octet]), 0.0)
    events = events_of(whole)
    assert events_of(pieces) == events
    assert [type(event) for event in events] == [
        BindRequested,
        PduRejected,
        PduRejected,
        ResponseIgnored,
    ]
    assert pieces.data_to_send() == whole.data_to_send()


# Late responses


def test_late_response_is_matched() -> None:
    pair = Pair(esme=SessionConfig(response_timeout=10)).bind()
    number = pair.esme.request(TEXT, pair.now)
    octets = pair.esme.octets_of(number)
    pair.esme.data_to_send()
    pair.esme.handle_timer(pair.now + 10)
    assert events_of(pair.esme) == [RequestTimedOut(sequence_number=number, request=octets)]
    assert pair.esme.window_free == 10
    assert pair.esme.octets_of(number) == octets
    receive(pair.esme, SubmitSmResp(message_id="x"), number, pair.now + 11)
    receive(pair.esme, SubmitSmResp(message_id="x"), number, pair.now + 12)
    late, ignored = events_of(pair.esme)
    assert isinstance(late, ResponseReceived)
    assert late.late
    assert late.request == octets
    assert isinstance(ignored, ResponseIgnored)


def test_late_memory_is_bounded() -> None:
    pair = Pair(esme=SessionConfig(window=5, late_memory=2)).bind()
    numbers = [pair.esme.request(TEXT, pair.now) for _ in range(5)]
    pair.esme.handle_timer(pair.now + 10)
    assert len(events_of(pair.esme)) == 5
    for number in numbers:
        receive(pair.esme, SubmitSmResp(), number, pair.now + 11)
    kinds = [type(event) for event in events_of(pair.esme)]
    assert kinds == [ResponseIgnored] * 3 + [ResponseReceived] * 2
