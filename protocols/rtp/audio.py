"""PCM as the media path hands it on, and what a codec is to it.

All PCM here is mono with 16 bits a sample, as numpy arrays of int16. Nobody writes into an array
that was handed on: codecs give arrays that share memory with what they read.
"""

from math import log10, sqrt
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

FULL_SCALE: Final = 32768
"""The overload point, 0 dBov: the level of a square wave as high as int16 goes (RFC 3389 §3.1)."""

QUIETEST: Final = 127
"""The level of silence, as RFC 3389 and RFC 6464 write it: -127 dBov."""


class Pcm(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Mono samples, `rate` of them a second."""

    rate: int
    samples: Samples

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self.samples) / self.rate


class Decoder(Protocol):
    """Payloads of one stream to PCM, in the order of their timestamps."""

    @property
    def rate(self) -> int:
        """Samples a second of what it gives."""

    def decode(self, payload: bytes) -> Pcm | None:
        """The PCM of one packet; None for what is no audio of this codec, to be taken for lost."""


class Encoder(Protocol):
    """PCM to payloads of one stream."""

    @property
    def rate(self) -> int:
        """Samples a second of what it takes."""

    def encode(self, pcm: Pcm) -> bytes:
        """One packet's payload; `LocalProtocolError` if the rate or the length don't fit."""


def silence(rate: int, count: int) -> Pcm:
    """`count` samples of nothing."""
    return Pcm(rate=rate, samples=np.zeros(count, dtype=np.int16))


def to_int16(values: NDArray[np.float32]) -> Samples:
    """Values of int16's scale as samples: rounded, and kept at the ends of the scale beyond it."""
    return np.minimum(np.maximum(np.rint(values), -32768), 32767).astype(np.int16)


def rms(samples: Samples) -> float:
    """The root of the mean square; 0.0 of no samples."""
    if not len(samples):
        return 0.0
    values = samples.astype(np.float32)
    return sqrt(float(values @ values) / len(values))


def level(samples: Samples) -> int:
    """How loud: dB under the overload point, 0 (loudest) to 127 (silence), as RFC 3389 §3.1."""
    loudness = rms(samples)
    if loudness == 0.0:
        return QUIETEST
    return min(QUIETEST, max(0, round(-20 * log10(loudness / FULL_SCALE))))


def amplitude(level: int) -> float:
    """The root of the mean square at `level` dB under the overload point."""
    return float(FULL_SCALE * 10 ** (-level / 20))
