"""Where URIs lead: each row of RFC 3263 §4, and servers by priority and weight (RFC 2782)."""

import random
from collections import Counter
from collections.abc import Mapping

import pytest

from protocols.sip.locating import (
    MAX_HOPS,
    Abilities,
    Answer,
    Found,
    Kind,
    Located,
    Naptr,
    Question,
    Record,
    Silent,
    Srv,
    Unlocated,
    by_weight,
    plan,
)
from protocols.sip.transport import Hop, Transport
from protocols.sip.uri import Params, SipUri

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS
Zone = Mapping[tuple[str, str], tuple[Record, ...] | Silent]

ADDRESSES: Zone = {
    ("A", "example.com"): ("192.0.2.1",),
    ("AAAA", "example.com"): ("2001:db8::1",),
    ("A", "one.example.com"): ("192.0.2.11",),
    ("A", "two.example.com"): ("192.0.2.12",),
}


def server(priority: int, weight: int, name: str, port: int = 5060) -> Srv:
    return Srv(priority=priority, weight=weight, port=port, target=name)


SERVERS: Zone = {
    ("SRV", "_sip._udp.example.com"): (server(1, 0, "one.example.com", 5070),),
    ("SRV", "_sip._tcp.example.com"): (server(1, 0, "two.example.com", 5071),),
    ("SRV", "_sips._tcp.example.com"): (server(1, 0, "one.example.com", 5072),),
}


def rule(order: int, preference: int, service: str, name: str, flags: str = "s") -> Naptr:
    return Naptr(order=order, preference=preference, flags=flags, service=service, replacement=name)


RULES: Zone = {
    ("NAPTR", "example.com"): (
        rule(90, 50, "SIP+D2T", "_sip._tcp.example.com"),
        rule(50, 60, "SIP+D2U", "_sip._udp.example.com"),
        rule(50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
        rule(10, 10, "SIP+D2S", "_sip._sctp.example.com"),
        rule(10, 10, "E2U+sip", "example.net", "u"),
    )
}


def uri(
    host: str = "example.com", *, scheme: str = "sip", port: int = 0, params: Params = ()
) -> SipUri:
    return SipUri(host=host, scheme=scheme, port=port, params=params)


def ask(zone: Zone, question: Question) -> Answer:
    found = zone.get((question.kind, question.name), ())
    return found if isinstance(found, Silent) else Found(records=found, ttl=60.0)


def locate(
    target: SipUri, zone: Zone, *, abilities: Abilities | None = None, seed: int = 1
) -> tuple[Located | Unlocated, list[Question]]:
    """What the plan came to and what it asked on its way."""
    conversation = plan(target, abilities or Abilities(), random.Random(seed).random)
    asked: list[Question] = []
    try:
        questions = next(conversation)
        while True:
            asked += questions
            questions = conversation.send([ask(zone, each) for each in questions])
    except StopIteration as end:
        return end.value, asked


def hops(target: SipUri, zone: Zone, abilities: Abilities | None = None) -> list[tuple[str, ...]]:
    """`transport host port domain` of each hop."""
    found, _ = locate(target, zone, abilities=abilities)
    assert isinstance(found, Located), found
    return [(hop.transport, hop.host, str(hop.port), hop.domain) for hop in found.hops]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        # Numeric: nothing is asked; the transport goes without saying (§4.1)
        (uri("192.0.2.9"), [("UDP", "192.0.2.9", "5060", "")]),
        (uri("192.0.2.9", port=5080), [("UDP", "192.0.2.9", "5080", "")]),
        (uri("2001:DB8::9"), [("UDP", "2001:db8::9", "5060", "")]),
        (uri("192.0.2.9", scheme="sips"), [("TLS", "192.0.2.9", "5061", "192.0.2.9")]),
        (
            uri("192.0.2.9", params=(("transport", "TCP"),)),
            [("TCP", "192.0.2.9", "5060", "")],
        ),
        (
            uri("192.0.2.9", params=(("transport", "tls"),)),
            [("TLS", "192.0.2.9", "5061", "192.0.2.9")],
        ),
        # `maddr` stands in for the host, not for the name that the certificate shows
        (uri(params=(("maddr", "192.0.2.9"),)), [("UDP", "192.0.2.9", "5060", "")]),
        (
            uri(scheme="sips", params=(("maddr", "192.0.2.9"),)),
            [("TLS", "192.0.2.9", "5061", "example.com")],
        ),
        # A port is written: addresses only (§4.2)
        (
            uri(port=5090),
            [("UDP", "192.0.2.1", "5090", ""), ("UDP", "2001:db8::1", "5090", "")],
        ),
        (
            uri(port=5091, scheme="sips"),
            [
                ("TLS", "192.0.2.1", "5091", "example.com"),
                ("TLS", "2001:db8::1", "5091", "example.com"),
            ],
        ),
        # The transport is written: SRV of that one
        (uri(params=(("transport", "tcp"),)), [("TCP", "192.0.2.12", "5071", "")]),
        (
            uri(scheme="sips", params=(("transport", "tcp"),)),
            [("TLS", "192.0.2.11", "5072", "example.com")],
        ),
        # Names in any letters, with the last dot or without
        (uri("EXAMPLE.com.", params=(("transport", "udp"),)), [("UDP", "192.0.2.11", "5070", "")]),
        (
            uri("localhost", port=5062),
            [("UDP", "127.0.0.1", "5062", ""), ("UDP", "::1", "5062", "")],
        ),
        (uri("localhost"), [("UDP", "127.0.0.1", "5060", ""), ("UDP", "::1", "5060", "")]),
    ],
)
def test_a_uri_leads_to_hops(target: SipUri, expected: list[tuple[str, ...]]) -> None:
    assert hops(target, {**ADDRESSES, **SERVERS, **RULES}) == expected


