"""The one connection that writes: groups of commits in, one transaction each, errors out.

A connection may be lost while the server commits. So each group leaves a number in a row of its
process, in the same transaction, and what is known not to be committed is applied again; nothing
is reported before it is known (`postgres_outcome`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Final

import msgspec
import structlog
from asyncpg import exceptions as pg

from gateway.store.base import (
    FAMILIES,
    Conflict,
    Fenced,
    Lease,
    Row,
    StoreError,
    Write,
)
from gateway.store.group import Batch, Plans, arrange
from gateway.store.postgres_link import (
    FAILURES,
    Connection,
    Link,
    Pool,
    advice_on,
    closed,
    is_lost,
    quoted,
)
from gateway.store.postgres_outcome import Outcomes
from gateway.store.postgres_schema import (
    Table,
    generation_of,
    is_missing_generation,
    make_generation,
    tables,
)
from gateway.store.postgres_sql import Step
from gateway.store.sql import Keys, Plan

_log = structlog.get_logger(__name__)

Commit = tuple[Sequence[Write], Lease | None, object]
Errors = dict[int, StoreError]
_Numbered = Sequence[tuple[int, Commit]]  # with its place in the group

_TRIES: Final = 4
_FAULTS: Final = (StoreError, *FAILURES, TypeError, ValueError, OverflowError, AttributeError)
_PASSING: Final = (
    pg.DeadlockDetectedError,
    pg.SerializationError,
    pg.InvalidCachedStatementError,
    pg.OutdatedSchemaCacheError,
)
_NO_NUL: Final = str.maketrans({"\0": "\u2400"})  # the symbol for it

# One round trip: the transaction, its number (and with it its id, before any id of a fact), and
# whether the lease is held, which stays so until the commit.
_BEGIN: Final = """
PREPARE trunkline_begin (bigint) AS
UPDATE commit_tokens SET number = $1, at = extract(epoch FROM now()) WHERE writer = {writer};
PREPARE trunkline_fenced (bigint, text, text, bigint) AS
WITH held AS MATERIALIZED (
    SELECT 1 FROM leases WHERE name = $2 AND holder = $3 AND epoch = $4 FOR KEY SHARE)
