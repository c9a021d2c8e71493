"""The transaction layer: matching, what it answers itself, limits, and what it leaves."""

from typing import Any

import pytest
from msgspec.structs import replace

from protocols.sip.derive import ack_of, cancel_of, reply
from protocols.sip.errors import LocalProtocolError
from protocols.sip.events import (
    AckReceived,
    CancelReceived,
    ClientId,
    RequestReceived,
    ResponseReceived,
    ServerId,
    StrayResponse,
    Terminated,
    TimedOut,
    TransportFailed,
)
from protocols.sip.ledger import STATELESS, Limits
from protocols.sip.message import NO_HEADERS, Headers, NameAddr, Request, Response, Via
from protocols.sip.transaction import NonInviteServer, State
from protocols.sip.transport import Hop
from protocols.sip.uri import SipUri
from tests.unit.sip.builders import (
    TCP_FLOW,
    TCP_HOP,
    UDP_FLOW,
    UDP_HOP,
    Side,
    empty,
    ours,
    party,
    received,
    request,
    respond,
    via,
)

# Requests of ours


def test_our_via_goes_on_top() -> None:
    side = Side()
    below = via("z9hG4bKbelow")
    client_id = side.layer.request(ours("OPTIONS", vias=(below,)), TCP_HOP, side.now)
    ((sent, destination),) = side.sent()
    params = (("branch", "z9hG4bKwe1"), ("rport", None))
    top = Via(transport="TCP", host="we.example.com", port=5060, params=params)
    assert isinstance(sent, Request)
    assert sent.vias == (top, below)
    assert destination == TCP_HOP
    assert side.layer.sent(client_id) == sent


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_responses_come_to_the_request_until_the_final_one(method: str) -> None:
    side = Side()
    client_id = side.ask(ours(method))
    trying, ringing, busy = (side.reply_to(client_id, status) for status in (100, 180, 486))
    for response in (trying, ringing, busy):
        expected = ResponseReceived(client_id=client_id, response=response, flow=UDP_FLOW)
        assert side.receive(response) == [expected]
    assert side.receive(busy) == []
    assert side.receive(ringing) == []
    side.pass_time(33.0)
    assert side.events() == [Terminated(id=client_id)]
    assert empty(side)


def test_a_request_is_written_once_and_repeated() -> None:
    side = Side()
    side.ask(ours("OPTIONS"))
    said = side.pass_time(40.0)
    assert [at for at, _ in said] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert len(side.words.written) == 1


@pytest.mark.parametrize(("method", "destination"), [("INVITE", UDP_HOP), ("OPTIONS", TCP_HOP)])
def test_silence_is_told(method: str, destination: Hop) -> None:
    side = Side()
    client_id = side.ask(ours(method), destination)
    side.pass_time(32.0)
    assert side.events() == [TimedOut(id=client_id), Terminated(id=client_id)]
    assert empty(side)


def test_a_refusal_is_acknowledged_as_often_as_it_comes() -> None:
    side = Side()
    route = NameAddr(uri=SipUri(host="proxy.example.com", params=(("lr", None),)))
    client_id = side.ask(ours(routes=(route,), cseq=77))
    busy = side.reply_to(client_id, 486)
    side.receive(busy)
    ((ack, destination),) = side.sent()
    assert destination == UDP_HOP
    sent = side.layer.sent(client_id)
    # §17.1.1.3: Request-URI, Call-ID, From, CSeq number, top Via and Route of the INVITE, the
    # To of the response.
    assert ack == Request(
        method="ACK",
        uri=sent.uri,
        vias=sent.vias,
        from_=sent.from_,
        to=busy.to,
        call_id=sent.call_id,
        cseq=77,
        routes=(route,),
    )
    written = len(side.words.written)
    side.receive(busy)
    assert side.said() == [ack]
    assert len(side.words.written) == written


