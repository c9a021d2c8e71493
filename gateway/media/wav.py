"""WAV files that grow: readable up to what was written last, whatever becomes of the process.

What is written is put in place by a disk: a thread of the worker, so that no packet waits for a
file. Its queue is bounded. What finds no room in it is left out, and silent in the file; packets
go on in any case.
"""

import os
import queue
import threading
from collections.abc import Callable
from struct import Struct
from typing import Final, Protocol

MOST_OCTETS: Final = 32 << 20  # that wait for the disk
SLOW: Final = "the disk is too slow: parts of it are silent"
_PATIENCE: Final = 5.0  # seconds that the disk has for the rest when the worker ends
_HEADER: Final = Struct("<4sI4s4sIHHIIHH4sI")
_LONGEST: Final = 0xFFFF_FFFF - _HEADER.size
_MODE: Final = 0o600
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW

Job = Callable[[], None]


def header(rate: int, channels: int, size: int) -> bytes:
    """What stands before `size` octets of samples with 16 bits."""
    size = min(size, _LONGEST)
    frame = 2 * channels
    parts = (b"fmt ", 16, 1, channels, rate, rate * frame, frame, 16, b"data", size)
    return _HEADER.pack(b"RIFF", size + _HEADER.size - 8, b"WAVE", *parts)


class Disk(Protocol):
    """Who does what waits for files, in the order in which it is given."""

    def do(self, job: Job, octets: int = 0) -> bool:
        """Take a job that holds so many octets; whether there was room, as always for none."""


class DiskNow:
    """A disk that does all at once, while its caller waits."""

    def do(self, job: Job, octets: int = 0) -> bool:
        """See `Disk`."""
        job()
        return True


class DiskThread:
    """A disk that does all in a thread of its own, until it is closed."""

    def __init__(self, most: int = MOST_OCTETS) -> None:
        self._most = most
        self._waiting = 0
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Job, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="disk", daemon=True)
        self._thread.start()

    def do(self, job: Job, octets: int = 0) -> bool:
        """See `Disk`."""
        with self._lock:
            if octets and self._waiting + octets > self._most:
                return False
            self._waiting += octets
        self._jobs.put((job, octets))
        return True

    def _work(self) -> None:
        while (found := self._jobs.get()) is not None:
            job, octets = found
            job()
            with self._lock:
                self._waiting -= octets

    def close(self) -> None:
        """Do what waits, and no more."""
        self._jobs.put(None)
        self._thread.join(_PATIENCE)


class WavFile:
    """A file of samples of 16 bits that begins now; one that was there is gone.

    `fault` says why it is not whole, if so; once `is_closed` it stays as it is. Both may change at
    any time.
    """

    def __init__(self, path: str, *, rate: int, channels: int, disk: Disk) -> None:
        self.fault = ""
        self.is_broken = False
        self.is_closed = False
        self._path = path
        self._rate = rate
        self._channels = channels
        self._disk = disk
        self._size = 0
        self._number = -1
        disk.do(self._guarded(self._open))

    @property
    def frames(self) -> int:
        """How many samples of each channel it has."""
        return self._size // (2 * self._channels)

    def write(self, octets: bytes) -> None:
        """Add samples of all channels by turns."""
        at, self._size = self._size, self._size + len(octets)
        if not self._disk.do(self._guarded(lambda: self._put(octets, at)), len(octets)):
            self.fault = self.fault or SLOW

    def close(self, frames: int) -> None:
        """Have so many samples of each channel, and be closed."""
        size = self._size = min(frames * 2 * self._channels, self._size)
        self._disk.do(lambda: self._end(size))

    # What the disk does

    def _guarded(self, job: Job) -> Job:
        def guarded() -> None:
            try:
                if not self.is_broken:
                    job()
            except Exception as problem:  # of one file; the others are written all the same
                self._break(problem)

        return guarded

    def _break(self, problem: Exception) -> None:
        reason = getattr(problem, "strerror", None) or repr(problem)
        self.fault = f"{self._path}: {reason}"
        self.is_broken = True

    def _open(self) -> None:
        self._number = os.open(self._path, _FLAGS, _MODE)
        os.fchmod(self._number, _MODE)
        self._head(0)

    def _head(self, size: int) -> None:
        _write(self._number, header(self._rate, self._channels, size), 0)

    def _put(self, octets: bytes, at: int) -> None:
        _write(self._number, octets, _HEADER.size + at)
        self._head(at + len(octets))

    def _end(self, size: int) -> None:
        self._guarded(lambda: self._cut(size))()
        try:
            if self._number >= 0:
                os.close(self._number)
        except OSError as problem:
            self._break(problem)
        self._number = -1
        self.is_closed = True

    def _cut(self, size: int) -> None:
        os.ftruncate(self._number, _HEADER.size + size)
        self._head(size)


def _write(number: int, octets: bytes, at: int) -> None:
    while octets:
        written = os.pwrite(number, octets, at)
        octets, at = octets[written:], at + written
