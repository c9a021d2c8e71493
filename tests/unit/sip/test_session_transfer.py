"""Transfers between agents, blind and attended, and INVITEs that replace a call."""

from typing import Any

import pytest
from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Refer, Reply
from protocols.sip.agent_events import Cause, Stage
from protocols.sip.errors import LocalProtocolError
from protocols.sip.headers import Replaces, write_replaces
from protocols.sip.message import Headers, NameAddr
from protocols.sip.session_transfer import MAX_TRANSFERS
from protocols.sip.uri import SipUri
from tests.unit.sip.parties import (
    Party,
    Wire,
    connect,
    finish,
    inject,
    pair,
    request_of,
)

CAROL = NameAddr(uri=SipUri(host="192.0.2.3", user="carol"))
TO_CAROL = Refer(refer_to=CAROL)


def progress(party: Party) -> list[tuple[int, Stage]]:
    return [(each.status, each.stage) for each in party.heard(events.TransferProgressed)]


def take(party: Party, status: int = 202) -> Any:
    transfer = party.heard(events.Referred)[-1].transfer
    party.agent.answer_refer(transfer, Reply(status=status), party.now)
    party.settle()
    return transfer


def tell(party: Party, transfer: Any, status: int, reason: str = "") -> None:
    party.agent.notify(transfer, Reply(status=status, reason=reason), party.now)
    party.settle()


def test_a_blind_transfer() -> None:
    wire = Wire()
    alice, bob = pair(wire)
    carol = Party(wire, "192.0.2.3")
    connect(alice, bob)
    by = NameAddr(uri=SipUri(host="192.0.2.1", user="alice"))
    alice.do("refer", Refer(refer_to=CAROL, referred_by=by))
    wire.run(0.1)
    referred = bob.heard(events.Referred)[0]
    assert (referred.refer_to, referred.referred_by, referred.replaces) == (CAROL, by, None)
    transfer = take(bob)
    first_call = bob.session
    bob.reactions[events.Progressed] = lambda me, event: tell(me, transfer, event.response.status)
    bob.reactions[events.Answered] = lambda me, event: tell(me, transfer, 200)
    bob.call(carol, headers=Headers((("Referred-By", "<sip:alice@192.0.2.1>"),)))
    wire.run(0.1)
    carol.ring()
    wire.run(0.1)
    carol.accept()
    wire.run(0.1)
    assert progress(alice) == [
        (202, Stage.ACCEPTED),
        (100, Stage.TRYING),
        (180, Stage.TRYING),
        (200, Stage.OVER),
    ]
    notify = wire.messages("NOTIFY")
    assert [each.headers.first("Subscription-State").partition(";")[0] for each in notify] == [
        "active",
        "active",
        "terminated",
    ]
    assert notify[0].headers.first("Event") == f"refer;id={wire.messages('REFER')[0].cseq}"
    assert notify[-1].body == b"SIP/2.0 200 OK\r\n"
    assert notify[-1].headers.first("Content-Type") == "message/sipfrag;version=2.0"
    alice.hang_up()
    wire.run(0.1)
    assert bob.agent.sessions == 1 and bob.session != first_call
    bob.hang_up()
    finish(alice, bob, carol)


def test_an_attended_transfer() -> None:
    """Alice talks to Bob and to Carol, and lets Bob replace her call with Carol (RFC 5589 §7)."""
    wire = Wire()
    alice, bob = pair(wire)
    carol = Party(wire, "192.0.2.3")
    connect(alice, bob)
    with_bob = alice.session
    alice.call(carol)
    wire.run(0.1)
    carol.accept()
    wire.run(0.1)
    with_carol, carols_first = alice.session, carol.session
    name = alice.agent.name(with_carol)
    assert name is not None
    header = ("Replaces", write_replaces(name)[1])
    target = NameAddr(uri=SipUri(host="192.0.2.3", user="carol", headers=(header,)))
    alice.agent.refer(with_bob, Refer(refer_to=target), wire.now)
    alice.settle()
    wire.run(0.1)
    assert bob.heard(events.Referred)[0].replaces == name
    transfer = take(bob)
    bob.reactions[events.Answered] = lambda me, event: tell(me, transfer, 200)
    bob.call(carol, replaces=bob.heard(events.Referred)[0].replaces)
    wire.run(0.1)
    assert carol.heard(events.Invited)[-1].replaces == carols_first
    assert "replaces" in wire.messages("INVITE")[-1].headers.all("Require")[-1]
    carol.accept()
    carol.agent.hang_up(carols_first, wire.now)
    carol.settle()
    wire.run(0.1)
    assert progress(alice)[-1] == (200, Stage.OVER)
    ended = [each for each in alice.heard(events.Ended) if each.session == with_carol]
    assert ended[0].cause is Cause.HUNG_UP
    alice.agent.hang_up(with_bob, wire.now)
    alice.settle()
    bob.hang_up()
    finish(alice, bob, carol)