def test_over_tcp_a_refused_invite_is_over_at_once() -> None:
    side = Side()
    client_id = side.ask(ours(), TCP_HOP)
    busy = side.reply_to(client_id, 486)
    assert [type(each) for each in side.receive(busy, TCP_FLOW)] == [ResponseReceived, Terminated]
    assert [each.method for each in side.said()] == ["ACK"]
    assert empty(side)


def test_each_2xx_of_each_fork_is_told_and_none_is_acknowledged_here() -> None:
    side = Side()
    client_id = side.ask(ours())
    first, second = (side.reply_to(client_id, 200, tag) for tag in ("b1", "b2"))
    for response in (first, second, first):
        assert side.receive(response) == [
            ResponseReceived(client_id=client_id, response=response, flow=UDP_FLOW)
        ]
    assert side.said() == []
    assert side.receive(side.reply_to(client_id, 486)) == []
    side.pass_time(32.0)
    assert side.events() == [Terminated(id=client_id)]
    assert side.receive(second) == [StrayResponse(response=second, flow=UDP_FLOW)]


def test_responses_are_matched_by_branch_and_method() -> None:
    side = Side()
    client_id = side.ask(ours("BYE"))
    good = side.reply_to(client_id, 200)
    other_method = replace(good, method="INVITE")
    other_branch = replace(good, vias=(via("z9hG4bKother"),))
    for stray in (other_method, other_branch):
        assert side.receive(stray) == [StrayResponse(response=stray, flow=UDP_FLOW)]
    # §8.1.3.3: more Vias than we sent
    assert side.receive(replace(good, vias=(*good.vias, via()))) == []
    assert side.receive(replace(good, vias=())) == []
    assert side.layer.state(client_id) is State.TRYING
    assert len(side.receive(good)) == 1


def test_commands_that_make_no_sense() -> None:
    side = Side(limits=Limits(clients=1))
    for method in ("ACK", "CANCEL"):
        with pytest.raises(LocalProtocolError, match=method):
            side.layer.request(ours(method), UDP_HOP, side.now)
    client_id = side.ask(ours("OPTIONS"))
    with pytest.raises(LocalProtocolError, match="wait already"):
        side.layer.request(ours("OPTIONS"), UDP_HOP, side.now)
    with pytest.raises(LocalProtocolError, match="only an INVITE"):
        side.layer.cancel(client_id, NO_HEADERS, side.now)
    with pytest.raises(LocalProtocolError, match="not ours to answer"):
        ok = side.reply_to(client_id, 200)
        side.layer.respond(ServerId(client_id), ok, side.now)
    server_id = received(side, request("OPTIONS")).server_id
    with pytest.raises(LocalProtocolError, match="no request of ours"):
        side.layer.sent(ClientId(server_id))
    with pytest.raises(LocalProtocolError, match="went out"):
        side.layer.adopt(ours(), UDP_HOP, side.now)
    invite_id = side.layer.adopt(request(), UDP_HOP, side.now)
    with pytest.raises(LocalProtocolError, match="in use"):
        side.layer.adopt(side.layer.sent(invite_id), UDP_HOP, side.now)


# CANCEL of ours


def test_a_cancel_waits_for_a_provisional_response() -> None:
    side = Side()
    client_id = side.ask(ours())
    reason = Headers([("Reason", 'SIP ;cause=200 ;text="Call completed elsewhere"')])
    side.layer.cancel(client_id, reason, side.now)
    assert side.said() == []
    side.receive(side.reply_to(client_id, 180))
    (cancel,) = side.said()
    # §9.1: all but the method as in the INVITE, and one Via, its own.
    sent = side.layer.sent(client_id)
    assert cancel == replace(sent, method="CANCEL", headers=reason)
    assert sent.to.tag == ""
    # Its responses are nobody's business, and it is sent once.
    assert side.receive(reply(cancel, 200, tag="x")) == []
    side.layer.cancel(client_id, reason, side.now)
    side.receive(side.reply_to(client_id, 180))
    assert side.said() == []
    gone = side.reply_to(client_id, 487)
    assert isinstance(side.receive(gone)[0], ResponseReceived)
    assert [each.method for each in side.said()] == ["ACK"]
    side.pass_time(40.0)
    assert side.events() == [Terminated(id=client_id)]
    assert empty(side)


