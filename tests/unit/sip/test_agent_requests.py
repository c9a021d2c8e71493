"""What an agent answers by rule, what it tells its user of, and what it asks itself."""

from typing import Any

import pytest
from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip.agent_admission import EXTENSIONS
from protocols.sip.agent_commands import INSIDE, OUTSIDE, Ask, HangUp, Reply, Settings
from protocols.sip.agent_events import Cause, Source
from protocols.sip.derive import reply
from protocols.sip.errors import LocalProtocolError
from protocols.sip.headers import read_tokens
from protocols.sip.ledger import Limits
from protocols.sip.message import Headers, NameAddr, Request
from protocols.sip.session_offers import Body, body_of
from protocols.sip.uri import OtherUri, SipUri, TelUri
from tests.unit.sip.builders import party, request, via
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

SDP = ("Content-Type", "application/sdp")


def invite(*headers: tuple[str, str], **changes: Any) -> Request:
    given: dict[str, Any] = {"contacts": (party("alice"),), "headers": Headers(headers), **changes}
    return request(**given)


def alone(settings: Settings | None = None) -> Party:
    return Party(Wire(), "192.0.2.2", settings)


@pytest.mark.parametrize(
    ("message", "status", "header"),
    [
        (request("PUBLISH"), 405, "Allow"),
        (request("invite", contacts=(party("alice"),)), 405, "Allow"),
        (request("SUBSCRIBE"), 489, "Allow-Events"),
        (request("REFER"), 403, ""),
        (request("BYE"), 481, ""),
        (request("PRACK"), 481, ""),
        (request("UPDATE"), 481, ""),
        (request("INFO"), 481, ""),
        (request("NOTIFY"), 481, ""),
        (request("BYE", to=party("bob", "unknown")), 481, ""),
        (request("INVITE", to=party("bob", "unknown"), contacts=(party("alice"),)), 481, ""),
        (request("OPTIONS", to=party("bob", "unknown")), 481, ""),
        (invite(uri=OtherUri(scheme="http", rest="//example.com")), 416, ""),
        (invite(max_forwards=0), 483, ""),
        (request("MESSAGE", max_forwards=0), 483, ""),
        (invite(("Require", "100rel, precondition, x-new")), 420, "Unsupported"),
        (invite(("Require", "a b")), 400, ""),
        (invite(("Content-Type", "text/plain"), body=b"hello"), 415, "Accept"),
        (invite(("Content-Type", "nothing"), body=b"hello"), 400, ""),
        (invite(body=b"v=0"), 415, "Accept"),
        (invite(SDP, ("Content-Encoding", "gzip"), body=b"v=0"), 415, "Accept-Encoding"),
        (invite(("Accept", "text/plain")), 406, "Accept"),
        (invite(("Accept", "application/sdp;q=0, text/*")), 406, "Accept"),
        (invite(contacts=()), 400, ""),
        (invite(contacts=(NameAddr(uri=TelUri(number="+1")),)), 400, ""),
        (invite(contacts=(party("alice"), party("alicia"))), 400, ""),
    ],
    ids=lambda value: value.method if isinstance(value, Request) else None,
)
def test_what_is_refused_by_rule(message: Request, status: int, header: str) -> None:
    callee = alone()
    assert inject(callee, message, "192.0.2.1") == [f"{status} {message.method}"]
    response = callee.wire.log[-1][2]
    assert response.to.tag
    assert not header or header in response.headers
    assert callee.told == []
    if message.method == "INVITE":
        ack = replace(message, method="ACK", to=response.to, body=b"", contacts=())
        inject(callee, replace(ack, headers=Headers()), "192.0.2.1")
    finish(callee)


