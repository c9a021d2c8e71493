"""Session timers (RFC 4028): who refreshes, by what, and what happens when nobody does."""

import pytest

from protocols.sip import agent_events as events
from protocols.sip import session_refresh as timers
from protocols.sip.agent_commands import Settings
from protocols.sip.agent_events import Cause
from protocols.sip.derive import reply
from protocols.sip.message import Headers, Request
from protocols.sip.session_offers import Body, body_of
from protocols.sip.session_refresh import Agreed, Refresher, Wish
from tests.unit.sip.builders import party, request
from tests.unit.sip.parties import (
    ANSWER,
    OFFER,
    Party,
    Wire,
    connect,
    finish,
    inject,
    pair,
    request_of,
)

US, PEER = Refresher.US, Refresher.PEER
TIMED = frozenset({"timer"})
SHORT = Settings(refresh=Wish(seconds=90))


def wishing(refresher: Refresher | None, seconds: int = 90) -> Settings:
    return Settings(refresh=Wish(seconds=seconds, refresher=refresher))


def keep_up(*parties: Party) -> None:
    for each in parties:
        each.reactions[events.OfferReceived] = lambda me, event: me.answer(None, fork=event.fork)


# The table of §9


@pytest.mark.parametrize(
    ("header", "supports", "agreed", "said"),
    [
        ("", frozenset(), Agreed(seconds=1800, refresher=US), "1800;refresher=uas"),
        ("300", frozenset(), Agreed(seconds=300, refresher=US), "300;refresher=uas"),
        ("", TIMED, Agreed(seconds=1800, refresher=US), "1800;refresher=uas"),
        ("300", TIMED, Agreed(seconds=300, refresher=US), "300;refresher=uas"),
        ("300;refresher=uac", TIMED, Agreed(seconds=300, refresher=PEER), "300;refresher=uac"),
        ("300;refresher=uas", TIMED, Agreed(seconds=300, refresher=US), "300;refresher=uas"),
        ("9000;refresher=uas", TIMED, Agreed(seconds=1800, refresher=US), "1800;refresher=uas"),
    ],
)
def test_what_the_side_that_answers_agrees_to(
    header: str, supports: frozenset[str], agreed: Agreed, said: str
) -> None:
    headers = Headers((("Session-Expires", header),) if header else ())
    assert timers.answering(request(headers=headers), Wish(), supports) == agreed
    lines = timers.answered(agreed, supports)
    assert lines[0] == ("Session-Expires", said)
    assert (("Require", "timer") in lines) is (supports == TIMED)


def test_less_than_the_caller_minimum_is_never_agreed_to() -> None:
    headers = Headers((("Session-Expires", "3600"), ("Min-SE", "2400")))
    agreed = timers.answering(request(headers=headers), Wish(), TIMED)
    assert agreed.seconds == 2400


@pytest.mark.parametrize(
    ("header", "agreed"),
    [
        ("", Agreed(seconds=1800, refresher=US)),
        ("600", Agreed(seconds=600, refresher=US)),
        ("600;refresher=uac", Agreed(seconds=600, refresher=US)),
        ("600;refresher=uas", Agreed(seconds=600, refresher=PEER)),
        ("1;refresher=uac", Agreed(seconds=90, refresher=US)),
        ("soon", Agreed(seconds=1800, refresher=US)),
    ],
)
def test_what_the_side_that_asked_makes_of_the_answer(header: str, agreed: Agreed) -> None:
    headers = Headers((("Session-Expires", header),) if header else ())
    assert timers.heard(reply(request(), 200, headers=headers), Wish(), None) == agreed


# In calls


@pytest.mark.parametrize("by", ["UPDATE", "INVITE"])
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_forty_refreshes(who: str, by: str) -> None:
    settings = wishing(US if who == "caller" else PEER)
    caller, callee = pair(caller=settings, callee=SHORT)
    keep_up(caller, callee)
    if by == "INVITE":
        caller.deaf, callee.deaf = {"UPDATE"}, {"UPDATE"}
    connect(caller, callee)
    caller.wire.run(40 * 45 + 10)
    one, other = (caller, callee) if who == "caller" else (callee, caller)
    assert [each.by for each in one.heard(events.Refreshed)] == ["us"] * 40
    assert [each.by for each in other.heard(events.Refreshed)] == ["peer"] * 40
    assert {each.seconds for each in one.heard(events.Refreshed)} == {90}
    refreshes = caller.wire.messages(by)[1 if by == "INVITE" else 0 :]
    assert len(refreshes) == 40
    local = OFFER if who == "caller" else ANSWER
    assert {body_of(each) for each in refreshes} == {local if by == "INVITE" else None}
    assert not one.heard(events.OfferAnswered)
    assert {each.headers.first("Session-Expires") for each in refreshes} == {"90;refresher=uac"}
    caller.hang_up()
    finish(caller, callee)