def test_a_cancel_while_it_rings_goes_at_once_and_is_repeated() -> None:
    side = Side()
    client_id = side.ask(ours())
    side.receive(side.reply_to(client_id, 180))
    side.pass_time(60.0)
    side.layer.cancel(client_id, NO_HEADERS, side.now)
    assert [each.method for each in side.said()] == ["CANCEL"]
    assert [at for at, _ in side.pass_time(2.0)] == [0.5, 1.5]
    # Neither the CANCEL nor the INVITE is ever answered: 64*T1 (§9.1).
    side.pass_time(29.9)
    assert side.events() == []
    side.pass_time(0.2)
    assert side.events() == [TimedOut(id=client_id), Terminated(id=client_id)]
    assert empty(side)


def test_a_cancel_that_comes_too_late_is_not_sent() -> None:
    side = Side()
    client_id = side.ask(ours())
    side.layer.cancel(client_id, NO_HEADERS, side.now)
    side.receive(side.reply_to(client_id, 200))
    side.layer.cancel(client_id, NO_HEADERS, side.now)
    assert side.said() == []
    side.pass_time(32.0)
    side.layer.cancel(client_id, NO_HEADERS, side.now)
    assert side.said() == []


def test_an_invite_of_a_process_before_is_cancelled_by_its_branch() -> None:
    before, side = Side("before"), Side("after")
    invite = before.layer.sent(before.ask(ours()))
    client_id = side.layer.adopt(invite, UDP_HOP, side.now)
    assert side.pass_time(60.0) == []
    assert side.layer.state(client_id) is State.PROCEEDING
    side.layer.cancel(client_id, NO_HEADERS, side.now)
    (cancel,) = side.said()
    assert cancel == cancel_of(invite)
    ok = reply(invite, 200, tag="quick")
    assert side.receive(ok) == [ResponseReceived(client_id=client_id, response=ok, flow=UDP_FLOW)]


# Requests of peers


def test_a_request_comes_once_and_its_response_as_often_as_it_is_asked_for() -> None:
    side = Side()
    message = request("OPTIONS")
    event = received(side, message)
    assert side.receive(message) == []
    assert side.said() == []
    ok = respond(side, event, 200)
    assert side.said() == [ok]
    assert side.receive(message) == []
    assert side.said() == [ok]
    assert len(side.words.written) == 1
    with pytest.raises(LocalProtocolError, match="completed"):
        respond(side, event, 500)
    side.pass_time(32.0)
    assert side.events() == [Terminated(id=event.server_id)]
    assert empty(side)


def test_an_invite_gets_its_100_after_200_ms_unless_its_user_is_quicker() -> None:
    side = Side()
    slow = received(side, request(headers=Headers([("Timestamp", "54")])))
    quick = received(side, request(vias=(via("z9hG4bKq"),), call_id="call-2"))
    respond(side, quick, 180)
    side.outgoing()
    ((at, trying),) = side.pass_time(10.0)
    assert at == 0.2
    assert isinstance(trying, Response)
    assert (trying.status, trying.reason, trying.to.tag) == (100, "Trying", "")
    assert trying.headers == Headers([("Timestamp", "54")])
    assert side.receive(request()) == []
    assert side.said() == [trying]
    assert slow.server_id != quick.server_id


def test_a_refusal_is_repeated_until_it_is_acknowledged() -> None:
    side = Side()
    invite = request()
    busy = respond(side, received(side, invite), 486)
    side.outgoing()
    said = side.pass_time(4.0)
    assert said == [(0.5, busy), (1.5, busy), (3.5, busy)]
    ack = ack_of(invite, busy)
    assert side.receive(ack) == []
    assert side.receive(ack) == []
    assert side.pass_time(4.9) == []
    assert side.events() == []
    side.pass_time(0.2)
    assert [type(each) for each in side.events()] == [Terminated]
    assert empty(side)


@pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
def test_what_is_dismissed_leaves_nothing_and_may_come_again(method: str) -> None:
    side = Side()
    asked = request(method)
    first = received(side, asked)
    challenge = reply(first.request, 401)
    side.layer.dismiss(first.server_id, challenge)
    side.layer.dismiss(first.server_id, challenge)  # once is enough
    [(said, destination)] = side.sent()
    assert isinstance(said, Response) and destination == UDP_FLOW
    assert (said.status, said.vias[0].host) == (401, asked.vias[0].host)
    assert empty(side) and side.events() == []
    assert side.pass_time(40.0) == []
    # Its repetition is a new request, with the same tag in the answer (RFC 3261 §8.2.7).
    again = received(side, asked)
    assert again.server_id != first.server_id
    side.layer.dismiss(again.server_id, challenge)
    [repeated] = side.said()
    assert isinstance(repeated, Response) and repeated.to.tag == said.to.tag != ""
    if method == "INVITE":
        assert side.receive(ack_of(asked, said)) == []
    assert empty(side)


def test_a_refusal_that_nobody_acknowledges_is_told() -> None:
    side = Side()
    event = received(side, request(), TCP_FLOW)
    respond(side, event, 486)
    side.pass_time(32.0)
    assert side.events() == [TimedOut(id=event.server_id), Terminated(id=event.server_id)]
    assert empty(side)


def test_a_2xx_is_repeated_by_its_user_alone() -> None:
    side = Side()
    invite = request()
    event = received(side, invite)
    ok = respond(side, event, 200)
    assert side.said() == [ok]
    assert side.receive(invite) == []
    assert side.said() == []
    side.layer.respond(event.server_id, ok, side.now)
    assert side.said() == [ok]
    assert len(side.words.written) == 1
    with pytest.raises(LocalProtocolError, match="accepted"):
        respond(side, event, 486)
    # Its ACK is a message of its own (§13.2.2.4), even if its sender took the same branch.
    ack = request("ACK", vias=(via("z9hG4bKack"),), to=ok.to)
    assert side.receive(ack) == [AckReceived(server_id=None, request=ack, flow=UDP_FLOW)]
    same = request("ACK", to=ok.to)
    assert side.receive(same) == [
        AckReceived(server_id=event.server_id, request=same, flow=UDP_FLOW)
    ]
    side.pass_time(32.0)
    assert side.events() == [Terminated(id=event.server_id)]
    side.layer.respond(event.server_id, ok, side.now)
    assert side.said() == []


def large(message: Request | Response) -> Any:
    """The same with much that only its user reads."""
    return replace(message, headers=Headers((("Subject", "x" * 500),)), body=b"v=0\r\n" * 100)


def kept(side: Side, *ids: int) -> int:
    """How many octets of content the transactions keep for their users."""
    octets = 0
    for each in ids:
        transaction = side.layer._ledger.transactions[each]
        last = getattr(transaction, "last", None)
        for said in (transaction.request, last):
            octets += 0 if said is None else len(repr(said.headers)) + len(said.body)
        octets += len(transaction.octets) if not isinstance(transaction, NonInviteServer) else 0
    return octets


def test_little_is_kept_of_what_is_over() -> None:
    side = Side()
    invite, options = large(request()), large(request("OPTIONS", vias=(via("z9hG4bKo"),)))
    called, asked = received(side, invite), received(side, options)
    calling = side.ask(large(ours()))
    assert kept(side, called.server_id, asked.server_id, calling) > 3000
    ok = large(reply(called.request, 200, tag="b1"))
    side.layer.respond(called.server_id, ok, side.now)
    side.layer.respond(called.server_id, ok, side.now)  # until its ACK comes it is said as it was
    assert side.said() == [ok, ok]
    side.layer.acknowledged(called.server_id)
    fine = large(reply(asked.request, 200, tag="b1"))
    side.layer.respond(asked.server_id, fine, side.now)
    side.receive(side.reply_to(calling, 200))
    assert kept(side, called.server_id, asked.server_id, calling) < 100
    assert side.receive(options) == []
    assert side.said() == [fine, fine]
    side.receive(cancel_of(invite))
    (response,) = side.said()
    assert isinstance(response, Response) and response.to.tag == "b1"


