"""The arithmetic of a room: frames are added up, kept within the scale, and faded in and out.

Values are whole numbers of int16's scale as float32, which has room for the sum of 500 voices. All
frames of a room last `FRAME` seconds; a row of an array is one frame.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.rtp import formats, g711
from protocols.rtp.audio import Samples
from protocols.rtp.resample import RATES, Resampler

Values = NDArray[np.float32]

FRAME: Final = 0.02  # seconds
FRAMES: Final = round(1 / FRAME)  # in a second
# The square of what nobody hears: the smallest step of either law of G.711, A-law's silence.
QUIET: Final = 8.5**2
_LAWS: Final = {each.name: each for each in (formats.PCMU, formats.PCMA)}
_HIGHEST: Final = 32767.0
_LOUDEST: Final = 30000.0  # what the limiter brings down what is louder to
_DOWN: Final = 0.005  # seconds in which the limiter does so
_UP: Final = 0.02  # of the gain, that it lets go in a frame


def size_of(rate: int) -> int:
    """How many samples a frame has."""
    return rate // FRAMES


@lru_cache(maxsize=2 * len(RATES))
def rising(rate: int) -> Values:
    """The gain of a frame that fades in."""
    count = size_of(rate)
    return ((np.arange(count, dtype=np.float32) + 0.5) / count).astype(np.float32)


def stacked(frames: list[Samples], size: int) -> Values:
    """Frames of `size` samples each as rows."""
    return np.concatenate(frames, dtype=np.float32).reshape(len(frames), size)


@lru_cache(maxsize=2)
def _meanings(law: str) -> Values:
    return g711.values(_LAWS[law]).astype(np.float32)


def decoded(payloads: list[bytes], law: str) -> Values:
    """Frames in PCMU or PCMA as rows."""
    octets = np.frombuffer(b"".join(payloads), np.uint8)
    # Every index is within the table; to wrap spares numpy the check.
    return _meanings(law).take(octets, mode="wrap").reshape(len(payloads), -1)


def added(one: Values | None, other: Values | None) -> Values | None:
    """The sum of two rows; None is silence."""
    if one is None or other is None:
        return other if one is None else one
    return one + other


def summed(rows: Values) -> Values:
    """The sum of all rows, which in whole numbers is the same in any order."""
    return _ones(len(rows)) @ rows


@lru_cache(maxsize=256)
def _ones(count: int) -> Values:
    return np.ones(count, dtype=np.float32)


def energies(rows: Values) -> list[float]:
    """The mean square of each row."""
    found: list[float] = (np.vecdot(rows, rows) / rows.shape[1]).tolist()
    return found


def faded(row: Values, gain: Values) -> Values:
    """A row by a gain that changes in it, whole numbers again."""
    made: Values = np.rint(row * gain)
    return made


class Limiter:
    """Keeps sums within the scale: brings all down quickly when one is too loud, lets go slowly."""

    def __init__(self, rate: int) -> None:
        self._gain = 1.0
        self._size = size_of(rate)
        count = round(_DOWN * rate)
        self._down = np.minimum((np.arange(self._size) + 1.0) / count, 1.0).astype(np.float32)
        self._whole = ((np.arange(self._size) + 1.0) / self._size).astype(np.float32)

    def limit(self, rows: Values) -> Samples:
        """The rows as samples that all can be played."""
        peak = float(np.maximum.reduce(np.abs(rows), axis=None))
        if peak <= _LOUDEST and self._gain == 1.0:
            return rows.astype(np.int16)
        wanted = min(1.0, _LOUDEST / max(peak, 1.0))
        before = self._gain
        self._gain = wanted if wanted < before else min(wanted, before + _UP)
        shape = self._down if self._gain < before else self._whole
        rows = rows * (before + (self._gain - before) * shape)
        return np.minimum(np.maximum(np.rint(rows), -_HIGHEST - 1), _HIGHEST).astype(np.int16)


class Bridge:
    """What is said at one rate, as it is heard at another; while nothing is said it costs nothing.

    A filter has a tail: after the last frame it is given one of silence.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._resampler = Resampler(from_rate, to_rate)
        self._silence = np.zeros(size_of(from_rate), dtype=np.float32)
        self._sounds_on = False  # the tail is still to come

    def carry(self, row: Values | None) -> Values | None:
        """The next frame; None is silence."""
        if row is None and not self._sounds_on:
            return None
        self._sounds_on = row is not None
        made = self._resampler.filter(self._silence if row is None else row)
        return np.rint(made)
