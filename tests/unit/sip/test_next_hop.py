"""Where the requests of a dialog go: by what its peers say, and not into anybody's NAT."""

from typing import Any

import pytest
from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Acknowledge
from protocols.sip.agent_events import Cause, Source
from protocols.sip.derive import reply
from protocols.sip.dialog import Dialog
from protocols.sip.message import NameAddr, Request, Via
from protocols.sip.next_hop import chosen, found, leads_to, with_transport
from protocols.sip.session import State
from protocols.sip.transport import Destination, Flow, Hop, Transport
from protocols.sip.uri import SipUri, TelUri, Uri, parse_uri
from tests.unit.sip.builders import TCP_FLOW, TCP_HOP, UDP_FLOW, UDP_HOP, request, via
from tests.unit.sip.parties import (
    ANSWER,
    Party,
    Wire,
    connect,
    finish,
    inject,
    pair,
    request_of,
)

TLS_HOP = Hop(transport=Transport.TLS, host="198.51.100.7", port=5061, domain="carrier.example")
NATTED = Flow(
    id=1, transport=Transport.UDP, local=("192.0.2.1", 5060), remote=("198.51.100.7", 31337)
)
PRIVATE = Hop(transport=Transport.UDP, host="10.0.0.7", port=5060)
BROWSER = replace(NATTED, transport=Transport.WSS)
PLAIN, ASKING = via(), via(params=(("branch", "z9hG4bK1"), ("rport", "31337")))


@pytest.mark.parametrize(
    ("destination", "uri", "leads"),
    [
        (UDP_HOP, SipUri(host="198.51.100.7"), True),
        (UDP_HOP, SipUri(host="198.51.100.7", port=5070), False),
        (UDP_FLOW, SipUri(host="198.51.100.7", port=5060), True),
        (TCP_FLOW, SipUri(host="198.51.100.7"), False),
        (UDP_HOP, SipUri(host="198.51.100.7", params=(("transport", "tcp"),)), False),
        (TCP_HOP, SipUri(host="198.51.100.7", params=(("transport", "TCP"),)), True),
        (TCP_HOP, SipUri(host="198.51.100.7"), True),
        (TLS_HOP, SipUri(host="198.51.100.7", params=(("transport", "tcp"),)), True),
        (UDP_HOP, SipUri(host="sip.example.com"), False),
        (UDP_HOP, TelUri(number="+1"), False),
    ],
)
def test_where_a_destination_leads(destination: Destination, uri: Uri, leads: bool) -> None:
    assert leads_to(destination, uri) is leads


def dialog(contact: str, route: str = "") -> Dialog:
    routes = (NameAddr(uri=parse_uri(route)),) if route else ()
    answer = reply(request(), 200, tag="b1")
    told = replace(answer, contacts=(NameAddr(uri=parse_uri(contact)),), record_routes=routes)
    return Dialog.calling(request(), told)