def test_what_is_written_is_not_asked() -> None:
    zone = {**ADDRESSES, **SERVERS, **RULES}
    for target in (uri("192.0.2.9"), uri("localhost"), uri("::1")):
        assert locate(target, zone)[1] == []
    kinds = {each.kind for each in locate(uri(port=5090), zone)[1]}
    assert kinds == {Kind.A, Kind.AAAA}
    kinds = {each.kind for each in locate(uri(params=(("transport", "udp"),)), zone)[1]}
    assert kinds == {Kind.SRV, Kind.A, Kind.AAAA}


def test_the_domain_orders_its_transports_by_naptr() -> None:
    assert hops(uri(), {**ADDRESSES, **SERVERS, **RULES}) == [
        ("TLS", "192.0.2.11", "5072", "example.com"),
        ("UDP", "192.0.2.11", "5070", ""),
        ("TCP", "192.0.2.12", "5071", ""),
    ]


def test_sips_takes_only_what_is_secure() -> None:
    assert hops(uri(scheme="sips"), {**ADDRESSES, **SERVERS, **RULES}) == [
        ("TLS", "192.0.2.11", "5072", "example.com")
    ]


def test_without_naptr_each_of_our_transports_is_looked_for() -> None:
    ours = Abilities(transports=(TCP, UDP))
    found = hops(uri(), {**ADDRESSES, **SERVERS}, ours)
    assert found == [("TCP", "192.0.2.12", "5071", ""), ("UDP", "192.0.2.11", "5070", "")]


def test_without_srv_the_default_port_of_the_domain_itself() -> None:
    ours = Abilities(transports=(TCP, UDP), families=(Kind.AAAA, Kind.A))
    assert hops(uri(), ADDRESSES, ours) == [
        ("UDP", "2001:db8::1", "5060", ""),
        ("UDP", "192.0.2.1", "5060", ""),
    ]
    assert hops(uri(scheme="sips"), ADDRESSES)[0] == ("TLS", "192.0.2.1", "5061", "example.com")


@pytest.mark.parametrize(
    ("target", "zone", "reason", "temporary"),
    [
        (uri("nowhere.example"), {}, "nowhere.example has no address", False),
        (uri(scheme="im"), {}, "scheme im", False),
        (uri(params=(("transport", "sctp"),)), {}, "sctp", False),
        (
            uri(scheme="sips", params=(("transport", "udp"),)),
            {},
            "sips does not go over udp",
            False,
        ),
        (
            uri(params=(("transport", "udp"),)),
            {
                **ADDRESSES,
                ("SRV", "_sip._udp.example.com"): (Srv(priority=0, weight=0, port=0, target=""),),
            },
            "no SIP service",
            False,
        ),
        (
            uri(params=(("transport", "udp"),)),
            {**ADDRESSES, ("SRV", "_sip._udp.example.com"): Silent(reason="timed out")},
            "timed out",
            True,
        ),
        (uri(port=5060), {("A", "example.com"): Silent(reason="timed out")}, "timed out", True),
    ],
)
def test_where_nothing_leads_there_is_a_reason(
    target: SipUri, zone: Zone, reason: str, temporary: bool
) -> None:
    found, _ = locate(target, zone)
    assert isinstance(found, Unlocated)
    assert reason in found.reason
    assert found.temporary is temporary


