"""What a peer says as sound: packets in as they come, PCM out whenever some is wanted.

Between the two stand the playout buffer, which puts packets in order and waits for late ones, the
codecs, and what is heard where a packet is missing. Whoever listens in (what makes over, mixes or
records) has a playout of its own, and decides when it pulls.
"""

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Final

import numpy as np

from protocols.rtp import codecs, comfort, formats, g711
from protocols.rtp.audio import Decoder, Pcm
from protocols.rtp.comfort import ComfortNoise
from protocols.rtp.conceal import Concealer
from protocols.rtp.jitter import Arrival, Frame, Gap, JitterBuffer, JitterConfig, Squeeze
from protocols.rtp.packet import HEADER, HEADER_OCTETS, Malformed, payload_bounds

OCTETS: Final = 160  # of 20 ms in a law of G.711
STILL: Final = 1.0  # seconds without a packet after which nothing is to be heard any more
HUSH: Final = 0.1  # seconds for which a gap is no loss, after a packet that went another way
_PLAIN: Final = 0x80  # the first octet of a packet with neither CSRCs, extension nor padding
FIRST_FRAME: Final = 0.02  # seconds that a packet lasts, until one was decoded
_LAWS: Final = (formats.PCMU, formats.PCMA)
_unpack: Final = HEADER.unpack_from

Coded = tuple[formats.Format, bytes]
"""A payload, and what it is."""


class _Voice:
    """One codec of the stream and what stands in for its losses.

    While it `is_coded` its hearer may decode frames of `OCTETS` itself; the last of those are
    `passed`.
    """

    __slots__ = ("concealer", "decoder", "format", "is_coded", "passed")

    def __init__(self, format: formats.Format, chance: np.random.Generator) -> None:
        self.format = format
        self.decoder: Decoder = codecs.decoder(format)
        self.concealer = Concealer(self.decoder.rate, chance)
        self.is_coded = format in _LAWS
        self.passed: deque[bytes] = deque(maxlen=-(-self.concealer.remembered // OCTETS))

    def settle(self) -> None:
        """Let what stands in for losses know of frames that passed it by."""
        if self.passed:
            octets = np.frombuffer(b"".join(self.passed), np.uint8)
            self.concealer.recall(g711.values(self.format).take(octets))
            self.passed.clear()

    def decode(self, payload: bytes, seconds: float) -> Pcm:
        self.settle()
        pcm = self.decoder.decode(payload)
        if pcm is None or not len(pcm.samples):
            return self.lose(seconds)
        self.is_coded = self.format in _LAWS
        return self.concealer.play(pcm)

    def lose(self, seconds: float) -> Pcm:
        self.settle()
        self.is_coded = False  # the next frame is blended with what stands for this one
        return self.concealer.lose(round(self.decoder.rate * seconds))


class Playout:
    """A peer's stream of one RTP clock; times are seconds of one clock that never goes back.

    `heard` has the formats by their payload types, all with the clock `clock_rate` in Hz;
    `noises` are the payload types of comfort noise. `seed` is for the noise that is made.
    """

    __slots__ = (
        "_background",
        "_buffer",
        "_chance",
        "_hushed",
        "_noises",
        "_pull",
        "_pushed",
        "_rate",
        "_take",
        "_tickers",
        "_voice",
        "_voices",
    )

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
        self._tickers = {number: each.ticker for number, each in heard.items()}
        self._noises = frozenset(noises)
        self._voice = next(iter(self._voices.values()))
        self._background: ComfortNoise | None = None
        self._chance = chance
        self._rate = clock_rate
        ticks = round(FIRST_FRAME * clock_rate)
        self._buffer = JitterBuffer(config or JitterConfig(), clock_rate=clock_rate, ticks=ticks)
        self._pull, self._take = self._buffer.pull, self._buffer.push
        self._hushed = 0.0
        self._pushed = -inf

    @property
    def rate(self) -> int:
        """Samples a second of what is pulled now; another codec of the peer's may change it."""
        return self._voice.decoder.rate

    @property
    def delay(self) -> float:
        """How long packets wait before they are heard, seconds."""
        return self._buffer.delay

    def push(self, octets: bytes, now: float) -> Arrival | None:
        """Take a packet of one of the payload types, a head at least; None if it can't be read."""
        flags, second, sequence, timestamp, ssrc = _unpack(octets)
        if flags == _PLAIN:
            payload = octets[HEADER_OCTETS:]
        else:
            bounds = payload_bounds(octets)
            if isinstance(bounds, Malformed):
                return None
            payload = octets[bounds[0] : bounds[1]]
        self._pushed = now
        payload_type = second & 0x7F
        ticker = self._tickers.get(payload_type)
        frame = Frame(
            ssrc=ssrc,
            sequence=sequence,
            timestamp=timestamp,
            payload_type=payload_type,
            marker=second >= 0x80,
            ticks=ticker(payload) if ticker is not None else 0,
            payload=payload,
        )
        return self._take(frame, now)

    def hush(self, now: float) -> None:
        """The peer speaks otherwise for a while, as by a digit: what is missing was never said."""
        self._hushed = now + HUSH

    def pull(self, now: float) -> Pcm | None:
        """What is heard next, to be played at `now`; None if the peer is silent."""
        return self._hear(self._buffer.pull(now), now)

    def pull_coded(self, now: float) -> Pcm | Coded | None:
        """The same, but 20 ms of G.711 come as they are where nothing is lost.

        How loud those are is to be told to `weigh`. A second after the last packet the peer is
        silent, whatever is missing.
        """
        if now - self._pushed > STILL:
            return None
        found = self._pull(now)
        if type(found) is Frame:
            voice, payload = self._voices.get(found.payload_type), found.payload
            if voice is not None and voice.is_coded and len(payload) == OCTETS:
                voice.passed.append(payload)
                self._voice, self._background = voice, None
                return voice.format, payload
        return self._hear(found, now)

    def weigh(self, energy: float) -> None:
        """What was pulled last came as it is, and had this mean square."""
        self._voice.concealer.heard(energy)

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