def test_a_request_that_its_user_forgets_ends() -> None:
    side = Side()
    event = received(side, request("INFO"))
    side.pass_time(32.0)
    assert side.events() == [TimedOut(id=event.server_id), Terminated(id=event.server_id)]
    assert empty(side)
    respond(side, event, 200)  # too late, and no error
    assert side.said() == []


SAME_REQUEST: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"vias": (via(host="198.51.100.7", params=(("x", "y"), ("branch", "z9hG4bKpeer1"))),)}, True),
    ({"cseq": 2, "call_id": "call-9"}, True),  # the branch alone counts
    ({"vias": (via("z9hG4bKpeer2"),)}, False),
    ({"vias": (via(host="192.0.2.99"),)}, False),
    ({"vias": (via(port=5062),)}, False),
]


@pytest.mark.parametrize(("changes", "same"), SAME_REQUEST)
def test_requests_are_matched_by_branch_sent_by_and_method(
    changes: dict[str, Any], same: bool
) -> None:
    side = Side()
    received(side, request("MESSAGE"))
    events = side.receive(request("MESSAGE", **{"call_id": "call-2", **changes}))
    assert (events == []) is same
    assert isinstance(side.receive(request("INFO", call_id="call-3"))[0], RequestReceived)


MOVED = SipUri(host="example.com", user="carol")


@pytest.mark.parametrize("branch", ["", "1", "z9hG4bK"])
@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"uri": MOVED}, False),
        ({"to": party("bob", "t")}, False),
        ({"from_": party("alice", "a2")}, False),
        ({"call_id": "call-2"}, False),
        ({"cseq": 2}, False),
        ({"vias": (via("", host="192.0.2.99"),)}, False),
    ],
)
def test_requests_of_rfc_2543_are_matched_by_all_that_makes_them(
    branch: str, changes: dict[str, Any], same: bool
) -> None:
    side = Side()
    message = request(vias=(via(branch),))
    received(side, message)
    events = side.receive(replace(message, **changes))
    merged = "uri" in changes or "vias" in changes  # the same to the user: refused with 482
    assert (events == []) is (same or merged)
    assert side.layer.servers == (1 if same else 2)


def test_the_ack_of_rfc_2543_is_found_by_the_tag_of_the_response() -> None:
    side = Side()
    message = request(vias=(via("1"),))
    event = received(side, message)
    busy = respond(side, event, 486, tag="ours")
    ack = ack_of(message, busy)
    wrong = replace(ack, to=party("bob", "other"))
    assert side.receive(wrong) == [AckReceived(server_id=None, request=wrong, flow=UDP_FLOW)]
    assert side.layer.state(event.server_id) is State.COMPLETED
    assert side.receive(ack) == []
    assert side.layer.state(event.server_id) is State.CONFIRMED
    side.pass_time(5.0)
    assert empty(side)


def test_the_cancel_of_rfc_2543_is_found() -> None:
    side = Side()
    message = request(vias=(via("1"),))
    event = received(side, message)
    (cancelled,) = side.receive(cancel_of(message))
    assert isinstance(cancelled, CancelReceived)
    assert cancelled.server_id == event.server_id


# CANCEL of peers


def test_a_cancel_is_answered_and_told_once() -> None:
    side = Side()
    invite = request()
    event = received(side, invite)
    ringing = respond(side, event, 180)
    side.outgoing()
    cancel = cancel_of(invite)
    assert side.receive(cancel) == [
        CancelReceived(server_id=event.server_id, request=cancel, flow=UDP_FLOW)
    ]
    (ok,) = side.said()
    assert isinstance(ok, Response)
    assert (ok.status, ok.method, ok.to.tag) == (200, "CANCEL", ringing.to.tag)
    assert side.receive(cancel) == []
    assert side.said() == [ok]
    gone = respond(side, event, 487)
    side.receive(ack_of(invite, gone))
    side.pass_time(40.0)
    assert side.events() == [Terminated(id=event.server_id)]
    assert empty(side)


