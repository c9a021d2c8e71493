"""A media worker as a process, and a browser's stand-in that shares no code with it."""

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from gateway.media import wire
from gateway.media.graph import Graph, Leg, Node, WebRtc, both_ways
from gateway.media.plane import Happened, Opened
from gateway.media.workers import Workers, WorkersConfig
from protocols.rtp import codecs, formats, packet
from protocols.rtp.audio import Pcm
from protocols.rtp.packet import Packet
from protocols.sdp.description import Direction
from protocols.sdp.formats import PCMU
from protocols.sdp.ice import IceSide
from protocols.sdp.media import Chosen, Stream
from tests.webrtc_peer import HOST, Stranger, frequency_of, on_loopback

PATIENCE = 60.0
FIRST, LAST = 10_000, 31_999
LOADED = "_rust.abi3.so"  # cryptography's, which DTLS needs and nothing else here

__all__ = ["on_loopback"]


class World:
    """A plane of one worker, and what it told."""

    def __init__(self) -> None:
        self.told: list[Happened] = []
        self.plane = Workers(WorkersConfig(workers=1, first=FIRST, last=LAST), self.told.append)
        self._version = 0

    def of(self, kind: type) -> list[Happened]:
        return [each for each in self.told if isinstance(each, kind)]

    async def applied(self, *nodes: Node) -> dict[str, wire.Place]:
        self._version += 1
        joins = both_ways(nodes[0].id, nodes[1].id) if len(nodes) == 2 else ()
        found = await self.plane.apply(
            Graph(call="call", version=self._version, nodes=nodes, joins=joins)
        )
        assert isinstance(found, wire.Applied), found
        return found.places

    def has_loaded(self) -> bool:
        (pid,) = self.plane.pids().values()
        return LOADED in Path(f"/proc/{pid}/maps").read_text()


@pytest.fixture
async def world(on_loopback: None) -> AsyncIterator[World]:
    made = World()
    await made.plane.start()
    assert made.plane.open("call") == Opened(worker=0)
    yield made
    await made.plane.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def agreed(remote: tuple[str, int] | None) -> Stream:
    return Stream(
        slot=0,
        local=(HOST, 0),
        local_rtcp=(HOST, 0),
        remote=remote,
        remote_rtcp=remote,
        is_private=True,
        rtcp_mux=True,
        direction=Direction.SENDRECV,
        codecs=(Chosen(sent=PCMU, received=PCMU),),
    )


def browser(remote: IceSide | None, *, is_offerer: bool = False) -> Leg:
    webrtc = WebRtc(is_offerer=is_offerer, remote=remote)
    stream = None if remote is None else agreed(None)
    return Leg(id="a", host=HOST, signalling=HOST, stream=stream, offers=1, webrtc=webrtc)


class Phone:
    """Plain RTP: it says a tone, and keeps the payloads both ways."""

    def __init__(self, frequency: float) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self.address: tuple[str, int] = self.socket.getsockname()
        self.said: list[bytes] = []
        self.heard: list[bytes] = []
        self._frequency = frequency
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, place: wire.Place) -> None:
        for each in (self._say(place), self._hear()):
            self._tasks.append(asyncio.get_running_loop().create_task(each))

    async def _say(self, place: wire.Place) -> None:
        for number in range(10_000):
            stamp = number.to_bytes(2, "big")  # no two payloads are the same
            self.said.append(stamp + tone(self._frequency, number)[len(stamp) :])
            made = Packet(
                payload_type=0,
                sequence=number & 0xFFFF,
                timestamp=160 * number,
                ssrc=9,
                payload=self.said[-1],
            )
            self.socket.sendto(packet.write(made), place.address)
            await asyncio.sleep(0.02)

    async def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            octets = await loop.sock_recv(self.socket, 2048)
            if packet.is_rtp(octets):
                self.heard.append(octets[12:])

    @property
    def frequency(self) -> float:
        """What it heard most of the last half second; 0 while it heard less."""
        format = formats.find("PCMU", 8000)
        assert format is not None
        decoder = codecs.decoder(format)
        parts = [decoder.decode(each) for each in self.heard[-25:]]
        return frequency_of([each.samples for each in parts if each is not None])

    async def close(self) -> None:
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.socket.close()


def tone(frequency: float, number: int) -> bytes:
    format = formats.find("PCMU", 8000)
    assert format is not None
    at = np.arange(number * 160, number * 160 + 160) / 8000
    samples = (np.sin(2 * math.pi * frequency * at) * 8000).astype(np.int16)
    return codecs.encoder(format).encode(Pcm(rate=8000, samples=samples))


async def offers(world: World, stranger: Stranger, phone: Leg) -> dict[str, wire.Place]:
    places = await world.applied(browser(await stranger.offer()), phone)
    assert places["a"].ice is not None
    await stranger.accept(places["a"].ice)
    return places


async def answers(world: World, stranger: Stranger, phone: Leg) -> dict[str, wire.Place]:
    places = await world.applied(browser(None, is_offerer=True))
    assert places["a"].ice is not None
    side = await stranger.answer(places["a"].ice)
    return await world.applied(browser(side, is_offerer=True), phone)


@pytest.mark.parametrize("way", [offers, answers])
async def test_tones_both_ways_and_the_same_octets(
    world: World, way: Callable[..., object]
) -> None:
    """Its tone is heard by the phone and the phone's by it, and no payload is another one."""
    assert not world.has_loaded()
    stranger, phone = Stranger(1000.0), Phone(440.0)
    try:
        leg = Leg(id="b", host=HOST, signalling=HOST, stream=agreed(phone.address), offers=1)
        places = await way(world, stranger, leg)  # type: ignore[misc]
        assert world.has_loaded()
        phone.begin(places["b"])
        await until(lambda: len(phone.heard) > 60 and len(stranger.payloads) > 60)
        await until(lambda: stranger.heard == pytest.approx(440.0, abs=10))
        assert phone.frequency == pytest.approx(1000.0, abs=10)
        numbers = [phone.said.index(each) for each in stranger.payloads]
        assert numbers == sorted(numbers)
        world.plane.measure("call")
        await until(lambda: len(world.of(wire.Measured)) == 2)
        (measured,) = (each for each in world.of(wire.Measured) if each.leg == "a")  # type: ignore[union-attr]
        assert isinstance(measured, wire.Measured)
        assert measured.readings.received.packets > 60
        assert measured.readings.dropped.keys() <= {"SRTP: no key yet"}
    finally:
        await stranger.close()
        await phone.close()
    await until(lambda: world.of(wire.PathLost))
    (lost,) = world.of(wire.PathLost)
    assert isinstance(lost, wire.PathLost)
    assert lost.cause == "closed"