@pytest.mark.parametrize(
    "message",
    [
        invite(uri=TelUri(number="+15550001000")),
        invite(("Accept", "multipart/mixed, application/*")),
        invite(("Accept", "application/sdp"), ("Require", "100REL")),
        invite(("Content-Type", "Application/SDP; charset=utf-8"), body=b"v=0"),
        invite(SDP, ("Content-Disposition", "session"), body=b"v"),
        invite(SDP, ("Content-Encoding", "identity"), body=b"v"),
        invite(
            ("Content-Type", "text/html"), ("Content-Disposition", "render;handling=optional"),
            body=b"hi",
        ),
        invite(("Proxy-Require", "x-new")),
    ],
    ids=range(8),
)  # fmt: skip
def test_what_is_taken(message: Request) -> None:
    callee = alone()
    inject(callee, message, "192.0.2.1")
    invited = callee.heard(events.Invited)[0]
    sdp = "sdp" in (message.headers.first("Content-Type") or "").lower()
    assert (invited.offer is not None) is sdp
    callee.hang_up()
    finish(callee)


def test_a_body_for_another_purpose_is_no_offer() -> None:
    callee = alone()
    inject(callee, invite(SDP, ("Content-Disposition", "early-session"), body=b"v"), "192.0.2.1")
    assert callee.heard(events.Invited)[0].offer is None
    callee.hang_up()
    finish(callee)


def test_what_is_allowed_is_what_is_taken() -> None:
    callee = alone()
    headers = callee.agent.abilities()
    assert set(read_tokens(headers, "Allow") or ()) == set(INSIDE) | OUTSIDE
    assert read_tokens(headers, "Supported") == EXTENSIONS
    assert headers.first("Accept") == "application/sdp, multipart/mixed"
    for method in set(INSIDE) | OUTSIDE:
        said = inject(callee, request(method, cseq=5, contacts=(party("a"),)), "192.0.2.1")
        assert f"405 {method}" not in said
    narrow = alone(Settings(outside=frozenset({"INVITE", "OPTIONS"})))
    assert inject(narrow, request("REGISTER"), "192.0.2.1") == ["405 REGISTER"]
    assert "REGISTER" not in (read_tokens(narrow.agent.abilities(), "Allow") or ())


def test_what_is_refused_as_a_method_is_in_no_allow() -> None:
    """A gateway that has no use for texts takes them nowhere, and says so nowhere (§8.2.1)."""
    inside = frozenset(INSIDE) - {"MESSAGE"}
    callee = alone(Settings(inside=inside, outside=frozenset({"INVITE", "OPTIONS"})))
    for to in (party("bob"), party("bob", "unknown")):
        message = request("MESSAGE", to=to, vias=(via(f"z9hG4bK{to.tag or 'none'}"),))
        assert inject(callee, message, "192.0.2.1") == ["405 MESSAGE"]
        allowed = read_tokens(callee.wire.log[-1][2].headers, "Allow") or ()
        assert set(allowed) == inside
    assert set(read_tokens(callee.agent.abilities(), "Allow") or ()) == inside
    only_inside = alone(Settings(outside=frozenset({"INVITE"})))
    assert inject(only_inside, request("MESSAGE"), "192.0.2.1") == ["405 MESSAGE"]
    allowed = read_tokens(only_inside.wire.log[-1][2].headers, "Allow") or ()
    assert "MESSAGE" not in allowed and "INFO" in allowed


@pytest.mark.parametrize(("option", "status"), [("path", 0), ("outbound", 0), ("gruu", 420)])
def test_a_registration_may_require_what_registrars_know(option: str, status: int) -> None:
    """RFC 3327 and RFC 5626; an INVITE may not."""
    callee = alone()
    asked = request("REGISTER", headers=Headers([("Require", option)]))
    assert inject(callee, asked, "192.0.2.1") == ([f"{status} REGISTER"] if status else [])
    assert len(callee.heard(events.RegisterReceived)) == (0 if status else 1)
    assert inject(callee, invite(("Require", option)), "192.0.2.1") == ["420 INVITE"]


def test_options_outside_a_call_are_the_users_to_answer() -> None:
    callee = alone(Settings(software="trunkline"))
    assert inject(callee, request("OPTIONS", max_forwards=0), "192.0.2.1") == []
    asked = callee.heard(events.OptionsReceived)[0]
    ready = Reply(status=200, headers=callee.agent.abilities())
    callee.agent.respond(asked.key, ready, 0.0)
    callee.agent.respond(asked.key, ready, 0.0)  # once is enough
    callee.settle()
    assert callee.wire.said() == ["200 OPTIONS"]
    response = callee.wire.log[-1][2]
    assert "Allow" in response.headers and response.headers.first("Server") == "trunkline"
    finish(callee)


