"""Where responses go: RFC 3261 §18.2.1 and §18.2.2, RFC 3581."""

import pytest
from msgspec.structs import replace

from protocols.sip.events import (
    Terminated,
    TransportFailed,
)
from protocols.sip.transport import Destination, Flow, Hop, Transport
from tests.unit.sip.builders import (
    TCP_FLOW,
    TCP_HOP,
    UDP_FLOW,
    WSS_FLOW,
    Side,
    empty,
    received,
    request,
    respond,
    via,
)

PHONE = Flow(
    id=3, transport=Transport.UDP, local=("192.0.2.1", 5060), remote=("203.0.113.9", 31337)
)
V6 = Flow(id=4, transport=Transport.UDP, local=("2001:db8::1", 5060), remote=("2001:db8::9", 5060))
ZONE = Flow(id=5, transport=Transport.UDP, local=("fe80::1", 5060), remote=("fe80::9%eth0", 5060))
TLS = Flow(id=6, transport=Transport.TLS, local=("192.0.2.1", 5061), remote=("198.51.100.7", 40001))
B = ("branch", "z9hG4bKb")
FROM_LOCAL = ("192.0.2.1", 5060)


@pytest.mark.parametrize(
    ("flow", "host", "port", "params", "stamped", "destination"),
    [
        # the same address and port: nothing to add
        (UDP_FLOW, "198.51.100.7", 5060, (B,), (B,), UDP_FLOW),
        (UDP_FLOW, "198.51.100.7", 0, (B,), (B,), UDP_FLOW),
        # a name: received; the port of the Via, 5060 without one
        (
            PHONE,
            "phone.example.com",
            5070,
            (B,),
            (B, ("received", "203.0.113.9")),
            Hop(transport=Transport.UDP, host="203.0.113.9", port=5070, source=FROM_LOCAL),
        ),
        (
            PHONE,
            "203.0.113.9",
            0,
            (B,),
            (B,),
            Hop(transport=Transport.UDP, host="203.0.113.9", port=5060, source=FROM_LOCAL),
        ),
        # rport: the very source, and received even if it is the same
        (
            PHONE,
            "10.0.0.5",
            5060,
            (("rport", None), B),
            (B, ("received", "203.0.113.9"), ("rport", "31337")),
            PHONE,
        ),
        (
            UDP_FLOW,
            "198.51.100.7",
            5060,
            (B, ("rport", None)),
            (B, ("received", "198.51.100.7"), ("rport", "5060")),
            UDP_FLOW,
        ),
        # what the peer wrote itself is not believed, nor is maddr followed
        (
            PHONE,
            "203.0.113.9",
            31337,
            (B, ("received", "192.0.2.200"), ("rport", "1"), ("maddr", "192.0.2.200")),
            (B, ("maddr", "192.0.2.200"), ("received", "203.0.113.9"), ("rport", "31337")),
            PHONE,
        ),
        (
            UDP_FLOW,
            "198.51.100.7",
            5060,
            (B, ("received", "192.0.2.200")),
            (B,),
            UDP_FLOW,
        ),
        # IPv6
        (V6, "2001:db8::9", 5060, (B,), (B,), V6),
        (ZONE, "fe80::9", 5060, (B,), (B,), ZONE),
        (ZONE, "phone", 5060, (B,), (B, ("received", "fe80::9")), ZONE),
        # connections
        (TCP_FLOW, "198.51.100.7", 5060, (B,), (B,), TCP_FLOW),
        (TLS, "sip.example.com", 5061, (B,), (B, ("received", "198.51.100.7")), TLS),
        (WSS_FLOW, "df7jal23ls0d.invalid", 0, (B,), (B, ("received", "203.0.113.9")), WSS_FLOW),
    ],
)
def test_where_responses_go(
    flow: Flow,
    host: str,
    port: int,
    params: tuple[tuple[str, str | None], ...],
    stamped: tuple[tuple[str, str | None], ...],
    destination: Destination,
) -> None:
    side = Side()
    below = via("z9hG4bKbelow")
    top = via(transport=str(flow.transport), host=host, port=port, params=params)
    event = received(side, request("OPTIONS", vias=(top, below)), flow)
    assert event.flow == flow
    assert event.request.vias == (replace(top, params=stamped), below)
    ok = respond(side, event, 200)
    assert side.sent() == [(ok, destination)]


@pytest.mark.parametrize(
    ("flow", "port", "hop"),
    [
        (TCP_FLOW, 5070, Hop(transport=Transport.TCP, host="198.51.100.7", port=5070)),
        (TCP_FLOW, 0, Hop(transport=Transport.TCP, host="198.51.100.7", port=5060)),
        (
            TLS,
            0,
            Hop(transport=Transport.TLS, host="198.51.100.7", port=5061, domain="sip.example.com"),
        ),
    ],
)
def test_when_the_connection_is_gone_the_response_takes_another(
    flow: Flow, port: int, hop: Hop
) -> None:
    side = Side()
    top = via(transport=str(flow.transport), host="sip.example.com", port=port)
    event = received(side, request(vias=(top,)), flow)
    ringing = respond(side, event, 180)
    assert side.sent() == [(ringing, flow)]
    side.layer.transport_failed(flow, "closed", side.now)
    assert side.sent() == [(ringing, hop)]
    busy = respond(side, event, 486)
    assert side.sent() == [(busy, hop)]
    assert side.events() == []
    # There is no third way.
    side.layer.transport_failed(flow, "closed", side.now)
    assert side.events() == []
    side.layer.transport_failed(hop, "refused", side.now)
    assert side.events() == [TransportFailed(id=event.server_id, reason="refused")]


def test_a_response_not_yet_given_takes_the_other_way_too() -> None:
    side = Side()
    event = received(side, request("OPTIONS", vias=(via(transport="TCP"),)), TCP_FLOW)
    side.layer.transport_failed(TCP_FLOW, "closed", side.now)
    assert side.sent() == []
    ok = respond(side, event, 200)
    assert side.sent() == [(ok, TCP_HOP)]
    assert side.events() == [Terminated(id=event.server_id)]
    assert empty(side)


def test_a_browser_can_not_be_called_back() -> None:
    side = Side()
    event = received(side, request(vias=(via(transport="WSS"),)), WSS_FLOW)
    side.layer.transport_failed(WSS_FLOW, "closed", side.now)
    assert side.events() == [TransportFailed(id=event.server_id, reason="closed")]
