"""Two user agents on their sockets: a call over UDP, TCP and at a place where nobody is."""

import asyncio
import random
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Accept, Ask, Invite, Provisional, Settings
from protocols.sip.message import NameAddr
from protocols.sip.session_offers import Body
from protocols.sip.station import Crossed, Event, Station, Terms, Unread, open_station
from protocols.sip.timers import Timers
from protocols.sip.transport import Flow, Hop, Transport
from protocols.sip.uri import SipUri
from protocols.sip.wire import Failed, Listen
from tests.ports import UDP, refusing_port

E = TypeVar("E", bound=Any)
PATIENCE = 60.0


class Party:
    """A station and what it was told; `reactions` by type of event act at once."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.crossed: list[Crossed] = []
        self.reactions: dict[type[Any], Callable[[Any], None]] = {}
        self.station: Station
        self.settings = Settings()
        self.is_deaf = self.is_mute = False
        self._news = asyncio.Event()

    def passes(self, crossed: Crossed) -> bool:
        return not (self.is_deaf if crossed.came else self.is_mute)

    async def open(self, *transports: Transport) -> "Party":
        self.station = await open_station(
            Terms(
                listens=tuple(Listen(transport=each, host="127.0.0.1") for each in transports),
                settings=self.settings,
            ),
            self.take,
            token=lambda: secrets.token_hex(8),
            chance=random.random,
            tap=self.crossed.append,
            passes=self.passes,
        )
        return self

    def take(self, event: Event) -> None:
        self.told.append(event)
        self._news.set()
        reaction = self.reactions.get(type(event))
        if reaction is not None:
            reaction(event)

    async def until_told(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.told) < count:
                self._news.clear()
                await self._news.wait()

    async def until(self, kind: type[E]) -> E:
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in self.told:
                    if isinstance(event, kind):
                        return event
                self._news.clear()
                await self._news.wait()

    def hop(self) -> Hop:
        transport, (host, port) = self.station.endpoint.addresses()[0]
        return Hop(transport=transport, host=host, port=port)

    def call(self, hop: Hop) -> events.SessionId:
        session = self.station.agent.invite(
            Invite(
                uri=SipUri(user="bob", host=hop.host, port=hop.port),
                from_=NameAddr(uri=SipUri(user="alice", host="a.example")),
                to=NameAddr(uri=SipUri(user="bob", host="b.example")),
                body=Body(octets=b"v=0\r\n"),
            ),
            hop,
            self.station.now(),
        )
        self.station.wake()
        return session


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_call_from_invite_to_bye(transport: Transport) -> None:
    alice, bob = await Party().open(transport), await Party().open(transport)

    def ring(event: events.Invited) -> None:
        now = bob.station.now()
        bob.station.agent.provisional(event.session, Provisional(status=180), now)
        bob.station.agent.accept(event.session, Accept(body=Body(octets=b"v=1\r\n")), now)

    bob.reactions[events.Invited] = ring
    session = alice.call(bob.hop())
    answered = await alice.until(events.Answered)
    assert answered.body == Body(octets=b"v=1\r\n")
    await bob.until(events.Confirmed)
    alice.station.agent.hang_up(session, alice.station.now())
    alice.station.wake()
    await bob.until(events.HungUp)
    await alice.until(events.Ended)
    ways = [(each.came, str(each.way.transport)) for each in alice.crossed]
    assert (False, str(transport)) in ways and (True, str(transport)) in ways
    await alice.station.close()
    await bob.station.close()


async def test_what_may_not_pass_is_lost_either_way() -> None:
    alice, bob = await Party().open(Transport.UDP), await Party().open(Transport.UDP)

    def ring(event: events.Invited) -> None:
        bob.is_mute = True
        bob.station.agent.provisional(event.session, Provisional(status=180), bob.station.now())

    bob.reactions[events.Invited] = ring
    bob.is_deaf = True
    alice.call(bob.hop())
    tries = 0
    async with asyncio.timeout(PATIENCE):
        while tries < 2:  # an INVITE without an answer goes again
            await asyncio.sleep(0.05)
            tries = sum(not each.came for each in alice.crossed)
    assert bob.told == [] and bob.crossed == []
    bob.is_deaf = False
    await bob.until(events.Invited)
    await asyncio.sleep(0.05)
    assert not any(each.came for each in alice.crossed)
    assert all(each.came for each in bob.crossed)
    await alice.station.close()
    await bob.station.close()


async def test_what_is_due_at_once_is_done_between_two_turns() -> None:
    alice, bob = await Party().open(Transport.UDP), Party()
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    bob.settings = Settings(timers=Timers(trying=-1.0))  # 100 was due before the INVITE came
    await bob.open(Transport.UDP)
    bob.reactions[events.Invited] = lambda _: bob.station.wake()
    alice.call(bob.hop())
    progressed = await alice.until(events.Progressed)
    assert progressed.response.status == 100
    assert faults == []
    await alice.station.close()
    await bob.station.close()


async def test_the_same_alarm_is_not_set_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    party = Party()
    party.settings = Settings(timers=Timers(t1=0.02, t2=0.002))  # something is due soon again
    station = (await party.open(Transport.UDP)).station
    loop, alarms = asyncio.get_running_loop(), list[float]()
    call_at = loop.call_at

    def watched(when: float, callback: Callable[..., Any], *args: Any, **more: Any) -> Any:
        if callback == station._ring:
            alarms.append(when)
        return call_at(when, callback, *args, **more)

    monkeypatch.setattr(loop, "call_at", watched)
    us = NameAddr(uri=SipUri(host="a.example"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        there = Hop(transport=Transport.UDP, host="127.0.0.1", port=silent.getsockname()[1])
        asked = Ask(method="OPTIONS", uri=us.uri, from_=us, to=us)
        station.agent.request(asked, there, station.now())
        async with asyncio.timeout(PATIENCE):
            while not party.told:  # that nobody answers
                station.wake()
                await asyncio.sleep(0)
    assert len(alarms) == len(set(alarms)) > 2
    await station.close()


async def test_nobody_is_there() -> None:
    alice = await Party().open(Transport.UDP)
    with refusing_port(UDP) as port:
        hop = Hop(transport=Transport.UDP, host="127.0.0.1", port=port)
        alice.call(hop)
        refused = await alice.until(events.Refused)
        assert refused.source is events.Source.TRANSPORT
        assert (await alice.until(Failed)).remote == (hop.host, hop.port)
    await alice.station.close()


async def test_what_is_no_message_is_answered_and_told() -> None:
    bob = await Party().open(Transport.UDP)
    loop, told = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            told.put_nowait(data)

    hop = bob.hop()
    peer, _ = await loop.create_datagram_endpoint(Peer, remote_addr=(hop.host, hop.port))
    peer.sendto(
        b"OPTIONS sip:bob@b.example SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bKx\r\n"
        b"From: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: 1\r\n"
        b"CSeq: nonsense OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    async with asyncio.timeout(PATIENCE):
        assert (await told.get()).startswith(b"SIP/2.0 400 ")
    assert (await bob.until(Unread)).malformed.header == "CSeq"
    peer.close()
    await bob.station.close()


@pytest.mark.parametrize("transport", [Transport.WS, Transport.WSS])
async def test_browsers_are_told_that_we_are_at_their_socket(transport: Transport) -> None:
    party = await Party().open(Transport.UDP)
    flow = Flow(id=9, transport=transport, local=("192.0.2.1", 8443), remote=("192.0.2.9", 50000))
    uri = party.station.contact(flow).uri
    assert uri == SipUri(
        user="trunkline", host="192.0.2.1", port=8443, params=(("transport", "ws"),)
    )
    await party.station.close()


async def test_who_is_late_for_long_takes_fewer_calls() -> None:
    party = Party()
    party.settings = Settings(timers=Timers(t1=0.05))  # it is always due while the loop is held
    await party.open(Transport.UDP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        party.call(Hop(transport=Transport.UDP, host="127.0.0.1", port=silent.getsockname()[1]))
        overload = party.station.overload
        await asyncio.sleep(0)
        now = party.station.now()
        assert not any(overload.turns_away(now) for _ in range(1000))
        async with asyncio.timeout(PATIENCE):
            while not overload.is_late:
                time.sleep(0.3)  # noqa: ASYNC251  # what is too much work for the loop
                await asyncio.sleep(0)
        now = party.station.now()
        assert any(overload.turns_away(now) for _ in range(1000))
        assert overload.late > 0.05
    await party.station.close()


async def test_a_fault_in_a_rest_costs_no_other_message(monkeypatch: pytest.MonkeyPatch) -> None:
    party = await Party().open(Transport.UDP)
    datagrams = party.station.endpoint._datagrams
    _, to = party.station.endpoint.addresses()[0]
    read, faults = datagrams._read, list[bytes]()

    def fail_once(octets: bytes) -> Any:
        if faults or datagrams._rest is None:
            return read(octets)
        faults.append(octets)
        raise ValueError("a fault of ours")

    monkeypatch.setattr(datagrams, "_read", fail_once)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        async with asyncio.timeout(PATIENCE):
            while not faults:
                for _ in range(50):
                    wire.sendto(b"what\r\n\r\n", to)
                await asyncio.sleep(0.001)
            before = len(party.told)
            while len(party.told) <= before:
                wire.sendto(b"what\r\n\r\n", to)
                await asyncio.sleep(0.01)
    await party.station.close()


async def test_messages_that_come_in_masses_are_read_after_rests_and_none_is_lost() -> None:
    party = await Party().open(Transport.UDP)
    _, to = party.station.endpoint.addresses()[0]
    datagrams = party.station.endpoint._datagrams
    sent = 0

    async def come(some: int) -> None:
        nonlocal sent
        for _ in range(some):
            wire.sendto(b"what %d\r\n\r\n" % sent, to)
            sent += 1
        await asyncio.sleep(0.001)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        async with asyncio.timeout(PATIENCE):
            while datagrams._rest is None:
                await come(50)
            await come(50)
            await party.until_told(sent)
            while datagrams._rest is not None:  # noqa: ASYNC110  # a rest's end tells nobody
                await asyncio.sleep(0.01)
            await come(1)  # and it listens again
            await party.until_told(sent)
    assert len(party.told) == sent
    await party.station.close()


async def test_a_station_that_is_closed_arms_no_alarm_and_writes_nothing() -> None:
    party = await Party().open(Transport.UDP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.settimeout(PATIENCE)
        silent.bind(("127.0.0.1", 0))
        hop = Hop(transport=Transport.UDP, host="127.0.0.1", port=silent.getsockname()[1])
        party.call(hop)
        await party.station.close()
        assert silent.recv(65536).startswith(b"INVITE ")
        crossed = len(party.crossed)
        party.call(hop)  # by whoever is late
        party.station.wake()
        await asyncio.sleep(0)
        assert len(party.crossed) == crossed
        assert party.station._alarm is None
    await party.station.close()


async def test_a_fault_while_a_station_closes_keeps_nothing_from_being_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    party = await Party().open(Transport.UDP)
    events: list[Any] = ["the first", "the second"]
    told = []

    def take(event: Any) -> None:
        told.append(event)
        if event == "the first":
            raise ValueError("a fault of ours")

    monkeypatch.setattr(
        party.station.agent, "next_event", lambda: events.pop(0) if events else None
    )
    monkeypatch.setattr(party.station, "_receiver", take)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    await party.station.close()
    assert told == ["the first", "the second"]
