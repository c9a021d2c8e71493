"""Peers that want more of an agent than is theirs: what they cause is bounded, and ends."""

import pytest
from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Acknowledge, Reply, Settings
from protocols.sip.codec import Malformed, encode, read_datagram
from protocols.sip.derive import reply
from protocols.sip.message import Headers, NameAddr, Request, Response
from protocols.sip.pace import Rate
from protocols.sip.session_calling import MAX_DIALOGS, MAX_UNDER_WAY
from protocols.sip.session_offers import Body
from protocols.sip.uri import SipUri
from tests.unit.sip.builders import party, request, via
from tests.unit.sip.parties import (
    ANSWER,
    REANSWER,
    REOFFER,
    Party,
    Wire,
    connect,
    finish,
    inject,
    pair,
    request_of,
)

PEER = "192.0.2.2"


def calling(**changes: Acknowledge) -> tuple[Wire, Party]:
    """A call of ours to a peer that is no agent of ours."""
    wire = Wire()
    caller = Party(wire, "192.0.2.1")
    caller.call(PEER, **changes)
    wire.run(0.1)
    return wire, caller


def response(wire: Wire, status: int, tag: str, *headers: tuple[str, str]) -> Response:
    """What a fork says to the INVITE."""
    body = ANSWER.octets if status == 200 else b""
    lines = (("Content-Type", ANSWER.type), *headers) if body else headers
    said = reply(wire.messages("INVITE")[0], status, tag=tag, headers=Headers(lines), body=body)
    return replace(said, contacts=(NameAddr(uri=SipUri(host=PEER)),))


@pytest.mark.parametrize(
    "message",
    [
        request("PUBLISH"),
        request("BYE"),
        request("BYE", to=party("bob", "unknown")),
        request("INVITE", to=party("bob", "unknown"), contacts=(party("alice"),)),
        request("INVITE"),
        request("INVITE", contacts=(party("alice"),), headers=Headers([("Require", "x")])),
        request(
            "INVITE",
            contacts=(party("alice"),),
            headers=Headers([("Session-Expires", "60"), ("Supported", "timer")]),
        ),
        request(
            "INVITE",
            contacts=(party("alice"),),
            headers=Headers([("Replaces", "nobody;to-tag=1;from-tag=2")]),
        ),
    ],
    ids=lambda each: each.method,
)
def test_what_rules_refuse_leaves_nothing_behind(message: Request) -> None:
    callee = Party(Wire(), PEER)
    (first,) = inject(callee, message, "192.0.2.1")
    assert first.split()[0] in ("400", "405", "420", "422", "481")
    callee.assert_nothing_left()
    assert inject(callee, message, "192.0.2.1") == [first]  # the answer may have been lost
    tags = {each.to.tag for each in callee.wire.messages(first)}
    assert len(tags) == 1
    ack = replace(message, method="ACK", contacts=(), headers=Headers())
    inject(callee, replace(ack, to=callee.wire.messages(first)[0].to), "192.0.2.1")
    callee.assert_nothing_left()


def test_too_many_headers_are_refused_where_the_first_of_them_say() -> None:
    octets = encode(request("OPTIONS"))
    many = octets.replace(b"\r\n\r\n", b"\r\nNote: y" * 300 + b"\r\n\r\n")
    read = read_datagram(many)
    assert isinstance(read, Malformed) and read.answer is not None
    assert (read.answer.status, read.answer.call_id) == (513, "call-1")


def test_answers_of_forks_without_end_are_answered_up_to_a_limit() -> None:
    wire, caller = calling()
    for number in range(100):
        inject(caller, response(wire, 200, f"fork{number}"), PEER)
    assert wire.said().count("BYE") == 15
    assert wire.said().count("ACK") == 16
    assert caller.agent.layer.clients == 16
    caller.hang_up()
    finish(caller)


def test_dialogs_that_come_and_go_are_counted() -> None:
    wire, caller = calling()
    for number in range(2 * MAX_DIALOGS):
        inject(caller, response(wire, 180, f"fork{number}"), PEER)
        inject(caller, response(wire, 199, f"fork{number}"), PEER)
    assert len(caller.heard(events.Progressed)) == MAX_DIALOGS
    inject(caller, response(wire, 200, "last"), PEER)
    assert caller.heard(events.Answered)[0].fork == "last"
    caller.hang_up()
    finish(caller)


def test_reliable_responses_without_end_are_acknowledged_up_to_a_limit() -> None:
    wire, caller = calling()
    for number in range(1, 200):
        headers = (("Require", "100rel"), ("RSeq", str(number)))
        inject(caller, response(wire, 183, "fork", *headers), PEER)
    assert wire.said().count("PRACK") == MAX_UNDER_WAY
    for prack in wire.messages("PRACK"):
        inject(caller, reply(prack, 200), PEER)
    headers = (("Require", "100rel"), ("RSeq", str(MAX_UNDER_WAY + 1)))
    assert inject(caller, response(wire, 183, "fork", *headers), PEER) == ["PRACK"]
    caller.hang_up()
    finish(caller)


