"""Comfort noise (RFC 3389): what a pause sounded like at the sender, in a few octets.

The payload is a level and, if the sender says more, the reflection coefficients of an all-pole
filter that colours the noise. The filter runs here as its impulse response, cut off and scaled to
keep the level, so that a frame is one convolution.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocols.rtp.audio import QUIETEST, Pcm, amplitude, level, to_int16

_ORDER: Final = 12  # more coefficients than any sender has a use for are left out
_RESPONSE: Final = 64  # samples
_ZERO: Final = 127  # the octet of a coefficient of 0 (§3.2)


class Comfort(msgspec.Struct, frozen=True, kw_only=True):
    """A background: dB under the overload point (0-127), and reflection coefficients, -1 to 1."""

    level: int
    reflections: tuple[float, ...] = ()


def read(payload: bytes) -> Comfort | None:
    """What a CN payload says (§3); None if it is empty."""
    if not payload:
        return None
    # The highest bit of the level is reserved; 255 is no coefficient, and stands for the highest.
    coefficients = [min(octet, 254) for octet in payload[1 : 1 + _ORDER]]
    return Comfort(
        level=payload[0] & 0x7F,
        reflections=tuple(258 * (octet - _ZERO) / 32768 for octet in coefficients),
    )


def write(comfort: Comfort) -> bytes:
    """The CN payload of a background (§3); what is out of range goes to the end of it."""
    octets = [min(QUIETEST, max(0, comfort.level))]
    for coefficient in comfort.reflections[:_ORDER]:
        octets.append(min(254, max(0, round(coefficient * 32768 / 258) + _ZERO)))
    return bytes(octets)


def measure(pcm: Pcm) -> Comfort:
    """The background that `pcm` is, white: its level alone."""
    return Comfort(level=level(pcm.samples))


def _response(reflections: tuple[float, ...]) -> NDArray[np.float32]:
    """The first samples that the filter answers an impulse with, their energy 1."""
    predictor = np.zeros(0)
    for coefficient in reflections:
        predictor = np.append(predictor + coefficient * predictor[::-1], coefficient)
    order = len(predictor)
    response = np.zeros(order + _RESPONSE)  # with what went before the impulse
    response[order] = 1.0
    for at in range(order + 1, order + _RESPONSE):
        response[at] = -(predictor @ response[at - order : at][::-1])
    shape = response[order:]
    return (shape / np.sqrt(shape @ shape)).astype(np.float32)


class ComfortNoise:
    """Makes a background at `rate` samples a second; `noise` is where its chance comes from."""

    def __init__(self, rate: int, noise: np.random.Generator) -> None:
        self.rate = rate
        self._noise = noise
        self._comfort = Comfort(level=QUIETEST)
        self._amplitude = 0.0
        self._response = _response(())
        self._past = np.zeros(0, dtype=np.float32)  # white noise that still sounds on

    @property
    def comfort(self) -> Comfort:
        """What is being made; silence at first."""
        return self._comfort

    def update(self, comfort: Comfort) -> None:
        """Make this one from the next frame on."""
        if comfort.reflections != self._comfort.reflections:
            self._response = _response(comfort.reflections)
            self._past = np.zeros(0, dtype=np.float32)
        self._comfort = comfort
        self._amplitude = 0.0 if comfort.level >= QUIETEST else amplitude(comfort.level)

    def generate(self, count: int) -> Pcm:
        """The next `count` samples."""
        return Pcm(rate=self.rate, samples=to_int16(self.values(count)))

    def values(self, count: int) -> NDArray[np.float32]:
        """The same before it is rounded to samples."""
        white = self._noise.standard_normal(count, dtype=np.float32) * self._amplitude
        if self._comfort.reflections:
            white = self._coloured(white)
        return white

    def _coloured(self, white: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(self._past):
            self._past = self._noise.standard_normal(_RESPONSE - 1, dtype=np.float32)
            self._past *= self._amplitude
        whole = np.concatenate((self._past, white))
        self._past = whole[-(_RESPONSE - 1) :]
        return np.convolve(whole, self._response, "valid")