@pytest.mark.parametrize("status", [400, 403, 603])
def test_a_transfer_is_refused(status: int) -> None:
    alice, bob = pair()
    connect(alice, bob)
    alice.do("refer", TO_CAROL)
    alice.wire.run(0.1)
    take(bob, status)
    alice.wire.run(0.1)
    assert progress(alice) == [(status, Stage.OVER)]
    assert "NOTIFY" not in alice.wire.said()
    alice.hang_up()
    finish(alice, bob)


def test_a_transfer_that_fails_is_told_and_another_may_follow() -> None:
    alice, bob = pair()
    connect(alice, bob)
    for status in (486, 603):
        alice.do("refer", TO_CAROL)
        alice.wire.run(0.1)
        tell(bob, take(bob), status)
        alice.wire.run(0.1)
    assert [each for each in progress(alice) if each[1] is Stage.OVER] == [
        (486, Stage.OVER),
        (603, Stage.OVER),
    ]
    ids = {each.transfer for each in alice.heard(events.TransferProgressed)}
    assert len(ids) == 2
    alice.hang_up()
    finish(alice, bob)


def test_a_notify_that_is_quicker_than_the_answer() -> None:
    wire = Wire()
    alice, bob = pair(wire)
    connect(alice, bob)
    lost = iter([True])
    wire.drop = lambda to, message: wire.said()[-1] == "202 REFER" and next(lost, False)
    alice.do("refer", TO_CAROL)
    wire.run(0.1)
    tell(bob, take(bob), 200)
    wire.run(5.0)
    assert progress(alice) == [(100, Stage.TRYING), (200, Stage.OVER)]
    alice.hang_up()
    finish(alice, bob)


def test_a_transfer_ends_with_its_call() -> None:
    alice, bob = pair()
    connect(alice, bob)
    alice.do("refer", TO_CAROL)
    alice.wire.run(0.1)
    transfer = take(bob)
    alice.wire.run(0.1)
    alice.hang_up()
    alice.wire.run(0.1)
    said = len(alice.wire.log)
    tell(bob, transfer, 200)
    assert len(alice.wire.log) == said
    finish(alice, bob)


def test_a_subscription_that_ends_without_a_word_is_over() -> None:
    alice, bob = pair()
    connect(alice, bob)
    alice.do("refer", TO_CAROL)
    alice.wire.run(0.1)
    take(bob)
    alice.wire.run(0.1)
    bobs = alice.wire.messages("NOTIFY")[0]
    via = replace(bobs.vias[0], params=(("branch", "z9hG4bK-other"),))
    headers = Headers(
        (("Event", bobs.headers.first("Event")), ("Subscription-State", "terminated"))
    )
    last = replace(bobs, vias=(via,), cseq=9, headers=headers, body=b"")
    assert inject(alice, last, bob.host) == ["200 NOTIFY"]
    assert progress(alice)[-1] == (100, Stage.OVER)
    bob.hang_up()
    finish(alice, bob)


def test_who_may_not_be_told_any_more_is_not() -> None:
    alice, bob = pair()
    connect(alice, bob)
    refer = request_of(alice, "REFER", 2, headers=Headers((("Refer-To", "<sip:c@192.0.2.3>"),)))
    inject(bob, refer, alice.host)  # alice knows nothing of it
    transfer = take(bob)
    alice.wire.run(0.1)
    assert "481 NOTIFY" in alice.wire.said()
    said = len(alice.wire.log)
    tell(bob, transfer, 200)
    assert len(alice.wire.log) == said
    bob.hang_up()
    finish(alice, bob)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ((), "400 REFER"),
        ((("Refer-To", "<sip:a@b>"), ("Refer-To", "<sip:c@d>")), "400 REFER"),
        ((("Refer-To", "nobody"),), "400 REFER"),
        ((("Refer-To", "<sip:a@b?Replaces=nothing>"),), "400 REFER"),
        ((("Refer-To", "<sip:a@b>"), ("Require", "norefersub")), "420 REFER"),
    ],
)
def test_a_refer_that_says_nothing(headers: Any, said: str) -> None:
    alice, bob = pair()
    connect(alice, bob)
    refer = request_of(alice, "REFER", 2, headers=Headers(headers))
    assert inject(bob, refer, alice.host) == [said]
    alice.hang_up()
    finish(alice, bob)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("refer", "481 NOTIFY"),
        ("refer;id=77", "481 NOTIFY"),
        ("presence", "489 NOTIFY"),
        ("", "489 NOTIFY"),
    ],
)
def test_a_notify_of_nothing(event: str, said: str) -> None:
    alice, bob = pair()
    connect(alice, bob)
    headers = Headers((("Event", event),) if event else ())
    notify = request_of(alice, "NOTIFY", 2, headers=headers)
    assert inject(bob, notify, alice.host) == [said]
    alice.hang_up()
    finish(alice, bob)