UPDATE commit_tokens SET number = $1, at = extract(epoch FROM now())
WHERE writer = {writer} AND EXISTS (SELECT FROM held)"""
_NUMBER: Final = (
    "UPDATE commit_tokens SET number = $2, at = extract(epoch FROM now()) WHERE writer = $1"
)
# By itself, before any group: a row that is not committed yet is nothing to wait for.
_TOKEN: Final = """
INSERT INTO commit_tokens (writer, number, at) VALUES ($1, 0, extract(epoch FROM now()))
ON CONFLICT (writer) DO NOTHING"""
_HELD: Final = (
    "SELECT name, holder, epoch FROM leases WHERE name = ANY ($1::text[]) ORDER BY name"
    " FOR KEY SHARE"
)
_LAST: Final = "SELECT number FROM commit_tokens WHERE writer = $1"
# The statements find few rows by their keys, whatever the planner thinks of an empty table.
_SESSION: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class Applied(msgspec.Struct, kw_only=True):
    """What a group came to: rows written, whether facts are among them, errors by commit."""

    rows: int = 0
    facts: bool = False
    errors: Errors = {}


class Writer:
    """Owns the writing connection; one group at a time.

    `away` is told why the server can't be reached, each time that turns out; `lost` is called
    when the connection ends.
    """

    def __init__(
        self,
        link: Link,
        pool: Pool,
        known: dict[str, Table],
        *,
        away: Callable[[str], None],
        lost: Callable[[], None],
    ) -> None:
        self._link = link
        self._pool = pool
        self._lost = lost
        self._types = {name: table.types for name, table in known.items()}
        self._keys = {name: table.keys for name, table in known.items()}
        self._plans = Plans(self._keys, self._keys_of)
        self._steps: dict[Plan, Step] = {}
        self._connection: Connection | None = None
        self._number = 0
        self._outcomes = Outcomes(link, pool, away)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None and not self._connection.is_closed()

    async def connect(self) -> None:
        """Have a connection. Raises `StoreUnavailable`."""
        await self._connected()

    async def apply(self, commits: Sequence[Commit]) -> Applied:
        """Make the commits durable, all but those with an error in what is returned.

        Raises `StoreUnavailable` when none of them was written, and `StoreError` when the store
        was closed before that could be found out.
        """
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                await self._provide(commits)
                connection = await self._connected()
                applied = await self._transact(connection, commits)
            except (*FAILURES, StoreError) as error:
                await self._roll_back(error)
                if last or not (is_lost(error) or _is_passing(error)):
                    raise self._link.told(error) from error
            else:
                return applied
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Let go of the connection."""
        self._outcomes.close()
        if self._connection is not None:
            await closed(self._connection)

    def forget(self, family: str, number: int) -> None:
        """The tables of a generation were dropped: keep nothing about them."""
        self._forget([f"{name}_{number}" for name in FAMILIES[family]])

    def _forget(self, names: Sequence[str]) -> None:
        for name in names:
            self._types.pop(name, None)
            self._keys.pop(name, None)
        self._plans.forget(names)
        self._steps = {plan: step for plan, step in self._steps.items() if plan.table not in names}

    def _keys_of(self, name: str) -> dict[str, Keys]:
        """What `_provide` has learned since about the table `name`."""
        return {name: self._keys[name]} if name in self._keys else {}

    # -- connection

    async def _connected(self) -> Connection:
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = await self._link.connect(**_SESSION)
            try:
                await connection.execute(_BEGIN.format(writer=quoted(self._link.writer)))
                await connection.execute(_TOKEN, self._link.writer)
                # Whoever had this name before has left a number too.
                number = await connection.fetchval(_LAST, self._link.writer)
                self._number = max(self._number, number or 0)
            except FAILURES as error:
                connection.terminate()
                raise self._link.told(error) from error
            connection.add_termination_listener(lambda _: self._lost())
            self._connection = connection
        return connection

    async def _roll_back(self, error: Exception) -> None:
        """Be ready for the next group, after `error`."""
        connection = self._connection
        if is_missing_generation(error):  # another process has dropped it
            self._forget([name for name in self._types if generation_of(name) is not None])
        if connection is None:
            return
        try:
            if not is_lost(error) and not connection.is_closed():
                await connection.execute("ROLLBACK")
                return
        except FAILURES as further:
            _log.warning("the rollback failed too", reason=str(further))
        connection.terminate()
        self._connection = None

    async def _commit(self, connection: Connection, number: int) -> None:
        """Commit group `number`. Raises only if it is known not to be committed."""
        if not await self._outcomes.commit(connection, number):
            self._connection = None

    # -- a group

    async def _provide(self, commits: Sequence[Commit]) -> None:
        """Make the generations that the commits name and that are not there."""
        named = {statement.table for writes, _, _ in commits for statement, _ in writes}
        for name in named.difference(self._types):
            generation = generation_of(name)
            if generation is not None and name not in self._types:
                family, number = generation
                await self._pool.run(partial(make_generation, family=family, number=number))
                names = [f"{each}_{number}" for each in FAMILIES[family]]
                for each, table in (await self._pool.run(partial(tables, names=names))).items():
                    self._types[each] = table.types
                    self._keys[each] = table.keys

    async def _transact(self, connection: Connection, commits: Sequence[Commit]) -> Applied:
        applied = Applied(errors={})
        numbered = list(enumerate(commits))
        number, good = await self._begin(connection, numbered, applied)
        try:
            await self._run(connection, good, applied)
        except _FAULTS as error:
            failure = self._verdict(error)
            await connection.execute("ROLLBACK")
            applied = Applied(errors={})
            if len(commits) == 1 and not has_nul(error):
                applied.errors[0] = failure
                return applied
            number, good = await self._begin(connection, numbered, applied)
            await self._halve(connection, good, applied)
        await self._commit(connection, number)
        return applied

    async def _begin(
        self, connection: Connection, commits: _Numbered, applied: Applied
    ) -> tuple[int, _Numbered]:
        """Begin the transaction; its number, and the commits whose lease is held."""
        self._number += 1
        number = self._number
        fences = {(f.name, f.holder, f.epoch) for _, (_, f, _) in commits if f is not None}
        command = f"BEGIN; EXECUTE trunkline_begin({number})"
        if len(fences) == 1:
            ((name, holder, epoch),) = fences
            command = (
                f"BEGIN; EXECUTE trunkline_fenced"
                f"({number}, {quoted(name)}, {quoted(holder)}, {epoch:d})"
            )
        status = await connection.execute(command)
        if status == "UPDATE 1" and len(fences) <= 1:
            return number, commits
        if await connection.execute(_NUMBER, self._link.writer, number) == "UPDATE 0":
            # It was swept away, as that of a process that is long gone.
            await connection.execute("ROLLBACK")
            await connection.execute(_TOKEN, self._link.writer)
            await connection.execute("BEGIN")
            await connection.execute(_NUMBER, self._link.writer, number)
        rows = await connection.fetch(_HELD, [name for name, _, _ in fences])
        held = {name: (holder, epoch) for name, holder, epoch in rows}
        good = []
        for place, commit in commits:
            fence = commit[1]
            if fence is None or held.get(fence.name) == (fence.holder, fence.epoch):
                good.append((place, commit))
            else:
                holder = held.get(fence.name, ("", 0))[0] or "nobody"
                applied.errors[place] = Fenced(
                    f"the lease {fence.name!r} of {fence.holder!r} passed to {holder!r}"
                )
        return number, good

    async def _run(self, connection: Connection, commits: _Numbered, applied: Applied) -> None:
        writes = chain.from_iterable(writes for _, (writes, _, _) in commits)
        for batch in arrange(self._plans, writes):
            await self._step_of(batch).run(connection, batch.rows)
            applied.rows += len(batch.rows)
            applied.facts = applied.facts or batch.plan.table == "facts"

    def _step_of(self, batch: Batch) -> Step:
        plan = batch.plan
        step = self._steps.get(plan)
        if step is None:
            step = self._steps[plan] = Step(plan, self._types[plan.table])
        return step

    async def _halve(self, connection: Connection, commits: _Numbered, applied: Applied) -> None:
        """Apply all but the commits at fault, which get their entry in the errors."""
        await connection.execute("SAVEPOINT part")
        part = Applied()
        try:
            await self._run(connection, commits, part)
        except _FAULTS as error:
            failure = self._verdict(error)
            await connection.execute("ROLLBACK TO part; RELEASE part")
            if len(commits) > 1:
                middle = len(commits) // 2
                await self._halve(connection, commits[:middle], applied)
                await self._halve(connection, commits[middle:], applied)
            elif has_nul(error):
                place, (writes, fence, future) = commits[0]
                without = [(statement, printable(row)) for statement, row in writes]
                await self._halve(connection, [(place, (without, fence, future))], applied)
            else:
                applied.errors[commits[0][0]] = failure
            return
        await connection.execute("RELEASE part")
        applied.rows += part.rows
        applied.facts = applied.facts or part.facts

    def _verdict(self, error: Exception) -> StoreError:
        """What is wrong with a commit; trouble with the server is raised again."""
        match error:
            case StoreError():
                return error
            case pg.UniqueViolationError():
                columns = str(error.detail or "").partition("=")[0] or str(error.constraint_name)
                return Conflict(f"{error.table_name}: a row with this {columns} exists already")
            case _ if _is_passing(error) or advice_on(error) is not None:
                raise error
            case _:
                return StoreError(f"{type(error).__name__}: {error}")


def _is_passing(error: Exception) -> bool:
    """Whether what failed will do if it is done again."""
    return isinstance(error, _PASSING) or is_missing_generation(error)


def has_nul(error: BaseException) -> bool:
    """Whether `error` is about U+0000, which PostgreSQL's text can't hold."""
    return isinstance(error, pg.CharacterNotInRepertoireError) and "0x00" in str(error)


def printable(row: Row) -> Row:
    """`row` with the symbol for NUL instead of each NUL in its texts."""
    return tuple(
        value.translate(_NO_NUL) if isinstance(value, str) and "\0" in value else value
        for value in row
    )
