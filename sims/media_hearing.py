"""What a simulated phone hears: tones by Goertzel's sum, keys, loudness and silence.

Its ear holds the last tenth of a second. Keys come as events of RFC 4733 or as sound: those that
come both ways at once are one key.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.rtp.audio import Samples, rms
from sims.media_sounds import KEYS

_EAR: Final = 0.1  # seconds that are listened to at once
_KEY_EAR: Final = 0.04  # seconds of a key
_STALE: Final = 0.1  # seconds after which what was heard last is no longer heard
_LOUD: Final = 300.0  # the root of the mean square, about 40 dB under the overload point
_TONE_SHARE: Final = 0.6  # of the energy that a tone has to have
_KEY_SHARE: Final = 0.75  # of the energy that both tones of a key have together
_KEY_LEAST: Final = 0.12  # and each of them alone
_SURE: Final = 2  # looks that have to agree on a key, and on its end
_SILENT_FOR: Final = 0.4  # seconds
_BOTH_WAYS: Final = 0.5  # seconds between an event and its sound


@lru_cache(maxsize=256)
def _waves(frequency: float, rate: int, count: int) -> NDArray[np.complex128]:
    """What samples are multiplied with to find a tone, so that its sum is its amplitude."""
    window = np.hanning(count)
    turns = np.exp(-2j * np.pi * frequency * np.arange(count) / rate)
    waves: NDArray[np.complex128] = 2 * window * turns / window.sum()
    return waves


def share(samples: Samples, frequency: float, rate: int) -> float:
    """How much of the energy a tone of `frequency` Hz has, about 0 to 1 (Goertzel's sum)."""
    values = samples.astype(np.float64)
    energy = float(values @ values) / max(1, len(values))
    if energy == 0.0:
        return 0.0
    found = abs(complex(values @ _waves(frequency, rate, len(values))))
    return found * found / 2 / energy


class Hearing:
    """One direction of a call; times are seconds of one clock."""

    def __init__(self) -> None:
        self.keys = ""  # all that were pressed
        self._unread = 0  # the first of them that was not expected yet
        self._rate = 8000
        self._ear: Samples = np.zeros(0, dtype=np.int16)
        self._at = float("-inf")  # when something came last
        self._loud_at = float("-inf")
        self._sounding = ""  # the key that sounds
        self._guess = ("", 0)  # and how often it was seen
        self._events: dict[str, float] = {}  # keys that came as events, and when

    def take(self, samples: Samples, rate: int, now: float) -> None:
        """Take what was decoded of a packet."""
        if rate != self._rate:
            self._rate, self._ear = rate, samples[:0]
        self._ear = np.concatenate((self._ear, samples))[-round(_EAR * rate) :]
        self._at = now
        if rms(samples) >= _LOUD:
            self._loud_at = now
        self._look_for_keys(now)

    def pressed(self, key: str, now: float) -> None:
        """A key came as an event."""
        self._events[key] = now
        self.keys += key

    def hears_tone(self, frequency: float, now: float) -> bool:
        """Whether there is a tone now, and next to nothing beside it."""
        return self.hears_energy(now) and share(self._ear, frequency, self._rate) >= _TONE_SHARE

    def hears_energy(self, now: float) -> bool:
        """Whether anything is to be heard now."""
        whole = len(self._ear) >= round(_EAR * self._rate)
        return whole and now - self._at < _STALE and rms(self._ear) >= _LOUD

    def hears_silence(self, since: float, now: float) -> bool:
        """Whether nothing was to be heard for a while, all of it after `since`."""
        return now - max(self._loud_at, since) >= _SILENT_FOR

    def read_keys(self, keys: str) -> bool:
        """Whether these were pressed one after the other; then they are not looked at again."""
        at = self.keys.find(keys, self._unread)
        if at < 0:
            return False
        self._unread = at + len(keys)
        return True

    def unread_keys(self) -> str:
        """Keys that nobody read, which stay so."""
        return self.keys[self._unread :]

    def describe(self, now: float) -> str:
        """What is heard now, in the words of an expectation."""
        if not self.hears_energy(now):
            return "silence"
        count = len(self._ear)
        spectrum = np.abs(np.fft.rfft(self._ear * np.hanning(count), 8 * count))
        frequency = float(np.argmax(spectrum)) * self._rate / (8 * count)
        if share(self._ear, frequency, self._rate) < _TONE_SHARE:
            return "energy"
        return f"tone:{round(frequency)}"

    def _look_for_keys(self, now: float) -> None:
        ear = self._ear[-round(_KEY_EAR * self._rate) :]
        found = _key_in(ear, self._rate) if rms(ear) >= _LOUD else ""
        before, seen = self._guess
        self._guess = (found, seen + 1 if found == before else 1)
        if self._guess[1] != _SURE or found == self._sounding:
            return
        self._sounding = found
        if found and now - self._events.get(found, float("-inf")) > _BOTH_WAYS:
            self.keys += found


def _key_in(samples: Samples, rate: int) -> str:
    """The key whose tones these samples are; "" for none."""
    row = max(_ROWS, key=lambda each: share(samples, each, rate))
    column = max(_COLUMNS, key=lambda each: share(samples, each, rate))
    shares = share(samples, row, rate), share(samples, column, rate)
    if min(shares) < _KEY_LEAST or sum(shares) < _KEY_SHARE:
        return ""
    return _BY_TONES[row, column]


_BY_TONES: Final = {pair: name for name, pair in KEYS.items()}
_ROWS: Final = sorted({row for row, _ in KEYS.values()})
_COLUMNS: Final = sorted({column for _, column in KEYS.values()})
