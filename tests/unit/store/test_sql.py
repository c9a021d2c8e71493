"""The SQL of declared writes, for each number of rows, on a real table."""

import sqlite3
from collections.abc import Iterator

import pytest

from gateway.store.base import Delete, Insert, Row, Statement, Update
from gateway.store.sql import Keys, Plan

KEYS = Keys(primary=("a", "b"), others=frozenset())
ADD = Insert(table="t", columns=("a", "b", "v"))
ADD_ONCE = Insert(table="t", columns=("a", "b", "v"), ignore_taken=("a", "b"))
SET = Update(table="t", key=("b", "a"), columns=("v",))
DROP = Delete(table="t", key=("a", "b"))


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE TABLE t (a TEXT, b BIGINT, v TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID"
    )
    yield connection
    connection.close()


def run(database: sqlite3.Connection, statement: Statement, rows: list[Row]) -> list[int]:
    plan = Plan(statement, KEYS)
    if each := plan.apart(rows):
        return [database.executemany(*each).rowcount]
    return [database.execute(text, variables).rowcount for text, variables, _ in plan.chunks(rows)]


def rows_of(database: sqlite3.Connection) -> list[Row]:
    return database.execute("SELECT a, b, v FROM t ORDER BY a, b").fetchall()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 13, 64, 65, 1024, 1025, 5000])
def test_any_number_of_rows(database: sqlite3.Connection, count: int) -> None:
    new = [("x", at, "new") for at in range(count)]
    run(database, ADD, new)
    assert rows_of(database) == new
    run(database, SET, [(at, "x", f"v{at}") for at in range(count)])
    assert rows_of(database) == [("x", at, f"v{at}") for at in range(count)]
    steps = run(database, ADD_ONCE, [*(("x", at, "") for at in range(count)), ("y", 0, "one")])
    assert sum(steps) == 1
    run(database, DROP, [("x", at) for at in range(count)])
    assert rows_of(database) == [("y", 0, "one")]


def test_a_few_hundred_rows_are_one_step(database: sqlite3.Connection) -> None:
    assert run(database, ADD, [("x", at, "") for at in range(700)]) == [700]
    assert run(database, DROP, [("x", at) for at in range(700)]) == [700]


def test_wide_rows_stay_below_the_limit_of_variables() -> None:
    wide = Insert(table="t", columns=tuple(f"c{at}" for at in range(100)))
    for _, variables, _ in Plan(wide, KEYS).chunks([(0,) * 100] * 1000):
        assert len(variables) <= 32_766


def test_only_rows_of_the_expected_version_are_written(database: sqlite3.Connection) -> None:
    guarded = Update(table="t", key=("a", "b"), columns=("v",), guard="v")
    run(database, ADD, [("x", 1, "7"), ("x", 2, "8")])
    assert run(database, guarded, [("x", 1, "8", "7"), ("x", 2, "8", "7")]) == [1]
    assert rows_of(database) == [("x", 1, "8"), ("x", 2, "8")]


@pytest.mark.parametrize("statement", [SET, DROP, Delete(table="t", key=("a",))])
def test_rows_are_found_by_index(database: sqlite3.Connection, statement: Statement) -> None:
    plan = Plan(statement, KEYS)
    rows: list[Row] = [("x",) * plan.width] * 20
    if each := plan.apart(rows):
        text, (variables, *_) = each
    else:
        ((text, variables, _),) = plan.chunks(rows)
    steps = database.execute(f"EXPLAIN QUERY PLAN {text}", variables).fetchall()
    details = [step[3] for step in steps]
    assert any(detail.startswith("SEARCH t USING PRIMARY KEY") for detail in details), details
    assert "SCAN t" not in details


def test_updates_alone_are_steps_of_their_own(database: sqlite3.Connection) -> None:
    run(database, ADD, [("x", at, "new") for at in range(6)])
    each = Plan(SET, KEYS).apart([(at, "x", f"v{at}") for at in range(5)])
    assert each is not None and database.executemany(*each).rowcount == 5
    assert rows_of(database) == [*(("x", at, f"v{at}") for at in range(5)), ("x", 5, "new")]
    assert Plan(ADD, KEYS).apart([("y", 1, "new")]) is Plan(DROP, KEYS).apart([("x", 1)]) is None


def test_one_that_is_guarded_finds_the_version_before_it(database: sqlite3.Connection) -> None:
    run(database, ADD, [("x", 1, 7)])
    guarded = Update(table="t", key=("a", "b"), columns=("v",), guard="v")
    found = []
    for new in (9, 8):
        each = Plan(guarded, KEYS).apart([("x", 1, new, new - 1)])
        assert each is not None
        found.append(database.executemany(*each).rowcount)
    assert found == [0, 1]