@pytest.mark.parametrize(
    ("way", "asked", "contact", "route", "expected"),
    [
        # A browser is where its WebSocket is, whatever it says (RFC 7118 §5.1).
        (BROWSER, PLAIN, "sip:b@x1.invalid;transport=ws", "", None),
        (BROWSER, PLAIN, "sip:b@x1.invalid;transport=ws", "sip:198.51.100.9;lr", None),
        (BROWSER, None, "sips:b@192.0.2.9", "", None),
        # We called: another machine of the carrier's has the call, or another port of it.
        (UDP_HOP, None, "sip:b@198.51.100.8", "", ("UDP", "198.51.100.8", 5060)),
        (UDP_HOP, None, "sip:b@198.51.100.7:5080", "", ("UDP", "198.51.100.7", 5080)),
        (UDP_HOP, None, "sip:b@198.51.100.7", "", None),
        (UDP_HOP, None, "sip:b@[2001:db8::7]:5070", "", ("UDP", "2001:db8::7", 5070)),
        # A proxy that stays in the way, and changes the transport there (§16.6, 4).
        (UDP_HOP, None, "sip:b@10.0.0.7", "sip:198.51.100.9;lr", ("UDP", "198.51.100.9", 5060)),
        (
            UDP_HOP,
            None,
            "sip:b@10.0.0.7",
            "sip:198.51.100.7;transport=tcp;lr",
            ("TCP", "198.51.100.7", 5060),
        ),
        # What is secured stays so, and its certificate has the name that it had.
        (TLS_HOP, None, "sip:b@198.51.100.8:5061", "", ("TLS", "198.51.100.8", 5061)),
        (
            TLS_HOP,
            None,
            "sip:b@198.51.100.8;transport=udp",
            "",
            ("TLS", "198.51.100.8", 5061),
        ),
        (UDP_HOP, None, "sips:b@198.51.100.8", "", ("TLS", "198.51.100.8", 5061)),
        # Behind NAT, or nowhere.
        (UDP_HOP, None, "sip:b@192.168.1.7", "", None),
        (UDP_HOP, None, "sip:b@100.64.1.7", "", None),
        (UDP_HOP, None, "sip:b@0.0.0.0", "", None),
        (UDP_HOP, None, "sip:b@224.0.1.75", "", None),
        (PRIVATE, None, "sip:b@10.0.0.8", "", ("UDP", "10.0.0.8", 5060)),
        # They called: a gateway that sends from any port and listens at one.
        (NATTED, PLAIN, "sip:a@198.51.100.7", "", ("UDP", "198.51.100.7", 5060)),
        (NATTED, PLAIN, "sip:a@198.51.100.8", "", ("UDP", "198.51.100.8", 5060)),
        (NATTED, PLAIN, "sip:a@192.168.1.7", "", None),
        # A phone behind NAT that believes to know its address: by its flow, and no other way.
        (NATTED, ASKING, "sip:a@198.51.100.7", "", None),
        (NATTED, ASKING, "sip:a@192.168.1.7", "", None),
        (NATTED, ASKING, "sip:a@phone.example", "", None),
        (NATTED, ASKING, "sip:a@x.invalid", "sip:198.51.100.9;lr", ("UDP", "198.51.100.9", 5060)),
        # A phone of ours, called by its flow.
        (NATTED, None, "sip:a@198.51.100.7", "", None),
        # A connection is kept as long as it stands.
        (TCP_FLOW, PLAIN, "sip:a@198.51.100.7;transport=tcp", "", None),
        (TCP_FLOW, PLAIN, "sip:a@198.51.100.8;transport=tcp", "", None),
        (TCP_FLOW, PLAIN, "sip:a@198.51.100.7", "sip:198.51.100.7;transport=tcp;lr", None),
        (
            TCP_FLOW,
            PLAIN,
            "sip:a@198.51.100.7",
            "sip:198.51.100.9;transport=tcp;lr",
            ("TCP", "198.51.100.9", 5060),
        ),
    ],
)
def test_who_is_followed(
    way: Destination, asked: Via | None, contact: str, route: str, expected: Any
) -> None:
    hop = found(way, dialog(contact, route), asked)
    if expected is None:
        assert hop is None
    else:
        assert isinstance(hop, Hop)
        assert (hop.transport, hop.host, hop.port) == expected
        if way is TLS_HOP:
            assert hop.domain == TLS_HOP.domain


@pytest.mark.parametrize(
    ("way", "contact", "source"),
    [
        (NATTED, "sip:a@198.51.100.8", NATTED.local),
        (NATTED, "sip:a@[2001:db8::8]", ("", 0)),  # no socket of ours would fit
        (replace(UDP_HOP, source=("192.0.2.1", 5060)), "sip:a@198.51.100.8", ("192.0.2.1", 5060)),
        (replace(UDP_HOP, source=("192.0.2.1", 5060)), "sip:a@[2001:db8::8]", ("", 0)),
    ],
)
def test_we_speak_from_where_we_did(
    way: Destination, contact: str, source: tuple[str, int]
) -> None:
    hop = found(way, dialog(contact), PLAIN)
    assert isinstance(hop, Hop) and hop.source == source


def test_a_name_is_to_be_looked_up() -> None:
    uri = parse_uri("sip:edge.carrier.example;lr")
    assert found(UDP_HOP, dialog("sip:b@10.0.0.7", "sip:edge.carrier.example;lr"), None) == uri
    assert found(NATTED, dialog("sip:a@edge.carrier.example"), PLAIN) is not None


