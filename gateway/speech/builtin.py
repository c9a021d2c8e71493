"""Sounds that come with the gateway, made when they are first wanted: hold music and a beep.

Runs in a workshop's process, for what it takes is long to load.

The music is ours, so nobody has rights in it: four chords, struck softly and broken up, sixteen
seconds that go on where they end. It is the same wherever it is made.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.speech.wav import WavFile
from protocols.rtp.audio import Samples, to_int16
from protocols.rtp.tones import Sound, render

BEEP: Final = Sound(frequencies=(1000.0,), level=13)
BEEP_FOR: Final = 0.4  # seconds

_RATE: Final = 8000  # it is for telephones
_BAR: Final = 4.0  # seconds
_BEATS: Final = 8
# Semitones above the A of 220 Hz: Cmaj7, Am7, Fmaj7, G6; the first is struck an octave lower.
_CHORDS: Final = ((3, 7, 10, 14), (0, 3, 7, 10), (-4, 0, 3, 7), (-2, 2, 5, 7))
_ORDER: Final = (0, 1, 2, 3, 2, 1, 3, 2)
_PEAK: Final = 7000.0
_NOTE: Final = 3.0  # seconds in which one dies away


def music() -> Samples:
    """The loop, at 8,000 samples a second."""
    sound = np.zeros(round(len(_CHORDS) * _BAR * _RATE), dtype=np.float32)
    for bar, chord in enumerate(_CHORDS):
        begins = bar * _BAR
        _strike(sound, begins, chord[0] - 12, 1.0)
        for each in chord[1:]:
            _strike(sound, begins, each, 0.35)
        for beat, which in enumerate(_ORDER):
            _strike(sound, begins + beat * _BAR / _BEATS, chord[which] + 12, 0.45)
    return to_int16(sound * np.float32(_PEAK / np.max(np.abs(sound))))


def _strike(sound: NDArray[np.float32], begins: float, semitone: int, loudness: float) -> None:
    """Add a note; what rings on after the end is heard at the beginning."""
    at = np.arange(round(_NOTE * _RATE), dtype=np.float32) / _RATE
    frequency = 220.0 * 2 ** (semitone / 12)
    note = np.zeros(len(at), dtype=np.float32)
    for partial, share in ((1, 1.0), (2, 0.35), (3, 0.12)):
        fades = np.exp(-at * (1.2 + 0.9 * partial))
        note += np.float32(share) * fades * np.sin(2 * np.pi * frequency * partial * at)
    note *= np.minimum(at / 0.015, 1.0) * np.minimum((_NOTE - at) / 0.2, 1.0)
    places = (round(begins * _RATE) + np.arange(len(at))) % len(sound)
    sound[places] += np.float32(loudness) * note


def beep() -> Samples:
    """What tells a caller to speak, at 8,000 samples a second."""
    return render(BEEP, rate=_RATE, start=0, count=round(BEEP_FOR * _RATE)).samples


_SOUNDS: Final = {"music": music, "beep": beep}


def compose(name: str, target: Path) -> float:
    """Write a sound of the house, `music` or `beep`, to a new file; how many seconds it has."""
    with WavFile(target, _RATE) as written:
        written.write(_SOUNDS[name]().astype("<i2").tobytes())
    return written.seconds
