"""Many commits as few steps: the writes of a group, put together by statement.

Rows may only move past rows that they do not touch. What a write touches is known by its primary
key; a write that does not name one keeps its place among all writes of its table, and so does
every write to a table with a second unique index. Several updates of one row become the last of
them. Whatever could come out otherwise than one commit after the other must fail as a group:
then the caller halves it, down to the commit that is at fault.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from gateway.store.base import Row, Statement, StoreError, Write
from gateway.store.sql import Keys, Plan


class Plans:
    """The plans of a database, made when a statement is first used.

    A statement on a table that is not there goes to `begin`, which may make it: it gives the keys
    of the tables that it made.
    """

    def __init__(
        self,
        keys: dict[str, Keys],
        begin: Callable[[str], dict[str, Keys]] = lambda table: {},
    ) -> None:
        self._keys = dict(keys)
        self._begin = begin
        self._by_value: dict[Statement, Plan] = {}
        self._by_id: dict[int, Plan] = {}  # spares the hash; a plan keeps its statement alive

    def of(self, statement: Statement) -> Plan:
        """The plan of `statement`. Raises `StoreError` if it can't be one."""
        plan = self._by_id.get(id(statement))
        return self._make(statement) if plan is None else plan

    def _make(self, statement: Statement) -> Plan:
        plan = self._by_value.get(statement)
        if plan is None:
            if statement.table not in self._keys:
                self._keys |= self._begin(statement.table)
            keys = self._keys.get(statement.table)
            if keys is None:
                raise StoreError(f"the database has no table {statement.table!r}")
            try:
                plan = Plan(statement, keys)
            except ValueError as error:
                raise StoreError(str(error)) from error
            self._by_value[statement] = plan
            self._by_id[id(statement)] = plan
        return plan

    def forget(self, tables: Collection[str]) -> None:
        """These tables are not there any more: let go of their keys and plans."""
        for table in tables:
            self._keys.pop(table, None)
        gone = [plan for plan in self._by_value.values() if plan.table in tables]
        for plan in gone:
            del self._by_value[plan.statement], self._by_id[id(plan.statement)]


class Batch:
    """Rows of one plan that run in one step (or as few as their number allows)."""

    __slots__ = ("_found", "_rows", "at", "plan")

    def __init__(self, plan: Plan, at: int) -> None:
        self.plan = plan
        self.at = at  # its place among the batches of the table
        self._rows: list[Row] = []
        self._found: dict[Any, Row] = {}

    @property
    def rows(self) -> list[Row]:
        """What goes into the step."""
        return self._rows if self.plan.row_key is None else list(self._found.values())

    def put(self, row: Row) -> bool:
        """Take `row` in; False if it can't be told in one step with the rows here."""
        plan = self.plan
        if plan.row_key is None:
            self._rows.append(row)
            return True
        key = plan.row_key(row)
        before = self._found.get(key)
        if plan.guard_at >= 0:
            version = row[plan.guard_at]
            if before is None:
                row = (*row, version - 1)
            elif before[plan.guard_at] == version - 1:
                row = (*row, before[-1])
            else:
                return False
        self._found[key] = row
        return True

    def touched(self) -> Iterable[Any]:
        """The primary keys of its rows."""
        key_of = self.plan.key_of
        return map(key_of, self.rows) if key_of is not None else ()


class _Table:
    """The batches of one table in their order, and the last one that touched each key."""

    __slots__ = ("_floor", "_latest", "_touched", "batches")

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._latest: dict[Plan, Batch] = {}
        self._touched: dict[Any, int] | None = None  # kept from the second batch on
        self._floor = 0

    def add(self, plan: Plan, row: Row) -> None:
        """Put `row` into the latest batch of its plan that it may stand in, or a new one."""
        batch = self._latest.get(plan)
        if plan.alone:
            self._floor = self._begin(plan, row).at
        elif self._touched is None and batch is not None:
            if not batch.put(row):
                self._begin(plan, row)
        elif plan.ordered or plan.key_of is None:
            if batch is None or batch is not self.batches[-1] or not batch.put(row):
                batch = self._begin(plan, row)
            self._floor = batch.at
        elif self._touched is None:
            self._begin(plan, row)
        else:
            key = plan.key_of(row)
            needed = max(self._touched.get(key, 0), self._floor)
            if batch is None or batch.at < needed or not batch.put(row):
                batch = self._begin(plan, row)
            self._touched[key] = batch.at

    def _begin(self, plan: Plan, row: Row) -> Batch:
        if self.batches and self._touched is None:
            self._touched = dict.fromkeys(self.batches[0].touched(), 0)
        batch = self._latest[plan] = Batch(plan, len(self.batches))
        self.batches.append(batch)
        batch.put(row)
        if self._touched is not None and plan.key_of is not None:
            self._touched[plan.key_of(row)] = batch.at
        return batch


def arrange(plans: Plans, writes: Iterable[Write]) -> list[Batch]:
    """The batches that `writes` come to, in an order that gives the same as one by one.

    Raises `StoreError` for a row that does not fit its statement.
    """
    tables: dict[str, _Table] = {}
    for statement, row in writes:
        plan = plans.of(statement)
        if len(row) != plan.width:
            raise StoreError(f"{statement} takes rows of {plan.width} values, not {len(row)}")
        table = tables.get(plan.table)
        if table is None:
            table = tables[plan.table] = _Table()
        table.add(plan, row)
    return [batch for table in tables.values() for batch in table.batches]
