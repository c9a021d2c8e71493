"""The resolver against a real DNS server on loopback, over UDP and TCP."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
import uvloop

from protocols.sip.locating import (
    Abilities,
    Answer,
    Found,
    Kind,
    Located,
    Naptr,
    Question,
    Silent,
    Srv,
    Unlocated,
)
from protocols.sip.resolver import Keeping, NameServers, Resolver
from protocols.sip.transport import Hop, Transport
from protocols.sip.uri import SipUri
from tests.ports import free_port

ZONE = """
example.com.            60 IN NAPTR 10 20 "s" "SIP+D2T" "" _sip._tcp.example.com.
example.com.            60 IN NAPTR 10 10 "S" "sips+d2t" "" _sips._tcp.example.com.
_sips._tcp.example.com. 60 IN SRV 10 60 5071 One.Example.COM.
_sip._tcp.example.com.  60 IN SRV 10 60 5070 two.example.com.
one.example.com.        60 IN A 192.0.2.1
one.example.com.        60 IN AAAA 2001:db8::1
two.example.com.        60 IN CNAME three.example.com.
three.example.com.      60 IN A 192.0.2.3
loop.example.com.       60 IN CNAME pool.example.com.
pool.example.com.       60 IN CNAME loop.example.com.
_sip._udp.many.example. 60 IN SRV 1 1 5060 m.many.example.
m.many.example.         60 IN A 192.0.2.77
"""
LONG = 30.0  # seconds: what is asked is answered before, however slow the machine
SOA = "example.com. 900 IN SOA ns.example.com. admin.example.com. 1 1 1 1 120"


class Server:
    """A name server of `ZONE`. What is asked for is counted; `additional` is sent with SRV."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.first = asyncio.Event()
        self.tcp: Counter[str] = Counter()
        self.additional: list[str] = []
        self.silent = False
        self.rcode = dns.rcode.NOERROR
        self.cut = False
        self.records = [
            dns.rrset.from_text(name, int(ttl), "IN", kind, rest)
            for name, ttl, _, kind, rest in (
                line.split(None, 4) for line in ZONE.strip().splitlines()
            )
        ]

    def reply(self, octets: bytes) -> dns.message.Message | None:
        query = dns.message.from_wire(octets)
        asked = query.question[0]
        name = asked.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(asked.rdtype)
        self.asked[kind, name] += 1
        self.first.set()
        if self.silent:
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        reply.set_rcode(self.rcode)
        if self.rcode != dns.rcode.NOERROR:
            return reply
        self.fill(reply, asked.name, asked.rdtype, depth=0)
        known = any(each.name == asked.name for each in self.records)
        if not reply.answer:
            reply.authority.append(rrset(SOA))
            reply.set_rcode(dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)
        if kind == "SRV" and reply.answer:
            reply.additional += [rrset(line) for line in self.additional]
        return reply

    def fill(self, reply: dns.message.Message, name: object, kind: int, *, depth: int) -> None:
        for each in self.records:
            if each.name == name and each.rdtype in (kind, dns.rdatatype.CNAME) and depth < 4:
                held = reply.find_rrset(
                    reply.answer, each.name, each.rdclass, each.rdtype, create=True
                )
                held.update(each)
                if each.rdtype == dns.rdatatype.CNAME:
                    self.fill(reply, each[0].target, kind, depth=depth + 1)


def rrset(line: str) -> dns.rrset.RRset:
    name, ttl, _, kind, rest = line.split(None, 4)
    return dns.rrset.from_text(name, int(ttl), "IN", kind, rest)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self.server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, octets: bytes, peer: tuple[str, int]) -> None:
        reply = self.server.reply(octets)
        if reply is None:
            return
        if self.server.cut:
            reply.flags |= dns.flags.TC
            reply.answer.clear()
        self.transport.sendto(reply.to_wire(), peer)


