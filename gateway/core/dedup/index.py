"""The index of a partition: which records were copied within the window, in RocksDB.

A key is the sixteen octets of an identity, its value the second at which it was copied. Beside
the keys stands one row, the `State`; both are written in one synced batch, so that after any
crash the keys are exactly those of the records before the positions. A key says that its record
stands in the clean topic: it is written after the brokers have acknowledged that, never before.

The window is exact at reading, by the value; what is older leaves the disk some time later, when
RocksDB compacts. An index is nothing that must be kept: it is rebuilt from the clean topic.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from gateway.core.dedup import state as states
from gateway.core.dedup.state import State

_STATE: Final = b"state"  # shorter than any key
_MIB: Final = 2**20
_WRITE_BUFFER: Final = 16 * _MIB
_WAL: Final = 48 * _MIB  # what a start after a crash reads again
_BLOOM_BITS: Final = 10  # a key: one in a hundred unknown keys is looked for on the disk
_SLACK: Final = 86_400  # seconds for which keys outlive the window, so that the state does
_LATEST: Final = 2**32 - 1  # what four octets of a second can say

# How RocksDB's errors begin or what stands in them, in the order in which they are looked for.
_HELD: Final = ("lock hold", "While lock file")
_DAMAGED: Final = ("Corruption", "Invalid argument", "Not implemented", "does not match")
_ADVICE: Final = (
    ("No space left", "the disk is full: make room, the work then goes on by itself"),
    ("Read-only file system", "its disk can't be written: look at how it is mounted"),
    ("Permission denied", "it can't be written: look at the permissions of the folder"),
    ("File too large", "a limit on the size of files stops it: raise it (ulimit -f)"),
    ("Too many open files", "there are too many open files: raise the limit (ulimit -n)"),
    ("Not a directory", "a file is in the place of a folder: move it away"),
    ("File exists", "a file is in the place of a folder: move it away"),
)


class IndexTrouble(Exception):
    """The index can't be used now; the text says what to do."""


class IndexHeld(IndexTrouble):
    """Another process has it open."""


class IndexDamaged(IndexTrouble):
    """What stands there is no index that this program can read."""


class Memory:
    """What all indexes of a process share: blocks they have read, rows not yet in files.

    Beside it each key costs about 1.3 octets of memory, for the bloom filters: fetched from the
    cache they would take twice the time.
    """

    def __init__(self, *, cache: int = 64 * _MIB, buffers: int = 128 * _MIB) -> None:
        """`cache` and `buffers` in octets; past `buffers` rows go to the disk earlier."""
        self.cache = Cache(cache)
        self.buffers = WriteBufferManager(buffers, False)


class Index:
    """One RocksDB. Its calls block, and let go of the interpreter while they do."""

    def __init__(self, folder: Path, *, window: float, memory: Memory) -> None:
        """Open the index in `folder`, which is made if it is missing; `window` in seconds.

        Raises `IndexHeld`, `IndexDamaged` or `IndexTrouble`.
        """
        self.folder = folder
        self.state: State | None = None
        self._window = window
        self._synced = WriteOptions()
        self._synced.sync = True
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = Rdict(
                str(folder), _options(memory), access_type=AccessType.with_ttl(_keeps(window))
            )
        except Exception as error:
            raise _trouble(folder, error) from None
        try:
            self._begin()
        except BaseException:
            with suppress(IndexTrouble):
                self.close()
            raise

    def seen(self, keys: list[Any], now: float) -> list[bool]:
        """Which of the keys (octets) were committed within the window before `now`."""
        oldest = _second(now - self._window)
        try:
            values: Any = self._db.get(keys) if keys else []
        except Exception as error:
            raise _trouble(self.folder, error) from None
        return [value is not None and value >= oldest for value in values]

    def commit(self, keys: Iterable[tuple[float, Sequence[bytes]]], state: State) -> None:
        """Make `state` durable, and with it keys as of a time: all of it or nothing."""
        batch = WriteBatch(raw_mode=True)
        for at, those in keys:
            second = _second(at)
            for key in those:
                batch[key] = second
        batch[_STATE] = states.encode(state)
        try:
            self._db.write(batch, self._synced)
        except Exception as error:
            raise _trouble(self.folder, error) from None
        self.state = state

    def close(self) -> None:
        """Let go of the files; raises `IndexTrouble` if not all was as it should be."""
        try:
            self._db.close()
        except Exception as error:
            raise _trouble(self.folder, error) from None

    def _begin(self) -> None:
        """Read the state and write it again, before a compaction could find it too old."""
        try:
            found = self._db.get(_STATE)
            if found is not None:
                self.state = states.decode(found)
                if self.state is None:
                    raise IndexDamaged(f"the index {self.folder} is of another version")
                self.commit((), self.state)
            self._db.set_options(
                {
                    "periodic_compaction_seconds": str(_keeps(self._window)),
                    "disable_auto_compactions": "false",
                }
            )
        except IndexTrouble:
            raise
        except Exception as error:
            raise _trouble(self.folder, error) from None


def _keeps(window: float) -> int:
    return int(window) + _SLACK


def _second(at: float) -> bytes:
    return min(max(0, int(at)), _LATEST).to_bytes(4, "big")


def _options(memory: Memory) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_WRITE_BUFFER)
    options.set_max_write_buffer_number(2)
    options.set_max_total_wal_size(_WAL)
    options.set_write_buffer_manager(memory.buffers)
    options.set_disable_auto_compactions(True)  # until the state was read
    options.set_compression_type(DBCompressionType.none())  # keys are chance
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(_MIB)
    blocks = BlockBasedOptions()
    blocks.set_bloom_filter(_BLOOM_BITS, False)
    blocks.set_block_cache(memory.cache)
    options.set_block_based_table_factory(blocks)
    return options


def _trouble(folder: Path, error: Exception) -> IndexTrouble:
    said = str(error)
    if any(mark in said for mark in _HELD):
        return IndexHeld(f"the index {folder} is in use by another process")
    if any(mark in said for mark in _DAMAGED):
        return IndexDamaged(f"the index {folder} is damaged ({said})")
    advice = next((text for mark, text in _ADVICE if mark in said), "look at the disk")
    return IndexTrouble(f"the index {folder}: {advice} ({said})")
