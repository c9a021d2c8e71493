"""The timers of a session by their names, with the clock in the hand."""

import pytest

from protocols.smpp.codec import encode
from protocols.smpp.events import (
    Closed,
    CloseReason,
    RequestTimedOut,
    ResponseIgnored,
    Unbinding,
    Unbound,
)
from protocols.smpp.pdu import (
    BindTransceiver,
    BindTransmitter,
    CommandStatus,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    SubmitSm,
    SubmitSmResp,
    Unbind,
)
from protocols.smpp.session import Role, Session, SessionConfig, State
from protocols.smpp.window import Outstanding, Window
from tests.unit.smpp.smpp_pair import Pair, events_of, frames_of

TEXT = SubmitSm(source_addr="1", destination_addr="2")
QUIET = SessionConfig(enquire_link_interval=0, session_init_timeout=5, response_timeout=10)


def closed(session: Session) -> Closed:
    (event,) = events_of(session)
    assert isinstance(event, Closed)
    return event


def run_out(session: Session, due: float) -> None:
    """The timer is due at that moment and not before."""
    assert session.timer() == due
    session.handle_timer(due - 0.001)
    assert session.next_event() is None
    assert session.data_to_send() == b""
    assert session.timer() == due
    session.handle_timer(due)


# session_init


def test_session_init() -> None:
    session = Session(Role.SMSC, SessionConfig(session_init_timeout=5), 100.0)
    run_out(session, 105.0)
    assert closed(session).reason is CloseReason.SESSION_INIT_TIMEOUT
    assert session.timer() is None


def test_session_init_is_the_smscs_timer() -> None:
    assert Session(Role.ESME, SessionConfig(), 100.0).timer() is None


def test_session_init_stops_with_the_bind_and_starts_anew_when_it_is_refused() -> None:
    pair = Pair(esme=QUIET, smsc=QUIET)
    pair.esme.bind(BindTransmitter(), pair.now)
    pair.exchange()
    assert pair.smsc.timer() is None
    pair.smsc.refuse_bind(1, CommandStatus.ESME_RINVPASWD, pair.now + 4)
    assert pair.smsc.timer() == pair.now + 9


def test_traffic_without_a_bind_does_not_hold_session_init() -> None:
    session = Session(Role.SMSC, SessionConfig(session_init_timeout=5), 100.0)
    session.receive_data(encode(EnquireLink(), sequence_number=1), 104.0)
    assert session.timer() == 105.0


def test_outbind_starts_session_init_anew() -> None:
    session = Session(Role.SMSC, QUIET, 100.0)
    session.outbind(Outbind(), 103.0)
    session.data_to_send()
    run_out(session, 108.0)
    assert closed(session).reason is CloseReason.SESSION_INIT_TIMEOUT


def test_peer_that_unbinds_and_stays_is_closed() -> None:
    pair = Pair(smsc=QUIET).bind()
    pair.smsc.receive_data(encode(Unbind(), sequence_number=9), pair.now + 1)
    pair.smsc.data_to_send()
    assert events_of(pair.smsc) == [Unbinding(), Unbound()]
    run_out(pair.smsc, pair.now + 6)
    assert closed(pair.smsc).reason is CloseReason.UNBOUND


# response


def test_bind_without_an_answer() -> None:
    session = Session(Role.ESME, SessionConfig(response_timeout=10), 100.0)
    session.bind(BindTransceiver(), 101.0)
    session.data_to_send()
    run_out(session, 111.0)
    assert closed(session).reason is CloseReason.BIND_TIMEOUT


def test_unbind_without_an_answer() -> None:
    pair = Pair(esme=SessionConfig(response_timeout=10)).bind()
    pair.esme.unbind(pair.now)
    pair.esme.data_to_send()
    run_out(pair.esme, pair.now + 10)
    assert closed(pair.esme).reason is CloseReason.UNBIND_TIMEOUT


def test_requests_time_out_oldest_first() -> None:
    pair = Pair(esme=QUIET).bind()
    session, now = pair.esme, pair.now
    first = [session.request(TEXT, now) for _ in range(2)]
    second = session.request(TEXT, now + 1)
    third = session.request(TEXT, now + 2)
    session.data_to_send()
    assert session.timer() == now + 10
    session.receive_data(encode(SubmitSmResp(), sequence_number=first[0]), now + 3)
    events_of(session)
    run_out(session, now + 10)
    (event,) = events_of(session)
    assert isinstance(event, RequestTimedOut)
    assert event.sequence_number == first[1]
    session.receive_data(encode(SubmitSmResp(), sequence_number=second), now + 10.5)
    assert session.timer() == now + 12
    session.handle_timer(now + 50)
    assert [event.sequence_number for event in events_of(session)[1:]] == [third]
    assert session.timer() is None
    assert not session.closed


def test_session_goes_on_after_a_timeout() -> None:
    pair = Pair(esme=SessionConfig(window=1, enquire_link_interval=0)).bind()
    pair.esme.request(TEXT, pair.now)
    pair.esme.handle_timer(pair.now + 10)
    assert pair.esme.window_free == 1
    pair.esme.request(TEXT, pair.now + 10)


def test_timer_of_thousands_looks_at_the_oldest_only() -> None:
    window = Window(size=20_000, late_memory=10)
    for number in range(1, 20_001):
        window.add(Outstanding(command_id=4, sequence_number=number, deadline=number, octets=b""))
    for number in range(1, 20_000):
        window.settle(number)
    assert window.deadline() == 20_000
    assert len(window._queue) == 1
    assert window.outstanding == (20_000,)


