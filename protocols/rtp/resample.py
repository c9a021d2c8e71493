"""From one rate to another: a polyphase FIR filter that keeps its state from frame to frame.

The filter is a sinc under a Kaiser window, flat to 0.85 of the lower rate's band and 60 dB down
where the band ends, so that nothing folds back and no image is left. It is as long as that takes:
its delay is `delay` seconds, 3 ms to or from 8,000 samples a second.
"""

from functools import lru_cache
from math import ceil, gcd, pi
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.rtp.audio import Pcm, to_int16
from protocols.rtp.errors import LocalProtocolError

RATES: Final = (8000, 16000, 24000, 44100, 48000)

_DOWN: Final = 60.0  # dB
_PASS: Final = 0.85  # of the lower rate's band


@lru_cache(maxsize=len(RATES) ** 2)
def _phases(from_rate: int, up: int, down: int) -> NDArray[np.float32]:
    """The filter at `from_rate * up` samples a second, as a row of taps for each of `up` phases.

    Its middle is a sample that came in and, coming down by a whole number, one that goes out: the
    delay is a whole number of both.
    """
    rate = from_rate * up
    edge = min(from_rate, rate // down) / 2
    start = edge * _PASS
    # Kaiser's rule of thumb for the length and the shape of the window.
    length = ceil((_DOWN - 7.95) / (2.285 * 2 * pi * (edge - start) / rate)) + 1
    even = 2 * down if up == 1 else 2
    taps = ceil(length / up / even) * even
    length = taps * up
    at = np.arange(length) - length / 2
    cut = (edge + start) / rate
    window = np.kaiser(length + 1, 0.1102 * (_DOWN - 8.7))[:-1]
    impulse = up * cut * np.sinc(cut * at) * window
    return np.ascontiguousarray(impulse.reshape(taps, up).T[:, ::-1], dtype=np.float32)


def _windows(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Every `size` values that follow each other, a row for each, without a copy.

    numpy's `sliding_window_view` is the same and takes longer than the filter.
    """
    step = values.itemsize
    return np.ndarray(
        (len(values) - size + 1, size), np.float32, buffer=values, strides=(step, step)
    )


class Resampler:
    """One stream from `from_rate` to `to_rate`, both of `RATES`."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        if from_rate not in RATES or to_rate not in RATES:
            raise LocalProtocolError(f"can't resample {from_rate} to {to_rate}: known are {RATES}")
        self.from_rate = from_rate
        self.to_rate = to_rate
        common = gcd(from_rate, to_rate)
        self._up, self._down = to_rate // common, from_rate // common
        self._rows = _phases(from_rate, self._up, self._down)
        self._columns = np.ascontiguousarray(self._rows.T)
        self._taps: int = self._rows.shape[1]
        self._past = np.zeros(self._taps - 1, dtype=np.float32)
        self._at = 0  # of the next sample, in steps of `up` to a sample that came in

    @property
    def delay(self) -> float:
        """How much later a sound comes out than it went in, seconds."""
        if self.from_rate == self.to_rate:
            return 0.0
        return self._taps / 2 / self.from_rate

    def convert(self, pcm: Pcm) -> Pcm:
        """What `pcm` adds to the stream at `to_rate`; over time as long as what came in."""
        if pcm.rate != self.from_rate:
            raise LocalProtocolError(f"this resampler takes {self.from_rate}, not {pcm.rate}")
        if self.from_rate == self.to_rate:
            return pcm
        return Pcm(rate=self.to_rate, samples=to_int16(self.filter(pcm.samples.astype(np.float32))))

    def filter(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same with values that need not fit a sample, such as sums."""
        if self.from_rate == self.to_rate:
            return values
        whole = np.concatenate((self._past, values))
        count = len(values)
        windows = _windows(whole, self._taps)
        self._past = whole[count:]
        if self._down == 1:
            return (windows.copy() @ self._columns).reshape(-1)
        return self._step(windows, count)

    def _step(self, windows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """The samples at every `down` steps, each from its window with the taps of its phase."""
        up, down = self._up, self._down
        steps = np.arange(self._at, count * up, down)
        self._at = self._at + len(steps) * down - count * up
        made: NDArray[np.float32]
        if up == 1:
            made = windows[steps] @ self._rows[0]
        else:
            made = np.einsum("ij,ij->i", windows[steps // up], self._rows[steps % up])
        return made
