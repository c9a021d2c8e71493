"""Calls between two agents: set up, refused, given up, hung up (RFC 3261 §13 to §15, §9)."""

from itertools import pairwise

import pytest
from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import HangUp, Refer, Reliability, Reply
from protocols.sip.agent_events import Cause, Source
from protocols.sip.codec import encode
from protocols.sip.derive import cancel_of, reply
from protocols.sip.errors import LocalProtocolError
from protocols.sip.headers import Reason, write_reason
from protocols.sip.message import Headers, NameAddr
from protocols.sip.session import State
from protocols.sip.session_offers import Body, Exchange
from protocols.sip.transport import Transport
from protocols.sip.uri import SipUri
from tests.unit.sip.parties import ANSWER, OFFER, Party, Wire, connect, finish, inject, pair


def test_a_call_from_its_invite_to_its_end() -> None:
    caller, callee = pair()
    caller.call(callee)
    caller.wire.run(0.1)
    assert callee.heard(events.Invited)[0].offer == OFFER
    callee.ring()
    caller.wire.run(1.0)
    callee.accept()
    caller.wire.run(0.1)
    assert caller.agent.state(caller.session) is State.UP
    assert callee.agent.state(callee.session) is State.UP
    answered = caller.heard(events.Answered)[0]
    assert (answered.body, answered.exchange) == (ANSWER, Exchange.ANSWER)
    caller.hang_up()
    caller.wire.run(0.1)
    assert caller.story() == ["Progressed", "Answered", "Ended"]
    assert callee.story() == ["Invited", "Confirmed", "HungUp", "Ended"]
    assert caller.wire.said() == [
        "INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE",
    ]  # fmt: skip
    assert caller.heard(events.Ended)[0].cause is Cause.CLOSED
    assert callee.heard(events.Ended)[0].cause is Cause.HUNG_UP
    finish(caller, callee)


def test_the_callee_hangs_up_in_its_own_dialog() -> None:
    caller, callee = pair()
    connect(caller, callee)
    callee.hang_up(HangUp(headers=Headers((write_reason(Reason(protocol="Q.850", cause=16)),))))
    finish(caller, callee)
    bye = caller.wire.messages("BYE")[0]
    assert bye.cseq == 1 and bye.headers.first("Reason") == "Q.850;cause=16"
    invite = caller.wire.messages("INVITE")[0]
    assert bye.from_.uri == invite.to.uri and bye.to == invite.from_
    assert caller.heard(events.HungUp)[0].headers.first("Reason") == "Q.850;cause=16"


def test_both_hang_up_at_once() -> None:
    caller, callee = pair()
    connect(caller, callee)
    caller.hang_up()
    callee.hang_up()
    finish(caller, callee)
    assert caller.wire.said().count("200 BYE") == 2
    assert not caller.heard(events.HungUp) and not callee.heard(events.HungUp)


def test_a_bye_that_crosses_ours_ends_the_call_at_once() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    connect(caller, callee)
    wire.drop = lambda to, message: to == callee.host
    caller.hang_up()
    callee.hang_up()
    wire.run(0.1)
    assert caller.story()[-1] == "Ended" and not caller.heard(events.HungUp)
    finish(caller, callee)


@pytest.mark.parametrize("status", [302, 404, 486, 503, 603])
def test_a_call_is_refused(status: int) -> None:
    caller, callee = pair()
    caller.call(callee)
    caller.wire.run(0.1)
    elsewhere = NameAddr(uri=SipUri(host="elsewhere.example.com", user="bob"))
    callee.refuse(status, contacts=(elsewhere,) if status == 302 else ())
    finish(caller, callee)
    refused = caller.heard(events.Refused)[0]
    assert (refused.status, refused.source) == (status, Source.PEER)
    assert refused.contacts == ((elsewhere,) if status == 302 else ())
    assert caller.story()[-1] == callee.story()[-1] == "Ended"
    assert callee.heard(events.Ended)[0].cause is Cause.DECLINED


def test_a_call_to_nobody_ends_by_time() -> None:
    wire = Wire()
    caller = Party(wire, "192.0.2.1")
    caller.call("192.0.2.9")
    wire.run()
    assert caller.story() == ["Refused", "Ended"]
    refused = caller.heard(events.Refused)[0]
    assert (refused.status, refused.source) == (408, Source.TIMEOUT)
    assert wire.now == 32.0
    caller.assert_nothing_left()


def test_a_call_that_no_way_leads_to_fails_at_once() -> None:
    caller, _ = pair()
    caller.call("192.0.2.9")
    caller.agent.transport_failed(caller.hop("192.0.2.9"), "refused", 0.0)
    caller.settle()
    refused = caller.heard(events.Refused)[0]
    assert (refused.status, refused.reason, refused.source) == (503, "refused", Source.TRANSPORT)
    finish(caller)


