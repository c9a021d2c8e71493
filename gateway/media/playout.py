"""What a peer says as sound: packets in as they come, PCM out whenever some is wanted.

Between the two stand the playout buffer, which puts packets in order and waits for late ones, the
codecs, and what is heard where a packet is missing. Whoever listens in (what makes over, mixes or
records) has a playout of its own, and decides when it pulls.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

from protocols.rtp import codecs, comfort, formats, g711
from protocols.rtp.audio import Decoder, Pcm
from protocols.rtp.comfort import ComfortNoise
from protocols.rtp.conceal import Concealer
from protocols.rtp.jitter import Arrival, Frame, Gap, JitterBuffer, JitterConfig, Squeeze
from protocols.rtp.packet import HEADER, HEADER_OCTETS, Malformed, payload_bounds

HUSH: Final = 0.1  # seconds for which a gap is no loss, after a packet that went another way
_PLAIN: Final = 0x80  # the first octet of a packet with neither CSRCs, extension nor padding
FIRST_FRAME: Final = 0.02  # seconds that a packet lasts, until one was decoded


_LAWS: Final = (formats.PCMU, formats.PCMA)
_REMEMBERED: Final = 25  # frames that are decoded together for what stands in for losses

Coded = tuple[formats.Format, bytes]
"""A payload, and what it is."""


class _Voice:
    """One codec of the stream and what stands in for its losses."""

    def __init__(self, format: formats.Format, chance: np.random.Generator) -> None:
        self.format = format
        self.decoder: Decoder = codecs.decoder(format)
        self.concealer = Concealer(self.decoder.rate, chance)
        self._passed: list[bytes] | None = [] if format in _LAWS else None

    def passes(self, payload: bytes, size: int) -> bool:
        """Take a frame of `size` octets as one that its hearer decodes itself, if it may be."""
        passed = self._passed
        if passed is None or len(payload) != size or self.concealer.blends:
            return False
        if passed and len(passed[0]) != size:
            self.settle()
        passed.append(payload)
        if len(passed) >= _REMEMBERED:
            self.settle()
        return True

    def settle(self) -> None:
        """Let what stands in for losses know of frames that passed it by."""
        if self._passed:
            octets = np.frombuffer(b"".join(self._passed), np.uint8)
            frames = g711.values(self.format).take(octets).reshape(len(self._passed), -1)
            self.concealer.heard(list(frames))
            self._passed.clear()

    def decode(self, payload: bytes, seconds: float) -> Pcm:
        self.settle()
        pcm = self.decoder.decode(payload)
        if pcm is None or not len(pcm.samples):
            return self.lose(seconds)
        return self.concealer.play(pcm)

    def lose(self, seconds: float) -> Pcm:
        self.settle()
        return self.concealer.lose(round(self.decoder.rate * seconds))


class Playout:
    """A peer's stream of one RTP clock; times are seconds of one clock that never goes back.

    `heard` has the formats by their payload types, all with the clock `clock_rate` in Hz;
    `noises` are the payload types of comfort noise. `seed` is for the noise that is made.
    """

    def __init__(
        self,
        heard: dict[int, formats.Format],
        *,
        clock_rate: int,
        noises: Iterable[int] = (),
        seed: int = 0,
        config: JitterConfig | None = None,
    ) -> None:
        chance = np.random.default_rng(seed)
        self._voices = {number: _Voice(each, chance) for number, each in heard.items()}
        self._noises = frozenset(noises)
        self._voice = next(iter(self._voices.values()))
        self._background: ComfortNoise | None = None
        self._chance = chance
        self._rate = clock_rate
        ticks = round(FIRST_FRAME * clock_rate)
        self._buffer = JitterBuffer(config or JitterConfig(), clock_rate=clock_rate, ticks=ticks)
        self._hushed = 0.0

    @property
    def rate(self) -> int:
        """Samples a second of what is pulled now; another codec of the peer's may change it."""
        return self._voice.decoder.rate

    @property
    def delay(self) -> float:
        """How long packets wait before they are heard, seconds."""
        return self._buffer.statistics.delay

    def push(self, octets: bytes, now: float) -> Arrival | None:
        """Take a packet of one of the payload types, a head at least; None if it can't be read."""
        if octets[0] == _PLAIN:
            payload = octets[HEADER_OCTETS:]
        else:
            bounds = payload_bounds(octets)
            if isinstance(bounds, Malformed):
                return None
            payload = octets[bounds[0] : bounds[1]]
        _, second, sequence, timestamp, ssrc = HEADER.unpack_from(octets)
        payload_type = second & 0x7F
        voice = self._voices.get(payload_type)
        frame = Frame(
            ssrc=ssrc,
            sequence=sequence,
            timestamp=timestamp,
            payload_type=payload_type,
            marker=second >= 0x80,
            ticks=voice.format.ticks(payload) if voice is not None else 0,
            payload=payload,
        )
        return self._buffer.push(frame, now)

    def hush(self, now: float) -> None:
        """The peer speaks otherwise for a while, as by a digit: what is missing was never said."""
        self._hushed = now + HUSH

    def pull(self, now: float) -> Pcm | None:
        """What is heard next, to be played at `now`; None if the peer is silent."""
        return self._hear(self._buffer.pull(now), now)

    def pull_coded(self, now: float, size: int) -> Pcm | Coded | None:
        """The same, but a frame of G.711 of `size` octets comes as it is where nothing is lost."""
        found = self._buffer.pull(now)
        if isinstance(found, Frame):
            voice = self._voices.get(found.payload_type)
            if voice is not None and voice.passes(found.payload, size):
                self._voice, self._background = voice, None
                return voice.format, found.payload
        return self._hear(found, now)

    def _hear(self, found: Frame | Squeeze | Gap, now: float) -> Pcm | None:
        match found:
            case Frame():
                return self._play(found)
            case Squeeze(first=first, second=second):
                return self._squeeze(first, second)
            case Gap.PAUSE:
                return self._pause()
            case _:
                return None if now < self._hushed else self._lose()

    @property
    def step(self) -> float:
        """How long a frame of the peer's is, seconds."""
        return self._buffer.ticks / self._rate

    def _play(self, frame: Frame) -> Pcm | None:
        if frame.payload_type in self._noises:
            return self._begin_pause(frame.payload)
        self._voice, self._background = self._voices[frame.payload_type], None
        return self._voice.decode(frame.payload, self.step)

    def _squeeze(self, first: Frame, second: Frame) -> Pcm | None:
        """Both in the time of one; the decoder hears each, for its state goes on with them."""
        voice = self._voices.get(first.payload_type)
        if voice is None:
            return self._play(second)
        self._voice, self._background = voice, None
        one, two = (voice.decoder.decode(each.payload) for each in (first, second))
        voice.settle()
        if one is None or two is None:
            rest = one or two
            return voice.lose(self.step) if rest is None else voice.concealer.play(rest)
        return voice.concealer.squeeze(one, two)

    def _lose(self) -> Pcm | None:
        return self._voice.lose(self.step) if self._background is None else self._pause()

    def _begin_pause(self, payload: bytes) -> Pcm | None:
        told = comfort.read(payload)
        if told is not None:
            if self._background is None:
                self._background = ComfortNoise(self.rate, self._chance)
            self._background.update(told)
        return self._pause()

    def _pause(self) -> Pcm | None:
        if self._background is None:
            return None
        return self._background.generate(round(self.rate * self.step))
