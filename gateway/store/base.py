"""The store port: durable state behind a few verbs, with SQLite or PostgreSQL below it.

A *write* is a value: a declared statement (`Insert`, `Update`, `Delete`) and one row for it.
`commit` takes the writes of one thought, the new state, the facts and the jobs, and makes all
of them durable or none. Commits that queue while the last one runs are grouped: the backend
may run one statement per table for the whole group, as long as the result is the same as if
each commit had been applied alone, in the order of the calls. A commit that cannot be applied
fails by itself and never takes its neighbours down.

Rows are tuples in the order of the declared columns. Times are seconds since the epoch (float),
booleans are 0/1, JSON is text.

Several processes may share a store (PostgreSQL; SQLite has one). Each is a *member* with a lease
that it renews, and *owns* names: a carrier, a queue of jobs, a partition. A member that did not
renew in time is buried by the others: what it owned is free, and what it still commits under its
lease is refused. Members tell each other by *hints* that there is something new, and read what
*arrived* from the others; a hint may get lost, so whoever waits for one looks from time to time.

Some tables come in *generations*: `jobs_7` is the seventh of `jobs`. A generation comes into
being with the first write to it and is dropped whole; reading one that is not there gives no rows.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

if TYPE_CHECKING:  # a writer apart has no loop, and starts in half the time without
    import asyncio

Row = tuple[Any, ...]

# Tables whose rows may be forgotten by age, and the column that tells it: a time, or a SID that
# begins with it. PostgreSQL keeps them in partitions by that column.
TIMED: Final = {
    "messages": "sid",
    "segments": "sid",
    "calls": "sid",
    "call_legs": "sid",
    "trace": "sid",
    "facts": "at",
}
# Families of tables that come in generations; generation 7 of `jobs` is `jobs_7` and so on.
FAMILIES: Final = {"jobs": ("jobs", "job_state_transitions")}
# The row of table `leases` that a restore leaves. A name that nobody ever owned begins above its
# epoch: what an owner wrote elsewhere before the restore stays older than what it writes after.
RESTORED: Final = "restored"


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
    """Ownership of `name` by the member `holder`; `epoch` grows with each new holder.

    A member's own lease is named `member_name(holder)` and ends at `expires_at` unless it is
    renewed; any other ends with that of its holder.
    """

    name: str
    holder: str
    epoch: int
    expires_at: float


class Horizon(msgspec.Struct, frozen=True):
    """Up to where arrivals are known: all before `at`, but for those that were `open` then.

    The default is before everything. Only the store that made it knows what the numbers mean.
    """

    at: int = 0
    open: frozenset[int] = frozenset()


def member_name(holder: str) -> str:
    """The name of the lease that makes `holder` a member."""
    return f"member:{holder}"


class StoreStats(msgspec.Struct, frozen=True, kw_only=True):
    """For metrics and readiness: counts since the start, `trouble` is "" while all is well.

    `facts_held` is for how many seconds older transactions have kept back facts that are wanted.
    """

    queued: int
    groups: int
    commits: int
    rows: int
    last_commit_seconds: float
    last_commit_at: float
    newest_fact: int
    trouble: str
    facts_held: float = 0.0


class Shape(msgspec.Struct, frozen=True):
    """A table and its columns, in the order of a snapshot's rows."""

    table: str
    columns: tuple[str, ...]


class Snapshot(Protocol):
    """Everything that is stored, as it was at one moment: each commit whole, or not at all.

    `schema` is the number of its newest step, `shapes` the tables, `sequences` the highest id
    that each table with ids of the store's own has given out.
    """

    @property
    def schema(self) -> int: ...

    @property
    def shapes(self) -> Sequence[Shape]: ...

    @property
    def sequences(self) -> Mapping[str, int]: ...

    def pages(self, shape: Shape) -> AsyncIterator[list[Row]]:
        """The rows of one table, a few hundred at a time. Raises `StoreUnavailable`."""
        ...


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

    async def facts_after(self, cursor: int, limit: int, wait: float = 0.0) -> list[Fact]:
        """Facts with an id above `cursor`, oldest first; waits up to `wait` s for the first.

        A fact is given only when no fact with a lower id can appear any more, whatever commits
        are under way in other processes.
        """
        ...

    # -- members and what they own

    async def renew(self, holder: str, ttl: float) -> Lease:
        """Become a member, or stay one, for `ttl` seconds from now, by the store's clock.

        Raises `Fenced` if `holder` was a member and was buried: it must stop and come back under
        another name. A `ttl` of 0 ends the membership and frees what was owned.
        """
        ...

    async def bury(self, holder: str = "", *, by: str = "") -> list[str]:
        """End the memberships whose time is over, and that of `holder` at once; their names.

        Who asks, `by`, lives: it may have waited for longer than its time, for a disk or for all
        of its machine, and if nobody else has ended it meanwhile it goes on.
        What they owned is free, and their leases fence no commit of theirs through any more.
        """
        ...

    async def claim(self, names: Sequence[str], member: Lease) -> dict[str, Lease]:
        """Own those of `names` that nobody owns; all of them that `member` owns now.

        Raises `Fenced` if the member was buried.
        """
        ...

    async def release(self, names: Sequence[str], member: Lease) -> None:
        """Own those of `names` no more; what others own is passed over."""
        ...

    async def leases(self) -> list[Lease]:
        """Every membership and everything that is owned."""
        ...

    # -- what other members did

    def hint(self, subject: str) -> None:
        """Tell the other members, soon, that there is something new about `subject`."""
        ...

    def watch(self, subject: str) -> "asyncio.Event":
        """The event that is set whenever another member hints at `subject`; clear it yourself."""
        ...

    async def horizon(self) -> Horizon:
        """From where `arrived` gives what is committed from now on."""
        ...

    async def arrived(
        self, query: Query, since: Horizon, until: Horizon, *parameters: Any
    ) -> tuple[list[Row], Horizon]:
        """Rows that other members inserted between two horizons, and `until`, to go on from.

        `until` is a horizon that was asked for before the parameters were chosen: then what a
        parameter names that was added meanwhile is either found by a look at the table itself or
        arrives later. `{arrived}` in the query's SQL stands for the condition, after its own
        `$1 … $n`; it is about the table `jobs_N` or `messages` that the query reads under the name
        `r`. Each row is given once to whoever goes on from the horizon it got, by the first look
        whose `until` was asked for after the commit, in no particular order. A transaction that is
        long under way, anybody's on that server, delays nothing but what it inserts itself.
        """
        ...

    # -- generations, and what is old

    async def generations(self, family: str) -> list[int]:
        """The generations of `family` that are there, oldest first."""
        ...

    async def drop_generation(self, family: str, number: int) -> None:
        """Drop the tables of a generation, whole."""
        ...

    async def forget(self, table: str, before: float) -> int:
        """Drop the rows of a timed table (see `TIMED`) made before `before`; about how many.

        As ordinary work beside the traffic. PostgreSQL drops whole partitions, and so keeps rows
        up to one partition's span longer.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """A view of all that is committed, while traffic goes on beside it.

        What keeps a backend from tidying up grows as long as it is open. Opening it raises
        `StoreUnavailable`.
        """
        ...

    def stats(self) -> StoreStats:
        """How the store does."""
        ...

    def rest(self) -> None:
        """Let go of what is kept in memory only to be quick: there is little to do for now."""
        ...

    async def close(self) -> None:
        """Finish what was queued, then let go. Commits after it raise `StoreUnavailable`."""
        ...