def test_number_used_again_keeps_its_own_deadline() -> None:
    window = Window(size=2, late_memory=10)
    window.add(Outstanding(command_id=4, sequence_number=1, deadline=10.0, octets=b"a"))
    window.settle(1)
    window.add(Outstanding(command_id=4, sequence_number=1, deadline=20.0, octets=b"b"))
    assert window.deadline() == 20.0
    assert window.expire(15.0) == []
    (expired,) = window.expire(20.0)
    assert expired.octets == b"b"


def test_numbers_of_late_requests_are_not_used_again() -> None:
    window = Window(size=2, late_memory=10, first=0x7FFF_FFFF)
    window.add(Outstanding(command_id=4, sequence_number=1, deadline=1.0, octets=b""))
    window.expire(1.0)
    assert window.take_number() == 0x7FFF_FFFF
    assert window.take_number() == 2
    window.settle(1)
    window.settle(1)
    assert window.late(1) is None


# enquire_link


def bound(**config: float) -> tuple[Session, float]:
    settings = {"enquire_link_interval": 30.0, "enquire_link_timeout": 7.0, **config}
    pair = Pair(esme=SessionConfig(**settings)).bind()
    return pair.esme, pair.now


def ask(session: Session, due: float) -> int:
    run_out(session, due)
    (frame,) = frames_of(session.data_to_send())
    assert frame.pdu == EnquireLink()
    return frame.sequence_number


def test_silence_is_asked_and_the_answer_keeps_the_link() -> None:
    session, now = bound()
    number = ask(session, now + 30)
    session.receive_data(encode(EnquireLinkResp(), sequence_number=number), now + 31)
    assert session.next_event() is None
    assert ask(session, now + 61) == number + 1


def test_no_answer_means_a_dead_link() -> None:
    session, now = bound()
    waiting = session.request(TEXT, now + 29)
    session.data_to_send()
    ask(session, now + 30)
    run_out(session, now + 37)
    assert closed(session) == Closed(
        reason=CloseReason.ENQUIRE_LINK_TIMEOUT, outstanding=(waiting,)
    )


def test_whoever_speaks_is_alive() -> None:
    session, now = bound()
    session.receive_data(encode(EnquireLink(), sequence_number=1), now + 20)
    session.data_to_send()
    number = ask(session, now + 50)
    session.receive_data(encode(EnquireLink(), sequence_number=2), now + 56)
    session.data_to_send()
    assert session.timer() == now + 86
    session.receive_data(encode(EnquireLinkResp(), sequence_number=number), now + 57)
    assert session.next_event() is None


def test_nacked_enquire_link_is_an_answer() -> None:
    session, now = bound()
    number = ask(session, now + 30)
    octets = encode(GenericNack(), sequence_number=number, command_status=3)
    session.receive_data(octets, now + 31)
    assert session.next_event() is None
    session.receive_data(octets, now + 32)
    assert isinstance(session.next_event(), ResponseIgnored)


def test_enquire_link_can_be_turned_off() -> None:
    session, _ = bound(enquire_link_interval=0)
    assert session.timer() is None


def test_nobody_asks_before_the_bind_or_after_the_unbind() -> None:
    config = SessionConfig(enquire_link_interval=1)
    session = Session(Role.ESME, config, 100.0)
    assert session.timer() is None
    session, now = bound()
    ask(session, now + 30)
    session.unbind(now + 31)
    session.data_to_send()
    assert session.timer() == now + 41
    session.handle_timer(now + 40)
    assert session.state is State.UNBINDING


# inactivity


def test_inactivity_unbinds() -> None:
    session, now = bound(inactivity_timeout=60.0, enquire_link_interval=0)
    run_out(session, now + 60)
    (frame,) = frames_of(session.data_to_send())
    assert frame.pdu == Unbind()
    session.receive_data(bytes.fromhex("000000108000000600000000") + frame.octets[12:], now + 61)
    assert events_of(session) == [
        Unbound(),
        Closed(reason=CloseReason.INACTIVITY_TIMEOUT, outstanding=()),
    ]


def test_enquire_link_is_no_activity() -> None:
    session, now = bound(inactivity_timeout=60.0, enquire_link_interval=0)
    session.receive_data(encode(EnquireLink(), sequence_number=1), now + 50)
    assert session.timer() == now + 60


@pytest.mark.parametrize("way", ["request", "response", "received", "answer", "nack"])
def test_messages_are_activity(way: str) -> None:
    pair = Pair(
        esme=SessionConfig(enquire_link_interval=0, response_timeout=500),
        smsc=SessionConfig(inactivity_timeout=60, enquire_link_interval=0, response_timeout=500),
    ).bind()
    session, now = pair.smsc, pair.now
    if way == "request":
        session.request(DeliverSm(), now + 40)
    elif way == "response":
        number = session.request(DeliverSm(), now)
        session.receive_data(encode(DeliverSmResp(), sequence_number=number), now + 40)
    elif way == "received":
        session.receive_data(encode(TEXT, sequence_number=5), now + 40)
    elif way == "answer":
        session.answer(5, SubmitSmResp(), now + 40)
    else:
        session.nack(5, 3, now + 40)
    assert session.timer() == now + 100


def test_an_answer_while_unbinding_revives_no_timer() -> None:
    session, now = bound(inactivity_timeout=1.0, response_timeout=500.0)
    session.unbind(now)
    session.data_to_send()
    session.answer(5, DeliverSmResp(), now)
    session.handle_timer(now + 60)
    assert session.state is State.UNBINDING
    assert session.timer() == now + 500


def test_dead_link_and_inactivity_at_once_is_a_dead_link() -> None:
    session, now = bound(inactivity_timeout=37.0)
    ask(session, now + 30)
    session.handle_timer(now + 37)
    assert closed(session).reason is CloseReason.ENQUIRE_LINK_TIMEOUT