def test_transfers_of_a_call_are_bounded_on_both_sides() -> None:
    alice, bob = pair()
    connect(alice, bob)
    for _ in range(MAX_TRANSFERS):
        alice.do("refer", TO_CAROL)
    with pytest.raises(LocalProtocolError):
        alice.do("refer", TO_CAROL)
    alice.wire.run(0.1)
    refer = request_of(alice, "REFER", 50, headers=Headers((("Refer-To", "<sip:a@b>"),)))
    assert inject(bob, refer, alice.host) == ["500 REFER"]
    alice.hang_up()
    finish(alice, bob)


def test_two_transfers_under_one_number() -> None:
    alice, bob = pair()
    connect(alice, bob)
    headers = Headers((("Refer-To", "<sip:a@b>"),))
    assert inject(bob, request_of(alice, "REFER", 2, headers=headers), alice.host) == []
    again = request_of(alice, "REFER", 2, headers=headers)
    via = replace(again.vias[0], params=(("branch", "z9hG4bK-again"),))
    assert inject(bob, replace(again, vias=(via,)), alice.host) == ["500 REFER"]
    bob.hang_up()
    finish(alice, bob)


def test_commands_for_transfers_in_the_wrong_order() -> None:
    alice, bob = pair()
    connect(alice, bob)
    ours = alice.do("refer", TO_CAROL)
    alice.wire.run(0.1)
    transfer = bob.heard(events.Referred)[0].transfer
    with pytest.raises(LocalProtocolError):
        tell(bob, transfer, 200)
    with pytest.raises(LocalProtocolError):
        tell(alice, ours, 200)
    take(bob)
    with pytest.raises(LocalProtocolError):
        take(bob)
    alice.hang_up()
    alice.wire.run(1.0)
    with pytest.raises(LocalProtocolError):
        alice.do("refer", TO_CAROL)
    finish(alice, bob)


# Replaces


@pytest.mark.parametrize(
    ("state", "early_only", "said"),
    [
        ("nobody's", False, "481 INVITE"),
        ("up", False, ""),
        ("up", True, "486 INVITE"),
        ("ending", False, "603 INVITE"),
        ("ringing here", False, "481 INVITE"),
    ],
)
def test_what_an_invite_may_replace(state: str, early_only: bool, said: str) -> None:
    wire = Wire()
    alice, bob = pair(wire)
    carol = Party(wire, "192.0.2.3")
    if state == "ringing here":
        alice.call(bob)
        wire.run(0.1)
        bob.ring()
        wire.run(0.1)
    else:
        connect(alice, bob)
    response = wire.messages("180 INVITE" if state == "ringing here" else "200 INVITE")[0]
    if state == "ending":
        wire.drop = lambda to, message: True
        bob.hang_up()
    replaces = Replaces(
        call_id="unknown" if state == "nobody's" else response.call_id,
        to_tag=response.to.tag,
        from_tag=response.from_.tag,
        early_only=early_only,
    )
    bobs = bob.session
    wire.drop = lambda to, message: False
    carol.call(bob, replaces=replaces)
    wire.run(0.1)
    if said:
        assert said in wire.said()
    else:
        assert bob.heard(events.Invited)[-1].replaces == bobs
        carol.hang_up()
        wire.run(0.1)
    alice.hang_up()
    finish(alice, bob, carol)


def test_a_broken_replaces_is_refused() -> None:
    wire = Wire()
    alice, bob = pair(wire)
    alice.call(bob, headers=Headers((("Replaces", "nothing"),)))
    finish(alice, bob)
    assert alice.heard(events.Refused)[0].status == 400


def test_a_call_of_ours_that_rings_can_be_replaced() -> None:
    wire = Wire()
    alice, bob = pair(wire)
    carol = Party(wire, "192.0.2.3")
    alice.call(bob)
    wire.run(0.1)
    bob.ring()
    wire.run(0.1)
    ringing = wire.messages("180 INVITE")[0]
    calling = alice.session
    carol.call(
        alice,
        replaces=Replaces(
            call_id=ringing.call_id,
            to_tag=ringing.from_.tag,
            from_tag=ringing.to.tag,
            early_only=True,
        ),
    )
    wire.run(0.1)
    assert alice.heard(events.Invited)[0].replaces == calling
    alice.agent.hang_up(calling, wire.now)
    alice.accept()
    wire.run(0.1)
    carol.hang_up()
    finish(alice, bob, carol)


def test_a_peer_that_does_not_know_the_call_ends_it() -> None:
    alice, bob = pair()
    connect(alice, bob)
    alice.do("refer", TO_CAROL)
    alice.wire.run(0.1)
    take(bob, 481)
    finish(alice, bob)
    assert alice.heard(events.Ended)[0].cause is Cause.LOST