@pytest.mark.parametrize("verdict", ["answer", "refuse"])
def test_an_offer_while_ours_is_wanted_is_refused_and_both_end(verdict: str) -> None:
    caller, callee = pair()
    connect(caller, callee)
    assert inject(callee, request_of(caller, "INVITE", 2), caller.host) == []
    assert callee.heard(events.OfferWanted)
    update = request_of(caller, "UPDATE", 3, body=REOFFER)
    assert inject(callee, update, caller.host) == ["500 UPDATE"]
    assert inject(callee, request_of(caller, "UPDATE", 4), caller.host) == ["200 UPDATE"]
    since = len(caller.wire.log)
    if verdict == "answer":
        callee.answer()
        ack = request_of(caller, "ACK", 2, body=REANSWER)
        callee.receive(encode(ack), caller.host)
    else:
        callee.agent.refuse_offer(callee.session, callee.now, Reply(status=488))
        callee.settle()
    assert caller.wire.said(since=since) == ["200 INVITE" if verdict == "answer" else "488 INVITE"]
    late = request_of(caller, "UPDATE", 5, body=Body(octets=b"offer 3"))
    assert inject(callee, late, caller.host) == []
    callee.answer()
    callee.hang_up()
    finish(caller, callee)


def test_an_acknowledgement_without_the_answer_leaves_all_as_it_was() -> None:
    caller, callee = pair()
    connect(caller, callee)
    for cseq in (2, 3):
        assert inject(callee, request_of(caller, "INVITE", cseq), caller.host) == []
        callee.answer(REOFFER)
        assert inject(callee, request_of(caller, "ACK", cseq), caller.host) == []
    refused = callee.heard(events.OfferRefused)
    assert [each.status for each in refused] == [488, 488]
    callee.hang_up()
    finish(caller, callee)


def test_a_word_that_comes_after_all_answers_acknowledges_and_harms_nothing() -> None:
    wire, caller = calling(acknowledge=Acknowledge.WHEN_TOLD)
    inject(caller, response(wire, 200, "fork"), PEER)
    wire.run(40.0)
    caller.do("acknowledge")
    assert wire.said()[-1] == "ACK"
    caller.hang_up()
    assert wire.said()[-1] == "BYE"
    finish(caller)


def test_an_invite_of_rfc_2543_needs_no_contact() -> None:
    callee = Party(Wire(), PEER)
    old = request(vias=(via("", params=()),), contacts=(), from_=party("alice"))
    inject(callee, old, "192.0.2.1")
    assert callee.heard(events.Invited)
    callee.accept()
    callee.receive(encode(replace(old, method="ACK", to=callee.wire.log[-1][2].to)), "192.0.2.1")
    callee.hang_up()
    (bye,) = callee.wire.messages("BYE")
    assert bye.uri == bye.to.uri == old.from_.uri
    inject(callee, reply(bye, 200), "192.0.2.1")
    finish(callee)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "REFER", "MESSAGE", "OPTIONS"])
def test_a_peer_that_asks_without_end_is_told_to_wait(method: str) -> None:
    """Its call goes on: it can still be hung up, and what it asks a second later is heard."""
    rate = Rate(per_second=2.0, at_once=5.0)
    caller, callee = pair(callee=Settings(asking=rate))
    connect(caller, callee)
    callee.reactions[events.InfoReceived] = callee.reactions[events.MessageReceived] = (
        lambda party, event: party.agent.respond(event.key, Reply(status=200), party.now)
    )
    body = {"INFO": Body(octets=b"5", type="application/dtmf-relay")}
    lines = Headers([("Refer-To", "<sip:x@192.0.2.9>")]) if method == "REFER" else Headers()
    said = []
    for cseq in range(2, 22):
        given = {"body": body[method]} if method in body else {"headers": lines}
        said.append(inject(callee, request_of(caller, method, cseq, **given), caller.host))
    assert said[5:] == [[f"500 {method}"]] * 15
    refused = caller.wire.messages(f"500 {method}")[-1]
    assert 0 <= int(refused.headers.first("Retry-After")) <= 10
    assert "too many requests in one call" in refused.headers.first("Reason")
    assert len(callee.heard(events.Overasked)) == 1
    callee.wire.run(1.0)
    again = inject(callee, request_of(caller, "OPTIONS", 30), caller.host)
    assert again == ["200 OPTIONS"]
    assert "200 BYE" in inject(callee, request_of(caller, "BYE", 31), caller.host)
    caller.hang_up()
    finish(caller, callee)
