"""Offers and answers in calls: delayed, early, by re-INVITE and UPDATE, and at once from both."""

from typing import Any

import pytest
from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import By, Reliability, Reply
from protocols.sip.agent_events import Cause, Source
from protocols.sip.derive import cancel_of, reply
from protocols.sip.errors import LocalProtocolError
from protocols.sip.message import Headers, NameAddr, Request
from protocols.sip.session import State
from protocols.sip.session_offers import Bearer, Body, Exchange, body_of
from protocols.sip.uri import SipUri
from tests.unit.sip.parties import (
    ANSWER,
    OFFER,
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

HELD, HELD_ANSWER = Body(octets=b"held"), Body(octets=b"held too")


def answering(party: Party, body: Body | None = REANSWER) -> None:
    """Let a party answer each offer at once."""
    for kind in (events.OfferReceived, events.OfferWanted):
        party.reactions[kind] = lambda me, event: me.answer(body, fork=event.fork)


# The first offer


def test_an_early_answer_that_may_get_lost_is_a_preview() -> None:
    caller, callee = pair()
    caller.call(callee)
    caller.wire.run(0.1)
    callee.ring(183, body=ANSWER)
    caller.wire.run(0.1)
    callee.accept(None)
    caller.wire.run(0.1)
    progressed, answered = caller.heard(events.Progressed)[0], caller.heard(events.Answered)[0]
    assert (progressed.body, progressed.exchange) == (ANSWER, Exchange.PREVIEW)
    assert (answered.body, answered.exchange) == (ANSWER, Exchange.ANSWER)
    assert body_of(caller.wire.messages("200 INVITE")[0]) == ANSWER
    caller.hang_up()
    finish(caller, callee)


def test_an_answer_without_a_description_takes_the_preview() -> None:
    wire = Wire()
    caller = Party(wire, "192.0.2.1")
    caller.call("192.0.2.2")
    wire.run(0.1)
    invite = wire.messages("INVITE")[0]
    headers = Headers((("Content-Type", ANSWER.type),))
    early = reply(invite, 183, tag="b", headers=headers, body=ANSWER.octets)
    inject(caller, early, "192.0.2.2")
    inject(caller, reply(invite, 200, tag="b"), "192.0.2.2")
    answered = caller.heard(events.Answered)[0]
    assert (answered.body, answered.exchange) == (ANSWER, Exchange.ANSWER)
    caller.hang_up()
    finish(caller)


def test_an_answer_without_any_description_is_told_as_it_is() -> None:
    wire = Wire()
    caller = Party(wire, "192.0.2.1")
    caller.call("192.0.2.2")
    wire.run(0.1)
    inject(caller, reply(wire.messages("INVITE")[0], 200, tag="b"), "192.0.2.2")
    answered = caller.heard(events.Answered)[0]
    assert (answered.body, answered.exchange) == (None, Exchange.NONE)
    caller.hang_up()
    finish(caller)


def test_the_answer_comes_in_the_ack() -> None:
    caller, callee = pair()
    caller.call(callee, body=None)
    caller.wire.run(0.1)
    assert callee.heard(events.Invited)[0].offer is None
    with pytest.raises(LocalProtocolError):
        callee.accept(None)
    callee.accept(OFFER)
    caller.wire.run(1.0)  # the 2xx comes again meanwhile
    answered = caller.heard(events.Answered)
    assert [(each.body, each.exchange) for each in answered] == [(OFFER, Exchange.OFFER)]
    assert caller.agent.state(caller.session) is State.ANSWERED
    assert "ACK" not in caller.wire.said()
    caller.answer(ANSWER)
    caller.wire.run(0.1)
    assert callee.heard(events.Confirmed)[0].body == ANSWER
    caller.hang_up()
    finish(caller, callee)


def test_who_does_not_like_the_offer_acknowledges_and_hangs_up() -> None:
    caller, callee = pair()
    caller.call(callee, body=None)
    caller.wire.run(0.1)
    callee.accept(OFFER)
    caller.wire.run(0.1)
    with pytest.raises(LocalProtocolError):
        caller.do("refuse_offer")
    caller.hang_up()
    finish(caller, callee)
    assert callee.story() == ["Invited", "Confirmed", "HungUp", "Ended"]
    assert callee.heard(events.Confirmed)[0].body is None


# Changes


@pytest.mark.parametrize("by", [By.INVITE, By.UPDATE])
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_hold_and_resume(by: By, who: str) -> None:
    caller, callee = pair()
    connect(caller, callee)
    one, other = (caller, callee) if who == "caller" else (callee, caller)
    answering(other, HELD_ANSWER)
    one.offer(HELD, by=by)
    caller.wire.run(0.2)
    offered = other.heard(events.OfferReceived)[0]
    assert (offered.body, offered.bearer, offered.unchanged) == (HELD, Bearer(by), False)
    assert [each.body for each in one.heard(events.OfferAnswered)] == [HELD_ANSWER]
    one.offer(REOFFER, by=by)
    caller.wire.run(0.2)
    assert len(one.heard(events.OfferAnswered)) == 2
    assert caller.wire.said().count(str(by)) == (2 if by is By.UPDATE else 3)
    assert not one.heard(events.Confirmed)[1:] and not other.heard(events.Confirmed)[1:]
    caller.hang_up()
    finish(caller, callee)


def test_an_offer_in_a_call_goes_by_invite_unless_asked_otherwise() -> None:
    caller, callee = pair()
    connect(caller, callee)
    answering(callee)
    caller.offer()
    caller.wire.run(0.2)
    assert "UPDATE" not in caller.wire.said()
    assert callee.heard(events.OfferReceived)[0].bearer is Bearer.INVITE
    caller.hang_up()
    finish(caller, callee)


def test_a_refused_offer_leaves_all_as_it_was() -> None:
    caller, callee = pair()
    connect(caller, callee)
    callee.reactions[events.OfferReceived] = lambda me, event: me.do("refuse_offer")
    for by in (By.INVITE, By.UPDATE):
        caller.offer(by=by)
        caller.wire.run(0.2)
    refused = caller.heard(events.OfferRefused)
    assert [(each.status, each.source) for each in refused] == [(488, Source.PEER)] * 2
    assert caller.agent.state(caller.session) is callee.agent.state(callee.session) is State.UP
    answering(callee)
    caller.offer()
    caller.wire.run(0.2)
    assert caller.heard(events.OfferAnswered)
    caller.hang_up()
    finish(caller, callee)


def test_a_change_without_an_offer_lets_the_peer_offer() -> None:
    caller, callee = pair()
    connect(caller, callee)
    answering(callee, REOFFER)
    answering(caller, REANSWER)
    caller.offer(None)
    caller.wire.run(0.2)
    assert callee.story()[2:] == ["OfferWanted", "Refreshed", "OfferAnswered"]
    assert callee.heard(events.OfferAnswered)[0].body == REANSWER
    offered = caller.heard(events.OfferReceived)[0]
    assert (offered.body, offered.bearer) == (REOFFER, Bearer.SUCCESS)
    caller.hang_up()
    finish(caller, callee)


def test_an_offer_waits_for_what_is_under_way() -> None:
    caller, callee = pair()
    connect(caller, callee)
    caller.offer(HELD)
    caller.wire.run(0.1)
    with pytest.raises(LocalProtocolError):
        caller.offer()
    callee.offer(REOFFER)  # the caller's waits for an answer first
    caller.wire.run(0.1)
    assert caller.wire.said().count("INVITE") == 2
    answering(caller)
    callee.answer(HELD_ANSWER)
    caller.wire.run(0.5)
    assert caller.heard(events.OfferAnswered)[0].body == HELD_ANSWER
    assert callee.heard(events.OfferAnswered)[0].body == REANSWER
    caller.hang_up()
    finish(caller, callee)


def test_an_unchanged_offer_is_told_so_and_answered_with_what_is_in_force() -> None:
    caller, callee = pair()
    connect(caller, callee)
    answering(callee, None)
    caller.offer(OFFER)
    caller.wire.run(0.2)
    assert callee.heard(events.OfferReceived)[0].unchanged
    assert caller.heard(events.OfferAnswered)[0].body == ANSWER
    caller.hang_up()
    finish(caller, callee)


# Both at once


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (By.INVITE, By.INVITE),
        (By.UPDATE, By.UPDATE),
        (By.INVITE, By.UPDATE),
        (By.UPDATE, By.INVITE),
    ],
)
def test_two_offers_that_cross_both_get_through(ours: By, theirs: By) -> None:
    caller, callee = pair()
    connect(caller, callee)
    answering(caller, Body(octets=b"the caller's answer"))
    answering(callee, Body(octets=b"the callee's answer"))
    caller.offer(HELD, by=ours)
    callee.offer(REOFFER, by=theirs)
    start = caller.now
    caller.wire.run(10.0)
    said = caller.wire.said()
    assert said.count(f"491 {ours}") + said.count(f"491 {theirs}") == (4 if ours is theirs else 2)
    assert [each.body.octets for each in caller.heard(events.OfferAnswered)] == [
        b"the callee's answer"
    ]
    assert [each.body.octets for each in callee.heard(events.OfferAnswered)] == [
        b"the caller's answer"
    ]
    # RFC 3261 §14.1: who made the Call-ID waits longer.
    again = [
        (round(when - start, 2), to)
        for when, to, each in caller.wire.log
        if when > start + 0.0 and isinstance(each, Request) and each.method in (ours, theirs)
    ]
    to_callee = [when for when, to in again if to == callee.host and when > 0.03]
    to_caller = [when for when, to in again if to == caller.host and when > 0.03]
    assert 2.1 <= to_callee[0] <= 4.1 and to_caller[0] <= 2.1
    caller.hang_up()
    finish(caller, callee)


