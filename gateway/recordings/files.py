"""The files of recordings: `AC…/RE….wav` in a folder of the data folder, for nobody but us.

They are WAV with samples of 16 bits. Whatever a process that died has written stays readable:
`mended` gives the head of such a file the length that the file has.
"""

import os
import struct
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = "recordings"
WAV: Final = ".wav"
MP3: Final = ".mp3"
_FORMS: Final = (WAV, MP3, f".1{WAV}", f".1{MP3}")  # with `.1`, two channels as one

_RIFF: Final = 12  # octets before the first chunk
_CHUNK: Final = struct.Struct("<4sI")
_FORMAT: Final = struct.Struct("<HHIIHH")
_PCM: Final = 1
_MOST_CHUNKS: Final = 16


class Sound(msgspec.Struct, frozen=True, kw_only=True):
    """What a WAV file holds: `octets` of samples from the place `begin` on."""

    channels: int
    rate: int
    begin: int
    octets: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.octets / (2 * self.channels * self.rate)


class Files:
    """Those of one data folder."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def path(self, account_sid: str, sid: str, suffix: str = WAV) -> Path:
        """Where a recording's sound is; it need not be there."""
        return self._folder / account_sid / f"{sid}{suffix}"

    def begin(self, account_sid: str, sid: str) -> Path:
        """Make an empty file for a recording, which nobody else may read; raises `OSError`."""
        path = self.path(account_sid, sid)
        for folder in (self._folder, path.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        return path

    def remove(self, account_sid: str, sid: str) -> None:
        """Take a recording's sound away, in each form that there is; none is fine."""
        # By their names: the folder of an account may have any number of others.
        for suffix in _FORMS:
            self.path(account_sid, sid, suffix).unlink(missing_ok=True)


def sound_of(path: Path) -> Sound | None:
    """What the WAV file at `path` holds, as far as it goes; None if it holds no samples of ours."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            length = os.fstat(file.fileno()).st_size
    except OSError:
        return None
    return _read(head, length)


def _read(head: bytes, length: int) -> Sound | None:
    if head[:4] != b"RIFF" or head[8:_RIFF] != b"WAVE":
        return None
    at, channels, rate = _RIFF, 0, 0
    for _ in range(_MOST_CHUNKS):
        if at + _CHUNK.size > len(head):
            return None
        name, size = _CHUNK.unpack_from(head, at)
        at += _CHUNK.size
        if name == b"fmt ":
            if size < _FORMAT.size or at + size > len(head):
                return None
            kind, channels, rate, _, _, bits = _FORMAT.unpack_from(head, at)
            if kind != _PCM or bits != 16 or not 1 <= channels <= 2 or not rate:
                return None
        elif name == b"data":
            if not channels:
                return None
            octets = min(size, length - at)
            return Sound(
                channels=channels,
                rate=rate,
                begin=at,
                octets=max(0, octets - octets % (2 * channels)),
            )
        at += size + size % 2
    return None


def mended(path: Path) -> Sound | None:
    """Make the head of a WAV file say how long the file is, as one does that was not closed.

    None if there is no file, or if it holds nothing that can be read.
    """
    try:
        with path.open("r+b") as file:
            head = bytearray(file.read(4096))
            length = os.fstat(file.fileno()).st_size
            found = _read(_boundless(head), length)
            if found is None:
                return None
            file.seek(found.begin - 4)
            file.write(found.octets.to_bytes(4, "little"))
            file.seek(4)
            file.write((found.begin + found.octets - 8).to_bytes(4, "little"))
            file.truncate(found.begin + found.octets)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return None
    return found


def _boundless(head: bytearray) -> bytes:
    """The head with a chunk of samples that has no end, whatever it said."""
    at = _RIFF
    for _ in range(_MOST_CHUNKS):
        if at + _CHUNK.size > len(head):
            break
        name, size = _CHUNK.unpack_from(head, at)
        if name == b"data":
            head[at + 4 : at + 8] = b"\xff\xff\xff\xff"
            break
        at += _CHUNK.size + size + size % 2
    return bytes(head)