def test_options_inside_a_call_are_answered() -> None:
    caller, callee = pair()
    connect(caller, callee)
    assert inject(callee, request_of(caller, "OPTIONS", 2), caller.host) == ["200 OPTIONS"]
    assert "Supported" in caller.wire.log[-1][2].headers
    caller.hang_up()
    finish(caller, callee)


def test_a_register_is_the_registrars() -> None:
    callee = alone()
    inject(callee, request("REGISTER", contacts=(party("bob"),)), "192.0.2.1")
    asked = callee.heard(events.RegisterReceived)[0]
    callee.agent.respond(asked.key, Reply(status=200, contacts=(party("bob"),)), 0.0)
    callee.settle()
    assert callee.wire.log[-1][2].contacts == (party("bob"),)
    finish(callee)


def test_a_challenge_leaves_nothing_behind() -> None:
    callee = alone()
    inject(callee, request("REGISTER", contacts=(party("bob"),)), "192.0.2.1")
    asked = callee.heard(events.RegisterReceived)[0]
    challenge = Reply(status=401, headers=Headers([("WWW-Authenticate", 'Digest realm="r"')]))
    callee.agent.dismiss(asked.key, challenge)
    callee.agent.dismiss(asked.key, challenge)
    callee.settle()
    assert callee.wire.said() == ["401 REGISTER"]
    assert "WWW-Authenticate" in callee.wire.log[-1][2].headers
    callee.assert_nothing_left()


def test_a_caller_who_is_turned_away_leaves_nothing_behind() -> None:
    callee = alone()
    inject(callee, invite(), "192.0.2.1")
    with pytest.raises(LocalProtocolError):
        callee.agent.turn_away(callee.session, Reply(status=200), 0.0)
    for _ in range(2):
        callee.agent.turn_away(callee.session, Reply(status=401), 0.0)
    callee.settle()
    assert callee.wire.said() == ["401 INVITE"]
    assert [each.cause for each in callee.heard(events.Ended)] == [Cause.DECLINED]
    callee.assert_nothing_left()


def test_what_the_user_never_answers_is_forgotten() -> None:
    callee = alone()
    inject(callee, request("OPTIONS"), "192.0.2.1")
    callee.wire.run()
    callee.agent.respond(callee.heard(events.OptionsReceived)[0].key, Reply(status=200), 99.0)
    callee.assert_nothing_left()


@pytest.mark.parametrize("method", ["info", "message"])
def test_requests_in_a_call(method: str) -> None:
    caller, callee = pair()
    connect(caller, callee)
    body = Body(octets=b"Signal=5", type="application/dtmf-relay")
    id = caller.agent.__getattribute__(method)(caller.session, body, caller.now)
    caller.settle()
    caller.wire.run(0.1)
    kind = events.InfoReceived if method == "info" else events.MessageReceived
    received = callee.heard(kind)[0]
    assert (received.session, received.body) == (callee.session, body)
    callee.agent.respond(received.key, Reply(status=200), callee.now)
    callee.settle()
    caller.wire.run(0.1)
    responded = caller.heard(events.Responded)[0]
    assert (responded.request, responded.session) == (id, caller.session)
    assert (responded.response.status, responded.source) == (200, Source.PEER)
    caller.hang_up()
    finish(caller, callee)


def test_a_peer_that_does_not_know_the_call_is_not_kept() -> None:
    caller, callee = pair()
    connect(caller, callee)
    caller.agent.info(caller.session, Body(octets=b"x", type="text/plain"), caller.now)
    caller.settle()
    caller.wire.run(0.1)
    key = callee.heard(events.InfoReceived)[0].key
    callee.agent.respond(key, Reply(status=481), callee.now)
    callee.settle()
    finish(caller, callee)
    assert caller.heard(events.Ended)[0].cause is Cause.LOST


