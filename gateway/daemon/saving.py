"""Backup of a data folder that no process is at work on."""

import time
from collections.abc import AsyncGenerator
from pathlib import Path

from gateway.backup import making
from gateway.daemon.ground import DATABASE
from gateway.store.sqlite import SqliteStore


def database_of(data: Path) -> Path:
    """Where the database of a data folder is, if the store is SQLite."""
    return data / DATABASE


async def octets(data: Path) -> AsyncGenerator[bytes, None]:
    """The file, in chunks. Raises `StoreError` for a database that is in use or can't be read."""
    store = await SqliteStore.open(database_of(data), max_queued=1, clock=time.time)
    try:
        async with store.snapshot() as view:
            async for chunk in making.octets(view, time.time()):
                yield chunk
    finally:
        await store.close()
