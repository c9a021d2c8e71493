"""Clips as samples: files, silence and notes, at whatever rate is wanted, a slice at a time.

A file is opened when it is first to be played and closed when nobody plays it any more: who hears
it hears the same to its end, whatever stands under its name meanwhile.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct, error
from typing import Final
from weakref import WeakValueDictionary

import msgspec
import numpy as np

from gateway.media.graph import Clip, File, Note, Silence
from protocols.rtp import tones
from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.resample import RATES, Resampler

SLICE: Final = 0.25  # seconds that are read and made over at once
_MOST_CHUNKS: Final = 64
_RIFF: Final = Struct("<4sI4s")
_CHUNK: Final = Struct("<4sI")
_FORMAT: Final = Struct("<HHIIHH")
_PCM: Final = (1, 0xFFFE)  # plain, and by an extension that says the same for 16 bits


class SoundError(Exception):
    """A file is no sound that can be played."""


class Held:
    """A file that is open by the descriptor `number`, for as long as this is."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number: Final = number

    def __del__(self) -> None:
        os.close(self.number)


_held: Final[WeakValueDictionary[tuple[int, ...], Held]] = WeakValueDictionary()
"""What is open, by file and content: each is open once, whoever plays it."""


class Sound(msgspec.Struct, frozen=True, kw_only=True):
    """A file that can be played: `count` samples from the octet `start` on, `rate` a second."""

    held: Held
    rate: int
    start: int
    count: int


Piece = Sound | Silence | Note


def seconds(piece: Piece) -> float:
    """How long it plays."""
    return piece.count / piece.rate if isinstance(piece, Sound) else piece.seconds


def measure(clips: Iterable[Clip]) -> tuple[tuple[Piece, ...], str]:
    """What of these can be played, and why the rest can't."""
    pieces: list[Piece] = []
    faults = []
    for clip in clips:
        if not isinstance(clip, File):
            pieces.append(clip)
            continue
        try:
            pieces.append(_measured(clip.path))
        except (OSError, ValueError, SoundError) as problem:
            faults.append(f"{clip.path}: {_reason(problem)}")
    return tuple(pieces), "; ".join(faults)


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem)


def _open(path: str) -> int:
    # Without waiting: a pipe, which would wait for its other end, is refused below.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _measured(path: str) -> Sound:
    opened = Held(_open(path))
    found = os.fstat(opened.number)
    if not stat.S_ISREG(found.st_mode):
        raise SoundError("is no file")
    content = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
    held = _held.setdefault(content, opened)
    try:
        rate, start, size = _find(held.number)
    except error as problem:
        raise SoundError("is no whole WAV file") from problem
    count = max(0, min(size, found.st_size - start)) // 2
    return Sound(held=held, rate=rate, start=start, count=count)


def _find(number: int) -> tuple[int, int, int]:
    """A WAV file's rate, and where its samples begin and how many octets they should be."""
    riff, _, wave = _RIFF.unpack(os.pread(number, _RIFF.size, 0))
    if (riff, wave) != (b"RIFF", b"WAVE"):
        raise SoundError("is no WAV file")
    at, rate = _RIFF.size, 0
    for _ in range(_MOST_CHUNKS):
        name, size = _CHUNK.unpack(os.pread(number, _CHUNK.size, at))
        at += _CHUNK.size
        if name == b"fmt ":
            kind, channels, rate, _, _, bits = _FORMAT.unpack(os.pread(number, _FORMAT.size, at))
            if kind not in _PCM or channels != 1 or bits != 16 or rate not in RATES:
                raise SoundError(f"has {channels} channels of {bits} bits at {rate} Hz")
        elif name == b"data":
            if not rate:
                raise SoundError("has samples before their format")
            return rate, at, size
        at += size + size % 2
    raise SoundError("has no samples")


def tape(pieces: Sequence[Piece], rate: int, skipped: float = 0.0) -> Iterator[Samples]:
    """All of them one after the other without a gap, in slices, from `skipped` seconds on."""
    for piece in pieces:
        length = seconds(piece)
        if skipped < length:
            yield from _PLAYED[type(piece)](piece, rate, skipped)
        skipped = max(0.0, skipped - length)


def _cut(start: int, end: int, rate: int) -> Iterator[tuple[int, int]]:
    """Where slices begin, and how many samples each has."""
    step = round(rate * SLICE)
    for at in range(start, end, step):
        yield at, min(step, end - at)


def _silence(piece: Silence, rate: int, skipped: float) -> Iterator[Samples]:
    for _, count in _cut(round(skipped * rate), round(piece.seconds * rate), rate):
        yield np.zeros(count, dtype=np.int16)


def _note(piece: Note, rate: int, skipped: float) -> Iterator[Samples]:
    for at, count in _cut(round(skipped * rate), round(piece.seconds * rate), rate):
        yield tones.render(piece.sound, rate=rate, start=at, count=count).samples


def _file(piece: Sound, rate: int, skipped: float) -> Iterator[Samples]:
    """As many samples as the file's time at this rate, the filter's delay taken out."""
    first = round(skipped * piece.rate)
    resampler = Resampler(piece.rate, rate)
    late = round(resampler.delay * rate)
    left = (piece.count - first) * rate // piece.rate
    end = piece.count + round(resampler.delay * piece.rate) + 1
    for at, count in _cut(first, end, piece.rate):
        samples = resampler.convert(Pcm(rate=piece.rate, samples=_read(piece, at, count))).samples
        made = samples[late:][:left]
        late = max(0, late - len(samples))
        left -= len(made)
        if len(made):
            yield made


def _read(piece: Sound, at: int, count: int) -> Samples:
    """Samples of the file; silence where it has none any more."""
    octets = b""
    there = min(count, piece.count - at)
    if there > 0:
        with contextlib.suppress(OSError):
            octets = os.pread(piece.held.number, 2 * there, piece.start + 2 * at)
    samples = np.zeros(count, dtype=np.int16)
    found = np.frombuffer(octets[: len(octets) & ~1], dtype="<i2")
    samples[: len(found)] = found
    return samples


_PLAYED: Final[dict[type[Piece], Callable[..., Iterator[Samples]]]] = {
    Sound: _file,
    Silence: _silence,
    Note: _note,
}