def test_a_call_that_ends_takes_its_questions_with_it() -> None:
    caller, callee = pair()
    connect(caller, callee)
    caller.agent.info(caller.session, Body(octets=b"x", type="text/plain"), caller.now)
    caller.settle()
    caller.wire.run(0.1)
    caller.hang_up()
    caller.wire.run(0.1)
    caller.agent.info(caller.session, Body(octets=b"x", type="text/plain"), caller.now)
    finish(caller, callee)
    assert not caller.heard(events.Responded)


def ask(caller: Party, to: str, method: str = "OPTIONS") -> None:
    uri = SipUri(host=to)
    command = Ask(
        method=method, uri=uri, from_=party("alice", host=caller.host), to=NameAddr(uri=uri)
    )
    caller.agent.request(command, caller.hop(to), caller.now)
    caller.settle()


def test_a_question_that_nobody_answers() -> None:
    caller = Party(Wire(), "192.0.2.1")
    ask(caller, "192.0.2.9")
    finish(caller)
    responded = caller.heard(events.Responded)[0]
    assert (responded.response.status, responded.source) == (408, Source.TIMEOUT)


def test_a_question_that_no_way_leads_to() -> None:
    caller = Party(Wire(), "192.0.2.1")
    ask(caller, "192.0.2.9")
    caller.agent.transport_failed(caller.hop("192.0.2.9"), "no route", 0.0)
    finish(caller)
    responded = caller.heard(events.Responded)[0]
    assert (responded.response.status, responded.source) == (503, Source.TRANSPORT)


# Too many


def test_calls_beyond_the_limit_are_refused() -> None:
    callee = alone(Settings(sessions=1, retry_after=7))
    inject(callee, invite(), "192.0.2.1")
    other = invite(call_id="other", vias=(request().vias[0],))
    other = replace(other, vias=(replace(other.vias[0], params=(("branch", "z9hG4bKx"),)),))
    assert inject(callee, other, "192.0.2.1") == ["503 INVITE"]
    assert callee.wire.log[-1][2].headers.first("Retry-After") == "7"
    callee.hang_up()
    finish(callee)


def test_without_room_for_transactions_calls_fail_and_end() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    connect(caller, callee)
    wire.run(40.0)
    caller.agent.layer.limits = Limits(clients=0)
    standing = caller.session
    caller.call(callee)
    ask(caller, callee.host)
    assert caller.heard(events.Refused)[0].source is Source.OVERLOAD
    assert caller.heard(events.Responded)[0].source is Source.OVERLOAD
    caller.agent.hang_up(standing, wire.now)
    caller.settle()
    assert caller.agent.sessions == 0
    callee.hang_up()
    finish(caller, callee)


# Where requests go


def test_a_next_hop_where_we_are_is_not_asked_for() -> None:
    caller, callee = pair()
    connect(caller, callee)
    assert not caller.heard(events.NextHopNeeded) and not callee.heard(events.NextHopNeeded)
    caller.hang_up()
    finish(caller, callee)


def test_a_target_is_refreshed_by_changes() -> None:
    caller, callee = pair()
    connect(caller, callee)
    new = NameAddr(uri=SipUri(host=caller.host, user="moved", port=5060))
    update = request_of(caller, "UPDATE", 2, contacts=(new,))
    assert inject(callee, update, caller.host) == ["200 UPDATE"]
    callee.hang_up(HangUp())
    assert caller.wire.messages("BYE")[0].uri == new.uri
    finish(caller, callee)


def test_responses_to_nothing_are_counted() -> None:
    caller, callee = pair()
    connect(caller, callee)
    stray = reply(request_of(caller, "INFO", 9), 200)
    assert inject(caller, stray, callee.host) == []
    assert caller.agent.strays == 1
    assert body_of(caller.wire.messages("200 INVITE")[0]) == ANSWER
    assert body_of(caller.wire.messages("INVITE")[0]) == OFFER
    caller.hang_up()
    finish(caller, callee)