@pytest.fixture
async def servers() -> AsyncIterator[Callable[[], Awaitable[tuple[Server, tuple[str, int]]]]]:
    """Starts name servers, each on a port of its own for both transports."""
    open_ones: list[asyncio.BaseTransport | asyncio.Server] = []

    async def start() -> tuple[Server, tuple[str, int]]:
        server = Server()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            length = int.from_bytes(await reader.readexactly(2))
            octets = await reader.readexactly(length)
            server.tcp["asked"] += 1
            reply = server.reply(octets)
            assert reply is not None
            wire = reply.to_wire()
            writer.write(len(wire).to_bytes(2) + wire)
            await writer.drain()
            writer.close()

        loop = asyncio.get_running_loop()
        listener = await asyncio.start_server(serve, "127.0.0.1", free_port())
        place = listener.sockets[0].getsockname()[:2]
        datagrams, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(server), local_addr=place
        )
        open_ones.extend([listener, datagrams])
        return server, place

    yield start
    for each in open_ones:
        each.close()
    await asyncio.sleep(0)


Start = Callable[[], Awaitable[tuple[Server, tuple[str, int]]]]


def resolver(
    *places: tuple[str, int], clock: Callable[[], float] = lambda: 0.0, within: float = LONG
) -> Resolver:
    return Resolver(
        NameServers(places, patience=within, within=within),
        clock=clock,
        chance=random.Random(1).random,
        abilities=Abilities(),
    )


def ask(*places: tuple[str, int], patience: float = LONG) -> NameServers:
    return NameServers(places, patience=patience, within=LONG)


def of(kind: Kind, name: str) -> Question:
    return Question(kind=kind, name=name)


async def test_a_domain_is_found_through_naptr_srv_and_addresses(servers: Start) -> None:
    _, place = await servers()
    found = await resolver(place).locate(SipUri(host="example.com"))
    tls, tcp = Transport.TLS, Transport.TCP
    assert found == Located(
        hops=(
            Hop(transport=tls, host="192.0.2.1", port=5071, domain="example.com"),
            Hop(transport=tls, host="2001:db8::1", port=5071, domain="example.com"),
            Hop(transport=tcp, host="192.0.2.3", port=5070),
        )
    )


async def test_records_are_read_as_they_stand(servers: Start) -> None:
    _, place = await servers()
    answer = await ask(place)(of(Kind.NAPTR, "example.com"))
    assert isinstance(answer, Found)
    assert answer.ttl == 60
    assert set(answer.records) == {
        Naptr(
            order=10,
            preference=20,
            flags="s",
            service="SIP+D2T",
            replacement="_sip._tcp.example.com",
        ),
        Naptr(
            order=10,
            preference=10,
            flags="S",
            service="sips+d2t",
            replacement="_sips._tcp.example.com",
        ),
    }
    answer = await ask(place)(of(Kind.SRV, "_sips._tcp.example.com"))
    assert isinstance(answer, Found)
    assert answer.records == (Srv(priority=10, weight=60, port=5071, target="one.example.com"),)


async def test_a_chain_of_names_is_followed_and_a_loop_of_them_is_an_answer(
    servers: Start,
) -> None:
    _, place = await servers()
    answer = await ask(place)(of(Kind.A, "two.example.com"))
    assert isinstance(answer, Found)
    assert answer.records == ("192.0.2.3",)
    answer = await ask(place)(of(Kind.A, "loop.example.com"))
    assert isinstance(answer, Silent) or not answer.records


async def test_what_is_not_there_is_kept_for_the_time_of_its_zone(servers: Start) -> None:
    _, place = await servers()
    gone = await ask(place)(of(Kind.A, "gone.example.com"))
    other_kind = await ask(place)(of(Kind.SRV, "one.example.com"))
    assert gone == other_kind == Found(records=(), ttl=120)


async def test_what_is_cut_off_is_asked_again_over_tcp(servers: Start) -> None:
    server, place = await servers()
    server.cut = True
    answer = await ask(place)(of(Kind.A, "one.example.com"))
    assert isinstance(answer, Found)
    assert answer.records == ("192.0.2.1",)
    assert server.tcp["asked"] == 1


