"""WAV files as everything here writes them: 16 bits, one channel, for our eyes only."""

import os
import wave
from pathlib import Path
from types import TracebackType
from typing import Final, Self

LONGEST: Final = 3600.0  # seconds of one prompt


class TooLong(Exception):
    """More sound than one prompt may have."""


class WavFile:
    """A new file that PCM is written to; it is on the disk when the block is left well."""

    def __init__(self, path: Path, rate: int) -> None:
        # Opened by hand for its mode; nobody's file is written over.
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(number, "wb")
        self._wave = wave.open(self._file, "wb")  # noqa: SIM115 - closed with the block
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(rate)
        self._rate = rate
        self._samples = 0

    @property
    def seconds(self) -> float:
        """How long it is by now."""
        return self._samples / self._rate

    def write(self, octets: bytes) -> None:
        """Whole samples; `TooLong` when there are more than a prompt has."""
        self._samples += len(octets) // 2
        if self.seconds > LONGEST:
            raise TooLong
        self._wave.writeframesraw(octets)

    def silence(self, seconds: float) -> None:
        """So much of nothing."""
        left = round(min(seconds, LONGEST) * self._rate)
        while left > 0:
            self.write(bytes(2 * min(left, self._rate)))
            left -= self._rate

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._file:
            self._wave.close()  # which writes the length into the head
            self._file.flush()
            os.fsync(self._file.fileno())


def seconds_of(path: Path) -> float:
    """How long the sound in a file of ours is; `wave.Error`, `EOFError` or `OSError` if it isn't
    one, or not whole.
    """
    with wave.open(str(path), "rb") as found:
        count, rate = found.getnframes(), found.getframerate()
        shape = (found.getnchannels(), found.getsampwidth())
    # The head may be whole where the sound is not.
    if shape != (1, 2) or path.stat().st_size < count * 2:
        raise wave.Error("it is not as we write them")
    return count / rate