def test_a_cancel_after_the_answer_changes_nothing() -> None:
    side = Side()
    invite = request()
    respond(side, received(side, invite), 200)
    side.outgoing()
    assert side.receive(cancel_of(invite)) == []
    assert [each.status for each in side.said() if isinstance(each, Response)] == [200]


def test_a_cancel_of_nothing_gets_481_and_leaves_nothing() -> None:
    side = Side()
    received(side, request("OPTIONS"))
    assert side.receive(request("CANCEL")) == []
    ((response, destination),) = side.sent()
    assert isinstance(response, Response)
    assert (response.status, destination) == (481, UDP_FLOW)
    assert response.to.tag
    assert side.layer.servers == 1


# Twice by different ways


def test_a_merged_request_gets_482() -> None:
    side = Side()
    first = received(side, request("MESSAGE"))
    assert side.receive(request("MESSAGE", vias=(via("z9hG4bKother"),))) == []
    (loop,) = side.said()
    assert isinstance(loop, Response)
    assert (loop.status, side.layer.merged) == (482, 1)
    side.receive(request("MESSAGE", vias=(via("z9hG4bKother"),)))
    assert side.said() == [loop]
    respond(side, first, 200)
    side.pass_time(32.0)
    assert side.events() == [Terminated(id=first.server_id)]
    assert empty(side)
    received(side, request("MESSAGE", vias=(via("z9hG4bKlater"),)))


def test_a_merged_invite_is_refused_with_an_ack_and_no_event() -> None:
    side = Side()
    received(side, request())
    other = request(vias=(via("z9hG4bKother"),))
    side.receive(other)
    (loop,) = side.said()
    assert isinstance(loop, Response)
    assert side.receive(ack_of(other, loop)) == []
    assert side.receive(cancel_of(other)) == []
    side.pass_time(40.0)
    assert side.events() == []
    assert side.layer.servers == 1


@pytest.mark.parametrize(
    "changes",
    [{"cseq": 2}, {"call_id": "c"}, {"from_": party("alice", "a2")}, {"to": party("bob", "t")}],
)
def test_other_requests_are_not_merged(changes: dict[str, Any]) -> None:
    side = Side()
    received(side, request("MESSAGE"))
    received(side, request("MESSAGE", vias=(via("z9hG4bKother"),), **changes))


# Too many


def test_beyond_the_limit_new_requests_get_503_without_a_transaction() -> None:
    side = Side(limits=Limits(servers=2, reserve=1, retry_after=7))
    for number in range(2):
        received(side, request(vias=(via(f"z9hG4bK{number}"),), call_id=f"{number}"))
    assert side.layer.full
    refused = request(vias=(via("z9hG4bKmore"),), call_id="more")
    tags = set()
    for _ in range(3):
        assert side.receive(refused) == []
        ((response, destination),) = side.sent()
        assert isinstance(response, Response)
        assert (response.status, destination) == (503, UDP_FLOW)
        assert response.headers == Headers([("Retry-After", "7")])
        tags.add(response.to.tag)
    assert len(tags) == 1 and "" not in tags
    assert (side.layer.servers, side.layer.shed) == (2, 3)
    # Its ACK is nobody's.
    assert side.receive(ack_of(refused, response)) == []
    # What belongs to a call has room of its own, and a CANCEL always.
    received(side, request("BYE", vias=(via("z9hG4bKbye"),), to=party("bob", "b1")))
    assert side.receive(request("BYE", vias=(via("z9hG4bKbye2"),), to=party("bob", "b1"))) == []
    (cancelled,) = side.receive(cancel_of(request(vias=(via("z9hG4bK0"),), call_id="0")))
    assert isinstance(cancelled, CancelReceived)


# The transport fails


