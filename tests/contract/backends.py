"""The stores that the contract is tested on, each as a place where one can be opened."""

import contextlib
import hashlib
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import ClassVar, Protocol

import asyncpg

from gateway.store.base import Insert, Store, Write
from gateway.store.postgres import PostgresStore
from gateway.store.sqlite import SqliteStore
from tests import postgres

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

    apart: ClassVar[bool] = False

    def __init__(self, place: Path) -> None:
        self._path = place / "store.db"
        self._opened: list[SqliteStore] = []

    async def open(self, *, max_queued: int = MAX_QUEUED) -> SqliteStore:
        """`Backend.open`."""
        store = await SqliteStore.open(
            self._path,
            max_queued=max_queued,
            clock=time.time,
            apart=_lost if self.apart else None,
        )
        self._opened.append(store)
        return store

    async def close_all(self) -> None:
        """`Backend.close_all`."""
        for store in self._opened:
            await store.close()


class ApartBackend(SqliteBackend):
    """The same, written by a process of its own."""

    apart = True


def _lost() -> None:
    raise AssertionError("the database's writer ended by itself")


class PostgresBackend:
    """A database of the server that the tests share, named after the folder."""

    shared: ClassVar[bool] = True

    def __init__(self, place: Path) -> None:
        self._name = f"t_{hashlib.sha256(str(place.resolve()).encode()).hexdigest()[:32]}"
        self._opened: list[PostgresStore] = []

    async def open(self, *, max_queued: int = MAX_QUEUED) -> PostgresStore:
        """`Backend.open`."""
        store = await PostgresStore.open(
            await self._url(),
            connections=4,
            max_queued=max_queued,
            clock=time.time,
            writer=uuid.uuid4().hex,
        )
        self._opened.append(store)
        return store

    async def close_all(self) -> None:
        """`Backend.close_all`."""
        for store in self._opened:
            await store.close()
        await postgres.drop_database(postgres.on_database(self._name))

    @asynccontextmanager
    async def hold_open(self, *writes: Write) -> AsyncIterator[None]:
        """`SharedBackend.hold_open`."""
        connection = await asyncpg.connect(await self._url())
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_current_xact_id()")
                for statement, row in writes:
                    assert isinstance(statement, Insert)
                    values = ", ".join(f"${at}" for at in range(1, len(row) + 1))
                    await connection.execute(
                        f"INSERT INTO {statement.table} ({', '.join(statement.columns)})"
                        f" VALUES ({values})",
                        *row,
                    )
                yield
        finally:
            await connection.close()

    async def _url(self) -> str:
        with contextlib.suppress(asyncpg.DuplicateDatabaseError):
            await postgres.fresh_database(self._name)
        return postgres.on_database(self._name)


STORES: dict[str, type[Backend]] = {
    "sqlite": SqliteBackend,
    "sqlite-apart": ApartBackend,
    "postgres": PostgresBackend,
}
SHARED: dict[str, type[SharedBackend]] = {"postgres": PostgresBackend}  # those with `shared`
