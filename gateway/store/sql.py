"""Declared writes as SQL: one statement for any number of rows of one kind.

SQLite's binding in Python gives up the interpreter's lock at each step of a statement, and
getting it back from a busy event loop can take a whole switch interval. So the rows of a kind go
into one step: `VALUES` lists of a few sizes, filled up to the next one, whose text and compiled
form are kept. Updates are steps of their own: a list that is joined is a table that SQLite has to
make, and what that costs grows with the rows.

A step that fails need not undo what it did (`OR FAIL`), which spares SQLite a copy of each page
that it changes: whoever runs it rolls back to where its group began.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import msgspec

from gateway.store.base import Delete, Insert, Row, Statement, Update

_MAX_VARIABLES: Final = 32_766  # SQLITE_MAX_VARIABLE_NUMBER
_MAX_ROWS: Final = 1024
# Between two sizes at most a third of the rows is filling.
_SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """A table's primary key and the columns of its other unique indexes, as the schema says."""

    primary: tuple[str, ...]
    others: frozenset[str]


Project = Callable[[Row], Any]


class Plan:
    """A declared statement made ready for one database: what its rows are and how they run.

    `key_of` gives the primary key of what a row touches, None if it does not name it. `row_key`
    gives what an `Update` or `Delete` finds its rows by. An `ordered` plan's rows keep their
    place among all writes of the table. `alone` rows do not even share a step: they change a
    key, so the order within a step would matter.
    """

    __slots__ = (
        "_each",
        "alone",
        "guard_at",
        "key_of",
        "ordered",
        "row_key",
        "sizes",
        "statement",
        "table",
        "texts",
        "width",
    )

    def __init__(self, statement: Statement, keys: Keys) -> None:
        columns = _columns_of(statement)
        if len(set(columns)) != len(columns):
            raise ValueError(f"{statement}: a column is named twice")
        self.statement = statement
        self.table = statement.table
        self.width = len(columns)
        named = columns if isinstance(statement, Insert) else statement.key
        self.key_of = _projection(named, keys.primary)
        self.row_key = None if isinstance(statement, Insert) else _leading(len(statement.key))
        self.guard_at = _guard_at(statement, keys)
        self.ordered = bool(keys.others) or self.key_of is None
        self.alone = isinstance(statement, Update) and not keys.others.union(
            keys.primary
        ).isdisjoint(statement.columns)
        most = min(_MAX_ROWS, (_MAX_VARIABLES - 1) // self.width)
        self.sizes = tuple(size for size in _SIZES if size <= most)
        self.texts: dict[int, str] = {}
        self._each = _update(statement) if isinstance(statement, Update) else None

    def apart(self, rows: Iterable[Row]) -> tuple[str, Iterable[Row]] | None:
        """The SQL that runs for each of `rows` alone, and its variables for each of them.

        Rows of a guarded update end with the version that the stored row must have. None for what
        is no update: such rows go together, in `chunks`.
        """
        if self._each is None:
            return None
        text, variables = self._each
        return text, map(variables, rows)

    def chunks(self, rows: Sequence[Row]) -> Iterable[tuple[str, list[Any], int]]:
        """The steps that `rows` need: SQL, its variables, and how many rows it stands for."""
        most = self.sizes[-1]
        for start in range(0, len(rows), most):
            chunk = rows[start : start + most]
            count = len(chunk)
            size = self.sizes[bisect_left(self.sizes, count)]
            variables = list(chain.from_iterable(chunk))
            if isinstance(self.statement, Insert):
                if size > _UNFILLED:
                    variables += [None] * ((size - count) * self.width)
                    variables.append(count)
            elif size > count:
                variables += chunk[-1] * (size - count)
            yield self._text(size), variables, count

    def _text(self, size: int) -> str:
        text = self.texts.get(size)
        if text is None:
            text = self.texts[size] = _sql(self.statement, size)
        return text


_UNFILLED: Final = 4  # the greatest size up to which every number of rows has its own


def _columns_of(statement: Statement) -> tuple[str, ...]:
    match statement:
        case Insert(columns=columns):
            return columns
        case Update(key=key, columns=columns):
            return key + columns
        case Delete(key=key):
            return key


def _leading(count: int) -> Project:
    return itemgetter(0) if count == 1 else itemgetter(slice(0, count))


def _projection(columns: tuple[str, ...], wanted: tuple[str, ...]) -> Project | None:
    if not wanted or not set(wanted) <= set(columns):
        return None
    return itemgetter(*map(columns.index, wanted))


def _guard_at(statement: Statement, keys: Keys) -> int:
    if not isinstance(statement, Update) or not statement.guard:
        return -1
    if statement.guard not in statement.columns:
        raise ValueError(f"{statement}: the guard must be one of the columns")
    if not set(keys.primary) <= set(statement.key):
        raise ValueError(f"{statement}: a guarded update must name the whole primary key")
    return len(statement.key) + statement.columns.index(statement.guard)


def _sql(statement: Statement, size: int) -> str:
    match statement:
        case Insert():
            return _insert(statement, size)
        case Delete():
            return _delete(statement, size)
        case Update():
            raise ValueError(f"{statement}: updates run one by one")


def _values(width: int, size: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"VALUES {', '.join([row] * size)}"


def _insert(statement: Insert, size: int) -> str:
    values = _values(len(statement.columns), size)
    source = f"SELECT * FROM ({values}) WHERE true"
    if size > _UNFILLED:
        source += " LIMIT ?"
    text = f"INSERT OR FAIL INTO {statement.table} ({', '.join(statement.columns)}) {source}"
    if statement.ignore_taken:
        text += f" ON CONFLICT ({', '.join(statement.ignore_taken)}) DO NOTHING"
    return text


def _update(statement: Update) -> tuple[str, Project]:
    """The SQL for one row, and what puts that in the order of its variables.

    A row ends with the version that is expected, if it is guarded.
    """
    keys, width = len(statement.key), len(statement.key) + len(statement.columns)
    changes = [f"{name} = ?" for name in statement.columns]
    tests = [f"{name} = ?" for name in statement.key]
    order = [*range(keys, width), *range(keys)]
    if statement.guard:
        tests.append(f"{statement.guard} = ?")
        order.append(width)
    found = " AND ".join(tests)
    text = f"UPDATE OR FAIL {statement.table} SET {', '.join(changes)} WHERE {found}"
    return text, itemgetter(*order)


def _delete(statement: Delete, size: int) -> str:
    # Through a SELECT: SQLite does not use an index for a row value IN (VALUES …).
    names = ", ".join(f"column{at}" for at in range(1, len(statement.key) + 1))
    chosen = f"SELECT {names} FROM ({_values(len(statement.key), size)})"
    return f"DELETE FROM {statement.table} WHERE ({', '.join(statement.key)}) IN ({chosen})"
