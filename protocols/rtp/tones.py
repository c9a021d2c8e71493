"""Tones that telephones know: those of keys in band, and what a caller hears while it rings.

A tone is rendered at any place of it, so that whoever plays it in frames keeps its phase and its
cadence without keeping a state.
"""

from math import sqrt
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from protocols.rtp.audio import Pcm

KEY_LEVEL: Final = 13  # dB under the overload point, for each of a key's two frequencies
_COLUMNS: Final = (1209.0, 1336.0, 1477.0, 1633.0)
_ROWS: Final = ((697.0, "123A"), (770.0, "456B"), (852.0, "789C"), (941.0, "*0#D"))


class Sound(msgspec.Struct, frozen=True, kw_only=True):
    """Frequencies in Hz that sound together, each `level` dB under the overload point.

    `cadence` are seconds of sound and of silence by turns, from the beginning, and again; none is
    a sound without end.
    """

    frequencies: tuple[float, ...]
    cadence: tuple[float, ...] = ()
    level: int = 19


KEYS: Final[dict[str, Sound]] = {
    key: Sound(frequencies=(row, column), level=KEY_LEVEL)
    for row, keys in _ROWS
    for key, column in zip(keys, _COLUMNS, strict=True)
}
"""The keys of a telephone (ITU-T Q.23)."""

_TWICE: Final = (0.4, 0.2, 0.4, 2.0)


def _ringing(cadence: tuple[float, ...], *frequencies: float) -> Sound:
    return Sound(frequencies=frequencies, cadence=cadence)


RINGING: Final[dict[str, Sound]] = {
    "at": _ringing((1.0, 5.0), 420.0),
    "au": _ringing(_TWICE, 413.0, 438.0),
    "bg": _ringing((1.0, 4.0), 425.0),
    "br": _ringing((1.0, 4.0), 425.0),
    "be": _ringing((1.0, 3.0), 425.0),
    "ch": _ringing((1.0, 4.0), 425.0),
    "cl": _ringing((1.0, 3.0), 400.0),
    "cn": _ringing((1.0, 4.0), 450.0),
    "cz": _ringing((1.0, 4.0), 425.0),
    "de": _ringing((1.0, 4.0), 425.0),
    "dk": _ringing((1.0, 4.0), 425.0),
    "ee": _ringing((1.0, 4.0), 425.0),
    "es": _ringing((1.5, 3.0), 425.0),
    "fi": _ringing((1.0, 4.0), 425.0),
    "fr": _ringing((1.5, 3.5), 440.0),
    "gr": _ringing((1.0, 4.0), 425.0),
    "hu": _ringing((1.25, 3.75), 425.0),
    "il": _ringing((1.0, 3.0), 400.0),
    "in": _ringing(_TWICE, 400.0),
    "it": _ringing((1.0, 4.0), 425.0),
    "jp": _ringing((1.0, 2.0), 400.0),
    "lt": _ringing((1.0, 4.0), 425.0),
    "mx": _ringing((1.0, 4.0), 425.0),
    "my": _ringing(_TWICE, 425.0),
    "nl": _ringing((1.0, 4.0), 425.0),
    "no": _ringing((1.0, 4.0), 425.0),
    "nz": _ringing(_TWICE, 400.0, 450.0),
    "ph": _ringing((1.0, 4.0), 425.0, 480.0),
    "pl": _ringing((1.0, 4.0), 425.0),
    "pt": _ringing((1.0, 5.0), 425.0),
    "ru": _ringing((0.8, 3.2), 425.0),
    "se": _ringing((1.0, 5.0), 425.0),
    "sg": _ringing(_TWICE, 425.0),
    "th": _ringing((1.0, 4.0), 420.0),
    "tw": _ringing((1.0, 2.0), 440.0, 480.0),
    "uk": _ringing(_TWICE, 400.0, 450.0),
    "us": _ringing((2.0, 4.0), 440.0, 480.0),
    "us-old": _ringing((2.0, 4.0), 420.0),
    "ve": _ringing((1.0, 4.0), 425.0),
    "za": _ringing(_TWICE, 400.0),
}
"""What a caller hears while the other end rings, by country (ITU-T E.180, supplement 2).

Where a country modulates its tone, the carrier stands alone here.
"""


def period(sound: Sound) -> float:
    """Seconds after which a sound is the same again; frequencies are whole, so 1 s always is."""
    return sum(sound.cadence) or 1.0


def render(sound: Sound, *, rate: int, start: int, count: int) -> "Pcm":
    """`count` samples at `rate` a second, from the sample `start` of the sound on."""
    # Who only names sounds does without what makes them, which takes long to load.
    import numpy as np

    from protocols.rtp.audio import Pcm, amplitude, to_int16

    at = np.arange(start, start + count, dtype=np.float64) / rate
    peak = amplitude(sound.level) * sqrt(2)
    values = np.zeros(count, dtype=np.float64)
    for frequency in sound.frequencies:
        values += peak * np.sin(2 * np.pi * frequency * at)
    if sound.cadence:
        edges = np.cumsum(sound.cadence)
        # Half a sample more, for an edge that a float puts just beside its sample.
        turns = np.searchsorted(edges, (at + 0.5 / rate) % edges[-1], side="right")
        values[turns % 2 == 1] = 0.0
    return Pcm(rate=rate, samples=to_int16(values.astype(np.float32)))
