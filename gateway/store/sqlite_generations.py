"""Tables that come in generations: made by the first write to one of them, dropped whole."""

import re
import sqlite3
from collections.abc import Callable, Iterable
from functools import cache
from typing import Final

import msgspec

from gateway.store.base import FAMILIES, Query, StoreError
from gateway.store.sql import Keys
from gateway.store.sqlite_file import keys_of_table, schema_text, statements

_FAMILY_OF: Final = {table: family for family, tables in FAMILIES.items() for table in tables}
_NAMES: Final = "|".join(_FAMILY_OF)
_TABLE: Final = re.compile(rf"({_NAMES})_(0|[1-9]\d*)")
_MISSING: Final = re.compile(rf"no such table: (?:main\.)?(?:{_NAMES})_\d+$")
TABLES: Final = Query(
    "tables", "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB $1"
)


class Generation(msgspec.Struct, frozen=True):
    """Number `number` of a family of tables."""

    family: str
    number: int

    @property
    def tables(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(f"{table}_{self.number}" for table in FAMILIES[self.family])


def generation_of(table: str) -> Generation | None:
    """The generation that a table of this name belongs to, None for any other name."""
    match = _TABLE.fullmatch(table)
    return None if match is None else Generation(_FAMILY_OF[match[1]], int(match[2]))


def family_tables(family: str) -> str:
    """The pattern for `TABLES` by which the generations of a family are found.

    Raises `StoreError` if there is no such family.
    """
    if family not in FAMILIES:
        raise StoreError(f"there is no family of tables {family!r}")
    return f"{FAMILIES[family][0]}_*"


def numbers_in(names: Iterable[str]) -> list[int]:
    """The generations whose tables these are, oldest first."""
    found = (generation_of(name) for name in names)
    return sorted({generation.number for generation in found if generation is not None})


def is_missing(error: sqlite3.Error) -> bool:
    """Whether a read failed because it names a generation that is not there."""
    return _MISSING.match(str(error)) is not None


def mentions(generation: Generation) -> Callable[[str], "re.Match[str] | None"]:
    """Whether a text of SQL names a table of `generation`."""
    return re.compile(rf"\b(?:{'|'.join(generation.tables)})\b").search


def make(connection: sqlite3.Connection, generation: Generation) -> dict[str, Keys]:
    """Make the tables of `generation` in the transaction that is open; their keys."""
    text = _script(generation.family).replace("{n}", str(generation.number))
    for statement in statements(text):
        connection.execute(statement)
    return {table: keys_of_table(connection, table) for table in generation.tables}


def drop(connection: sqlite3.Connection, generation: Generation) -> None:
    """Drop the tables of `generation` in one transaction of their own."""
    connection.execute("BEGIN IMMEDIATE")
    for table in generation.tables:
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute("COMMIT")


@cache
def _script(family: str) -> str:
    return schema_text(f"{family}.generation.sql")