# CANCEL


def test_the_caller_gives_up_while_it_rings() -> None:
    caller, callee = pair()
    caller.call(callee)
    caller.wire.run(0.1)
    callee.ring()
    caller.wire.run(3.0)
    reason = write_reason(Reason(protocol="SIP", cause=200, text="Call completed elsewhere"))
    caller.hang_up(HangUp(headers=Headers((reason,))))
    finish(caller, callee)
    assert caller.story() == ["Progressed", "Refused", "Ended"]
    assert caller.heard(events.Refused)[0].status == 487
    assert callee.story() == ["Invited", "Cancelled", "Ended"]
    assert callee.heard(events.Cancelled)[0].headers.first("Reason") == reason[1]


def test_a_cancel_waits_for_a_sign_of_life() -> None:
    caller, callee = pair()
    caller.call(callee)
    caller.hang_up()
    assert caller.wire.said() == ["INVITE"]
    finish(caller, callee)
    assert callee.story() == ["Invited", "Cancelled", "Ended"]


def test_the_answer_crosses_the_cancel() -> None:
    caller, callee = pair()
    caller.call(callee)
    caller.wire.run(0.1)
    callee.ring()
    caller.wire.run(1.0)
    caller.hang_up()
    callee.accept()
    finish(caller, callee)
    assert caller.story() == ["Progressed", "Forked", "Ended"]
    assert callee.story() == ["Invited", "Confirmed", "HungUp", "Ended"]
    assert caller.wire.messages("ACK") and caller.wire.messages("BYE")


def test_who_answers_a_cancelled_call_does_nothing() -> None:
    caller, callee = pair()
    callee.reactions[events.Cancelled] = lambda party, event: party.accept()
    caller.call(callee)
    caller.wire.run(1.0)
    caller.hang_up()
    finish(caller, callee)
    assert "200 INVITE" not in caller.wire.said()


def test_a_cancel_that_nobody_answers_ends_by_time() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    wire.run(0.5)
    wire.drop = lambda to, message: True
    caller.hang_up()
    wire.run(40.0)
    assert caller.heard(events.Refused)[0].status == 408
    wire.drop = lambda to, message: False
    callee.hang_up()
    finish(caller, callee)


# Retransmissions


def test_a_lost_ack_is_sent_again() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    lost = iter([True, True, False, False])
    wire.drop = lambda to, message: wire.said()[-1] == "ACK" and next(lost)
    connect(caller, callee)
    wire.run(5.0)
    assert wire.times("200 INVITE") == [0.1, 0.6, 1.6]
    assert len({id(each) for each in wire.messages("ACK")}) == 3
    assert len({each.vias for each in wire.messages("ACK")}) == 1
    assert callee.story() == ["Invited", "Confirmed"]
    callee.hang_up()
    finish(caller, callee)


def test_an_answer_that_is_never_acknowledged() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    wire.drop = lambda to, message: wire.said()[-1] == "ACK"
    connect(caller, callee)
    wire.run(31.0)
    assert "BYE" not in wire.said()
    wire.run(2.0)
    assert callee.story() == ["Invited", "NeverConfirmed", "Ended"]
    assert callee.heard(events.Ended)[0].cause is Cause.UNCONFIRMED
    gaps = wire.times("200 INVITE")
    assert [round(b - a, 2) for a, b in pairwise(gaps)][:5] == [0.5, 1, 2, 4, 4]
    finish(caller, callee)
    assert caller.story()[-2:] == ["HungUp", "Ended"]


def test_who_hangs_up_before_the_ack_waits_for_it() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    wire.drop = lambda to, message: wire.said()[-1] == "ACK" and wire.now < 1.0
    connect(caller, callee)
    callee.hang_up()
    wire.run(0.4)
    assert "BYE" not in wire.said()
    finish(caller, callee)
    assert callee.story() == ["Invited", "Confirmed", "Ended"]


def test_a_bye_that_nobody_answers_ends_the_call_all_the_same() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    connect(caller, callee)
    wire.drop = lambda to, message: True
    caller.hang_up()
    wire.run(31.0)
    assert caller.agent.state(caller.session) is State.ENDING
    wire.run(2.0)
    assert caller.story()[-1] == "Ended"
    wire.drop = lambda to, message: False
    callee.hang_up()
    finish(caller, callee)
    assert callee.wire.said()[-1] == "481 BYE"


