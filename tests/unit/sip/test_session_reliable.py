"""Provisional responses that arrive (RFC 3262): both ends, in order, with offers and answers."""

from typing import Any

import pytest
from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reliability
from protocols.sip.agent_events import Cause
from protocols.sip.derive import reply
from protocols.sip.errors import LocalProtocolError
from protocols.sip.headers import RAck, read_count, read_rack, write_rack
from protocols.sip.message import Headers, NameAddr, Response
from protocols.sip.session_offers import Bearer, Exchange, body_of
from protocols.sip.session_reliable import MAX_WAITING, Due, Sender
from protocols.sip.uri import SipUri
from tests.unit.sip.builders import party, request
from tests.unit.sip.parties import (
    ANSWER,
    OFFER,
    REANSWER,
    REOFFER,
    Party,
    Wire,
    finish,
    inject,
    pair,
    request_of,
)

RELIABLY = Reliability.IF_SUPPORTED


def ringing(**changes: Any) -> tuple[Party, Party]:
    caller, callee = pair()
    caller.call(callee, **changes)
    caller.wire.run(0.1)
    return caller, callee


def test_early_media_with_an_answer_that_arrives() -> None:
    caller, callee = ringing()
    callee.ring(183, body=ANSWER, reliable=RELIABLY)
    caller.wire.run(0.1)
    progressed = caller.heard(events.Progressed)[0]
    assert (progressed.body, progressed.exchange) == (ANSWER, Exchange.ANSWER)
    assert progressed.rseq > 0
    prack = caller.wire.messages("PRACK")[0]
    assert read_rack(prack.headers) == RAck(rseq=progressed.rseq, cseq=1, method="INVITE")
    assert prack.cseq == 2 and prack.uri == SipUri(host="192.0.2.2", user="me", port=5060)
    callee.accept(None)
    caller.wire.run(0.1)
    assert caller.wire.said() == [
        "INVITE", "183 INVITE", "PRACK", "200 PRACK", "200 INVITE", "ACK",
    ]  # fmt: skip
    assert body_of(caller.wire.messages("200 INVITE")[0]) is None
    assert caller.heard(events.Answered)[0].exchange is Exchange.NONE
    caller.hang_up()
    finish(caller, callee)


def test_reliable_responses_go_one_by_one_and_in_order() -> None:
    caller, callee = ringing()
    for status in (180, 181, 182):
        callee.ring(status, reliable=RELIABLY)
    assert caller.wire.said()[1:] == ["180 INVITE"]
    caller.wire.run(1.0)
    heard = caller.heard(events.Progressed)
    assert [each.response.status for each in heard] == [180, 181, 182]
    assert [each.rseq - heard[0].rseq for each in heard] == [0, 1, 2]
    callee.accept()
    caller.wire.run(0.1)
    caller.hang_up()
    finish(caller, callee)


def test_what_is_not_acknowledged_is_said_again_and_in_the_end_refused() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    wire.drop = lambda to, message: wire.said()[-1] == "PRACK"
    caller.call(callee)
    wire.run(0.1)
    callee.ring(reliable=RELIABLY)
    wire.run(31.5)
    gaps = wire.times("180 INVITE")
    assert [round(each - gaps[0], 1) for each in gaps] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert len(caller.heard(events.Progressed)) == 1
    finish(caller, callee)
    assert callee.story() == ["Invited", "Unreliable", "Ended"]
    assert caller.heard(events.Refused)[0].status == 504


def test_the_answer_waits_for_a_description_to_arrive() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    wire.drop = lambda to, message: wire.said()[-1] == "PRACK" and wire.now < 1.0
    caller.call(callee)
    wire.run(0.1)
    callee.ring(183, body=ANSWER, reliable=RELIABLY)
    callee.accept(None)
    callee.ring()  # too late
    wire.run(0.8)
    assert "200 INVITE" not in wire.said() and "180 INVITE" not in wire.said()
    wire.run(2.0)
    assert callee.story()[-1] == "Confirmed"
    caller.hang_up()
    finish(caller, callee)


def test_the_answer_does_not_wait_for_what_describes_nothing() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    wire.drop = lambda to, message: wire.said()[-1] == "PRACK" and wire.now < 1.0
    caller.call(callee)
    wire.run(0.1)
    callee.ring(reliable=RELIABLY)
    callee.accept()
    wire.run(0.2)
    assert callee.story()[-1] == "Confirmed"
    wire.run(2.0)
    # RFC 3262 §3: no longer repeated, and still to be acknowledged.
    assert wire.said().count("180 INVITE") == 1 and "200 PRACK" in wire.said()
    caller.hang_up()
    finish(caller, callee)