def test_who_never_agrees_is_not_asked_for_ever() -> None:
    caller, callee = pair()
    connect(caller, callee)
    callee.reactions[events.OfferReceived] = lambda me, event: me.agent.refuse_offer(
        me.session, me.now, Reply(status=491)
    )
    caller.offer()
    caller.wire.run(100.0)
    assert caller.heard(events.OfferRefused)[0].status == 491
    assert caller.wire.said().count("491 INVITE") == 9
    caller.hang_up()
    finish(caller, callee)


def test_a_second_change_before_the_answer_to_the_first() -> None:
    caller, callee = pair()
    connect(caller, callee)
    first = request_of(caller, "INVITE", 2, body=REOFFER)
    assert inject(callee, first, caller.host) == []
    for cseq, method in ((3, "INVITE"), (4, "UPDATE")):
        second = request_of(caller, method, cseq, body=HELD)
        assert inject(callee, second, caller.host) == [f"500 {method}"]
        refusal = caller.wire.messages(f"500 {method}")[0]
        assert 0 <= int(refusal.headers.first("Retry-After")) <= 10
    callee.answer()
    callee.hang_up()
    finish(caller, callee)


def test_an_older_request_than_the_last_is_refused() -> None:
    caller, callee = pair()
    connect(caller, callee)
    assert inject(callee, request_of(caller, "OPTIONS", 7), caller.host) == ["200 OPTIONS"]
    assert inject(callee, request_of(caller, "OPTIONS", 6), caller.host) == ["500 OPTIONS"]
    assert inject(callee, request_of(caller, "BYE", 8), caller.host) == ["200 BYE"]
    caller.hang_up()
    finish(caller, callee)


