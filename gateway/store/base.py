"""The store port: durable state behind five verbs, with SQLite or PostgreSQL below it.

A *write* is a value: a declared statement (`Insert`, `Update`, `Delete`) and one row for it.
`commit` takes the writes of one thought, the new state, the facts and the jobs, and makes all
of them durable or none. Commits that queue while the last one runs are grouped: the backend
may run one statement per table for the whole group, as long as the result is the same as if
each commit had been applied alone, in the order of the calls. A commit that cannot be applied
fails by itself and never takes its neighbours down.

Rows are tuples in the order of the declared columns. Times are seconds since the epoch (float),
booleans are 0/1, JSON is text.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

Row = tuple[Any, ...]


class StoreError(Exception):
    """The store could not do what was asked."""


class Conflict(StoreError):
    """A row with this key exists already; nothing of the commit was written."""


class Stale(StoreError):
    """A row was changed by somebody else since it was read; nothing of the commit was written."""


class Fenced(StoreError):
    """The lease under which this commit was made has passed to another holder."""


class StoreUnavailable(StoreError):
    """The store cannot write now (disk full, read-only, connection lost); nothing was written.

    `str(error)` says what to do about it.
    """


class Insert(msgspec.Struct, frozen=True):
    """`INSERT INTO table (columns)`; a taken key raises `Conflict`.

    With `ignore_taken` set to the key's columns, a taken key is passed over silently.
    """

    table: str
    columns: tuple[str, ...]
    ignore_taken: tuple[str, ...] = ()


class Update(msgspec.Struct, frozen=True):
    """`UPDATE table SET columns WHERE key`; a row is (*key, *columns).

    With `guard` (the name of an integer column that is also in `columns`) the row is written
    only if the stored value is one less than the new one, else the commit raises `Stale`.
    Without it, a row that does not exist is passed over.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    guard: str = ""


class Delete(msgspec.Struct, frozen=True):
    """`DELETE FROM table WHERE key`; a row is (*key,). Rows that do not exist are passed over."""

    table: str
    key: tuple[str, ...]


Statement = Insert | Update | Delete
Write = tuple[Statement, Row]


class Query(msgspec.Struct, frozen=True):
    """A named read. `sql` has `$1 … $n` placeholders, each exactly once and in order."""

    name: str
    sql: str


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as stored: `id` grows by commit order; `version` is the resource's after it.

    `data` is a JSON object (text), and never holds what a message said.
    """

    id: int
    account_sid: str
    sid: str
    version: int
    type: str
    at: float
    data: str


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Ownership of `name` by `holder` until `expires_at`; `epoch` grows with each new holder."""

    name: str
    holder: str
    epoch: int
    expires_at: float


class StoreStats(msgspec.Struct, frozen=True, kw_only=True):
    """For metrics and readiness: counts since the start, `trouble` is "" while all is well."""

    queued: int
    groups: int
    commits: int
    rows: int
    last_commit_seconds: float
    last_commit_at: float
    newest_fact: int
    trouble: str


class Store(Protocol):
    """What every backend does; `tests/contract/test_store.py` is its definition."""

    def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> "asyncio.Future[None]":
        """Queue `writes` for the next group commit; the future is done when they are durable.

        Raises (through the future) `Conflict`, `Stale`, `Fenced` or `StoreUnavailable`.
        The caller need not await it, but must look at its exception.
        """
        ...

    async def fetch(self, query: Query, *parameters: Any) -> list[Row]:
        """Rows of `query`; sees every commit whose future was done when it was called."""
        ...

    async def lease(self, name: str, holder: str, ttl: float, now: float) -> Lease | None:
        """Take or renew the lease `name` for `ttl` seconds; None while another holds it."""
        ...

    async def facts_after(self, cursor: int, limit: int, wait: float = 0.0) -> list[Fact]:
        """Facts with an id above `cursor`, oldest first; waits up to `wait` s for the first."""
        ...

    async def close(self) -> None:
        """Finish what was queued, then let go. Commits after it raise `StoreUnavailable`."""
        ...
