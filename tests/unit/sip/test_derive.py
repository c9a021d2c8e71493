"""What follows from a message by rule alone."""

from msgspec.structs import replace

from protocols.sip.derive import ack_of, cancel_of, reply, with_tag
from protocols.sip.message import Headers, NameAddr
from protocols.sip.uri import SipUri
from tests.unit.sip.builders import party, request, via

ROUTE = NameAddr(uri=SipUri(host="proxy.example.com", params=(("lr", None),)))
INVITE = request(
    vias=(via("z9hG4bKtop"), via("z9hG4bKbelow")),
    routes=(ROUTE,),
    cseq=9,
    headers=Headers([("Subject", "hello"), ("Timestamp", "54")]),
    body=b"v=0",
)


def test_a_response_repeats_what_tells_whose_it_is() -> None:
    ringing = reply(INVITE, 180, tag="b1", headers=Headers([("RSeq", "1")]), body=b"x")
    assert (ringing.status, ringing.reason, ringing.method) == (180, "Ringing", "INVITE")
    assert ringing.vias == INVITE.vias
    assert ringing.from_ == INVITE.from_
    assert ringing.to == party("bob", "b1")
    assert (ringing.call_id, ringing.cseq) == (INVITE.call_id, 9)
    assert (ringing.headers, ringing.body) == (Headers([("RSeq", "1")]), b"x")


def test_a_tag_is_added_once() -> None:
    within = replace(INVITE, to=party("bob", "dialog"))
    assert reply(within, 200, tag="other").to == within.to
    assert reply(INVITE, 200).to == INVITE.to
    assert with_tag(party("bob"), "t").tag == "t"


def test_the_phrase_is_the_customary_one_unless_given() -> None:
    assert reply(INVITE, 486).reason == "Busy Here"
    assert reply(INVITE, 486, reason="On another line").reason == "On another line"
    assert reply(INVITE, 499).reason == "Unknown"


def test_only_a_100_repeats_the_timestamp() -> None:
    assert reply(INVITE, 100).headers == Headers([("Timestamp", "54")])
    assert reply(INVITE, 180).headers == Headers()
    assert reply(request(), 100).headers == Headers()


def test_ack_and_cancel_have_one_via_and_the_route_of_the_invite() -> None:
    busy = reply(INVITE, 486, tag="b1")
    for message, to in ((ack_of(INVITE, busy), busy.to), (cancel_of(INVITE), INVITE.to)):
        assert message.uri == INVITE.uri
        assert message.vias == (via("z9hG4bKtop"),)
        assert message.routes == (ROUTE,)
        assert message.from_ == INVITE.from_
        assert message.to == to
        assert (message.call_id, message.cseq) == (INVITE.call_id, 9)
        assert (message.headers, message.body) == (Headers(), b"")