def test_a_call_that_is_given_up_while_the_answer_waits() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    wire.drop = lambda to, message: wire.said()[-1] == "PRACK"
    caller.call(callee)
    wire.run(0.1)
    callee.ring(183, body=ANSWER, reliable=RELIABLY)
    callee.accept(None)
    wire.run(1.0)
    caller.hang_up()
    finish(caller, callee)
    assert callee.story() == ["Invited", "Cancelled", "Ended"]


# Offers


def test_the_callee_offers_early_and_prack_answers() -> None:
    caller, callee = ringing(body=None)
    callee.ring(183, body=OFFER)  # that could get lost
    caller.wire.run(0.1)
    assert caller.heard(events.Progressed)[-1].exchange is Exchange.NONE
    callee.ring(183, body=OFFER, reliable=RELIABLY)
    caller.wire.run(2.0)
    assert "PRACK" not in caller.wire.said()
    progressed = caller.heard(events.Progressed)[-1]
    assert (progressed.body, progressed.exchange) == (OFFER, Exchange.OFFER)
    callee.accept(None)
    caller.answer(ANSWER)
    caller.wire.run(0.1)
    assert body_of(caller.wire.messages("PRACK")[0]) == ANSWER
    assert "200 PRACK" in caller.wire.said()
    assert [body_of(each) for each in caller.wire.messages("183 INVITE")[:2]] == [None, OFFER]
    assert callee.story() == ["Invited", "OfferAnswered", "Confirmed"]
    assert callee.heard(events.OfferAnswered)[0].body == ANSWER
    assert caller.heard(events.Answered)[0].exchange is Exchange.NONE
    caller.hang_up()
    finish(caller, callee)


@pytest.mark.parametrize("verdict", ["answer", "refuse_offer"])
def test_an_offer_in_prack(verdict: str) -> None:
    caller, callee = ringing()
    caller.wire.drop = lambda to, message: caller.wire.said()[-1] == "PRACK"
    callee.ring(183, body=ANSWER, reliable=RELIABLY)
    said = caller.wire.messages("183 INVITE")[0]
    rack = write_rack(RAck(rseq=read_count(said.headers, "RSeq") or 0, cseq=1, method="INVITE"))
    prack = request_of(caller, "PRACK", 2, headers=Headers((rack,)), body=REOFFER)
    assert inject(callee, prack, caller.host) == []
    offered = callee.heard(events.OfferReceived)[0]
    assert (offered.body, offered.bearer) == (REOFFER, Bearer.PRACK)
    callee.accept(None)
    assert "200 INVITE" not in caller.wire.said()
    callee.do(verdict, *([REANSWER] if verdict == "answer" else []))
    assert ("200 PRACK" if verdict == "answer" else "488 PRACK") in caller.wire.said()
    assert "200 INVITE" in caller.wire.said()
    caller.wire.drop = lambda to, message: False
    caller.wire.run(1.0)
    callee.hang_up()
    finish(caller, callee)


# Who supports it


@pytest.mark.parametrize(
    ("caller_wants", "callee_wants", "status", "reliable"),
    [
        (Reliability.NEVER, Reliability.IF_SUPPORTED, 180, False),
        (Reliability.NEVER, Reliability.REQUIRE, 421, False),
        (Reliability.IF_SUPPORTED, Reliability.NEVER, 180, False),
        (Reliability.IF_SUPPORTED, Reliability.REQUIRE, 180, True),
        (Reliability.REQUIRE, Reliability.NEVER, 180, True),
    ],
)
def test_what_both_sides_want_settles_it(
    caller_wants: Reliability, callee_wants: Reliability, status: int, reliable: bool
) -> None:
    caller, callee = ringing(reliable=caller_wants)
    callee.ring(reliable=callee_wants)
    caller.wire.run(0.1)
    response = caller.wire.messages(f"{status} INVITE")[0]
    assert ("RSeq" in response.headers) is reliable
    assert ("PRACK" in caller.wire.said()) is reliable
    if status == 421:
        assert response.headers.first("Require") == "100rel"
        assert callee.heard(events.Ended)[0].cause is Cause.DECLINED
    callee.hang_up()
    finish(caller, callee)


# Peers


def reliable_183(invite: Any, rseq: int, tag: str = "b") -> Response:
    headers = Headers((("Require", "100rel"), ("RSeq", str(rseq))))
    response = reply(invite, 183, tag=tag, headers=headers)
    return replace(response, contacts=(NameAddr(uri=SipUri(host="192.0.2.2")),))