async def test_a_silent_server_is_passed_over_for_the_next(servers: Start) -> None:
    first, place = await servers()
    second, other = await servers()
    first.silent = True
    answer = await ask(place, other, patience=0.3)(of(Kind.A, "one.example.com"))
    assert isinstance(answer, Found)
    assert first.asked and second.asked


async def test_a_server_in_trouble_is_passed_over_for_the_next(servers: Start) -> None:
    first, place = await servers()
    _, other = await servers()
    first.rcode = dns.rcode.SERVFAIL
    answer = await ask(place, other)(of(Kind.A, "one.example.com"))
    assert isinstance(answer, Found)


async def test_silence_of_all_is_said_and_is_temporary(servers: Start) -> None:
    server, place = await servers()
    server.silent = True
    found = await resolver(place, within=0.3).locate(SipUri(host="example.com", port=5060))
    assert isinstance(found, Unlocated)
    assert found.temporary
    assert "example.com" in found.reason


@pytest.mark.parametrize(
    "name", ["a" * 64 + ".example", "a..example", "x." * 200, "\udcff.example"]
)
async def test_a_name_that_dns_cannot_hold_is_an_answer(servers: Start, name: str) -> None:
    _, place = await servers()
    found = await resolver(place).locate(SipUri(host=name, port=5060))
    assert isinstance(found, Unlocated)


async def test_an_answer_is_asked_for_once_until_its_time_is_over(servers: Start) -> None:
    server, place = await servers()
    now = 0.0
    finder = resolver(place, clock=lambda: now)
    target = SipUri(host="one.example.com", port=5060)
    await finder.locate(target)
    now = 59.0
    await finder.locate(target)
    assert server.asked["A", "one.example.com"] == 1
    now = 60.0
    await finder.locate(target)
    assert server.asked["A", "one.example.com"] == 2


async def test_that_there_is_nothing_is_asked_for_once_too(servers: Start) -> None:
    server, place = await servers()
    now = 0.0
    finder = resolver(place, clock=lambda: now)
    target = SipUri(host="gone.example.com", port=5060)
    assert isinstance(await finder.locate(target), Unlocated)
    now = 119.0
    assert isinstance(await finder.locate(target), Unlocated)
    assert server.asked["A", "gone.example.com"] == 1
    now = 120.0
    await finder.locate(target)
    assert server.asked["A", "gone.example.com"] == 2


async def test_those_who_ask_at_once_share_one_question(servers: Start) -> None:
    server, place = await servers()
    finder = resolver(place)
    found = await asyncio.gather(
        *(finder.locate(SipUri(host="one.example.com", port=port)) for port in range(1, 101))
    )
    assert all(isinstance(each, Located) for each in found)
    assert server.asked["A", "one.example.com"] == 1


async def test_who_gives_up_does_not_end_the_question_of_another(servers: Start) -> None:
    _, place = await servers()
    finder = resolver(place)
    target = SipUri(host="one.example.com", port=5060)
    loop = asyncio.get_running_loop()
    gives_up = loop.create_task(finder.locate(target))
    waits = loop.create_task(finder.locate(target))
    await asyncio.sleep(0)
    gives_up.cancel()
    assert isinstance(await waits, Located)
    assert gives_up.cancelled() or gives_up.done()


async def test_addresses_that_come_along_are_not_asked_for(servers: Start) -> None:
    server, place = await servers()
    server.additional = [
        "one.example.com. 60 IN A 192.0.2.5",
        "one.example.com. 60 IN AAAA 2001:db8::5",
        "bank.example. 60 IN A 192.0.2.66",
    ]
    finder = resolver(place)
    found = await finder.locate(SipUri(host="example.com", scheme="sips"))
    assert isinstance(found, Located)
    assert [hop.host for hop in found.hops] == ["192.0.2.5", "2001:db8::5"]
    assert not server.asked["A", "one.example.com"]
    # Nobody asked about the bank, so nothing of it is believed.
    assert isinstance(await finder.locate(SipUri(host="bank.example", port=1)), Unlocated)


