"""What a simulated phone says: tones, keys as sound, noise and recordings, frame by frame."""

import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from protocols.rtp.audio import Samples

_LOUDNESS: Final = 9000.0  # of int16's 32,768, all tones of a sound together
_KEY_FOR: Final = 0.1  # seconds
_KEY_GAP: Final = 0.08
_SYLLABLES: Final = 4.0  # a second
_NOISE_SEED: Final = 20_260
_LARGEST: Final = 64 * 1024 * 1024  # octets of a recording
_ROWS: Final = (697.0, 770.0, 852.0, 941.0)
_COLUMNS: Final = (1209.0, 1336.0, 1477.0, 1633.0)

KEYS: Final = {key: (_ROWS[at // 4], _COLUMNS[at % 4]) for at, key in enumerate("123A456B789C*0#D")}
"""The two tones of each key, Hz (ITU-T Q.23)."""

Make = Callable[[int, int], Samples]
"""(first sample, how many) -> those samples."""


class Sound:
    """`total` samples that are made as they are taken."""

    def __init__(self, make: Make, total: int) -> None:
        self._make = make
        self._left = total
        self._at = 0

    @property
    def has_begun(self) -> bool:
        """Whether anything of it was taken."""
        return self._at > 0

    @property
    def is_over(self) -> bool:
        """Whether all was taken."""
        return self._left <= 0

    def take(self, count: int) -> Samples:
        """The next `count` samples, with silence behind the end."""
        made = max(0, min(count, self._left))
        samples = self._make(self._at, made)
        self._at += made
        self._left -= made
        return samples if made == count else np.pad(samples, (0, count - made))


def tones(frequencies: Sequence[float], seconds: float, rate: int) -> Sound:
    """Tones of these frequencies (Hz) at once; `rate` is samples a second."""
    loudness = _LOUDNESS / max(1, len(frequencies))

    def make(first: int, count: int) -> Samples:
        at = np.arange(first, first + count) / rate
        heard = sum((np.sin(2 * np.pi * each * at) for each in frequencies), np.zeros(count))
        return (loudness * heard).astype(np.int16)

    return Sound(make, round(seconds * rate))


def key(name: str, rate: int) -> Sound:
    """A key as sound, with the pause behind it."""
    pressed = tones(KEYS[name], _KEY_FOR, rate)
    both = np.pad(pressed.take(round(_KEY_FOR * rate)), (0, round(_KEY_GAP * rate)))
    return of_samples(both)


def noise(seconds: float, rate: int) -> Sound:
    """Noise that swells four times a second, as speech does, the same each time."""
    random = np.random.default_rng(_NOISE_SEED)
    rough = random.normal(0.0, 1.0, rate)
    smooth = np.convolve(rough, np.ones(4) / 4, mode="same")

    def make(first: int, count: int) -> Samples:
        at = np.arange(first, first + count)
        swell = 0.55 - 0.45 * np.cos(2 * np.pi * _SYLLABLES * at / rate)
        return (5000.0 * smooth[at % rate] * swell).clip(-32768, 32767).astype(np.int16)

    return Sound(make, round(seconds * rate))


def of_samples(samples: Samples) -> Sound:
    """Samples that are there."""
    return Sound(lambda first, count: samples[first : first + count], len(samples))


def recording(path: str, rate: int) -> Sound:
    """A WAV file of 16-bit PCM, its first channel, at `rate` samples a second.

    Raises `OSError` and `ValueError` with what is wrong with it.
    """
    if Path(path).stat().st_size > _LARGEST:
        raise ValueError(f"{path} is longer than {_LARGEST} octets")
    try:
        with wave.open(path, "rb") as file:
            if file.getsampwidth() != 2:
                raise ValueError(f"{path} has no samples of 16 bits")
            octets = file.readframes(file.getnframes())
            samples = np.frombuffer(octets, dtype="<i2")[:: file.getnchannels()]
            at = file.getframerate()
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is no WAV file: {error}") from error
    if at != rate and len(samples):
        wanted = np.arange(round(len(samples) * rate / at)) * at / rate
        samples = np.interp(wanted, np.arange(len(samples)), samples).astype(np.int16)
    return of_samples(samples.astype(np.int16))