@pytest.mark.parametrize("status", [408, 481])
def test_a_peer_that_does_not_know_the_call_ends_it(status: int) -> None:
    caller, callee = pair()
    connect(caller, callee)
    callee.reactions[events.OfferReceived] = lambda me, event: me.agent.refuse_offer(
        me.session, me.now, Reply(status=status)
    )
    caller.offer()
    finish(caller, callee)
    assert caller.heard(events.OfferRefused)[0].status == status
    assert caller.heard(events.Ended)[0].cause is Cause.LOST


@pytest.mark.parametrize("by", [By.INVITE, By.UPDATE])
def test_an_offer_that_nobody_answers_ends_the_call(by: By) -> None:
    wire = Wire()
    caller, callee = pair(wire)
    connect(caller, callee)
    wire.drop = lambda to, message: to == callee.host and wire.now < 40.0
    caller.offer(by=by)
    wire.run(41.0)
    refused = caller.heard(events.OfferRefused)[0]
    assert (refused.status, refused.source) == (408, Source.TIMEOUT)
    callee.hang_up()
    finish(caller, callee)


def test_the_peer_takes_its_offer_back() -> None:
    caller, callee = pair()
    connect(caller, callee)
    caller.offer()
    caller.wire.run(0.3)
    invite = caller.wire.messages("INVITE")[1]
    assert inject(callee, cancel_of(invite), caller.host) == ["200 CANCEL", "487 INVITE"]
    caller.wire.run(0.1)
    assert callee.heard(events.OfferWithdrawn)
    assert caller.heard(events.OfferRefused)[0].status == 487
    callee.answer()  # too late, and harmless
    caller.hang_up()
    finish(caller, callee)


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize("by", [By.INVITE, By.UPDATE])
def test_a_call_ends_while_an_offer_is_open(who: str, by: By) -> None:
    caller, callee = pair()
    connect(caller, callee)
    caller.offer(by=by)
    caller.wire.run(0.1)
    (caller if who == "caller" else callee).hang_up()
    caller.wire.run(0.1)
    assert f"487 {by}" in caller.wire.said()
    finish(caller, callee)
    assert caller.story()[-1] == callee.story()[-1] == "Ended"


