"""A worker's switch in this process, and peers with real sockets on loopback."""

import asyncio
import random
import socket
import time
import wave
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gateway.media import wire
from gateway.media.graph import Graph, Join, Leg, Node, both_ways
from gateway.media.switch import Switch
from gateway.media.wav import Disk, DiskNow
from protocols.rtp import codecs, formats, packet, rtcp, stillness
from protocols.rtp.audio import Samples
from protocols.rtp.endpoint import PortPair, PortRange, Reader
from protocols.rtp.events import Address
from protocols.rtp.latch import LatchPolicy
from protocols.rtp.packet import Packet
from protocols.sdp.description import Direction
from protocols.sdp.formats import Codec, events
from protocols.sdp.media import Chosen, Srtp, Stream
from tests.ports import free_pairs

HOST = "127.0.0.1"
PATIENCE = 20.0
STILL = {
    stillness.payload(format, ptime)
    for format in formats.FORMATS
    if format is not formats.CN
    for ptime in format.ptimes
}
"""What is heard while nobody speaks."""


def free_span(pairs: int, host: str = HOST) -> PortRange:
    """A range of exactly so many pairs that no other program has meanwhile."""
    first = free_pairs(pairs, host)
    return PortRange(first, first + 2 * pairs - 1)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def chosen(sent: Codec, received: Codec | None = None) -> Chosen:
    return Chosen(sent=sent, received=received or sent)


def stream(
    remote: Address | None,
    *codecs: Chosen,
    dtmf: Chosen | None = None,
    direction: Direction = Direction.SENDRECV,
    srtp: Srtp | None = None,
    mux: bool = False,
    ptime: int = 20,
) -> Stream:
    """What offer and answer came to, with a peer at `remote`."""
    control = None if remote is None else (remote[0], remote[1] + (not mux))
    return Stream(
        slot=0,
        local=(HOST, 0),
        local_rtcp=(HOST, 0),
        remote=remote,
        remote_rtcp=control,
        is_private=True,
        rtcp_mux=mux,
        direction=direction,
        codecs=codecs,
        events=() if dtmf is None else (dtmf,),
        srtp=srtp,
        ptime=ptime,
    )


def telephone_events(payload_type: int, clock_rate: int = 8000) -> Codec:
    return events(clock_rate, payload_type)


class Peer:
    """The far end of a leg: a pair of ports and what came in on them."""

    def __init__(self, reader: Reader, ports: PortPair, *, ssrc: int = 0x11) -> None:
        self.ports = ports
        self.address = ports.address
        self.ssrc = ssrc
        self.sequence = 65_530
        self.timestamp = 0xFFFF_F000
        self.heard: list[Packet] = []
        self.raw: list[bytes] = []
        self.controls: list[bytes] = []
        reader.add(ports.rtp, self._hear)
        reader.add(ports.rtcp, lambda octets, source, now: self.controls.append(octets))

    def _hear(self, octets: bytes, source: Address, now: float) -> None:
        self.raw.append(octets)
        if not packet.is_rtp(octets):
            return
        read = packet.read(octets)
        if isinstance(read, Packet):
            self.heard.append(read)

    @property
    def spoken(self) -> list[Packet]:
        """What was heard but for the silence while nobody spoke."""
        return [each for each in self.heard if each.payload not in STILL]

    def write(
        self, payload: bytes, *, payload_type: int = 0, ticks: int = 160, marker: bool = False
    ) -> bytes:
        """The next packet of this peer."""
        written = packet.write(
            Packet(
                payload_type=payload_type,
                sequence=self.sequence,
                timestamp=self.timestamp,
                ssrc=self.ssrc,
                payload=payload,
                marker=marker,
            )
        )
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + ticks) & 0xFFFF_FFFF
        return written

    def say(self, place: wire.Place, payload: bytes, **rest: Any) -> None:
        self.ports.send(self.write(payload, **rest), place.address)

    def report(self, place: wire.Place) -> None:
        octets = rtcp.write(
            rtcp.ReceiverReport(ssrc=self.ssrc),
            rtcp.SourceDescription(names=((self.ssrc, "peer"),)),
        )
        self.ports.send_control(octets, (place.address[0], place.control))


