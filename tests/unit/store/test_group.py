"""The arrangement of many commits into few steps: which rows share one, and which may not."""

from typing import Any

import pytest

from gateway.store.base import Delete, Insert, StoreError, Update, Write
from gateway.store.group import Plans, arrange
from gateway.store.sql import Keys

KEYS = {
    "t": Keys(primary=("k",), others=frozenset()),
    "pair": Keys(primary=("a", "b"), others=frozenset()),
    "unique": Keys(primary=("k",), others=frozenset({"u"})),
    "log": Keys(primary=("id",), others=frozenset()),
}
ADD = Insert(table="t", columns=("k", "v"))
SET = Update(table="t", key=("k",), columns=("v",))
GUARDED = Update(table="t", key=("k",), columns=("v", "version"), guard="version")
OTHER = Update(table="t", key=("k",), columns=("version", "w"), guard="version")
DROP = Delete(table="t", key=("k",))
LOG = Insert(table="log", columns=("x",))
LOG_WIPE = Delete(table="log", key=("x",))


def batches(*writes: Write) -> list[tuple[Any, list[Any]]]:
    return [(batch.plan.statement, batch.rows) for batch in arrange(Plans(KEYS), writes)]


def test_rows_of_a_statement_share_a_step() -> None:
    assert batches((ADD, (1, "a")), (ADD, (2, "b")), (LOG, ("x",)), (ADD, (3, "c"))) == [
        (ADD, [(1, "a"), (2, "b"), (3, "c")]),
        (LOG, [("x",)]),
    ]


def test_statements_on_different_rows_take_two_steps_however_they_alternate() -> None:
    writes: list[Write] = []
    for at in range(10):
        writes += [(ADD, (at, "new")), (SET, (at + 100, "set"))]
    assert [(statement, len(rows)) for statement, rows in batches(*writes)] == [
        (ADD, 10),
        (SET, 10),
    ]


def test_a_row_is_never_moved_past_another_write_of_it() -> None:
    assert batches((SET, (1, "a")), (ADD, (1, "b")), (SET, (1, "c")), (SET, (2, "d"))) == [
        (SET, [(1, "a")]),
        (ADD, [(1, "b")]),
        (SET, [(1, "c"), (2, "d")]),
    ]


def test_the_last_of_several_updates_is_the_one_that_is_made() -> None:
    assert batches((SET, (1, "a")), (SET, (2, "b")), (SET, (1, "c"))) == [
        (SET, [(1, "c"), (2, "b")])
    ]


def test_a_guarded_update_carries_the_version_that_it_expects() -> None:
    assert batches((GUARDED, (1, "a", 5)), (GUARDED, (1, "b", 6)), (GUARDED, (2, "c", 9))) == [
        (GUARDED, [(1, "b", 6, 4), (2, "c", 9, 8)])
    ]


@pytest.mark.parametrize("second", [5, 7, 4])
def test_versions_that_do_not_follow_are_left_to_fail(second: int) -> None:
    assert batches((GUARDED, (1, "a", 5)), (GUARDED, (1, "b", second))) == [
        (GUARDED, [(1, "a", 5, 4)]),
        (GUARDED, [(1, "b", second, second - 1)]),
    ]


def test_two_kinds_of_guarded_update_of_a_row_keep_their_order() -> None:
    assert batches((GUARDED, (1, "a", 2)), (OTHER, (1, 3, "w")), (GUARDED, (1, "b", 4))) == [
        (GUARDED, [(1, "a", 2, 1)]),
        (OTHER, [(1, 3, "w", 2)]),
        (GUARDED, [(1, "b", 4, 3)]),
    ]


def test_a_write_that_does_not_name_its_row_keeps_its_place_in_the_table() -> None:
    assert batches((LOG, ("a",)), (LOG_WIPE, ("a",)), (LOG, ("a",)), (LOG, ("b",))) == [
        (LOG, [("a",)]),
        (LOG_WIPE, [("a",)]),
        (LOG, [("a",), ("b",)]),
    ]


def test_a_table_with_a_second_unique_column_keeps_every_order() -> None:
    add = Insert(table="unique", columns=("k", "u"))
    drop = Delete(table="unique", key=("k",))
    assert batches((drop, (1,)), (add, (2, "u")), (drop, (3,)), (add, (4, "v"))) == [
        (drop, [(1,)]),
        (add, [(2, "u")]),
        (drop, [(3,)]),
        (add, [(4, "v")]),
    ]


def test_updates_of_a_unique_column_never_share_a_step() -> None:
    move = Update(table="unique", key=("k",), columns=("u",))
    assert batches((move, (1, "a")), (move, (2, "b"))) == [(move, [(1, "a")]), (move, [(2, "b")])]


def test_a_key_is_the_same_in_whatever_order_its_columns_are_named() -> None:
    add = Insert(table="pair", columns=("v", "b", "a"))
    update = Update(table="pair", key=("a", "b"), columns=("v",))
    assert batches((update, (1, 2, "x")), (add, ("y", 2, 1)), (update, (1, 2, "z"))) == [
        (update, [(1, 2, "x")]),
        (add, [("y", 2, 1)]),
        (update, [(1, 2, "z")]),
    ]


@pytest.mark.parametrize(
    ("write", "text"),
    [
        ((ADD, (1,)), "takes rows of 2 values, not 1"),
        ((Insert(table="none", columns=("k",)), (1,)), "no table 'none'"),
        ((Update(table="t", key=("k",), columns=("v",), guard="version"), (1, 2)), "the guard"),
        ((Update(table="t", key=("k",), columns=("k",)), (1, 2)), "named twice"),
        (
            (Update(table="pair", key=("a",), columns=("n",), guard="n"), (1, 2)),
            "whole primary key",
        ),
    ],
)
def test_what_can_not_be_done_is_said(write: Write, text: str) -> None:
    with pytest.raises(StoreError, match=text):
        batches(write)


class Begun:
    """A database that makes a table when it is first named, and counts."""

    def __init__(self) -> None:
        self.tables: list[str] = []

    def __call__(self, table: str) -> dict[str, Keys]:
        if not table.startswith("jobs_"):
            return {}
        self.tables.append(table)
        keys = Keys(primary=("k",), others=frozenset())
        return {table: keys, f"{table}_too": keys}


def test_a_table_is_begun_when_it_is_first_named_and_after_it_was_forgotten() -> None:
    begun = Begun()
    plans = Plans(KEYS, begun)
    first = Insert(table="jobs_1", columns=("k", "v"))
    beside = Insert(table="jobs_1_too", columns=("k",))
    for _ in range(3):
        arrange(plans, [(first, (1, "a")), (beside, (1,)), (ADD, (1, "a"))])
    assert begun.tables == ["jobs_1"]
    plan = plans.of(first)
    plans.forget(["jobs_1", "jobs_1_too", "never there"])
    assert plans.of(first) is not plan
    assert begun.tables == ["jobs_1", "jobs_1"]
    with pytest.raises(StoreError, match="no table 'other'"):
        plans.of(Insert(table="other", columns=("k",)))
