"""What is asked of calls is found by index, however many there are."""

import sqlite3
from pathlib import Path

import pytest

from gateway.api import call_lists
from gateway.calls import cdr, tables
from gateway.store.base import Query
from gateway.store.sqlite_file import upgrade

QUERIES = [
    tables.GET,
    tables.CHILDREN,
    tables.LEGS,
    tables.OPEN,
    tables.TRACE,
    cdr._RECORDS,
    call_lists.LISTING.one,
    call_lists.LISTING.queries["DESC", 0, 0, 0, 0, 0, 0],
    call_lists.LISTING.queries["ASC", 1, 1, 1, 1, 1, 1],
]


def plan(folder: Path, query: Query) -> list[str]:
    path = folder / "store.db"
    connection = sqlite3.connect(path, isolation_level=None)
    upgrade(connection, path)
    text = query.sql.replace("$", "?")
    steps = connection.execute(f"EXPLAIN QUERY PLAN {text}", ("x",) * text.count("?")).fetchall()
    connection.close()
    return [step[3] for step in steps]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_calls_are_found_by_index(tmp_path: Path, query: Query) -> None:
    steps = plan(tmp_path, query)
    tables_read = ("SCAN calls", "SCAN call_legs", "SCAN l", "SCAN trace")
    assert not any(step.startswith(tables_read) for step in steps), steps
    assert any(step.startswith("SEARCH") for step in steps)


def test_whose_calls_are_open_is_read_from_the_open_ones_alone(tmp_path: Path) -> None:
    assert plan(tmp_path, tables.OPEN_OWNERS) == ["SCAN calls USING INDEX calls_open"]
    assert any("calls_open" in step for step in plan(tmp_path, tables.OPEN))