@pytest.mark.parametrize("by", ["UPDATE", "INVITE"])
def test_a_peer_without_timers_is_refreshed_by_us_alone(by: str) -> None:
    caller, callee = pair(caller=SHORT, callee=Settings(refresh=Wish(seconds=100_000)))
    keep_up(callee)
    for each in (caller, callee):
        each.deaf = {"timer", "Session-Expires"} | ({"UPDATE"} if by == "INVITE" else set())
    connect(caller, callee)
    caller.wire.run(40 * 45 + 10)
    assert len([each for each in caller.heard(events.Refreshed) if each.by == "us"]) == 40
    caller.hang_up()
    finish(caller, callee)


@pytest.mark.parametrize(("seconds", "margin"), [(90, 30), (96, 32), (1800, 32)])
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_without_a_refresh_both_hang_up_before_the_end(who: str, seconds: int, margin: int) -> None:
    wire = Wire()
    settings = wishing(US if who == "callee" else PEER, seconds)
    caller, callee = pair(wire, caller=settings, callee=settings)
    connect(caller, callee)
    begun = wire.now - 0.1
    one, other = (caller, callee) if who == "caller" else (callee, caller)
    wire.drop = lambda to, message: True
    wire.run(seconds - margin - 0.5)
    assert not one.heard(events.Expired)
    wire.run(1.0)
    assert len(one.heard(events.Expired)) == 1
    byes = [
        when - begun
        for when, to, each in wire.log
        if to == other.host and isinstance(each, Request) and each.method == "BYE"
    ]
    assert byes[0] == pytest.approx(seconds - margin, abs=0.2)
    reason = [e for _, to, e in wire.log if to == other.host][-1].headers.first("Reason")
    assert reason == 'SIP;cause=408;text="Session Expired"'
    finish(caller, callee)
    assert one.heard(events.Ended)[0].cause is Cause.EXPIRED


def test_a_peer_without_timers_that_is_gone_is_hung_up_on_time() -> None:
    wire = Wire()
    caller, callee = pair(wire, caller=SHORT, callee=Settings(refresh=Wish(seconds=100_000)))
    caller.deaf = callee.deaf = {"timer", "Session-Expires"}
    connect(caller, callee)
    begun = wire.now - 0.1
    wire.drop = lambda to, message: True
    wire.run(59.5)
    assert len(wire.times("UPDATE")) > 1 and "BYE" not in wire.said()
    wire.run(1.0)
    assert wire.times("BYE")[0] - begun == pytest.approx(60, abs=0.2)
    assert caller.heard(events.Expired)
    wire.drop = lambda to, message: False
    callee.hang_up()
    finish(caller, callee)


def test_a_refresh_that_is_refused_is_tried_again_while_there_is_time() -> None:
    caller, callee = pair(caller=wishing(US), callee=SHORT)
    caller.deaf = {"UPDATE"}
    connect(caller, callee)
    callee.reactions[events.OfferReceived] = lambda me, event: me.do("refuse_offer")
    caller.wire.run(200.0)
    # The refreshes at 45, 52.5 and so on were refused, and at 60 there was no time left.
    refreshes = [when - 0.1 for when in caller.wire.times("INVITE")[1:]]
    assert refreshes[:2] == pytest.approx([45.0, 52.5], abs=0.2) and len(refreshes) < 8
    assert not caller.heard(events.OfferRefused)
    assert caller.heard(events.Expired) or callee.heard(events.Expired)
    finish(caller, callee)


def test_what_refreshes_repeat_can_be_said() -> None:
    caller, callee = pair(caller=wishing(US), callee=SHORT)
    keep_up(callee)
    caller.deaf = {"UPDATE"}
    connect(caller, callee)
    caller.agent.describe(caller.session, Body(octets=b"what I say now"))
    caller.wire.run(50.0)
    assert callee.heard(events.OfferReceived)[0].body == Body(octets=b"what I say now")
    caller.hang_up()
    finish(caller, callee)


# 422


