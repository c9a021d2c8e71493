"""What is heard in a WAV file, one thing after the other."""

import wave
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

_WINDOW = 0.1  # seconds
_FAINT = 200.0  # RMS of what counts as silence
_SHORTEST = 0.3  # seconds: the borders of two sounds are neither


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A sound: the frequency that is loudest in it, 0 for silence, and for how long."""

    hertz: int
    seconds: float

    def is_tone(self, hertz: float) -> bool:
        """Whether it is that tone, as far as such short pieces tell."""
        return abs(self.hertz - hertz) <= 1 / _WINDOW


def heard_in(file: Path | bytes) -> list[list[Heard]]:
    """What each channel has, silence and all that is shorter than 0.3 s left out."""
    with wave.open(BytesIO(file) if isinstance(file, bytes) else str(file), "rb") as opened:
        rate, channels = opened.getframerate(), opened.getnchannels()
        samples = np.frombuffer(opened.readframes(opened.getnframes()), "<i2")
    return [_sounds(samples[channel::channels], rate) for channel in range(channels)]


def tones_in(sounds: list[Heard], *tones: float) -> list[float]:
    """Which of `tones` are heard, in the order in which each is for the first time."""
    found: list[float] = []
    for sound in sounds:
        found += [tone for tone in tones if sound.is_tone(tone) and tone not in found]
    return found


def _sounds(samples: npt.NDArray[np.int16], rate: int) -> list[Heard]:
    size = round(_WINDOW * rate)
    sounds: list[Heard] = []
    for at in range(0, len(samples) - size + 1, size):
        hertz = _loudest(samples[at : at + size].astype(np.float64), rate)
        seconds = _WINDOW
        if sounds and abs(sounds[-1].hertz - hertz) <= 1 / _WINDOW:
            last = sounds.pop()
            hertz, seconds = last.hertz, last.seconds + _WINDOW
        sounds.append(Heard(hertz=hertz, seconds=round(seconds, 1)))
    return [each for each in sounds if each.hertz and each.seconds >= _SHORTEST]


def _loudest(samples: npt.NDArray[np.float64], rate: int) -> int:
    if np.sqrt(np.mean(samples**2)) < _FAINT:
        return 0
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return round(float(np.fft.rfftfreq(len(samples), 1 / rate)[int(power.argmax())]))