def test_a_transport_or_family_that_we_have_not_is_no_way() -> None:
    ours = Abilities(transports=(UDP,), families=(Kind.A,))
    tls, _ = locate(uri(scheme="sips"), ADDRESSES, abilities=ours)
    assert isinstance(tls, Unlocated)
    ipv6, _ = locate(uri("2001:db8::1"), {}, abilities=ours)
    assert isinstance(ipv6, Unlocated)
    assert hops(uri(port=1), ADDRESSES, ours) == [("UDP", "192.0.2.1", "1", "")]


def test_rules_that_lead_nowhere_fall_back_to_srv() -> None:
    broken: Zone = {
        ("NAPTR", "example.com"): (
            rule(1, 1, "SIP+D2U", "", "s"),
            rule(1, 1, "SIP+D2U", "x.example.com", "a"),
        )
    }
    assert hops(uri(), {**ADDRESSES, **SERVERS, **broken})[0][2] == "5070"
    silent: Zone = {("NAPTR", "example.com"): Silent(reason="SERVFAIL")}
    assert hops(uri(), {**ADDRESSES, **SERVERS, **silent})[0][2] == "5070"


def test_servers_stand_by_priority_and_are_drawn_by_weight() -> None:
    chance = random.Random(7).random
    servers = [server(2, 0, "last"), server(1, 3, "heavy"), server(1, 1, "light")]
    firsts: Counter[str] = Counter()
    for _ in range(4000):
        order = [each.target for each in by_weight(servers, chance)]
        assert sorted(order) == ["heavy", "last", "light"]
        assert order[-1] == "last"
        firsts[order[0]] += 1
    # RFC 2782 draws from 0 to the sum, both among them: 3 of 5 numbers are "heavy".
    assert 0.57 < firsts["heavy"] / 4000 < 0.63


def test_servers_without_weight_share_alike_and_come_rarely_beside_others() -> None:
    chance = random.Random(7).random
    alike = Counter(
        by_weight([server(1, 0, "a"), server(1, 0, "b")], chance)[0].target for _ in range(2000)
    )
    assert 0.45 < alike["a"] / 2000 < 0.55
    rare = Counter(
        by_weight([server(1, 0, "a"), server(1, 99, "b")], chance)[0].target for _ in range(2000)
    )
    assert 0 < rare["a"] < 60


@pytest.mark.parametrize("drawn", [0.0, 0.5, 0.9999999999999999])
def test_the_ends_of_chance_draw_a_server(drawn: float) -> None:
    servers = [server(1, weight, str(weight)) for weight in (0, 0, 5, 65535)]
    assert len(by_weight(servers, lambda: drawn)) == 4


def test_a_zone_made_to_drown_us_is_cut() -> None:
    servers = tuple(server(1, 1, f"s{n}.example.com") for n in range(5000))
    zone: dict[tuple[str, str], tuple[Record, ...]] = {
        ("A", f"s{n}.example.com"): tuple(f"10.{n >> 8}.{n & 255}.{m}" for m in range(200))
        for n in range(5000)
    }
    zone["SRV", "_sip._udp.example.com"] = servers
    found, asked = locate(uri(params=(("transport", "udp"),)), zone)
    assert isinstance(found, Located)
    assert len(found.hops) == MAX_HOPS
    assert len(asked) < 100


def test_the_same_place_by_two_names_is_tried_once() -> None:
    zone: Zone = {
        ("SRV", "_sip._udp.example.com"): (
            server(1, 0, "a.example.com"),
            server(2, 0, "b.example.com"),
        ),
        ("A", "a.example.com"): ("192.0.2.1",),
        ("A", "b.example.com"): ("192.0.2.1",),
    }
    found, _ = locate(uri(params=(("transport", "udp"),)), zone)
    assert found == Located(hops=(Hop(transport=UDP, host="192.0.2.1", port=5060),))


@pytest.mark.parametrize("host", ["df7jal23ls0d.invalid", "a.b.INVALID."])
def test_names_of_browsers_are_asked_of_nobody(host: str) -> None:
    conversation = plan(SipUri(host=host), Abilities(), lambda: 0.5)
    with pytest.raises(StopIteration) as end:
        next(conversation)
    assert isinstance(end.value.value, Unlocated)