def test_too_short_a_timer_is_refused_and_asked_for_anew() -> None:
    strict = Settings(refresh=Wish(seconds=600, minimum=300))
    caller, callee = pair(caller=SHORT, callee=strict)
    caller.call(callee)
    caller.wire.run(0.1)
    callee.accept()
    caller.wire.run(0.1)
    assert caller.wire.said()[:3] == ["INVITE", "422 INVITE", "ACK"]
    refusal = caller.wire.messages("422 INVITE")[0]
    assert refusal.headers.first("Min-SE") == "300"
    first, second = caller.wire.messages("INVITE")
    assert second.headers.first("Session-Expires") == second.headers.first("Min-SE") == "300"
    assert (second.cseq, second.call_id, second.from_) == (2, first.call_id, first.from_)
    assert caller.story() == ["Retried", "Answered"]
    caller.hang_up()
    finish(caller, callee)


@pytest.mark.parametrize(
    ("seconds", "supported", "answered"),
    [
        ("89", "timer", ["422 INVITE"]),
        ("90", "timer", []),
        ("89", "", []),
        ("x", "timer", ["400 INVITE"]),
        ("90;refresher=me", "timer", ["400 INVITE"]),
    ],
)
def test_eighty_nine_seconds_are_too_few(seconds: str, supported: str, answered: list[str]) -> None:
    wire = Wire()
    callee = Party(wire, "192.0.2.2")
    headers = [("Session-Expires", seconds), ("Content-Type", OFFER.type)]
    headers += [("Supported", supported)] if supported else []
    invite = request(headers=Headers(headers), body=OFFER.octets, contacts=(party("alice"),))
    assert inject(callee, invite, "192.0.2.1") == answered
    if answered == ["422 INVITE"]:
        assert wire.messages("422 INVITE")[0].headers.first("Min-SE") == "90"
    callee.hang_up()
    finish(callee)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_minimum_that_cannot_be_read_is_refused(method: str) -> None:
    caller, callee = pair()
    connect(caller, callee)
    headers = Headers((("Session-Expires", "600"), ("Min-SE", "x")))
    change = request_of(caller, method, 2, headers=headers, body=OFFER)
    assert inject(callee, change, caller.host) == [f"400 {method}"]
    callee.hang_up()
    finish(caller, callee)


def test_a_peer_may_say_anew_what_it_can_do() -> None:
    caller, callee = pair(caller=wishing(PEER), callee=SHORT)
    keep_up(caller)
    connect(caller, callee)
    headers = Headers((("Allow", "INVITE, ACK, BYE"), ("Session-Expires", "90;refresher=uas")))
    inject(callee, request_of(caller, "UPDATE", 2, headers=headers), caller.host)
    callee.wire.run(50.0)
    assert callee.wire.said().count("INVITE") == 2
    callee.hang_up()
    finish(caller, callee)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_change_that_wants_too_short_a_timer_is_refused(method: str) -> None:
    caller, callee = pair()
    connect(caller, callee)
    headers = Headers((("Session-Expires", "60"), ("Supported", "timer")))
    change = request_of(caller, method, 2, headers=headers, body=OFFER)
    assert inject(callee, change, caller.host) == [f"422 {method}"]
    callee.hang_up()
    finish(caller, callee)


def test_a_refresh_that_is_too_short_is_raised() -> None:
    caller, callee = pair(caller=wishing(US), callee=SHORT)
    connect(caller, callee)
    caller.wire.drop = lambda to, message: not caller.wire.messages("422 UPDATE")
    caller.wire.run(45.2)
    headers = Headers((("Min-SE", "120"),))
    refusal = reply(caller.wire.messages("UPDATE")[0], 422, headers=headers)
    caller.wire.log.append((caller.now, caller.host, refusal))  # a proxy on the way said it
    assert inject(caller, refusal, callee.host) == ["UPDATE"]
    caller.wire.run(1.0)
    assert caller.heard(events.Refreshed)[0].seconds == 120
    caller.hang_up()
    finish(caller, callee)


def test_a_peer_that_raises_it_for_ever_is_given_up() -> None:
    wire = Wire()
    caller = Party(wire, "192.0.2.1", SHORT)
    caller.call("192.0.2.2")
    wire.run(0.1)
    for least in range(100, 200):
        if caller.heard(events.Refused):
            break
        headers = Headers((("Min-SE", str(least)),))
        refusal = reply(wire.messages("INVITE")[-1], 422, tag="b", headers=headers)
        inject(caller, refusal, "192.0.2.2")
    assert caller.heard(events.Refused)[0].status == 422
    assert len(wire.messages("INVITE")) == 8
    finish(caller)
