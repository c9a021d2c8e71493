"""A process that dies: the next one sets the far ends of its calls free."""

import msgspec
import pytest

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Acknowledge, Reply, Settings
from protocols.sip.codec import read_datagram
from protocols.sip.errors import LocalProtocolError
from protocols.sip.headers import Reason, write_reason
from protocols.sip.message import Headers, NameAddr, Response
from protocols.sip.session_saved import Saved
from protocols.sip.transport import Flow, Transport
from protocols.sip.uri import SipUri
from tests.unit.sip.builders import request
from tests.unit.sip.parties import ANSWER, OFFER, Party, Wire, connect, finish, inject, pair

DIED = Headers((write_reason(Reason(protocol="SIP", cause=503, text="restarted")),))


def stored(party: Party) -> Saved:
    """What of a session comes back out of a store."""
    saved = party.agent.saved(party.session)
    assert saved is not None
    return msgspec.msgpack.decode(msgspec.msgpack.encode(saved), type=Saved)


def restart(party: Party) -> None:
    party.agent = party.boot(party.host.rpartition(".")[2], Settings(), seed=8)
    party.told.clear()


def test_an_invite_that_rings_is_cancelled_by_its_branch() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    saved = stored(caller)
    wire.run(0.1)
    callee.ring()
    wire.run(0.1)
    restart(caller)
    wire.run(10.0)
    session = caller.agent.restore_unanswered(
        saved, caller.hop(callee.host), wire.now, headers=DIED
    )
    caller.settle()
    wire.run(0.1)
    invite, cancel = wire.messages("INVITE")[0], wire.messages("CANCEL")[0]
    assert cancel.vias == invite.vias and cancel.cseq == invite.cseq
    assert cancel.headers.first("Reason") == DIED.first("Reason")
    assert callee.story() == ["Invited", "Cancelled", "Ended"]
    assert caller.story() == ["Refused", "Ended"]
    assert caller.heard(events.Refused)[0].status == 487
    assert caller.heard(events.Ended)[0].session == session
    finish(caller, callee)


def test_an_invite_that_was_answered_meanwhile_is_hung_up() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    saved = stored(caller)
    wire.run(0.1)
    restart(caller)
    callee.accept()
    wire.run(2.0)
    assert caller.agent.strays > 0  # nobody knows what these are
    caller.agent.restore_unanswered(saved, caller.hop(callee.host), wire.now)
    caller.settle()
    wire.run(5.0)
    assert caller.story() == ["Forked", "Ended"]
    assert callee.story() == ["Invited", "Confirmed", "HungUp", "Ended"]
    finish(caller, callee)


def test_an_invite_that_never_arrived_ends_by_time() -> None:
    wire = Wire()
    caller = Party(wire, "192.0.2.1")
    caller.call("192.0.2.9")
    saved = stored(caller)
    restart(caller)
    caller.agent.restore_unanswered(saved, caller.hop("192.0.2.9"), wire.now)
    caller.settle()
    wire.run()
    assert caller.story() == ["Refused", "Ended"]
    caller.assert_nothing_left()


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_call_that_stood_is_hung_up(who: str) -> None:
    wire = Wire()
    caller, callee = pair(wire)
    connect(caller, callee)
    one, other = (caller, callee) if who == "caller" else (callee, caller)
    saved = stored(one)
    restart(one)
    one.agent.restore_answered(saved, one.hop(other.host), wire.now, headers=DIED)
    one.settle()
    wire.run(0.1)
    bye = wire.messages("BYE")[0]
    assert bye.cseq == (1001 if who == "caller" else 1000)
    assert bye.headers.first("Reason") == DIED.first("Reason")
    assert other.story()[-2:] == ["HungUp", "Ended"]
    assert one.story() == ["Ended"]
    finish(caller, callee)


def test_a_callee_can_be_stored_before_it_answers() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    wire.run(0.1)
    saved = stored(callee)
    callee.accept()
    wire.run(0.005)  # the 2xx is on its way, the ACK will never be read
    restart(callee)
    wire.run(1.0)
    callee.agent.restore_answered(saved, callee.hop(caller.host), wire.now)
    callee.settle()
    wire.run(0.1)
    assert caller.story() == ["Answered", "HungUp", "Ended"]
    finish(caller, callee)


def test_routes_and_targets_are_stored() -> None:
    wire = Wire()
    callee = Party(wire, "192.0.2.2")
    proxy = NameAddr(uri=SipUri(host="192.0.2.1", params=(("lr", None),)), params=(("x", "y"),))
    contact = NameAddr(uri=SipUri(host="10.0.0.1", user="alice"))
    inject(callee, request(record_routes=(proxy,), contacts=(contact,)), "192.0.2.1")
    callee.ring()
    saved = stored(callee)
    assert saved.dialog is not None
    assert saved.dialog.routes == ("<sip:192.0.2.1;lr>;x=y",)
    assert saved.dialog.target == "sip:alice@10.0.0.1"
    assert saved.flow is not None and saved.hop is None
    restart(callee)
    callee.agent.restore_answered(saved, callee.hop("192.0.2.1"), wire.now)
    callee.settle()
    bye = wire.messages("BYE")[0]
    assert (bye.uri, bye.routes) == (contact.uri, (proxy,))
    wire.run()
    callee.assert_nothing_left()