class HeldClock:
    """From now on no time passes for `loop` but what it would sleep, and that at once.

    What was sent on loopback has arrived before: so all comes when it is due, in the same order
    however slow the machine is. `release` gives the loop the real clock back.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Any = loop
        self._now = loop.time()
        self._look = self._loop._selector.select
        self._bell = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._bell.bind((HOST, 0))
        self._bell.connect(self._bell.getsockname())
        self._loop._selector.select = self._sleep
        self._loop.time = lambda: self._now

    def release(self) -> None:
        self._loop._selector.select = self._look
        del self._loop.time
        self._bell.close()

    def _sleep(self, timeout: float | None) -> list[Any]:
        if not timeout:
            return list(self._look(timeout))
        # The kernel may be behind with what was sent; this comes after it.
        self._bell.send(b"!")
        self._bell.recv(1)
        found = list(self._look(0))
        if not found:
            self._now += timeout
        return found


class World:
    """A switch at work, and whatever it told."""

    def __init__(self, pairs: int = 8, most_calls: int = 10) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._clock = HeldClock(loop)
        self.told: list[wire.Told | wire.Ended] = []
        self.failed: list[Exception] = []  # of timers
        self.reader = Reader(loop, loop.time)
        self.ports = free_span(pairs)
        self.switch = Switch(
            ports=self.ports,
            most_calls=most_calls,
            reader=self.reader,
            tell=self.told.append,
            chance=random.Random(7).random,
            unix=time.time() - loop.time(),
            cname="trunkline",
            disk=DiskNow(),
        )
        self._peers = free_span(8)
        self._opened: list[PortPair] = []
        self._versions: dict[str, int] = {}
        self._ticking = loop.create_task(self._tick())

    def use(self, disk: Disk) -> None:
        """Have what is recorded from now on written by this disk."""
        self.switch.disk = disk

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            try:
                self.switch.handle_timer(self.now())
            except Exception as error:
                self.failed.append(error)

    def peer(self, ssrc: int = 0x11) -> Peer:
        ports = self._peers.open(HOST)
        assert ports is not None
        self._opened.append(ports)
        return Peer(self.reader, ports, ssrc=ssrc)

    def try_to(
        self, legs: Iterable[Node], joins: Iterable[Join] = (), call: str = "call"
    ) -> wire.Applied | wire.Refused:
        """Apply the next version of a call's graph."""
        version = self._versions[call] = self._versions.get(call, 0) + 1
        graph = Graph(call=call, version=version, nodes=tuple(legs), joins=tuple(joins))
        return self.switch.apply(graph, self.now())

    def apply(
        self, legs: Iterable[Node], joins: Iterable[Join] = (), call: str = "call"
    ) -> dict[str, wire.Place]:
        applied = self.try_to(legs, joins, call)
        assert isinstance(applied, wire.Applied), applied
        return applied.places

    def joined(self, one: Stream, other: Stream, **rest: Any) -> tuple[wire.Place, wire.Place]:
        """Two legs, a and b, that hear each other."""
        places = self.apply([leg("a", one, **rest), leg("b", other, **rest)], both_ways("a", "b"))
        return places["a"], places["b"]

    def of(self, kind: type) -> list[Any]:
        return [each for each in self.told if isinstance(each, kind)]

    def readings(self, name: str, call: str = "call") -> wire.Readings:
        self.told.clear()
        self.switch.measure(call)
        found: wire.Readings = next(
            each.readings for each in self.of(wire.Measured) if each.leg == name
        )
        return found

    def now(self) -> float:
        return self._loop.time()

    def close(self) -> None:
        assert not self.failed, "a timer failed"
        self._ticking.cancel()
        self.switch.close(self.now())
        self.reader.close()
        for each in self._opened:
            each.close()
        self._clock.release()
        assert (self.switch.calls, len(self.switch.lending), self.switch.reels.players) == (0, 0, 0)
        assert self.ports.free == self.ports.size


def heard_as(packets: Iterable[Packet], codec: Codec) -> tuple[Samples, int]:
    """What packets sound like, and how many samples a second that is."""
    format = formats.find(codec.name, codec.clock_rate)
    assert format is not None
    decoder = codecs.decoder(format)
    parts = [decoder.decode(each.payload) for each in packets]
    return np.concatenate([each.samples for each in parts if each is not None]), decoder.rate


def loudest(samples: Samples, rate: int) -> float:
    """The frequency that is heard most."""
    power = np.abs(np.fft.rfft(samples.astype(np.float64)))
    return float(power[1:].argmax() + 1) * rate / len(samples)


def wav(folder: Path, *parts: tuple[float, float], rate: int = 8000, name: str = "sound") -> str:
    """The path of a file with these frequencies for so many seconds each; 0 is silence."""
    made = []
    for frequency, seconds in parts:
        at = np.arange(round(seconds * rate)) / rate
        made.append(np.sin(2 * np.pi * frequency * at) * 8000)
    path = folder / f"{name}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.concatenate(made).astype("<i2").tobytes())
    return str(path)


def leg(
    name: str,
    agreed: Stream | None = None,
    *,
    signalling: str = HOST,
    latch: LatchPolicy = LatchPolicy.SIGNALLED,
    offers: int = 1,
    silence: float = 0.0,
) -> Leg:
    return Leg(
        id=name,
        host=HOST,
        signalling=signalling,
        latch=latch,
        stream=agreed,
        offers=offers,
        silence=silence,
    )
