"""The data folder belongs to one process: who it is stands in it, and who it was.

A process that finds the folder free knows that the one before has ended, however it did, and
need not wait until its lease runs out.
"""

import fcntl
import os
from pathlib import Path
from typing import IO

from gateway.owners import described
from gateway.store.base import StoreUnavailable

_FILE = "process.lock"


class Folder:
    """The lock of a data folder, for the life of the process."""

    def __init__(self, data: Path, holder: str) -> None:
        """Take it, for the member `holder`. Raises `StoreUnavailable` while another has it."""
        data.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = (data / _FILE).open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            other = described(self._file.read().strip())
            self._file.close()
            raise StoreUnavailable(
                f"the data folder {data} is in use by {other}: give each its own with --data"
            ) from error
        self._file.seek(0)
        self.previous = self._file.read().strip()
        self._file.truncate(0)
        self._file.write(holder)
        self._file.flush()
        os.fsync(self._file.fileno())

    def release(self) -> None:
        """Let another process have it."""
        self._file.close()
