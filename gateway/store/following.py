"""Which commits may be said before it is known what became of those before them."""

from collections.abc import Iterable, Sequence

from gateway.store.base import Delete, Insert, Row, Update, Write


def follows(later: Iterable[Write], earlier: Sequence[Write]) -> bool:
    """Whether `later` can't be written unless `earlier` is: it goes on from a version of a row.

    A commit of which that is not so may be written although the one before it was not; to say that
    one again would then undo what came after it.
    """
    return any(
        _writes(each, statement.table, dict(zip(statement.key, row, strict=False)))
        for statement, row in later
        if isinstance(statement, Update) and statement.guard
        for each in earlier
    )


def _writes(write: Write, table: str, key: dict[str, object]) -> bool:
    """Whether it gives the row `key` another version, or its first."""
    statement, row = write
    if statement.table != table or isinstance(statement, Delete):
        return False
    if isinstance(statement, Insert):
        return not statement.ignore_taken and _has(statement.columns, row, key)
    return bool(statement.guard) and _has(statement.key, row, key)


def _has(names: Sequence[str], row: Row, key: dict[str, object]) -> bool:
    found = dict(zip(names, row, strict=False))
    return all(name in found and found[name] == value for name, value in key.items())
