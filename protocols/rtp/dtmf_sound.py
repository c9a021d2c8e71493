"""Keys heard in sound (ITU-T Q.23, Q.24), for peers that press them in no other way.

The sound is looked at in windows of 12.5 ms that overlap, each by the Goertzel bins of the eight
frequencies. A key has to sound through several windows, which speech all but never does; what may
become one is told at once, so that whoever passes the sound on can wait for what it turns out as.
"""

from collections import deque
from enum import Enum, auto
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocols.rtp.audio import Samples
from protocols.rtp.events import DigitEnded, DigitEvent, DigitStarted
from protocols.rtp.tones import KEYS

STEP: Final = 0.005  # seconds between the beginnings of two windows
WINDOW: Final = 0.0125  # two neighbours of the eight frequencies are about 1/WINDOW apart
SURE: Final = 5  # windows in a row: 32.5 ms, of the 40 ms that a key sounds at least (Q.24)
OVER: Final = 5  # windows without it after which a key is let go; Q.24 bridges 10 to 20 ms
FAINTEST: Final = 300.0  # amplitude of a frequency in units of int16, -41 dB
TWIST: Final = 6.3  # 8 dB, the most that one of the two may be louder than the other
APART: Final = 6.3  # and the least that each is louder than the others of its group
PURE: Final = 0.7  # of a window's energy, in the two
WHOLE: Final = 0.9  # the same of all that made sure, each of the two where it is loudest
LIKELY: Final = 0.4  # the same of a window that a key may have begun in


# Q.24: a key is one within 1.5 % of its frequencies, and none beyond 3.5 %.
_DEVIATIONS: Final = np.linspace(0.98, 1.02, 9)


class Verdict(Enum):
    """What the newest of the sound is."""

    NO_KEY = auto()
    PERHAPS = auto()
    KEY = auto()


_ROWS: Final = tuple(sorted({each.frequencies[0] for each in KEYS.values()}))
_COLUMNS: Final = tuple(sorted({each.frequencies[1] for each in KEYS.values()}))
_NAMES: Final = {
    (_ROWS.index(sound.frequencies[0]), _COLUMNS.index(sound.frequencies[1])): key
    for key, sound in KEYS.items()
}
_Powers = NDArray[np.float32]


class _Seen(msgspec.Struct, frozen=True):
    """What a window shows: a key or "", and how much of its energy that is."""

    key: str
    purity: float


_NOTHING: Final = _Seen("", 0.0)


class KeyListener:
    """One direction of one peer's sound, at `rate` samples a second.

    Times are those of the sound: what was lost of it has no length. So a key goes on over a loss,
    and one that nothing follows at all is ended by `stop`.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._step = round(rate * STEP)
        self._size = round(rate * WINDOW)
        at = np.arange(self._size)[:, None] / rate
        turns = 2 * np.pi * at * np.array(_ROWS + _COLUMNS)
        self._bins = np.hstack((np.cos(turns), np.sin(turns))).astype(np.float32)
        self._rest: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._span = self._size + (SURE - 1) * self._step
        self._past = self._rest  # before the rest, as much as makes sure
        self._candidate = ""
        self._count = 0  # windows in a row that show the candidate
        self._pressed = ""
        self._length = 0  # windows since the key that is pressed began
        self._missed = 0  # the last ones of these, which don't show it
        self._events: deque[DigitEvent] = deque()

    def hear(self, samples: Samples) -> Verdict:
        """Take what comes next, a packet's worth."""
        parts = np.concatenate((self._rest, samples.astype(np.float32)))
        count = (len(parts) - self._size) // self._step + 1
        if count <= 0:
            self._rest = parts
            return self._verdict(_NOTHING)
        whole = np.concatenate((self._past, parts))
        ends = range(len(self._past) + self._size, len(whole) + 1, self._step)
        self._rest = parts[count * self._step :]
        self._past = whole[: len(whole) - len(self._rest)][-self._span :]
        windows = np.lib.stride_tricks.sliding_window_view(parts, self._size)
        windows = windows[: count * self._step : self._step]
        last = _NOTHING
        for last, end in zip(self._look(windows), ends, strict=True):
            key = last.key if last.purity >= PURE else ""
            self._take(key, whole[max(0, end - self._span) : end])
        return self._verdict(last)

    def _look(self, windows: NDArray[Any]) -> list[_Seen]:
        energies = np.einsum("ij,ij->i", windows, windows)
        if energies.max() < FAINTEST * FAINTEST * self._size / 2:  # nothing to hear
            return [_NOTHING] * len(windows)
        squares = (np.ascontiguousarray(windows) @ self._bins) ** 2
        powers = squares[:, : len(_NAMES) // 2] + squares[:, len(_NAMES) // 2 :]
        rows, columns = powers[:, : len(_ROWS)], powers[:, len(_ROWS) :]
        loudest = rows.max(axis=1) + columns.max(axis=1)
        purities = 2 * loudest / self._size / np.maximum(energies, 1.0)
        return [
            _NOTHING if purity < LIKELY else self._seen(row, column, float(purity))
            for row, column, purity in zip(rows, columns, purities, strict=True)
        ]

    def _seen(self, rows: _Powers, columns: _Powers, purity: float) -> _Seen:
        row, column = int(rows.argmax()), int(columns.argmax())
        low, high = sorted((float(rows[row]), float(columns[column])))
        faintest = (FAINTEST * LIKELY * self._size / 2) ** 2
        if low < faintest or high > TWIST * low:
            return _NOTHING
        if purity >= PURE and not (_stands_out(rows, row) and _stands_out(columns, column)):
            return _NOTHING
        return _Seen(_NAMES[row, column], purity)

    def _take(self, key: str, recent: NDArray[np.float32]) -> None:
        self._count = self._count + 1 if key and key == self._candidate else bool(key)
        self._candidate = key
        if self._pressed:
            self._length += 1
            self._missed = 0 if key == self._pressed else self._missed + 1
            if self._missed >= OVER:
                self._end()
        if not self._pressed and self._count >= SURE and self._is_whole(key, recent):
            self._pressed, self._length, self._missed = key, self._count, 0
            self._events.append(DigitStarted(digit=key))

    def _is_whole(self, key: str, recent: NDArray[np.float32]) -> bool:
        """Whether there is little beside the key in the sound that shows it: in speech there is."""
        count = len(recent)
        at = np.arange(count)[:, None] / self._rate
        both = 0.0
        for frequency in KEYS[key].frequencies:
            bins = np.exp(-2j * np.pi * at * (frequency * _DEVIATIONS))
            both += float((np.abs(recent @ bins) ** 2).max())
        return 2 * both / count >= WHOLE * float(recent @ recent)

    def _end(self) -> None:
        shown = self._length - self._missed
        seconds = ((shown - 1) * self._step + self._size) / self._rate
        self._events.append(DigitEnded(digit=self._pressed, duration=seconds))
        self._pressed = ""

    def _verdict(self, last: _Seen) -> Verdict:
        if self._pressed:
            return Verdict.KEY
        return Verdict.PERHAPS if last.key and last.purity >= LIKELY else Verdict.NO_KEY

    def stop(self) -> None:
        """Nothing follows: a key that is pressed is let go."""
        if self._pressed:
            self._end()
        self._candidate, self._count = "", 0
        self._rest = self._past = self._rest[:0]

    def next_event(self) -> DigitEvent | None:
        """The oldest event not yet read."""
        return self._events.popleft() if self._events else None


def _stands_out(group: _Powers, best: int) -> bool:
    return bool(np.delete(group, best).max() * APART <= group[best])