def test_a_call_is_followed_to_the_machine_that_answers() -> None:
    """Its ACK goes there, and so does its BYE: nobody else knows the dialog (§13.2.2.4)."""
    wire = Wire()
    caller, callee = pair(wire)
    third = Party(wire, "192.0.2.3")
    caller.call(callee)
    wire.run(0.1)
    there = NameAddr(uri=SipUri(host=third.host, user="bob", port=5060))
    callee.accept(contact=there)
    wire.run(0.1)
    assert not caller.heard(events.NextHopNeeded)
    assert [to for _, to, each in wire.log if each is wire.messages("ACK")[0]] == [third.host]
    caller.hang_up()
    wire.run(0.1)
    assert third.wire.log[-2][1] == third.host and wire.said()[-1] == "481 BYE"
    callee.hang_up()
    finish(caller, callee, third)


def test_a_name_is_asked_for_and_the_ack_said_again_there() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    third = Party(wire, "192.0.2.3")
    wire.drop = lambda to, message: (
        to == callee.host and isinstance(message, Request) and message.method == "ACK"
    )
    caller.call(callee)
    wire.run(0.1)
    there = NameAddr(uri=SipUri(host="edge.carrier.example", user="bob"))
    callee.accept(contact=there)
    wire.run(0.1)
    (needed,) = caller.heard(events.NextHopNeeded)
    assert needed.uri == there.uri
    assert wire.messages("ACK")[0].uri == there.uri  # by the way that was known
    caller.agent.redirect(caller.session, caller.hop(third.host))
    wire.run(1.0)  # the 2xx comes again, for its ACK went where nobody wanted it
    again = [(to, each) for _, to, each in wire.log if each in wire.messages("ACK")[1:]]
    assert again and {to for to, _ in again} == {third.host}
    caller.hang_up()
    callee.hang_up()
    finish(caller, callee, third)


def test_an_ack_that_waits_for_the_word_goes_where_the_call_is() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    third = Party(wire, "192.0.2.3")
    caller.call(callee, acknowledge=Acknowledge.WHEN_TOLD)
    wire.run(0.1)
    callee.accept(contact=NameAddr(uri=SipUri(host=third.host, port=5060)))
    wire.run(0.1)
    saved = caller.agent.saved(caller.session)
    assert saved is not None and saved.hop is not None and saved.hop.host == third.host
    caller.do("acknowledge")
    assert wire.log[-1][1] == third.host
    caller.hang_up()
    callee.hang_up()
    finish(caller, callee, third)


def test_a_fork_that_nobody_wants_is_hung_up_where_it_is() -> None:
    wire = Wire()
    caller, callee = pair(wire)
    third = Party(wire, "192.0.2.3")
    connect(caller, callee)
    other = reply(wire.messages("INVITE")[0], 200, tag="other")
    contact = NameAddr(uri=SipUri(host=third.host, port=5060))
    inject(caller, replace(other, contacts=(contact,)), callee.host)
    assert [to for _, to, _ in wire.log[-2:]] == [third.host, third.host]
    assert wire.said()[-2:] == ["ACK", "BYE"]
    caller.hang_up()
    finish(caller, callee, third)


def test_a_caller_that_sends_from_any_port_is_hung_up_where_it_listens() -> None:
    """As gateways do that answer at 5060 and ask from a port of the moment, without rport."""
    wire = Wire()
    caller, callee = pair(wire)
    gateway = "198.51.100.9"
    invite = request(
        vias=(via(host=gateway, port=5060),),
        contacts=(NameAddr(uri=SipUri(host=gateway, user="trunk")),),
    )
    flow = Flow(id=1, transport=Transport.UDP, local=(callee.host, 5060), remote=(gateway, 52_000))
    callee.agent.receive(invite, flow, wire.now)
    callee.settle()
    callee.accept()
    ack = replace(
        invite,
        method="ACK",
        to=wire.messages("200 INVITE")[0].to,
        vias=(via("z9hG4bKack", host=gateway),),
    )
    callee.agent.receive(ack, flow, wire.now)
    callee.settle()
    callee.agent.hang_up(callee.session, wire.now)
    (bye,) = callee.agent.outgoing()
    assert isinstance(bye.destination, Hop)
    assert (bye.destination.host, bye.destination.port) == (gateway, 5060)
    assert bye.destination.source == flow.local
    wire.run()
    caller.assert_nothing_left()
    assert callee.heard(events.Ended)[0].cause is Cause.CLOSED


HIDDEN = NameAddr(uri=SipUri(host="10.0.0.7", user="me", port=5060))
RENAMED = NameAddr(uri=SipUri(host="10.0.0.8", user="me", port=5060))


