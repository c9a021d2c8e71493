"""What is played where a packet is missing, and how two frames are played in the time of one.

A loss goes on with the last period of the sound before it, at full level for 10 ms and then
fading over 50 ms into a background as quiet as the stream's own pauses. What comes after the loss
is blended in over 5 ms. It works on PCM, so it serves every codec.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.rtp.audio import QUIETEST, Pcm, Samples, amplitude, rms, to_int16
from protocols.rtp.comfort import Comfort, ComfortNoise
from protocols.rtp.resample import RATES

_Values = NDArray[np.float32]

# Seconds
_HISTORY: Final = 0.040
_SHORTEST: Final = 0.0025  # the period of 400 Hz
_LONGEST: Final = 0.015  # and of 67 Hz: what voices have lies between
_MATCHED: Final = 0.010
_HOLD: Final = 0.010
_FADE: Final = 0.050
_BLEND: Final = 0.005

_COARSE: Final = 8000  # samples a second at which a period is looked for
_LOUDEST_NOISE: Final = (
    amplitude(45) ** 2
)  # a background is never louder, however loud the stream is
_RISE: Final = 1.004  # of the background, for each frame that is louder than it
_KEPT: Final = 25  # frames that are kept as they came until somebody looks at them


class Concealer:
    """Stands after a stream's decoder: every frame passes `play`, every missing one is `lose`."""

    def __init__(self, rate: int, noise: np.random.Generator) -> None:
        self.rate = rate
        self._history: _Values = np.zeros(round(rate * _HISTORY), dtype=np.float32)
        self._recent: list[Samples] = []  # frames that came after the history
        self._noise = ComfortNoise(rate, noise)
        self._floor = _LOUDEST_NOISE  # the energy of the background
        self._period: _Values = self._history[:0]
        self._lost = 0  # samples since the last frame that came
        ramp = np.arange(round(rate * _BLEND), dtype=np.float32)
        self._blend = (ramp + 0.5) / len(ramp)

    def heard(self, energy: float) -> None:
        """A frame came and was played as it is, without a loss before it; its mean square."""
        floor = self._floor * _RISE
        if energy < floor:
            floor = energy
        self._floor = _LOUDEST_NOISE if floor > _LOUDEST_NOISE else 1.0 if floor < 1.0 else floor

    def recall(self, end: Samples) -> None:
        """How those frames end: the last `remembered` samples, or all that there are."""
        if self._recent:
            self._remember()
        self._keep(end)

    @property
    def remembered(self) -> int:
        """How many samples back it looks."""
        return len(self._history)

    def play(self, pcm: Pcm) -> Pcm:
        """A frame that came, its beginning blended with what stood for those before it."""
        if self._lost:
            pcm = Pcm(rate=pcm.rate, samples=self._blended(pcm.samples))
            self._lost = 0
        # Most frames are never looked at again: nothing is reckoned until there are many.
        self._recent.append(pcm.samples)
        if len(self._recent) >= _KEPT:
            self._remember()
        return pcm

    def _blended(self, samples: Samples) -> Samples:
        values = samples.astype(np.float32)
        blend = self._blend[: len(values)]
        going = self._going_on(len(blend))
        values[: len(blend)] = going + (values[: len(blend)] - going) * blend
        return to_int16(values)

    def lose(self, count: int) -> Pcm:
        """`count` samples in place of what didn't come."""
        if not self._lost:
            self._remember()
            self._period = self._last_period()
            level = round(-10 * np.log10(self._floor / 32768**2))
            self._noise.update(Comfort(level=min(QUIETEST, int(level))))
        values = self._going_on(count)
        self._lost += count
        return Pcm(rate=self.rate, samples=to_int16(values))

    def squeeze(self, first: Pcm, second: Pcm) -> Pcm:
        """`second` alone, its beginning blended with `first`'s: what saves the time of `first`."""
        if not len(second.samples):
            return self.play(first)
        count = min(len(first.samples), len(second.samples))
        values = second.samples.astype(np.float32)
        rising = (np.arange(count, dtype=np.float32) + 0.5) / count
        values[:count] = first.samples[:count] * (1 - rising) + values[:count] * rising
        return self.play(Pcm(rate=second.rate, samples=to_int16(values)))

    def _remember(self) -> None:
        """Take what came lately into the history and the background."""
        for energy in _energies(self._recent):
            self.heard(energy)
        self._keep(*self._recent)
        self._recent.clear()

    def _keep(self, *frames: Samples) -> None:
        size = len(self._history)
        past = np.concatenate((self._history, *frames), dtype=np.float32)
        self._history = past[len(past) - size :].copy()

    def _last_period(self) -> _Values:
        """The end of the history, as long as its sound takes to repeat itself."""
        step = max(1, self.rate // _COARSE)
        coarse = self._history[len(self._history) % step :: step]
        rate = self.rate / step
        shortest, longest = round(rate * _SHORTEST), round(rate * _LONGEST)
        size = round(rate * _MATCHED)
        end = coarse[-size:]
        earlier = coarse[-size - longest : len(coarse) - shortest]
        likeness = np.correlate(earlier, end, "valid")
        energy = np.convolve(earlier * earlier, np.ones(size, dtype=np.float32), "valid")
        best = int(np.argmax(likeness / np.sqrt(energy + 1.0)))
        return self._history[-(longest - best) * step :]

    def _going_on(self, count: int) -> _Values:
        """The next `count` values since the loss began: the period, fading, and the background."""
        noise = self._noise.values(count)
        gain = _fade(self.rate)[self._lost : self._lost + count]
        if not len(gain):
            return noise
        begun = self._lost % len(self._period)
        again = -(-(begun + len(gain)) // len(self._period))
        period = np.concatenate((self._period,) * again)[begun : begun + len(gain)]
        noise[: len(gain)] *= 1.0 - gain
        noise[: len(gain)] += period * gain
        return noise


@lru_cache(maxsize=len(RATES))
def _fade(rate: int) -> _Values:
    """How loud the period is at each sample of a loss until it is not heard any more."""
    at = np.arange(round(rate * (_HOLD + _FADE))) / rate
    return np.minimum(1.0 - (at - _HOLD) / _FADE, 1.0).astype(np.float32)


def _energies(frames: list[Samples]) -> list[float]:
    """The mean square of each; most often they have one length."""
    size = len(frames[0]) if frames else 0
    if not size or any(len(each) != size for each in frames):
        return [rms(each) ** 2 for each in frames]
    rows = np.concatenate(frames, dtype=np.float32).reshape(-1, size)
    found: list[float] = (np.einsum("ij,ij->i", rows, rows) / size).tolist()
    return found