def test_a_change_that_only_rings_ends_with_the_call() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    connect(caller, callee)
    wire.drop = lambda to, message: "487 INVITE" in wire.said()[-1:]
    caller.offer()
    wire.run(1.0)
    caller.hang_up()
    finish(caller, callee)


# Before the answer


def early(caller: Party, callee: Party, **changes: Any) -> None:
    """A call with an answer that has arrived before it is accepted."""
    caller.call(callee, **changes)
    caller.wire.run(0.1)
    callee.ring(183, body=ANSWER, reliable=Reliability.IF_SUPPORTED)
    caller.wire.run(0.1)


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_an_update_before_the_answer(who: str) -> None:
    caller, callee = pair()
    early(caller, callee)
    one, other = (caller, callee) if who == "caller" else (callee, caller)
    answering(other)
    one.offer()
    caller.wire.run(0.1)
    assert one.heard(events.OfferAnswered)[-1].body == REANSWER
    assert other.heard(events.OfferReceived)[0].bearer is Bearer.UPDATE
    assert "Session-Expires" not in caller.wire.messages("UPDATE")[0].headers
    callee.accept(None)
    caller.wire.run(0.1)
    answered = caller.heard(events.Answered)[0]
    assert (answered.body, answered.exchange) == (None, Exchange.NONE)
    caller.hang_up()
    finish(caller, callee)


def test_an_update_waits_until_there_was_an_answer() -> None:
    caller, callee = pair()
    caller.call(callee)
    caller.wire.run(0.1)
    callee.ring()
    caller.wire.run(0.1)
    caller.offer()
    caller.wire.run(0.1)
    assert "UPDATE" not in caller.wire.said()
    answering(callee)
    callee.accept()
    caller.wire.run(1.0)
    assert caller.heard(events.OfferAnswered)[0].body == REANSWER
    caller.hang_up()
    finish(caller, callee)


def test_who_does_not_wait_with_an_update_is_refused() -> None:
    caller, callee = pair()
    caller.call(callee)
    caller.wire.run(0.1)
    callee.ring()
    update = request_of(caller, "UPDATE", 2, body=REOFFER)
    assert inject(callee, update, caller.host) == ["500 UPDATE"]
    caller.wire.run(0.1)
    caller.hang_up()
    finish(caller, callee)