def test_over_tcp_only_the_answer_is_repeated() -> None:
    wire = Wire(transport=Transport.TCP)
    caller, callee = pair(wire)
    wire.drop = lambda to, message: wire.said()[-1] == "ACK" and wire.now < 1.0
    connect(caller, callee)
    wire.run(3.0)
    assert len(wire.times("200 INVITE")) == 3  # RFC 3261 §13.3.1.4: over any transport
    caller.hang_up()
    finish(caller, callee)


# Forks


def answer_as(caller: Party, tag: str, status: int, host: str = "192.0.2.2") -> None:
    """What a fork says to the caller's INVITE."""
    invite = caller.wire.messages("INVITE")[-1]
    body = ANSWER.octets if status == 200 else b""
    headers = Headers((("Content-Type", ANSWER.type),) if body else ())
    response = reply(invite, status, tag=tag, headers=headers, body=body)
    contact = NameAddr(uri=SipUri(host=host, user=tag))
    caller.receive(encode(replace(response, contacts=(contact,))), host)


def test_the_first_fork_that_answers_gets_the_call() -> None:
    wire = Wire()
    caller = Party(wire, "192.0.2.1")
    caller.call("192.0.2.2")
    wire.run(0.1)
    for tag in ("one", "two", "three"):
        answer_as(caller, tag, 180)
    assert [each.fork for each in caller.heard(events.Progressed)] == ["one", "two", "three"]
    answer_as(caller, "two", 200)
    answer_as(caller, "one", 200)
    answer_as(caller, "one", 200)
    answer_as(caller, "new", 200)
    assert [each.fork for each in caller.heard(events.Answered)] == ["two"]
    assert [each.response.to.tag for each in caller.heard(events.Forked)] == ["one", "new"]
    assert [each.to.tag for each in wire.messages("BYE")] == ["one", "new"]
    assert [each.to.tag for each in wire.messages("ACK")] == ["two", "one", "one", "new"]
    assert [each.uri.user for each in wire.messages("ACK")] == ["two", "one", "one", "new"]
    caller.hang_up()
    finish(caller)


def test_a_fork_answers_after_the_call_has_ended() -> None:
    wire = Wire()
    caller = Party(wire, "192.0.2.1")
    caller.call("192.0.2.2")
    wire.run(0.1)
    answer_as(caller, "one", 200)
    caller.hang_up()
    wire.run(1.0)
    answer_as(caller, "two", 200)
    answer_as(caller, "one", 200)
    assert [each.to.tag for each in wire.messages("ACK")] == ["one", "two", "one"]
    assert {each.to.tag for each in wire.messages("BYE")} == {"one", "two"}
    finish(caller)


def test_early_dialogs_have_a_limit_and_199_makes_room() -> None:
    wire = Wire()
    caller = Party(wire, "192.0.2.1")
    caller.call("192.0.2.2")
    wire.run(0.1)
    for number in range(20):
        answer_as(caller, f"fork{number}", 180)
    assert len(caller.heard(events.Progressed)) == 16
    answer_as(caller, "fork3", 199)
    answer_as(caller, "fork19", 180)
    assert len(caller.heard(events.Progressed)) == 17
    answer_as(caller, "fork99", 200)  # an answer is never too many
    assert caller.heard(events.Answered)[0].fork == "fork99"
    caller.hang_up()
    finish(caller)


# Commands that come too late, or are wrong


RELIABLY = Reliability.IF_SUPPORTED


def test_commands_for_a_call_that_has_ended_do_nothing() -> None:
    caller, callee = pair()
    connect(caller, callee)
    caller.hang_up()
    caller.wire.run(1.0)
    said = len(caller.wire.log)
    callee.ring()
    callee.accept()
    callee.refuse(486)
    callee.hang_up()
    callee.offer()
    callee.answer()
    callee.do("refuse_offer")
    assert caller.agent.saved(caller.session) is None
    assert len(caller.wire.log) == said
    finish(caller, callee)


