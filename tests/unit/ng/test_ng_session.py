"""Commands and their answers without a socket: when they go out again, and what ends the wait."""

import random

import pytest

from protocols.ng import message
from protocols.ng.errors import LocalProtocolError
from protocols.ng.events import Answered, GaveUp
from protocols.ng.message import Message
from protocols.ng.session import Session

ASKED = Message(cookie="c1", fields={"command": "ping"})
OTHER = Message(cookie="c2", fields={"command": "ping"})


def answer(to: Message, result: str = "pong") -> bytes:
    return message.write(Message(cookie=to.cookie, fields={"result": result}))


def test_a_command_goes_out_again_after_pauses_that_double_until_patience_ends() -> None:
    session = Session(patience=2.0)
    session.ask(ASKED, 10.0)
    went: list[float] = []
    now = 10.0
    while True:
        went += [now] * len(session.data_to_send())
        due = session.timer()
        if due is None:
            break
        session.handle_timer(due - 0.001)
        assert session.data_to_send() == []
        now = due
        session.handle_timer(now)
    assert went == [10.0, 10.25, 10.75, 11.75]
    assert now == 12.0
    assert session.next_event() == GaveUp(cookie="c1", reason="did not answer within 2 s")
    assert session.next_event() is None


def test_an_answer_ends_the_wait_and_comes_once() -> None:
    session = Session()
    session.ask(ASKED, 0.0)
    (octets,) = session.data_to_send()
    assert message.read(octets) == ASKED
    for _ in range(2):
        session.receive_data(answer(ASKED), 0.1)
    assert session.next_event() == Answered(cookie="c1", fields={"result": "pong"})
    assert session.next_event() is None
    assert session.timer() is None
    session.handle_timer(100.0)
    assert session.data_to_send() == []


def test_each_has_its_own_answer_and_its_own_time() -> None:
    session = Session(patience=1.0)
    session.ask(ASKED, 0.0)
    session.ask(OTHER, 0.1)
    assert len(session.data_to_send()) == 2
    session.receive_data(answer(OTHER), 0.2)
    assert session.timer() == 0.25
    for now in (0.25, 0.75, 1.0):
        session.handle_timer(now)
    told = session.next_event(), session.next_event()
    assert [(type(each), each.cookie) for each in told if each] == [
        (Answered, "c2"),
        (GaveUp, "c1"),
    ]


def test_where_nobody_listens_all_are_given_up_and_nothing_goes_out() -> None:
    session = Session()
    session.ask(ASKED, 0.0)
    session.ask(OTHER, 0.0)
    session.fail("is not there")
    assert session.data_to_send() == []
    assert session.timer() is None
    told = session.next_event(), session.next_event()
    assert told == tuple(GaveUp(cookie=each, reason="is not there") for each in ("c1", "c2"))
    session.ask(ASKED, 5.0)
    assert len(session.data_to_send()) == 1


def test_trouble_that_did_not_pass_is_told_of() -> None:
    session = Session(patience=1.0)
    session.ask(ASKED, 0.0)
    session.report("no route")
    for now in (0.25, 0.75, 1.0):
        session.handle_timer(now)
    assert session.next_event() == GaveUp(
        cookie="c1", reason="did not answer within 1 s (no route)"
    )
    session.report("no route")
    session.receive_data(answer(OTHER), 1.5)  # somebody is heard again
    session.ask(ASKED, 2.0)
    session.handle_timer(3.0)
    assert session.next_event() == GaveUp(cookie="c1", reason="did not answer within 1 s")


def test_what_is_forgotten_goes_out_no_more() -> None:
    session = Session()
    session.ask(ASKED, 0.0)
    session.data_to_send()
    session.forget("c1")
    session.forget("c1")
    session.receive_data(answer(ASKED), 0.1)
    assert (session.timer(), session.next_event()) == (None, None)


@pytest.mark.parametrize("octets", [b"", b"\xff", b"c1 3:abc", b"c1 d1:a", b"c9 de"])
def test_what_nobody_asked_for_or_can_read_is_dropped(octets: bytes) -> None:
    session = Session()
    session.ask(ASKED, 0.0)
    session.receive_data(octets, 0.1)
    assert session.next_event() is None
    session.receive_data(answer(ASKED), 0.2)
    assert isinstance(session.next_event(), Answered)


def test_what_cant_be_asked_waits_for_nothing() -> None:
    session = Session()
    with pytest.raises(LocalProtocolError, match="cookie"):
        session.ask(Message(cookie="", fields={}), 0.0)
    assert (session.timer(), session.data_to_send()) == (None, [])
    session.ask(ASKED, 0.0)
    with pytest.raises(LocalProtocolError, match="waits already"):
        session.ask(ASKED, 0.0)


@pytest.mark.parametrize("seed", range(50))
def test_whatever_happens_each_command_ends_once_and_in_time(seed: int) -> None:
    chance = random.Random(seed)
    session, now, asked, ended = Session(patience=2.0), 0.0, dict[str, float](), set[str]()

    def collect() -> None:
        while (event := session.next_event()) is not None:
            assert event.cookie in asked and event.cookie not in ended
            assert now <= asked[event.cookie] + 2.0
            ended.add(event.cookie)

    for number in range(200):
        until = now + chance.random() * 0.3
        while (due := session.timer()) is not None and due <= until:
            assert due >= now
            now = due
            session.handle_timer(now)
            collect()
        now = until
        match chance.randrange(6):
            case 0 | 1:
                command = Message(cookie=f"c{number}", fields={"command": "ping"})
                asked[command.cookie] = now
                session.ask(command, now)
            case 2 | 3 if asked:
                known = Message(cookie=chance.choice(list(asked)), fields={})
                session.receive_data(answer(known), now)
            case 4:
                session.receive_data(chance.randbytes(chance.randrange(20)), now)
            case 5 if not chance.randrange(10):
                session.fail("is gone")
        collect()
    while (due := session.timer()) is not None:
        now = due
        session.handle_timer(now)
        collect()
    assert ended == asked.keys()
