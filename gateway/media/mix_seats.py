"""How what a room says gets to those who hear it: frames of 20 ms in, packets to outlets out.

A codec without a memory, such as G.711, is encoded together, in one look-up for all that a room
says. One with a memory has an encoder for each seat, but seats that never say anything, and hear
nothing that others don't, share one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.media.mix_inputs import Said
from gateway.media.mixing import FRAMES, Bridge, Values, added
from gateway.media.node import Seat
from protocols.rtp import codecs, formats, g711
from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.formats import Format
from protocols.rtp.packet import HEADER

_WORD: Final = 0xFFFF_FFFF
_NOTHING: Final[Samples] = np.zeros(0, dtype=np.int16)
_PTIME: Final = 1000 // FRAMES  # of a packet that is a frame, milliseconds
_LAWS: Final = (formats.PCMU, formats.PCMA)

Numbers = tuple[int, int, int]
"""A packet's sequence, timestamp and SSRC."""


class Voice:
    """Frames as packets of one codec and length; `ssrc` tells them from other sources."""

    def __init__(self, format: Format, ptime: int, ssrc: int) -> None:
        self._encoder = codecs.encoder(format, ptime)
        self._size = format.samples(ptime)
        self._clock_rate = format.clock_rate
        self._ssrc = ssrc
        self._sequence = 0
        self._waiting = _NOTHING

    def say(self, frame: Samples, number: int) -> list[bytes]:
        """The packets that are whole with a room's frame of that number."""
        rate = self._encoder.rate
        at = number * rate // FRAMES - len(self._waiting)
        samples = np.concatenate((self._waiting, frame)) if len(self._waiting) else frame
        made = []
        while len(samples) >= self._size:
            packet, samples = samples[: self._size], samples[self._size :]
            timestamp = at * self._clock_rate // rate & _WORD
            head = HEADER.pack(0x80, 0, self._sequence, timestamp, self._ssrc)
            made.append(head + self._encoder.encode(Pcm(rate=rate, samples=packet)))
            self._sequence = (self._sequence + 1) & 0xFFFF
            at += self._size
        self._waiting = samples
        return made


class Choir:
    """A law of G.711 in packets of 20 ms: all that a room says in one look-up."""

    def __init__(self, format: Format, ssrc: int) -> None:
        self._codes: NDArray[np.uint8] = g711.codes(format)
        self._size = format.samples(_PTIME)
        self._ssrc = ssrc
        self._sequence = 0

    def say(self, rows: Samples, number: int) -> tuple[Numbers, list[bytes]]:
        """A payload for each row, and the numbers of the room's frame, which all of them have."""
        size = self._size
        numbers = self._sequence, number * size & _WORD, self._ssrc
        self._sequence = (self._sequence + 1) & 0xFFFF
        # Every index is within the table; to clip spares numpy the check.
        codes = self._codes.take(rows.view(np.uint16), mode="clip").tobytes()
        return numbers, [codes[at : at + size] for at in range(0, len(codes), size)]


class Apart:
    """What one seat hears otherwise than all do: less itself, and more what is for it alone.

    At its own rate the room itself leaves it out. Without an `id` it is a tap, which hears all
    that anybody hears.
    """

    def __init__(self, rate: int, id: str | None) -> None:
        self._rate = rate
        self._id = id
        self.bridges: dict[int, Bridge] = {}

    def find(self, said: Mapping[int, Said]) -> Values | None:
        """What is to be added to what all hear; None is nothing."""
        parts = {rate: part for rate, each in said.items() if (part := self._at(each)) is not None}
        found = parts.pop(self._rate, None)
        for rate in parts:
            if rate not in self.bridges:
                self.bridges[rate] = Bridge(rate, self._rate)
        for rate, bridge in self.bridges.items():
            found = added(found, bridge.carry(parts.get(rate)))
        return found

    def _at(self, said: Said) -> Values | None:
        part: Values | None = None
        for id, row in said.apart:
            if self._id is None or self._id == id:
                part = added(part, row)
        own = None if said.rate == self._rate else said.places.get(self._id or "")
        return part if own is None else added(part, -said.rows[own])


class Chair:
    """A seat at work; it `only_listens` if the room neither hears it nor speaks to it alone."""

    __slots__ = (
        "apart",
        "format",
        "id",
        "is_new",
        "key",
        "law",
        "only_listens",
        "outlet",
        "payload_type",
        "ptime",
        "rate",
        "voice",
    )

    def __init__(self, seat: Seat, format: Format) -> None:
        codec = seat.stream.codecs[0].sent
        self.id = seat.id
        self.key = key_of(seat)
        self.outlet = seat.outlet
        self.payload_type = codec.payload_type
        self.format = format
        self.rate = format.sample_rate
        self.ptime = format.ptime(seat.stream.ptime)
        # The law that it hears, if a packet is a frame: a choir sings for it.
        self.law = format.name if self.ptime == _PTIME and format in _LAWS else ""
        self.apart = Apart(self.rate, seat.id)
        self.only_listens = False
        self.is_new = True  # nothing was said to it yet
        self.voice: Voice | None = None


def key_of(seat: Seat) -> object:
    """What of a seat must stay for it to be the same."""
    return seat.id, seat.stream.codecs[0].sent, seat.stream.ptime, id(seat.outlet)


class Voices:
    """All that encodes in one room; `ssrc` gives random numbers of 32 bits."""

    def __init__(self, ssrc: Callable[[], int]) -> None:
        self._ssrc = ssrc
        self._choirs: dict[str, Choir] = {}
        self._shared: dict[tuple[Format, int], Voice] = {}

    def say(
        self, rows: Samples, chairs: Sequence[tuple[Chair, int]], number: int, now: float
    ) -> None:
        """Say to each of these chairs the row whose number is beside it, all at one rate."""
        sung: dict[str, tuple[Numbers, list[bytes]]] = {}
        shared: dict[Voice, list[bytes]] = {}
        for chair, row in chairs:
            outlet = chair.outlet
            if not outlet.is_open:
                continue
            if chair.law:
                song = sung.get(chair.law)
                if song is None:
                    song = sung[chair.law] = self._choir(chair.format).say(rows, number)
                (sequence, timestamp, ssrc), payloads = song
                head = 0x80, chair.payload_type, sequence, timestamp, ssrc
                outlet.say(head, payloads[row], now)
                continue
            voice = self._voice(chair)
            packets = shared.get(voice)
            if packets is None:
                packets = shared[voice] = voice.say(rows[row], number)
            for packet in packets:
                outlet.relay(chair.payload_type, packet, now)

    def _choir(self, format: Format) -> Choir:
        if format.name not in self._choirs:
            self._choirs[format.name] = Choir(format, self._ssrc())
        return self._choirs[format.name]

    def _voice(self, chair: Chair) -> Voice:
        """The chair's own, or that of all who only listen."""
        key = chair.format, chair.ptime
        if not chair.only_listens:
            if chair.voice is None:
                chair.voice = Voice(*key, self._ssrc())
            return chair.voice
        chair.voice = None
        if key not in self._shared:
            self._shared[key] = Voice(*key, self._ssrc())
        return self._shared[key]

    def forget(self, chairs: Sequence[Chair]) -> None:
        """Keep only what these need."""
        needed = {(each.format, each.ptime) for each in chairs if each.only_listens}
        self._shared = {key: each for key, each in self._shared.items() if key in needed}
