"""A proxy between two agents that challenges: any request of a session gets through."""

from collections import Counter

import pytest

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Accept, Ask, By, Refer, Reliability, Reply, Settings
from protocols.sip.agent_events import Source
from protocols.sip.challenge import PROXY, Challenge, read_authorizations, write_challenge
from protocols.sip.derive import reply
from protocols.sip.digest import Credentials, Sessions, digest_response, ha1
from protocols.sip.message import Headers, Message, NameAddr, Request
from protocols.sip.session import State
from protocols.sip.session_offers import Body
from protocols.sip.session_refresh import Refresher, Wish
from protocols.sip.uri import SipUri
from tests.unit.sip.parties import ANSWER, Party, Wire, finish, inject, pair, sequence


class Gate:
    """A proxy before the callee that lets nothing pass without credentials for its nonce."""

    def __init__(self, wire: Wire, caller: Party, callee: Party) -> None:
        self.wire, self.caller, self.callee = wire, caller, callee
        self.nonce = "n1"
        self.stale = False
        self.asked: Counter[str] = Counter()
        wire.drop = self.stop

    def stop(self, to: str, message: Message) -> bool:
        if not isinstance(message, Request) or to != self.callee.host:
            return False
        if message.method in ("ACK", "CANCEL") or self._is_good(message):
            return False
        self.asked[message.method] += 1
        challenge = Challenge(
            realm="gate", nonce=self.nonce, qop=("auth",), stale=self.stale, algorithm="MD5"
        )
        headers = Headers(((PROXY.challenge, write_challenge(challenge)),))
        refusal = reply(message, 407, tag="gate", headers=headers)
        self.wire.after(0.01, lambda: inject(self.caller, refusal, self.callee.host) and None)
        return True

    def _is_good(self, message: Request) -> bool:
        for given in read_authorizations(message.headers.all(PROXY.credentials)):
            secret = ha1("MD5", "alice", "gate", "wonder")
            wanted = digest_response(given, secret, method=message.method, body=message.body)
            return given.nonce == self.nonce and given.response == wanted
        return False


def alice(password: str = "wonder") -> Sessions:
    return Sessions(
        (Credentials(username="alice", password=password),), cnonce=sequence("cnonce-of-mine-")
    )


def test_every_request_of_a_call_gets_through() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    gate = Gate(wire, caller, callee)
    callee.reactions[events.OfferReceived] = lambda me, event: me.answer(ANSWER)
    caller.call(callee, alice())
    wire.run(0.1)
    assert caller.story() == ["Retried"]
    first, second = wire.messages("INVITE")
    assert (second.call_id, second.from_) == (first.call_id, first.from_)
    assert (first.cseq, second.cseq) == (1, 2) and second.vias != first.vias
    callee.ring(183, body=ANSWER, reliable=Reliability.IF_SUPPORTED)
    wire.run(0.1)
    callee.accept(None)
    wire.run(0.1)
    # RFC 3261 §22.1: an ACK can't be challenged and has what its INVITE had.
    ack = wire.messages("ACK")[-1]
    assert ack.headers.all("Proxy-Authorization") == second.headers.all("Proxy-Authorization")
    for by in (By.INVITE, By.UPDATE):
        caller.offer(by=by)
        wire.run(0.2)
    assert len(caller.heard(events.OfferAnswered)) == 2
    assert gate.asked == {"INVITE": 1}  # all others had credentials from the start
    gate.nonce, gate.stale = "n2", True
    caller.do("refer", Refer(refer_to=NameAddr(uri=SipUri(host="x.example"))))
    wire.run(0.1)
    assert callee.heard(events.Referred)
    gate.nonce = "n3"
    caller.offer()
    wire.run(0.2)
    assert len(caller.heard(events.OfferAnswered)) == 3
    gate.nonce = "n4"
    caller.hang_up()
    wire.run(0.1)
    assert gate.asked == {"INVITE": 2, "REFER": 1, "BYE": 1}
    assert callee.story()[-2:] == ["HungUp", "Ended"]
    finish(caller, callee)


