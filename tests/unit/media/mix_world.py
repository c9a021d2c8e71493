"""A mixer under a held clock, people with tones of their own, and what each of them hears."""

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from media_world import HOST, chosen, stream

from gateway.media import graph, wire
from gateway.media.graph import BUFFERS
from gateway.media.mixer import Mixer
from gateway.media.mixing import FRAME
from gateway.media.node import Heard, Seat, Tools
from gateway.media.outlet import Head, Outlet
from gateway.media.transcode import format_of
from protocols.rtp import codecs, formats, packet
from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.packet import HEADER, HEADER_OCTETS, Packet
from protocols.sdp.formats import Codec
from protocols.sdp.media import Stream

Network = Callable[[int, random.Random], float | None]
"""How many seconds the packet of that number takes; None if it is lost."""


class Ear:
    """An outlet: it keeps what it is told to send."""

    def __init__(self) -> None:
        self.is_open = True
        self.packets: list[Packet] = []
        self.octets: list[bytes] = []
        self.times: list[float] = []

    def relay(self, payload_type: int, octets: bytes, now: float) -> None:
        head = bytes((octets[0], octets[1] & 0x80 | payload_type)) + octets[2:HEADER_OCTETS]
        self._keep(head + octets[HEADER_OCTETS:], octets, now)

    def say(self, head: Head, payload: bytes, now: float) -> None:
        self._keep(HEADER.pack(*head) + payload, payload, now)

    def _keep(self, sent: bytes, said: bytes, now: float) -> None:
        read = packet.read(sent)
        assert isinstance(read, Packet)
        self.packets.append(read)
        self.octets.append(said)
        self.times.append(now)


class Person:
    """A peer with a codec, a sound, a network and an ear."""

    def __init__(
        self,
        id: str,
        codec: Codec,
        sound: Samples,
        *,
        ptime: int = 20,
        network: Network = lambda number, chance: 0.0,
        drift: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.id = id
        self.ear = Ear()
        self._chance = random.Random(f"{id} {seed}")
        self._network = network
        self._ssrc = self._chance.randrange(1 << 32)
        self._number = 0
        self.step = ptime / 1000 * (1 + drift)
        self.say(codec, sound, ptime=ptime)

    def say(self, codec: Codec, sound: Samples, *, ptime: int = 20) -> None:
        """Speak this codec from now on, and say this sound in it."""
        self.codec = codec
        self.stream: Stream = stream((HOST, 4), chosen(codec), ptime=ptime)
        self.format = _format(codec)
        self._encoder = codecs.encoder(self.format, ptime)
        self._size = self.format.samples(ptime)
        self._sound = sound
        self._said = 0

    def next(self) -> bytes | None:
        """The next packet; None when nothing is left to say."""
        samples = self._sound[self._said : self._said + self._size]
        if len(samples) < self._size:
            return None
        self._said += self._size
        made = Packet(
            payload_type=self.codec.payload_type,
            sequence=(65_000 + self._number) & 0xFFFF,
            timestamp=(4_000_000_000 + self._number * self._ticks) & 0xFFFF_FFFF,
            ssrc=self._ssrc,
            payload=self._encoder.encode(Pcm(rate=self._encoder.rate, samples=samples)),
        )
        self._number += 1
        return packet.write(made)

    @property
    def _ticks(self) -> int:
        return self.format.clock_rate * self._size // self.format.sample_rate

    def takes(self) -> float | None:
        """How long the packet that was made last takes."""
        return self._network(self._number - 1, self._chance)

    def heard(self) -> Samples:
        """All that this one's peer hears, one packet after the other."""
        return decoded(self.ear.packets, self.codec)


def decoded(packets: Sequence[Packet], codec: Codec) -> Samples:
    decoder = codecs.decoder(_format(codec))
    parts = [decoder.decode(each.payload) for each in packets]
    return np.concatenate([each.samples for each in parts if each is not None])


def _format(codec: Codec) -> formats.Format:
    found = format_of(codec)
    assert found is not None
    return found


class Room:
    """A mixer and people in it; `run` lets time pass."""

    def __init__(self, *, tells_speech: bool = False) -> None:
        self.told: list[wire.Told] = []
        numbers = itertools.count(1)
        self.tools = Tools(
            reader=cast(Any, None),
            chance=lambda: 0.5,
            ssrc=lambda: next(numbers),
            unix=0.0,
            cname="",
            tell=self.told.append,
            wake=lambda node, due: None,
        )
        self.now = 100.0
        node = graph.Mixer(id="room", tells_speech=tells_speech)
        self.mixer = Mixer("call", node, self.tools, self.now)
        self._next: dict[str, float] = {}
        self._coming: list[tuple[float, int, str, bytes]] = []
        self._count = itertools.count()
        self.people: dict[str, Person] = {}

    def connect(
        self,
        people: Sequence[Person],
        *,
        muted: Sequence[str] = (),
        deaf: Sequence[str] = (),
        only: dict[str, str] | None = None,
        buffers: dict[str, float] | None = None,
        others: Sequence[Heard] = (),
    ) -> None:
        """Have these in the room from now on."""
        self.people = {each.id: each for each in people}
        heard = [
            Heard(
                id=each.id,
                stream=each.stream,
                only=(only or {}).get(each.id, ""),
                buffer=(buffers or {}).get(each.id, BUFFERS["large"]),
            )
            for each in people
            if each.id not in muted
        ]
        seats = [
            Seat(id=each.id, stream=each.stream, outlet=cast(Outlet, each.ear))
            for each in people
            if each.id not in deaf
        ]
        self._heard = {each.id for each in heard}
        self.mixer.connect([*heard, *others], seats, self.now)

    def run(self, seconds: float) -> None:
        """Let time pass: packets come, and the mixer is asked every 10 ms, a little late."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            for person in self.people.values():
                self._speak(person)
            self._coming.sort(reverse=True)
            while self._coming and self._coming[-1][0] <= self.now:
                at, _, id, octets = self._coming.pop()
                if id in self._heard:
                    self.mixer.listener(id).take(octets, at)
            if self.mixer.timer(self.now) <= self.now:
                self.mixer.handle_timer(self.now)
            self.now += FRAME / 2

    def _speak(self, person: Person) -> None:
        at = self._next.setdefault(person.id, self.now)
        while at <= self.now:
            octets = person.next()
            if octets is not None and (late := person.takes()) is not None:
                self._coming.append((at + late, next(self._count), person.id, octets))
            at += person.step
        self._next[person.id] = at


def tone(rate: int, frequency: float, seconds: float, peak: float = 2000.0) -> Samples:
    at = np.arange(round(rate * seconds)) / rate
    return np.rint(peak * np.sin(2 * np.pi * frequency * at)).astype(np.int16)


def loudness(samples: Samples, rate: int, frequencies: Sequence[float]) -> list[float]:
    """How high each of these tones is in the last second, as a peak of int16."""
    values = samples[-rate:].astype(np.float64)
    window = np.blackman(len(values))
    power = np.abs(np.fft.rfft(values * window)) / window.sum() * 2
    found = []
    for each in frequencies:
        place = round(each * len(values) / rate)
        found.append(float(power[place - 2 : place + 3].max()))
    return found
