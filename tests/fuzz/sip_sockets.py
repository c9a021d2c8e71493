"""Invariant: whatever comes by the sockets, a user agent on them goes on, and nothing stays.

- Dialogs, begun as they should be, go on with requests that are bent, cut, doubled and out of
  order, and with answers of the same kind; over UDP, and over TCP in pieces of any size;
- nothing raises in the loop, OPTIONS is answered at once behind it all, and when the timers have
  ended no transaction, call, dialog or timer is left.
"""

import asyncio
import random
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import (
    Accept,
    By,
    HangUp,
    Invite,
    Provisional,
    Refer,
    Reliability,
    Reply,
    Settings,
)
from protocols.sip.errors import LocalProtocolError
from protocols.sip.message import NameAddr
from protocols.sip.session_offers import Body
from protocols.sip.station import Event, Station, Terms, open_station
from protocols.sip.timers import Timers
from protocols.sip.transport import Hop, Transport
from protocols.sip.uri import SipUri
from protocols.sip.wire import Listen
from tests.fuzz.sip import bent

# 64*T1 is 16 ms: all that ends by time ends within a try.
TIMERS: Final = Timers(t1=0.00025, t2=0.002, t4=0.0025, d=0.016, trying=0.001)
PATIENCE: Final = 20.0
_SDP: Final = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 9 RTP/AVP 0\r\n"
)
_BODY: Final = Body(octets=_SDP)
_INSIDE: Final = (
    "INVITE", "UPDATE", "PRACK", "REFER", "NOTIFY", "INFO", "MESSAGE", "OPTIONS", "BYE", "ACK",
    "CANCEL", "SUBSCRIBE", "REGISTER",
)  # fmt: skip
_MORE: Final[dict[str, tuple[str, ...]]] = {
    "PRACK": ("RAck: 1 1 INVITE",),
    "REFER": ("Refer-To: <sip:carol@127.0.0.1>",),
    "NOTIFY": ("Event: refer", "Subscription-State: active", "Content-Type: message/sipfrag"),
    "REGISTER": ("Expires: 60",),
}
_WITH_SDP: Final = frozenset({"INVITE", "UPDATE", "PRACK", "ACK"})
_STATUS_LINE: Final = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2}) ")
_TAG: Final = re.compile(rb"\r\nTo: [^\r]*;tag=([^;\r]+)")
_COPIED: Final = re.compile(rb"\r\n((?:Via|From|To|Call-ID|CSeq): [^\r]*)")
_RSEQ: Final = re.compile(rb"\r\nRSeq: ([0-9]+)")


