"""The data folder belongs to one process: who it is stands in it, and who it was.

A process that finds the folder free knows that the one before has ended, however it did, and
need not wait until its lease runs out.
"""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from gateway.owners import described
from gateway.store.base import StoreUnavailable

_FILE = "process.lock"
_PERMISSIONS: Final = "look at its permissions, or name another with --data"
_ADVICE: Final = {
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: "look at how its disk is mounted, or name another with --data",
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room, or raise the quota",
    errno.ENOTDIR: "a file is in the place of a folder: move it, or name another with --data",
    errno.EEXIST: "a file is in the place of a folder: move it, or name another with --data",
}


class Folder:
    """The lock of a data folder, for the life of the process."""

    def __init__(self, data: Path, holder: str) -> None:
        """Take it, for the member `holder`.

        Raises `StoreUnavailable` while another has it, or if nothing can be written there.
        """
        try:
            data.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = (data / _FILE).open("a+", encoding="utf-8")
        except OSError as error:
            raise _unwritable(data, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            refusal = _held(data, self._file)
            self._file.close()
            raise refusal from error
        self._file.seek(0)
        self.previous = self._file.read().strip()
        try:
            self._file.truncate(0)
            self._file.write(holder)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.close()
            raise _unwritable(data, error) from error

    def release(self) -> None:
        """Let another process have it."""
        self._file.close()


def see_free(data: Path) -> None:
    """Raise `StoreUnavailable` while a process has the folder; nothing of it is touched."""
    try:
        file = (data / _FILE).open(encoding="utf-8")
    except OSError:  # there is none yet, or taking it will say what is wrong
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise _held(data, file) from error


def _held(data: Path, file: IO[str]) -> StoreUnavailable:
    file.seek(0)
    other = described(file.read().strip())
    return StoreUnavailable(
        f"the data folder {data} is in use by {other}: SIGHUP has it read its config again, SIGTERM"
        " ends it; to run beside it, give each its own folder with --data"
    )


def _unwritable(data: Path, error: OSError) -> StoreUnavailable:
    advice = _ADVICE.get(error.errno or 0, "look at its disk")
    return StoreUnavailable(f"the data folder {data} can't be written: {advice} ({error.strerror})")