def test_what_is_no_session_of_this_kind_is_refused() -> None:
    caller, callee = pair()
    caller.call(callee, body=OFFER)
    saved = stored(caller)
    hop = caller.hop(callee.host)
    with pytest.raises(LocalProtocolError):
        caller.agent.restore_answered(saved, hop, 0.0)
    with pytest.raises(LocalProtocolError):
        caller.agent.restore_unanswered(Saved(), hop, 0.0)
    with pytest.raises(LocalProtocolError):
        caller.agent.restore_unanswered(saved, hop, 0.0)  # it lives
    bad = Headers((("Reason", "a\nb"),))
    caller.wire.run(0.1)
    callee.accept()
    caller.wire.run(0.1)
    answered = stored(caller)
    caller.hang_up()
    caller.wire.run()
    for wrong in (
        lambda: caller.agent.restore_unanswered(saved, hop, 0.0, headers=bad),
        lambda: caller.agent.restore_answered(answered, hop, 0.0, headers=bad),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()
    caller.hang_up()
    finish(caller, callee)


def flow_to(party: Party, host: str) -> Flow:
    return Flow(id=9, transport=Transport.UDP, local=(party.host, 5060), remote=(host, 5060))


def test_a_caller_that_was_never_answered_is_refused() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    wire.run(0.1)
    callee.ring()
    saved = stored(callee)
    wire.run(0.1)
    restart(callee)
    lost = iter([True, False])  # it is said again until its ACK comes
    wire.drop = lambda to, message: isinstance(message, Response) and next(lost, False)
    callee.agent.restore_called(
        saved, flow_to(callee, caller.host), wire.now, Reply(status=500, headers=DIED)
    )
    callee.settle()
    wire.run(1.0)
    refused = caller.heard(events.Refused)[0]
    assert (refused.status, refused.headers.first("Reason")) == (500, DIED.first("Reason"))
    assert caller.story() == ["Progressed", "Refused", "Ended"]
    assert callee.story() == []
    finish(caller, callee)


def test_a_caller_whose_answer_never_left_is_refused_as_well() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    wire.run(0.1)
    saved = stored(callee)
    restart(callee)
    callee.agent.restore_answered(saved, flow_to(callee, caller.host), wire.now, headers=DIED)
    callee.settle()
    wire.run(1.0)
    assert caller.story()[-2:] == ["Refused", "Ended"]
    finish(caller, callee)


def test_a_caller_who_was_answered_is_not_disturbed_by_the_refusal() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    connect(caller, callee)
    saved = stored(callee)
    restart(callee)
    callee.agent.restore_answered(saved, flow_to(callee, caller.host), wire.now)
    callee.settle()
    wire.run(0.1)
    assert caller.story() == ["Answered", "HungUp", "Ended"]
    finish(caller, callee)


def test_only_a_peers_invite_is_refused() -> None:
    caller, callee = pair()
    caller.call(callee)
    saved = stored(caller)
    with pytest.raises(LocalProtocolError):
        caller.agent.restore_called(saved, flow_to(caller, callee.host), 0.0, Reply(status=500))
    caller.wire.run(0.1)
    callee.ring()
    living = stored(callee)
    with pytest.raises(LocalProtocolError):
        callee.agent.restore_called(
            living, flow_to(callee, caller.host), caller.wire.now, Reply(status=500)
        )
    callee.refuse(486)
    finish(caller, callee)


def test_an_answer_is_acknowledged_when_told() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    connect(caller, callee, acknowledge=Acknowledge.WHEN_TOLD)
    wire.run(0.1)
    assert (caller.story(), callee.story()) == (["Answered"], ["Invited"])
    wire.run(1.0)  # the 2xx comes again meanwhile, and is not answered either
    assert not wire.messages("ACK")
    caller.do("acknowledge")
    wire.run(0.1)
    assert callee.story() == ["Invited", "Confirmed"]
    caller.do("acknowledge")  # once is enough
    caller.hang_up()
    wire.run(0.1)
    assert len(wire.messages("ACK")) == 1
    assert callee.story() == ["Invited", "Confirmed", "HungUp", "Ended"]
    finish(caller, callee)


def test_a_call_that_is_not_acknowledged_is_hung_up_all_the_same() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    connect(caller, callee, acknowledge=Acknowledge.WHEN_TOLD)
    caller.hang_up()
    wire.run(0.1)
    assert callee.story() == ["Invited", "Confirmed", "HungUp", "Ended"]
    finish(caller, callee)


def test_who_dies_before_the_acknowledgement_is_hung_up_by_the_next() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee, acknowledge=Acknowledge.WHEN_TOLD)
    saved = stored(caller)
    wire.run(0.1)
    callee.accept()
    wire.run(0.1)
    restart(caller)
    caller.agent.restore_unanswered(saved, caller.hop(callee.host), wire.now)
    caller.settle()
    wire.run(5.0)
    assert callee.story() == ["Invited", "Confirmed", "HungUp", "Ended"]
    finish(caller, callee)


def test_an_offer_in_the_answer_is_not_acknowledged_by_the_word_alone() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee, body=None, acknowledge=Acknowledge.WHEN_TOLD)
    wire.run(0.1)
    callee.accept(OFFER)
    wire.run(0.1)
    with pytest.raises(LocalProtocolError):
        caller.do("acknowledge")
    caller.answer(ANSWER)
    wire.run(0.1)
    assert callee.story() == ["Invited", "Confirmed"]
    caller.hang_up()
    finish(caller, callee)


@pytest.mark.parametrize("when", [0.0, 0.1, 1.0])
def test_an_invite_is_stored_as_it_went_out_until_it_is_answered(when: float) -> None:
    """Until then a restart has something to cancel; from then on it says BYE."""
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    wire.run(when)
    assert read_datagram(stored(caller).invite) == wire.messages("INVITE")[0]
    wire.run(1.0)
    callee.accept()
    wire.run(0.1)
    saved = stored(caller)
    assert saved.invite == b"" and saved.dialog is not None
    caller.hang_up()
    finish(caller, callee)
