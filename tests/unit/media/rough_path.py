"""A network that loses and delays, and how what was said through it is heard again.

What is said is noise as wide as a telephone's voice: every 20 ms of it are like no others, so that
each piece that is heard can be found in what was said, and its delay read off, codec or not.
"""

import random

import numpy as np

from protocols.rtp.audio import Samples

PIECE = 0.02  # seconds
_ALIKE = 0.6  # correlation from which on a piece is one that was said
_FARTHEST = 0.4  # seconds that a piece may be late


def noise(rate: int, seconds: float, seed: int) -> Samples:
    """From 200 to 3,400 Hz."""
    count = round(rate * seconds)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / rate)
    spectrum[(frequencies < 200) | (frequencies > 3400)] = 0
    values = np.fft.irfft(spectrum, count)
    values *= 4000 / np.sqrt((values * values).mean())
    return np.rint(np.clip(values, -32768, 32767)).astype(np.int16)


class RoughPath:
    """60 ms, and from `begins` to `ends` seconds after the start 3 % lost and 30 ms of jitter."""

    def __init__(self, begins: float, ends: float) -> None:
        self._first, self._last = round(begins * 50), round(ends * 50)
        self.lost: set[int] = set()

    def __call__(self, number: int, chance: random.Random) -> float | None:
        if not self._first <= number < self._last:
            return 0.06
        if chance.random() < 0.03:
            self.lost.add(number)
            return None
        return 0.06 + chance.uniform(-0.03, 0.03)


def delays(said: Samples, heard: Samples, rate: int) -> list[float | None]:
    """By how much later than it was said each piece is heard; None for one that never was said."""
    size, farthest = round(rate * PIECE), round(rate * _FARTHEST)
    wanted, got = said.astype(np.float64), heard.astype(np.float64)
    power = np.concatenate(([0.0], np.cumsum(wanted * wanted)))
    found: list[float | None] = []
    for at in range(0, len(got) - size + 1, size):
        first = max(0, at - farthest)
        piece, around = got[at : at + size], wanted[first : at + size]
        if len(around) < size:
            break
        alike = np.correlate(around, piece, "valid")
        energy = power[first + size : first + size + len(alike)] - power[first : first + len(alike)]
        alike /= np.sqrt(energy * (piece @ piece) + 1)
        best = int(alike.argmax())
        found.append((at - first - best) / rate if alike[best] > _ALIKE else None)
    return found


def longest_gap(found: list[float | None], lost: set[int]) -> float:
    """Seconds of the longest time in which nothing was heard, beyond what was lost of it.

    A gap has the packets that should have been heard in it, and those at its edges.
    """
    longest, begun = 0.0, 0
    usual = float(np.median([each for each in found if each is not None]))
    for place, each in enumerate([*found, 0.0]):
        if each is None:
            continue
        first, last = (place_of - usual / PIECE for place_of in (begun - 1, place + 1))
        missing = sum(first <= number <= last for number in lost)
        longest = max(longest, (place - begun - missing) * PIECE)
        begun = place + 1
    return longest
