"""The stores that the contract is tested on, each as a place where one can be opened."""

import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import ClassVar, Protocol

from gateway.store.base import Store, Write
from gateway.store.sqlite import SqliteStore

MAX_QUEUED = 10_000


class Backend(Protocol):
    """One store's data, in or for a folder: whoever makes a backend on that folder again, in
    whichever process, has the same data before it.

    `shared` says whether several may be open at once, in this process or another.
    """

    shared: ClassVar[bool]

    def __init__(self, place: Path) -> None: ...

    async def open(self, *, max_queued: int = MAX_QUEUED) -> Store:
        """Open it; on new data the first time, on what was left after a close."""
        ...

    async def close_all(self) -> None:
        """Close what is still open, and let go of the data."""
        ...


class SharedBackend(Backend, Protocol):
    """A backend with `shared`, whose data other programs can reach too."""

    def hold_open(self, *writes: Write) -> AbstractAsyncContextManager[None]:
        """Inside of it, another program has made these inserts and not committed them yet.

        It commits them at the end. The tables of a generation must be there before.
        """
        ...


class SqliteBackend:
    """A file in the folder."""

    shared: ClassVar[bool] = False

    def __init__(self, place: Path) -> None:
        self._path = place / "store.db"
        self._opened: list[SqliteStore] = []

    async def open(self, *, max_queued: int = MAX_QUEUED) -> SqliteStore:
        """`Backend.open`."""
        store = await SqliteStore.open(self._path, max_queued=max_queued, clock=time.time)
        self._opened.append(store)
        return store

    async def close_all(self) -> None:
        """`Backend.close_all`."""
        for store in self._opened:
            await store.close()


STORES: dict[str, type[Backend]] = {"sqlite": SqliteBackend}
SHARED: dict[str, type[SharedBackend]] = {}  # those of STORES with `shared`