@pytest.mark.parametrize(
    ("contact", "asks_as", "moves"),
    [
        (HIDDEN, HIDDEN, True),  # another port of its NAT
        (HIDDEN, RENAMED, True),  # another network
        (None, None, False),  # another machine of a carrier's, which says where the call is
    ],
)
def test_a_phone_that_moves_is_answered_where_it_is(
    contact: NameAddr | None, asks_as: NameAddr | None, moves: bool
) -> None:
    wire = Wire()
    caller, callee = pair(wire)
    connect(caller, callee, **({"contact": contact} if contact else {}))
    known = callee.heard(events.Invited)[0].flow
    other = replace(known, remote=("203.0.113.50", 9))
    changes = {"contacts": (asks_as,)} if asks_as else {}
    callee.agent.receive(request_of(caller, "UPDATE", 2, **changes), other, wire.now)
    callee.agent.outgoing()
    callee.agent.hang_up(callee.session, wire.now)
    (bye,) = callee.agent.outgoing()
    assert bye.destination == (other if moves else known)
    caller.hang_up()
    wire.run()


def test_a_connection_that_is_gone_is_made_again() -> None:
    """Who closed a connection still has the call, and pays for it until it hears BYE."""
    wire = Wire(transport=Transport.TCP)
    caller, callee = pair(wire)
    connect(caller, callee)
    flow = callee.heard(events.Invited)[0].flow
    callee.hang_up()
    callee.agent.transport_failed(flow, "closed", wire.now)
    (again,) = callee.agent.outgoing()
    assert isinstance(again.destination, Hop) and again.destination.host == caller.host
    wire.carry(again.octets, callee.host, caller.host)
    finish(caller, callee)
    assert [each.cseq for each in wire.messages("BYE")] == [1, 2]


def test_a_change_goes_again_over_a_new_connection() -> None:
    wire = Wire(transport=Transport.TCP)
    caller, callee = pair(wire)
    connect(caller, callee)
    caller.reactions[events.OfferReceived] = lambda party, event: party.answer(ANSWER)
    flow = callee.heard(events.Invited)[0].flow
    wire.drop = lambda to, message: to == caller.host
    callee.offer()
    wire.drop = lambda to, message: False
    callee.agent.transport_failed(flow, "closed", wire.now)
    callee.settle()
    wire.run(0.1)
    assert callee.heard(events.OfferAnswered)
    assert callee.agent.state(callee.session) is State.UP
    callee.hang_up()
    finish(caller, callee)


def test_a_phone_behind_nat_whose_connection_is_gone_is_lost() -> None:
    wire = Wire(transport=Transport.TCP)
    caller, callee = pair(wire)
    hidden = NameAddr(uri=SipUri(host="10.0.0.7", user="me", port=5060))
    connect(caller, callee, contact=hidden)
    flow = callee.heard(events.Invited)[0].flow
    wire.drop = lambda to, message: to == caller.host
    callee.offer()
    callee.agent.transport_failed(flow, "closed", wire.now)
    callee.settle()
    refused = callee.heard(events.OfferRefused)[0]
    assert (refused.status, refused.source) == (503, Source.TRANSPORT)
    callee.hang_up()
    callee.agent.transport_failed(flow, "closed", wire.now)
    wire.drop = lambda to, message: False
    caller.hang_up()
    finish(caller, callee)


@pytest.mark.parametrize(
    ("way", "hops", "expected"),
    [
        (UDP_HOP, ["198.51.100.8", "198.51.100.9"], "198.51.100.8"),
        (UDP_HOP, ["198.51.100.8", "198.51.100.7"], None),  # it goes there already
        (UDP_HOP, ["192.168.1.7"], None),
        (NATTED, ["198.51.100.7"], "198.51.100.7"),  # another port
        (TCP_FLOW, ["198.51.100.7"], None),  # by another port than it came from, of course
        (TCP_FLOW, ["198.51.100.8"], "198.51.100.8"),
    ],
)
def test_which_of_the_places_of_a_name(
    way: Destination, hops: list[str], expected: str | None
) -> None:
    hop = chosen(way, [Hop(transport=way.transport, host=each, port=5060) for each in hops])
    assert (hop and hop.host) == expected


def test_what_is_secured_is_looked_up_as_such() -> None:
    uri = with_transport(parse_uri("sip:edge.example;transport=tcp;lr"), TLS_HOP)  # type: ignore[arg-type]
    assert uri == parse_uri("sip:edge.example;lr;transport=tls")