def test_wrong_commands_are_refused_and_change_nothing() -> None:
    caller, callee = pair()
    caller.call(callee)
    caller.wire.run(0.1)
    for wrong in (
        lambda: callee.accept(None),
        lambda: callee.accept(status=404),
        lambda: callee.refuse(200),
        lambda: callee.ring(100),
        lambda: caller.accept(),
        lambda: callee.do("answer", ANSWER),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()
    with pytest.raises(LocalProtocolError):
        caller.call(callee, headers=Headers((("Subject", "a\r\nVia: b"),)))
    callee.accept()
    with pytest.raises(LocalProtocolError):
        callee.accept()
    caller.wire.run(1.0)
    callee.hang_up()
    finish(caller, callee)


def test_the_bye_of_an_unwanted_answer_follows_what_was_asked_before() -> None:
    caller, callee = pair()
    caller.call(callee)
    caller.wire.run(0.1)
    callee.ring(reliable=Reliability.IF_SUPPORTED)
    caller.wire.run(0.1)
    caller.hang_up()
    callee.accept()
    caller.wire.run(1.0)
    assert (caller.wire.messages("PRACK")[0].cseq, caller.wire.messages("BYE")[0].cseq) == (2, 3)
    finish(caller, callee)


BAD = Headers((("Subject", "a\r\nVia: b"),))
NOWHERE = NameAddr(uri=SipUri(host="no host"))


def test_what_cannot_be_said_is_refused_when_it_is_asked_for() -> None:
    """Some of it would go out much later, when there is nobody to tell."""
    caller, callee = pair()
    caller.call(callee)
    with pytest.raises(LocalProtocolError):
        caller.do("info", Body(octets=b"", type="text/plain"))
    for wrong in (
        lambda: caller.call(callee, headers=BAD),
        lambda: caller.call(callee, contact=NOWHERE),
        lambda: caller.hang_up(HangUp(headers=BAD)),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()
    caller.wire.run(0.1)
    for wrong in (
        lambda: callee.ring(headers=BAD),
        lambda: callee.ring(reason="a\nb"),
        lambda: callee.ring(body=Body(octets=b"x", type="a\r\nb"), reliable=RELIABLY),
        lambda: callee.accept(contact=NOWHERE),
        lambda: callee.accept(headers=Headers((("Contact", "<sip:a@b>"),))),
        lambda: callee.refuse(486, headers=BAD),
        lambda: callee.hang_up(HangUp(headers=BAD)),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()
    callee.accept()
    caller.wire.run(0.1)
    for wrong in (
        lambda: caller.offer(Body(octets=b"x", type="a\r\nb")),
        lambda: caller.do("refer", Refer(refer_to=NOWHERE)),
        lambda: caller.agent.describe(caller.session, Body(octets=b"x", type="\n")),
        lambda: caller.hang_up(HangUp(headers=BAD)),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()
    caller.do("refer", Refer(refer_to=NameAddr(uri=SipUri(host="x"))))
    caller.wire.run(0.1)
    transfer = callee.heard(events.Referred)[0].transfer
    for wrong in (
        lambda: callee.agent.answer_refer(transfer, Reply(status=202, headers=BAD), 0.0),
        lambda: callee.agent.answer_refer(transfer, Reply(status=202, reason="\n"), 0.0),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()
    callee.agent.answer_refer(transfer, Reply(status=202), callee.now)
    with pytest.raises(LocalProtocolError):
        callee.agent.notify(transfer, Reply(status=200, reason="\n"), callee.now)
    callee.offer()
    caller.wire.run(0.1)
    with pytest.raises(LocalProtocolError):
        caller.answer(Body(octets=b"x", type="a\r\nb"))
    caller.answer()
    caller.wire.run(0.1)
    caller.hang_up()
    finish(caller, callee)
    assert callee.heard(events.OfferAnswered)


def test_the_answer_to_a_cancel_has_the_tag_of_the_invites() -> None:
    """§9.2: also where the CANCEL was quicker than anything that was said to the INVITE."""
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    wire.run(0.05)
    invite = wire.messages("INVITE")[0]
    assert inject(callee, cancel_of(invite), caller.host) == ["200 CANCEL", "487 INVITE"]
    said = [wire.messages(each)[0].to.tag for each in ("200 CANCEL", "487 INVITE")]
    assert said[0] == said[1]
    finish(caller, callee)


def test_a_call_that_rings_for_long_is_said_to_ring_every_minute() -> None:
    """§13.3.1.1: a proxy gives up a call that it has heard nothing of for three minutes."""
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    wire.run(0.1)
    callee.ring()
    wire.run(500.0)
    rung = wire.times("180 INVITE")
    assert [round(later - sooner) for sooner, later in pairwise(rung)] == [60] * 8
    callee.accept()
    wire.run(0.1)
    assert caller.heard(events.Answered)
    wire.run(200.0)
    assert wire.times("180 INVITE") == rung
    caller.hang_up()
    finish(caller, callee)


def test_what_is_said_reliably_is_said_anew_while_it_rings() -> None:
    """RFC 3262 §3: with a number of its own, and without the answer that has arrived."""
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    wire.run(0.1)
    callee.ring(183, body=ANSWER, reliable=Reliability.IF_SUPPORTED)
    wire.run(400.0)
    said = wire.messages("183 INVITE")
    numbers = [int(each.headers.first("RSeq")) for each in said]
    assert [later - sooner for sooner, later in pairwise(numbers)] == [1, 1]
    assert [bool(each.body) for each in said] == [True, False, False]
    assert wire.said().count("200 PRACK") == 3
    callee.hang_up()
    finish(caller, callee)