class User:
    """Who uses the agent: does at each event something that may be done then, by chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.sessions: set[events.SessionId] = set()
        self.station: Station

    def take(self, event: Event) -> None:
        react = _REACTIONS.get(type(event))
        if react is not None:
            with suppress(LocalProtocolError):  # such as an answer that may not be said now
                react(self, event)

    def invited(self, event: events.Invited) -> None:
        agent, now, chance = self.station.agent, self.station.now(), self.chance
        self.sessions.add(event.session)
        if chance.random() < 0.1:
            agent.turn_away(event.session, Reply(status=401), now)
            return
        if chance.random() < 0.6:
            reliable = chance.choice(list(Reliability))
            body = chance.choice((None, _BODY))
            ring = Provisional(status=183, body=body, reliable=reliable)
            agent.provisional(event.session, ring, now)
        match chance.randrange(4):
            case 0:
                agent.refuse(event.session, Reply(status=486), now)
            case 1 | 2:
                agent.accept(event.session, Accept(body=_BODY), now)

    def offered(self, event: events.OfferReceived | events.OfferWanted) -> None:
        agent, now = self.station.agent, self.station.now()
        match self.chance.randrange(5):
            case 0:
                agent.refuse_offer(event.session, now, fork=event.fork)
            case 1:
                agent.hang_up(event.session, now, HangUp())
            case 2 | 3:
                agent.answer(event.session, _BODY, now, fork=event.fork)

    def confirmed(self, event: events.Confirmed) -> None:
        agent, now = self.station.agent, self.station.now()
        match self.chance.randrange(5):
            case 0:
                agent.hang_up(event.session, now)
            case 1:
                agent.offer(event.session, _BODY, now, by=self.chance.choice(list(By)))
            case 2:
                whom = NameAddr(uri=SipUri(host="127.0.0.1", user="carol"))
                agent.refer(event.session, Refer(refer_to=whom), now)

    def asked(
        self, event: events.InfoReceived | events.MessageReceived | events.OptionsReceived
    ) -> None:
        self.station.agent.respond(event.key, Reply(status=200), self.station.now())

    def registered(self, event: events.RegisterReceived) -> None:
        self.station.agent.dismiss(event.key, Reply(status=401))

    def referred(self, event: events.Referred) -> None:
        agent, now = self.station.agent, self.station.now()
        agent.answer_refer(event.transfer, Reply(status=self.chance.choice((202, 603))), now)
        for status in (180, 200):
            agent.notify(event.transfer, Reply(status=status), now)

    def call(self, hop: Hop) -> None:
        whom = NameAddr(uri=SipUri(host=hop.host, port=hop.port, user="peer"))
        invite = Invite(uri=whom.uri, from_=whom, to=whom, body=self.chance.choice((None, _BODY)))
        self.sessions.add(self.station.agent.invite(invite, hop, self.station.now()))
        self.station.wake()

    def hang_up(self) -> None:
        for session in self.sessions:
            self.station.agent.hang_up(session, self.station.now())
        self.station.wake()


_REACTIONS: Final[dict[type[Any], Callable[[User, Any], None]]] = {
    events.Invited: User.invited,
    events.OfferReceived: User.offered,
    events.OfferWanted: User.offered,
    events.Confirmed: User.confirmed,
    events.InfoReceived: User.asked,
    events.MessageReceived: User.asked,
    events.OptionsReceived: User.asked,
    events.RegisterReceived: User.registered,
    events.Referred: User.referred,
}


class Peer(asyncio.DatagramProtocol):
    """The other side: one UDP socket, or one connection over TCP."""

    def __init__(self, chance: random.Random, transport: Transport, callee: str = "agent") -> None:
        self.chance = chance
        self.transport = transport
        self.callee = callee
        self.tag = b""
        self.rseq = b"1"
        self.probed = asyncio.Event()
        self.named = asyncio.Event()
        self.name = f"{chance.randrange(1 << 60):x}"
        self.cseq = 1
        self.write: Callable[[bytes], None]
        self.port = 0

    async def open(self, place: tuple[str, int]) -> Callable[[], None]:
        """What closes it."""
        loop = asyncio.get_running_loop()
        if self.transport is Transport.UDP:
            wire, _ = await loop.create_datagram_endpoint(
                lambda: self, local_addr=("127.0.0.1", 0), remote_addr=place
            )
            self.write, self.port = wire.sendto, wire.get_extra_info("sockname")[1]
            return wire.close
        reader, writer = await asyncio.open_connection(*place)
        self.port = writer.get_extra_info("sockname")[1]
        reading = loop.create_task(self._read(reader))

        def write(octets: bytes) -> None:
            if not writer.transport.is_closing():
                writer.write(octets)

        self.write = write

        def close() -> None:
            reading.cancel()
            writer.transport.abort()

        return close

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while octets := await reader.read(65536):
                for each in octets.split(b"\r\n\r\n"):  # no body of theirs matters here
                    self.hear(each + b"\r\n\r\n")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.hear(data)

    def error_received(self, exc: Exception) -> None:
        pass

    def hear(self, octets: bytes) -> None:
        if b"\r\nCall-ID: probe" in octets:
            self.probed.set()
            return
        response = _STATUS_LINE.search(octets)
        tag, rseq = _TAG.search(octets), _RSEQ.search(octets)
        if response is None:
            self._answer(octets)
        elif tag and not self.tag and response[1] != b"100":
            self.tag = tag[1]
            self.named.set()
        self.rseq = rseq[1] if rseq else self.rseq

    def _answer(self, request: bytes) -> None:
        """To what the agent asks there is an answer, in most cases a good one."""
        copied = [each[1] for each in _COPIED.finditer(request)]
        copied = [
            each + b";tag=p" if each.startswith(b"To:") and b";tag=" not in each else each
            for each in copied
        ]
        method = request.partition(b" ")[0].decode("ascii", "replace")
        if not copied or method == "ACK" or self.chance.random() < 0.1:
            return
        status = self.chance.choice((180, 200, 200, 200, 481, 491))
        lines = [f"SIP/2.0 {status} Yes".encode(), *copied]
        body = _SDP if status == 200 and method in ("INVITE", "UPDATE") else b""
        lines += [b"Contact: <sip:peer@127.0.0.1:%d>" % self.port]
        lines += [b"Content-Type: application/sdp"] if body else []
        octets = b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])
        self.write(bent(self.chance, octets) if self.chance.random() < 0.3 else octets)

    def request(self, method: str, cseq: int) -> bytes:
        """A good request of the dialog, or the one that begins it."""
        chance = self.chance
        body = _SDP if method in _WITH_SDP and chance.random() < 0.7 else b""
        more = _MORE.get(method, ())
        if method == "PRACK":
            more = (f"RAck: {self.rseq.decode()} 1 INVITE",)
        if method == "INVITE" and chance.random() < 0.5:
            more = (f"Supported: 100rel, timer{chance.choice(('', ', x'))}",)
        # ACK and CANCEL of the first INVITE have its branch, or one of their own.
        branch = cseq if method not in ("ACK", "CANCEL") or chance.random() < 0.3 else 1
        tag = f";tag={self.tag.decode()}" if self.tag and cseq > 1 else ""
        kind = ("Content-Type: application/sdp",) if body else ()
        via = f"127.0.0.1:{self.port};branch=z9hG4bK{self.name}{branch}"
        lines = (
            f"{method} sip:{self.callee}@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {via}",
            "Max-Forwards: 70",
            f"From: <sip:peer@127.0.0.1>;tag={self.name}",
            f"To: <sip:{self.callee}@127.0.0.1>{tag}",
            f"Call-ID: {self.name}",
            f"CSeq: {1 if method in ('ACK', 'CANCEL') and branch == 1 else cseq} {method}",
            f"Contact: <sip:peer@127.0.0.1:{self.port}>",
            *more,
            *kind,
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def probe(self) -> bytes:
        return (
            f"OPTIONS sip:agent@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{self.transport} 127.0.0.1:"
            f"{self.port};branch=z9hG4bKp{self.name}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:peer@127.0.0.1>;tag=p{self.name}\r\nTo: <sip:agent@127.0.0.1>\r\n"
            f"Call-ID: probe{self.name}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        ).encode()


def script(peer: Peer) -> list[bytes]:
    """What follows the INVITE: good and bad, doubled, in any order."""
    chance = peer.chance
    said = []
    for cseq in range(2, chance.randrange(3, 14)):
        octets = peer.request(chance.choice(_INSIDE), cseq)
        if chance.random() < 0.4:
            octets = bent(chance, octets)
        said += [octets] * chance.choice((1, 1, 1, 2))
    if chance.random() < 0.5:
        at = chance.randrange(len(said))
        end = at + chance.randrange(1, 5)
        said[at:end] = reversed(said[at:end])
    return said


async def play(
    chance: random.Random,
    station: Station,
    call: Callable[[Hop], None],
    *,
    callee: str = "agent",
    patience: float = 0.02,
) -> None:
    """One dialog of a peer's, as bad as it comes; `call` has the agent call it.

    `patience` is how long an answer to its INVITE is waited for, which may be too bad for one.
    """
    over = chance.choice((Transport.UDP, Transport.TCP))
    (place,) = [at for transport, at in station.endpoint.addresses() if transport is over]
    peer = Peer(chance, over, callee)
    close = await peer.open(place)
    try:
        if over is Transport.UDP and chance.random() < 0.3:
            call(Hop(transport=over, host="127.0.0.1", port=peer.port))
        first = peer.request("INVITE", 1)
        peer.write(bent(chance, first) if chance.random() < 0.2 else first)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await peer.named.wait()
        octets = script(peer)
        for each in octets if over is Transport.UDP else pieces(chance, b"".join(octets)):
            peer.write(each)
            if chance.random() < 0.3:
                await asyncio.sleep(0)
    finally:
        await alive(chance, place, over)
        close()


def pieces(chance: random.Random, octets: bytes) -> list[bytes]:
    """A stream as it may come."""
    size = chance.choice((1, 7, 100, 1400, 65536))
    return [octets[at : at + size] for at in range(0, len(octets), size)]


async def alive(chance: random.Random, place: tuple[str, int], over: Transport) -> None:
    """Whether somebody else is answered."""
    other = Peer(chance, over)
    close = await other.open(place)
    try:
        async with asyncio.timeout(PATIENCE):
            other.write(other.probe())
            await other.probed.wait()
    finally:
        close()


async def attempt(seed: int) -> None:
    chance = random.Random(seed)
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    user = User(chance)
    numbers = iter(range(1 << 30))
    user.station = station = await open_station(
        Terms(
            listens=tuple(
                Listen(transport=each, host="127.0.0.1") for each in (Transport.UDP, Transport.TCP)
            ),
            settings=Settings(timers=TIMERS),
        ),
        user.take,
        token=lambda: f"t{next(numbers)}x{seed}",
        chance=chance.random,
    )
    try:
        for _ in range(2):
            await play(chance, station, user.call)
        user.hang_up()
        await ended(station)
    finally:
        await station.close()
    assert not faults, faults


async def ended(station: Station) -> None:
    """Return when nothing is left of anything."""
    agent = station.agent
    try:
        async with asyncio.timeout(PATIENCE):
            while left := agent.ledger() or agent.layer.servers or agent.layer.clients:
                await asyncio.sleep(0.002)
                del left
    except TimeoutError:
        raise AssertionError(f"it stays: {agent.ledger()}, {agent.layer.servers}") from None
    assert agent.timer() is None


def check(seed: int) -> None:
    """One try; what is sent is the same for the same seed, as far as the answers are."""
    asyncio.run(attempt(seed))
