"""Everything that a store holds, read from the outside: every row of every table."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg

Rows = dict[str, list[tuple[Any, ...]]]


def tables(place: str | Path) -> Rows:
    """The rows by table of the database file at `place`, or of the PostgreSQL at that URL."""
    if isinstance(place, Path):
        return _of_file(place)
    return asyncio.run(_of_server(place))


def counters(place: str | Path) -> list[tuple[Any, ...]]:
    """What tracking counted: (account, day, metric, value)."""
    return sorted(tables(place)["tracking_counters"])


def holders(place: str | Path, text: str) -> set[str]:
    """The tables in which `text` stands, as a text or in octets as SMPP has it."""
    return {name for name, rows in tables(place).items() if any(_has(row, text) for row in rows)}


def _has(row: tuple[Any, ...], text: str) -> bool:
    octets = (text.encode(), text.encode("utf-16-be"))
    forms = (text, *(each.hex() for each in octets))
    return any(
        any(each in value for each in octets)
        if isinstance(value, bytes)
        else any(each in str(value) for each in forms)
        for value in row
    )


def _of_file(path: Path) -> Rows:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: connection.execute(f'SELECT * FROM "{name}"').fetchall()
            for (name,) in names.fetchall()
        }
    finally:
        connection.close()


async def _of_server(url: str) -> Rows:
    connection = await asyncpg.connect(url)
    try:
        names = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        return {
            name: [tuple(row) for row in await connection.fetch(f'SELECT * FROM "{name}"')]
            for (name,) in names
        }
    finally:
        await connection.close()
