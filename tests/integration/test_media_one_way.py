"""The ways to one-way audio, through a real worker: each ends with both sides hearing each other.

Hosts are addresses of loopback, which Linux has without being told: one for the gateway, one for
each phone and one for a stranger. All of them count as private addresses.
"""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.media import wire
from gateway.media.graph import Graph, Leg, both_ways
from gateway.media.plane import Happened
from gateway.media.workers import Workers, WorkersConfig
from protocols.rtp import packet
from protocols.rtp.latch import SILENCE, LatchPolicy
from protocols.rtp.packet import Packet
from protocols.sdp.description import Direction
from protocols.sdp.formats import PCMU
from protocols.sdp.media import Chosen, Stream

PATIENCE = 60.0
US = "127.0.0.1"
PHONE = "127.0.0.2"
OTHER = "127.0.0.3"
STRANGER = "127.0.0.66"
CLAIM = ("192.168.1.20", 5004)  # what a phone behind a NAT writes into SDP
PUBLIC_CLAIM = ("192.0.2.20", 5004)  # and what one writes that asked a wrong STUN server
SAYS_NOTHING = b"\xff" * 10  # of PCMU, where others say their name

Address = tuple[str, int]


class Phone:
    """A far end: it says its name and a count in each packet, and notes whom it heard."""

    def __init__(self, host: str, name: bytes, *, ssrc: int = 7) -> None:
        self.host = host
        self.name = name
        self.heard: set[bytes] = set()
        self.counts: list[int] = []
        self.said = 0
        self._ssrc = ssrc
        self._sequence = 65_500
        self._socket = self._open()

    def _open(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((self.host, 0))
        made.setblocking(False)
        return made

    @property
    def address(self) -> Address:
        host, port = self._socket.getsockname()
        return host, port

    def move(self) -> None:
        """Go on from another port, as behind a NAT that forgot its mapping."""
        before, self._socket = self._socket, self._open()
        before.close()
        self.heard.clear()

    def say(self, to: Address) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.said += 1
        octets = Packet(
            payload_type=0,
            sequence=self._sequence,
            timestamp=160 * self._sequence,
            ssrc=self._ssrc,
            payload=(self.name + self.said.to_bytes(4, "big")).ljust(160, b"\x55"),
        )
        self._socket.sendto(packet.write(octets), to)

    def listen(self) -> None:
        while True:
            try:
                octets = self._socket.recv(2048)
            except BlockingIOError:
                return
            if packet.is_rtp(octets):
                self.heard.add(octets[12:22])
                self.counts.append(int.from_bytes(octets[22:26], "big"))

    def close(self) -> None:
        self._socket.close()


class World:
    """A worker with one call: a phone on its leg, and another one that has no trouble."""

    def __init__(self) -> None:
        self.told: list[Happened] = []
        self.plane = Workers(WorkersConfig(workers=1, first=10_000, last=31_999), self.told.append)
        self.phone = Phone(PHONE, b"from phone")
        self.other = Phone(OTHER, b"from other", ssrc=8)
        self.stranger = Phone(STRANGER, b"a stranger", ssrc=9)
        self.places: dict[str, wire.Place] = {}
        self._version = 0
        self._offers = 1

    async def call(self, claim: Address | None, signalling: str = PHONE, **rest: object) -> None:
        """Apply what SDP says of the phone; the other one's is right."""
        self._version += 1
        self.plane.open("call")
        legs = (
            leg("phone", claim, signalling, offers=self._offers, **rest),
            leg("other", self.other.address, self.other.host),
        )
        joins = both_ways("phone", "other")
        graph = Graph(call="call", version=self._version, nodes=legs, joins=joins)
        applied = await self.plane.apply(graph)
        assert isinstance(applied, wire.Applied), applied
        self.places = applied.places

    async def reoffer(self, claim: Address | None, **rest: object) -> None:
        self._offers += 1
        await self.call(claim, **rest)  # type: ignore[arg-type]

    async def talk(
        self, *silent: Phone, seconds: float = PATIENCE, hearing: tuple[Phone, ...] = ()
    ) -> None:
        """All speak, but for who is silent, until `hearing` hear something or the time is over.

        They are the two whose call it is unless others are named.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        ways = ((self.phone, "phone"), (self.other, "other"), (self.stranger, "phone"))
        while loop.time() < end:
            for each, name in ways:
                if each not in silent:
                    each.say(self.places[name].address)
            await asyncio.sleep(0.02)
            for each, _ in ways:
                each.listen()
            if all(each.heard for each in hearing or (self.phone, self.other)):
                return

    async def hears(self, hearer: Phone, *silent: Phone) -> None:
        """The same until one of them hears anew."""
        hearer.heard.clear()
        await self.talk(*silent, hearing=(hearer,))
        assert hearer.heard

    def assert_two_way(self) -> None:
        """Each heard the other, and nobody else."""
        assert self.phone.heard == {self.other.name}
        assert self.other.heard == {self.phone.name}
        assert self.stranger.heard == set()

    async def close(self) -> None:
        await self.plane.close()
        for each in (self.phone, self.other, self.stranger):
            each.close()


def leg(
    name: str,
    claim: Address | None,
    signalling: str,
    *,
    offers: int = 1,
    latch: LatchPolicy = LatchPolicy.SIGNALLED,
    direction: Direction = Direction.SENDRECV,
) -> Leg:
    stream = Stream(
        slot=0,
        local=(US, 0),
        local_rtcp=(US, 0),
        remote=claim,
        remote_rtcp=claim,
        is_private=True,
        rtcp_mux=True,
        direction=direction,
        codecs=(Chosen(sent=PCMU, received=PCMU),),
    )
    return Leg(id=name, host=US, signalling=signalling, latch=latch, stream=stream, offers=offers)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.plane.start()
    yield made
    await made.close()


@pytest.mark.parametrize("claim", [CLAIM, PUBLIC_CLAIM, ("10.1.2.3", 9)])
async def test_an_address_in_sdp_where_nobody_is(world: World, claim: Address) -> None:
    """Private, or public and wrong: signalling comes from where the phone really is."""
    await world.call(claim)
    await world.talk()
    world.assert_two_way()
    latched = wire.Latched(call="call", leg="phone", source=world.phone.address)
    async with asyncio.timeout(PATIENCE):  # it comes another way than sound
        while latched not in world.told:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_phone_that_speaks_late(world: World) -> None:
    """Until then nothing goes to an address that may be anybody's."""
    await world.call(CLAIM)
    await world.talk(world.phone, seconds=0.5)
    assert world.phone.heard == world.other.heard == set()
    await world.talk()
    world.assert_two_way()


async def test_a_port_that_changes_in_mid_call(world: World) -> None:
    await world.call(CLAIM)
    await world.talk()
    world.phone.move()
    world.other.heard.clear()
    begun = asyncio.get_running_loop().time()
    await world.talk()
    world.assert_two_way()
    assert asyncio.get_running_loop().time() - begun > SILENCE / 2  # a thief has to wait, too


async def test_a_port_that_changes_with_an_offer(world: World) -> None:
    """The new address in SDP is as wrong as the one before, and there is no need to wait."""
    await world.call(CLAIM)
    await world.talk()
    world.phone.move()
    world.other.heard.clear()
    await world.reoffer(("192.168.1.20", 6004))
    before = world.phone.said
    await world.talk()
    world.assert_two_way()
    heard = [each - before for each in world.other.counts if each > before]
    assert heard[0] < SILENCE / 0.02 / 4  # one is said each 20 ms


@pytest.mark.parametrize("moves", [False, True])
async def test_a_hold_with_0_0_0_0_and_resume(world: World, moves: bool) -> None:
    await world.call(CLAIM)
    await world.talk()
    await world.reoffer(None, direction=Direction.SENDONLY)
    world.phone.listen()
    world.phone.heard.clear()
    world.other.heard.clear()
    await world.talk(world.phone, seconds=0.3)
    assert world.phone.heard == set()
    if moves:
        world.phone.move()
    await world.reoffer(CLAIM)
    if not moves:  # it may wait for us to speak first
        await world.talk(world.phone, hearing=(world.phone,))
        assert world.phone.heard == {world.other.name}
    await world.talk()
    world.other.heard.discard(SAYS_NOTHING)  # while it was held
    world.assert_two_way()


@pytest.mark.parametrize("policy", LatchPolicy)
async def test_a_stranger_never_reaches_the_call(world: World, policy: LatchPolicy) -> None:
    """It sends all the time from another host, before the phone and beside it."""
    await world.call(world.phone.address, latch=policy)
    await world.talk()
    await world.hears(world.other)
    for _ in range(20):
        await world.talk()
        world.stranger.say(world.places["phone"].address)
        world.stranger.say((US, world.places["phone"].control))
    await world.hears(world.phone)
    world.assert_two_way()


async def test_all_on_one_machine() -> None:
    """What one tries first: two phones and the gateway on 127.0.0.1, each silent at the start."""
    world = World()
    world.phone.host = world.other.host = US
    world.phone.move()
    world.other.move()
    await world.plane.start()
    try:
        await world.call(world.phone.address, signalling=US)
        await world.talk(world.phone, world.stranger, hearing=(world.phone,))
        assert world.phone.heard == {world.other.name}
        await world.talk(world.stranger)
        world.assert_two_way()
    finally:
        await world.close()


async def test_a_phone_on_this_machine_that_names_its_address_in_the_house(world: World) -> None:
    world.phone.host = US
    world.phone.move()
    await world.call(CLAIM, signalling=US)
    await world.talk()
    world.assert_two_way()