def test_the_answer_waits_for_an_update_that_is_open() -> None:
    caller, callee = pair()
    early(caller, callee)
    callee.offer()
    callee.accept(None)
    caller.wire.run(0.1)
    assert "200 INVITE" not in caller.wire.said()
    caller.answer()
    caller.wire.run(0.1)
    assert callee.story()[-2:] == ["OfferAnswered", "Confirmed"]
    caller.hang_up()
    finish(caller, callee)


def test_a_change_that_was_too_early_for_the_peer_goes_again() -> None:
    caller, callee = pair()
    connect(caller, callee)
    answering(callee)
    lost = iter([True])
    caller.wire.drop = lambda to, message: isinstance(message, Request) and next(lost, False)
    caller.offer()
    invite = caller.wire.messages("INVITE")[1]
    headers = Headers((("Retry-After", "3"),))
    inject(caller, reply(invite, 500, headers=headers), callee.host)
    caller.wire.run(3.0)
    assert not caller.heard(events.OfferAnswered)
    caller.wire.run(0.5)
    assert caller.heard(events.OfferAnswered)
    caller.hang_up()
    finish(caller, callee)


def test_a_change_says_that_the_answer_has_arrived() -> None:
    """RFC 5407 §3.1.5: the ACK was lost."""
    wire = Wire()
    caller, callee = pair(wire)
    wire.drop = lambda to, message: wire.said()[-1] == "ACK" and len(wire.times("ACK")) < 3
    connect(caller, callee)
    answering(callee)
    caller.offer()
    wire.run(0.1)
    assert callee.story()[1:3] == ["Confirmed", "OfferReceived"]
    wire.run(2.0)
    assert caller.heard(events.OfferAnswered)
    caller.hang_up()
    finish(caller, callee)


def test_a_change_that_is_accepted_after_the_call_has_ended_is_acknowledged() -> None:
    caller, callee = pair()
    connect(caller, callee)
    caller.offer()
    caller.wire.run(0.1)
    invite = caller.wire.messages("INVITE")[1]
    caller.wire.drop = lambda to, message: to == caller.host and caller.wire.said()[-1][:3] == "487"
    callee.hang_up()
    caller.wire.run(0.1)
    assert caller.story()[-1] == "Ended"
    for _ in range(2):
        assert inject(caller, reply(invite, 200), callee.host) == ["ACK"]
    assert caller.wire.messages("ACK")[-1].cseq == invite.cseq
    finish(caller, callee)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_the_answer_to_a_change_may_move_the_target(method: str) -> None:
    caller, callee = pair()
    connect(caller, callee)
    caller.wire.drop = lambda to, message: to == callee.host
    caller.offer(by=By(method))
    moved = NameAddr(uri=SipUri(host="192.0.2.99", user="bob"))
    change = caller.wire.messages(method)[-1]
    headers = Headers((("Content-Type", REANSWER.type),))
    accepted = replace(reply(change, 200, headers=headers, body=REANSWER.octets), contacts=(moved,))
    inject(caller, accepted, callee.host)
    caller.hang_up()
    assert caller.wire.messages("BYE")[0].uri == moved.uri
    gone_there = 2 if method == "INVITE" else 1  # its ACK went there, too
    assert [to for _, to, _ in caller.wire.log[-gone_there:]] == [moved.uri.host] * gone_there
    callee.hang_up()
    finish(caller, callee)


def test_an_offer_whose_timer_is_too_short_goes_again() -> None:
    caller, callee = pair()
    connect(caller, callee)
    answering(callee)
    lost = iter([True])
    caller.wire.drop = lambda to, message: isinstance(message, Request) and next(lost, False)
    caller.offer()
    headers = Headers((("Min-SE", "2000"),))
    refusal = reply(caller.wire.messages("INVITE")[1], 422, headers=headers)
    assert inject(caller, refusal, callee.host) == ["ACK", "INVITE"]
    caller.wire.run(0.1)
    again = caller.wire.messages("INVITE")[2]
    assert again.headers.first("Session-Expires") == "2000;refresher=uas"
    assert caller.heard(events.OfferAnswered)[0].body == REANSWER
    caller.hang_up()
    finish(caller, callee)