def test_what_comes_too_early_or_again_is_not_acknowledged() -> None:
    wire = Wire()
    caller = Party(wire, "192.0.2.1")
    caller.call("192.0.2.2")
    wire.run(0.1)
    invite = wire.messages("INVITE")[0]
    said = [
        inject(caller, reliable_183(invite, rseq, tag), "192.0.2.2")
        for rseq, tag in [(9, "b"), (9, "b"), (11, "b"), (10, "b"), (11, "b"), (1, "c")]
    ]
    assert said == [["PRACK"], [], [], ["PRACK"], ["PRACK"], ["PRACK"]]
    assert len(caller.heard(events.Progressed)) == 4
    assert [each.to.tag for each in wire.messages("PRACK")] == ["b", "b", "b", "c"]
    inject(caller, reply(invite, 486, tag="b"), "192.0.2.2")
    finish(caller)


@pytest.mark.parametrize(
    "header",
    [("RAck", "1 1 INVITE"), ("RAck", "x"), ("RAck", "77 2 INVITE"), ("Subject", "no RAck")],
)
def test_a_prack_for_nothing_is_refused(header: tuple[str, str]) -> None:
    caller, callee = ringing()
    caller.wire.drop = lambda to, message: caller.wire.said()[-1] == "PRACK"
    callee.ring(reliable=RELIABLY)
    prack = request_of(caller, "PRACK", 2, headers=Headers((header,)))
    assert inject(callee, prack, caller.host) in (["481 PRACK"], ["400 PRACK"])
    caller.wire.drop = lambda to, message: False
    callee.refuse(486)
    finish(caller, callee)


def test_a_prack_without_a_reliable_response_is_refused() -> None:
    caller, callee = ringing()
    callee.ring()
    rack = write_rack(RAck(rseq=1, cseq=1, method="INVITE"))
    prack = request_of(caller, "PRACK", 2, headers=Headers((rack,)))
    assert inject(callee, prack, caller.host) == ["481 PRACK"]
    caller.wire.run(0.1)
    callee.refuse(486)
    finish(caller, callee)


# The sender by itself


def response(body: bytes = b"") -> Response:
    return reply(request(), 183, tag="t", body=body)


def test_what_waits_is_bounded_and_descriptions_stay() -> None:
    sender = Sender(5)
    sender.put(response())
    assert sender.next(0.5, 0.0) is not None
    sender.put(response(b"a description"))
    for _ in range(3 * MAX_WAITING):
        sender.put(response())
    assert sender.describing
    said = 0
    while sender.under_way is not None:
        said += 1
        assert sender.acknowledge(RAck(rseq=sender.rseq, cseq=1, method="INVITE"), 1)
        sender.next(0.5, 0.0)
    assert said == MAX_WAITING + 1 and not sender.describing


def test_time_asks_for_it_again_and_then_gives_up() -> None:
    sender = Sender(5)
    sender.put(response())
    sender.next(0.5, 10.0)
    assert sender.handle_timer(10.4) is Due.NOTHING and sender.deadline == 10.5
    assert sender.handle_timer(10.5) is Due.AGAIN and sender.deadline == 11.5
    assert sender.handle_timer(42.0) is Due.GIVE_UP
    sender.stop()
    assert sender.deadline == float("inf")


def test_a_wrong_status_is_no_provisional_response() -> None:
    _, callee = ringing()
    for status in (100, 200, 99):
        with pytest.raises(LocalProtocolError):
            callee.ring(status)


def test_who_requires_it_need_not_say_that_it_is_supported() -> None:
    wire = Wire()
    callee = Party(wire, "192.0.2.2")
    headers = Headers((("Require", "100rel"), ("Content-Type", OFFER.type)))
    invite = request(headers=headers, body=OFFER.octets, contacts=(party("alice"),))
    inject(callee, invite, "192.0.2.1")
    callee.ring(reliable=Reliability.REQUIRE)
    assert wire.messages("180 INVITE")[0].headers.first("Require") == "100rel"
    callee.refuse(486)
    finish(callee)


def test_a_second_description_is_left_out() -> None:
    caller, callee = ringing()
    callee.ring(183, body=ANSWER, reliable=RELIABLY)
    caller.wire.run(0.1)
    callee.ring(183, body=REANSWER, reliable=RELIABLY)
    callee.ring(183, body=REANSWER)
    caller.wire.run(0.1)
    said = caller.wire.messages("183 INVITE")
    assert [body_of(each) for each in said] == [ANSWER, None, None]
    callee.accept(None)
    caller.wire.run(0.1)
    caller.hang_up()
    finish(caller, callee)