async def test_what_was_known_holds_while_name_servers_are_silent() -> None:
    now = 0.0
    asked = 0
    silent = False

    async def flaky(question: Question) -> Answer:
        nonlocal asked
        asked += 1
        return Silent(reason="away") if silent else Found(records=("192.0.2.1",), ttl=10.0)

    finder = Resolver(
        flaky,
        clock=lambda: now,
        chance=lambda: 0.0,
        abilities=Abilities(families=(Kind.A,)),
        keeping=Keeping(stale=100.0, stale_again=30.0),
    )
    target = SipUri(host="one.example.com", port=5060)
    assert isinstance(await finder.locate(target), Located)
    silent = True
    now = 11.0
    assert isinstance(await finder.locate(target), Located)
    now = 40.0
    assert isinstance(await finder.locate(target), Located)
    assert asked == 2  # not at every call: it would wait for the silent ones each time
    now = 110.0
    assert await finder.locate(target) == Unlocated(reason="away", temporary=True)
    silent = False
    now = 113.0
    assert isinstance(await finder.locate(target), Located)


async def test_the_cache_is_bounded() -> None:
    asked: Counter[str] = Counter()

    async def any_name(question: Question) -> Answer:
        asked[question.name] += 1
        return Found(records=("192.0.2.1",), ttl=1000.0)

    finder = Resolver(
        any_name,
        clock=lambda: 0.0,
        chance=lambda: 0.0,
        abilities=Abilities(families=(Kind.A,)),
        keeping=Keeping(answers=10),
    )
    for n in (*range(11), 10, 0):
        await finder.locate(SipUri(host=f"n{n}.example.com", port=5060))
    assert asked["n10.example.com"] == 1
    assert asked["n0.example.com"] == 2


async def test_closing_ends_what_is_asked(servers: Start) -> None:
    server, place = await servers()
    server.silent = True
    finder = Resolver(
        NameServers([place], patience=60.0, within=60.0),
        clock=lambda: 0.0,
        chance=lambda: 0.0,
        abilities=Abilities(),
    )
    before = asyncio.all_tasks()
    waits = asyncio.get_running_loop().create_task(
        finder.locate(SipUri(host="one.example.com", port=5060))
    )
    await server.first.wait()
    await finder.close()
    found = await waits
    assert isinstance(found, Unlocated)
    assert found.temporary
    assert asyncio.all_tasks() == before


async def test_the_systems_name_servers_are_taken_when_none_is_named(tmp_path: Path) -> None:
    """Its file can't name a port, so what is asked goes to where nobody listens."""
    (file := tmp_path / "resolv.conf").write_text("nameserver 127.0.0.153\n")
    answer = await NameServers(file=str(file), patience=0.1, within=0.2)(of(Kind.A, "a.example"))
    assert isinstance(answer, Silent)
    assert "127.0.0.153" in answer.reason


async def test_a_system_without_name_servers_resolves_what_needs_none(tmp_path: Path) -> None:
    finder = Resolver(
        NameServers(file=str(tmp_path / "none")),
        clock=lambda: 0.0,
        chance=lambda: 0.0,
        abilities=Abilities(),
    )
    assert isinstance(await finder.locate(SipUri(host="192.0.2.1")), Located)
    assert await finder.locate(SipUri(host="one.example.com", port=5060)) == Unlocated(
        reason="no name server is configured", temporary=True
    )


def test_names_are_found_on_the_loop_of_the_daemon() -> None:
    async def find() -> Located | Unlocated:
        server, place = Server(), ("127.0.0.1", 0)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(server), local_addr=place
        )
        place = transport.get_extra_info("sockname")
        found = await resolver(place).locate(SipUri(host="one.example.com", port=5060))
        transport.close()
        await asyncio.sleep(0)
        return found

    assert isinstance(uvloop.run(find()), Located)