def test_a_transfer_is_told_of_under_the_number_that_got_through() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    gate = Gate(wire, caller, callee)
    caller.call(callee, alice())
    wire.run(0.1)
    callee.accept()
    wire.run(0.1)
    gate.nonce, gate.stale = "n2", True
    caller.do("refer", Refer(refer_to=NameAddr(uri=SipUri(host="x.example"))))
    wire.run(0.1)
    transfer = callee.heard(events.Referred)[0].transfer
    callee.agent.answer_refer(transfer, Reply(status=202), wire.now)
    callee.settle()
    wire.run(0.1)
    assert [each.status for each in caller.heard(events.TransferProgressed)] == [202, 100]
    caller.hang_up()
    finish(caller, callee)


@pytest.mark.parametrize(
    ("sessions", "tries"), [(None, 1), (alice("wrong"), 2), (Sessions((), cnonce=str), 1)]
)
def test_who_has_no_good_credentials_is_refused(sessions: Sessions | None, tries: int) -> None:
    wire = Wire()
    caller, callee = pair(wire)
    gate = Gate(wire, caller, callee)
    caller.call(callee, sessions)
    finish(caller, callee)
    refused = caller.heard(events.Refused)[0]
    assert (refused.status, refused.source) == (407, Source.PEER)
    assert refused.headers.all("Proxy-Authenticate")
    assert gate.asked["INVITE"] == tries


def test_a_refresh_that_is_challenged() -> None:
    wire = Wire()
    short = Settings(refresh=Wish(seconds=90, refresher=Refresher.US))
    caller, callee = pair(wire, caller=short)
    gate = Gate(wire, caller, callee)
    caller.call(callee, alice())
    wire.run(0.1)
    callee.accept()
    wire.run(0.1)
    gate.nonce, gate.stale = "n2", True
    wire.run(46.0)
    assert gate.asked["UPDATE"] == 1
    assert len(callee.heard(events.Refreshed)) == 1
    caller.hang_up()
    finish(caller, callee)


def test_a_call_that_is_given_up_is_not_asked_for_anew() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    Gate(wire, caller, callee)
    caller.call(callee, alice())
    caller.hang_up()
    finish(caller, callee)
    assert wire.said().count("INVITE") == 1
    assert caller.heard(events.Refused)[0].status == 407


def test_the_bye_of_an_unwanted_answer_is_challenged_too() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    gate = Gate(wire, caller, callee)
    caller.call(callee, alice())
    wire.run(0.1)
    callee.ring()
    wire.run(0.1)
    gate.nonce, gate.stale = "n2", True
    caller.hang_up()
    callee.accept()
    finish(caller, callee)
    assert gate.asked["BYE"] == 1
    assert callee.story()[-2:] == ["HungUp", "Ended"]
    assert caller.agent.state(caller.session) is State.ENDED


def test_a_request_outside_a_call_is_challenged() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    gate = Gate(wire, caller, callee)
    callee.reactions[events.MessageReceived] = lambda me, event: me.agent.respond(
        event.key, Reply(status=202), me.now
    )
    ask = Ask(
        method="MESSAGE",
        uri=SipUri(host=callee.host),
        from_=NameAddr(uri=SipUri(host=caller.host, user="alice")),
        to=NameAddr(uri=SipUri(host=callee.host)),
        body=Body(octets=b"hello", type="text/plain"),
    )
    id = caller.agent.request(ask, caller.hop(callee.host), wire.now, alice())
    caller.settle()
    wire.run(0.5)
    assert gate.asked == {"MESSAGE": 1}
    responded = caller.heard(events.Responded)[0]
    assert (responded.request, responded.response.status) == (id, 202)
    assert [each.cseq for each in wire.messages("MESSAGE")] == [1, 2]
    finish(caller, callee)


def test_the_callee_has_credentials_too() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    caller.call(callee)
    wire.run(0.1)
    callee.agent.accept(callee.session, Accept(body=ANSWER), wire.now, alice())
    callee.settle()
    wire.run(0.1)
    gate = Gate(wire, callee, caller)
    callee.hang_up()
    finish(caller, callee)
    assert gate.asked == {"BYE": 1}
    assert caller.story()[-2:] == ["HungUp", "Ended"]