def test_what_can_not_be_sent_is_told_to_those_whom_it_concerns() -> None:
    side = Side()
    calling, asking = side.ask(ours()), side.ask(ours("OPTIONS"))
    elsewhere = side.ask(ours("OPTIONS"), TCP_HOP)
    ringing, done = side.ask(ours()), side.ask(ours("OPTIONS"))
    side.receive(side.reply_to(ringing, 180))
    side.receive(side.reply_to(done, 200))
    side.layer.transport_failed(UDP_HOP, "port unreachable", side.now)
    assert side.events() == [
        TransportFailed(id=calling, reason="port unreachable"),
        Terminated(id=calling),
        TransportFailed(id=asking, reason="port unreachable"),
        Terminated(id=asking),
    ]
    assert side.layer.state(elsewhere) is State.TRYING
    assert side.layer.state(ringing) is State.PROCEEDING


def test_a_refusal_by_udp_names_the_flow_and_means_the_address() -> None:
    side = Side()
    client_id = side.ask(ours("OPTIONS"), UDP_HOP)
    elsewhere = side.ask(ours("OPTIONS"), replace(UDP_HOP, port=5070))
    side.layer.transport_failed(UDP_FLOW, "connection refused", side.now)
    assert side.events() == [
        TransportFailed(id=client_id, reason="connection refused"),
        Terminated(id=client_id),
    ]
    assert side.layer.state(elsewhere) is State.TRYING


def test_one_transaction_can_fail_alone() -> None:
    side = Side()
    first, second = side.ask(ours("OPTIONS")), side.ask(ours("OPTIONS"))
    side.layer.transport_failed(first, "too large", side.now)
    assert side.events() == [TransportFailed(id=first, reason="too large"), Terminated(id=first)]
    assert side.layer.state(second) is State.TRYING
    side.layer.transport_failed(first, "again", side.now)
    assert side.events() == []


def test_what_goes_out_names_its_transaction() -> None:
    side = Side()
    client_id = side.layer.request(ours(), UDP_HOP, side.now)
    assert [each.id for each in side.outgoing()] == [client_id]
    side.receive(request("CANCEL"))
    assert [each.id for each in side.outgoing()] == [STATELESS]


# Without a transaction


def test_what_could_not_be_read_is_answered_where_it_came_from() -> None:
    side = Side()
    asks = via(params=(("branch", "z9hG4bKx"), ("rport", None)))
    broken = reply(request(vias=(asks,)), 400, reason="Bad Call-ID")
    side.layer.refuse(broken, TCP_FLOW)
    ((sent, destination),) = side.sent()
    assert isinstance(sent, Response)
    assert destination == TCP_FLOW
    assert sent.vias[0].params[1:] == (("received", "198.51.100.7"), ("rport", "40000"))
    assert (sent.status, sent.reason) == (400, "Bad Call-ID")
    assert sent.to.tag
    assert side.receive(request("ACK", to=sent.to), TCP_FLOW) == []
    assert empty(side)


def test_the_ack_of_a_2xx_gets_a_via_of_its_own_and_keeps_it() -> None:
    side = Side()
    sent = side.layer.send(ours("ACK"), TCP_HOP)
    assert sent.vias[0].branch == "z9hG4bKwe1"
    again = side.layer.send(sent, TCP_HOP)
    assert again == sent
    assert side.sent() == [(sent, TCP_HOP), (sent, TCP_HOP)]
    assert empty(side)


# The ledger


def test_what_is_terminated_leaves_nothing_and_says_nothing() -> None:
    side = Side()
    for id in (
        side.ask(ours()),
        side.ask(ours("OPTIONS")),
        received(side, request()).server_id,
        received(side, request("OPTIONS", vias=(via("1"),))).server_id,
    ):
        side.layer.terminate(id)
        side.layer.terminate(id)
        assert side.layer.state(id) is State.TERMINATED
    assert side.events() == []
    assert empty(side)


def test_a_message_without_a_via_is_not_taken() -> None:
    side = Side()
    assert side.receive(request(vias=())) == []
    assert empty(side)
