"""Declared writes as PostgreSQL runs them: one statement for any number of rows of one kind.

The rows of a kind go over as one array for each column, so that a statement has one text, is
prepared once and planned once. More than a few new rows are copied instead, which costs less.
"""

from collections.abc import Sequence
from typing import Final

from gateway.store.base import Delete, Insert, Row, Stale, StoreError, Update
from gateway.store.postgres_link import Connection
from gateway.store.postgres_partitions import COLUMNS as PARTED
from gateway.store.sql import Plan

_COPY_FROM: Final = 100  # values; with fewer a second round trip costs more than it saves


class Step:
    """A plan's statement, ready to run any number of rows; `text` is its SQL."""

    __slots__ = ("_columns", "_counts", "_range_at", "_statement", "text")

    def __init__(self, plan: Plan, types: dict[str, str]) -> None:
        """`types` are the table's columns. Raises `StoreError` for a column that is not there."""
        statement = plan.statement
        self._statement = statement
        self._columns: tuple[str, ...] | None = None
        self._counts = plan.guard_at >= 0
        # With the ends of the rows' range only their partitions are looked at.
        parted = PARTED.get(plan.table, "")
        self._range_at = -1
        try:
            match statement:
                case Insert():
                    self.text = _insert(statement, types)
                    if not statement.ignore_taken:
                        self._columns = statement.columns
                case Update():
                    self._range_at = _place(statement.key, parted)
                    self.text = _update(statement, types, self._range_at)
                case Delete():
                    self._range_at = _place(statement.key, parted)
                    self.text = _delete(statement, types, self._range_at)
        except KeyError as missing:
            raise StoreError(f"table {plan.table!r} has no column {missing}") from None

    async def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it for `rows`. Raises `Stale` when a guarded row is not as it was read."""
        if self._columns is not None and len(rows) * len(self._columns) >= _COPY_FROM:
            await connection.copy_records_to_table(
                self._statement.table, records=rows, columns=self._columns
            )
            return
        arrays = list(zip(*rows, strict=True))
        if self._range_at >= 0:
            keys = arrays[self._range_at]
            arrays += [min(keys), max(keys)]
        status = await connection.execute(self.text, *arrays)
        if self._counts and int(status.rpartition(" ")[2]) != len(rows):
            raise Stale(
                f"a row of {self._statement.table} was changed, or deleted, since it was read:"
                " read it again"
            )


def _place(key: tuple[str, ...], column: str) -> int:
    return key.index(column) if column in key else -1


def _arrays(names: Sequence[str], types: dict[str, str]) -> str:
    return ", ".join(f"${at}::{types[name]}[]" for at, name in enumerate(names, 1))


def _insert(statement: Insert, types: dict[str, str]) -> str:
    names = ", ".join(statement.columns)
    text = (
        f"INSERT INTO {statement.table} ({names})"
        f" SELECT * FROM unnest({_arrays(statement.columns, types)})"
    )
    if statement.ignore_taken:
        text += f" ON CONFLICT ({', '.join(statement.ignore_taken)}) DO NOTHING"
    return text


def _update(statement: Update, types: dict[str, str], range_at: int) -> str:
    names = [*statement.key, *statement.columns]
    tests = [f"t.{name} = v.c{at}" for at, name in enumerate(statement.key, 1)]
    if statement.guard:
        names.append(statement.guard)
        tests.append(f"t.{statement.guard} = v.c{len(names)}")
    tests += _range(statement.key, types, range_at, len(names))
    changes = [
        f"{name} = v.c{at}" for at, name in enumerate(statement.columns, len(statement.key) + 1)
    ]
    return (
        f"UPDATE {statement.table} t SET {', '.join(changes)}"
        f" FROM unnest({_arrays(names, types)}) AS v ({_aliases(len(names))})"
        f" WHERE {' AND '.join(tests)}"
    )


def _delete(statement: Delete, types: dict[str, str], range_at: int) -> str:
    tests = [f"t.{name} = v.c{at}" for at, name in enumerate(statement.key, 1)]
    tests += _range(statement.key, types, range_at, len(statement.key))
    return (
        f"DELETE FROM {statement.table} t USING unnest({_arrays(statement.key, types)})"
        f" AS v ({_aliases(len(statement.key))}) WHERE {' AND '.join(tests)}"
    )


def _range(key: tuple[str, ...], types: dict[str, str], at: int, before: int) -> list[str]:
    if at < 0:
        return []
    name = key[at]
    low, high = (f"${place}::{types[name]}" for place in (before + 1, before + 2))
    return [f"t.{name} >= {low}", f"t.{name} <= {high}"]


def _aliases(number: int) -> str:
    return ", ".join(f"c{at}" for at in range(1, number + 1))
