"""What the store may forget: generations of jobs that have all ended, old facts, old PDUs.

Everything works in pages of bounded size, so that it can run beside traffic. `now` and ages are
seconds.
"""

from typing import Final

from gateway.core.reading import DRAINED
from gateway.core.records import FAMILY, GENERATION, LAST, UPGRADED, generation_at, tables
from gateway.sids import made_at
from gateway.store.base import Delete, Insert, Query, Store

_WINDOW: Final = 5_000  # rows that one read looks at
_SETTLED: Final = 2  # generations after which no job is made in one any more
_MARK: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_UNMARK: Final = Delete(table="meta", key=("name",))
_MARKS: Final = Query("jobs_drained", "SELECT name FROM meta WHERE name LIKE 'jobs_drained:%'")
_PAGE: Final = 500
_FACT: Final = Delete(table="facts", key=("id",))
_FACT_SURPLUS: Final = Query(
    "facts_surplus",
    "SELECT id FROM facts WHERE id <= (SELECT max(id) FROM facts) - $1 ORDER BY id LIMIT $2",
)
_UNREAD: Final = Query("facts_unread", "SELECT at FROM facts WHERE id > $1 ORDER BY id LIMIT 1")
_CLOCKS_APART: Final = 60.0  # seconds by which a fact may be older than one before it
_TRACE_EDGE: Final = Query(
    "trace_edge",
    "SELECT sid FROM trace WHERE id <= (SELECT max(id) FROM trace) - $1 ORDER BY id DESC LIMIT 1",
)


class JobRetention:
    """Drops the generations of jobs in which nothing is left to be done.

    One that has been looked through is noted, so that whoever takes over a queue need not look
    again; what has not ended keeps its whole generation. Remembers how far it looked.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reached: dict[int, str] = {}  # every job up to this id has ended

    async def round(self, now: float, keep: float) -> list[int]:
        """Note what has drained, drop what drained and is older than `keep`; what was dropped."""
        store = self._store
        marked = {row[0] for row in await store.fetch(_MARKS)}
        dropped = []
        for number in await store.generations(FAMILY):
            mark = f"{DRAINED}{number}"
            if number > generation_at(now) - _SETTLED:
                continue
            if mark not in marked and await self._is_drained(number):
                await store.commit([(_MARK, (mark, str(now)))])
                marked.add(mark)
            due = mark in marked and await self._end(number) < now - keep
            if due and await self._drop(number, mark):
                dropped.append(number)
        return dropped

    async def _drop(self, number: int, mark: str) -> bool:
        # Looked through once more: a job may have been stored long after its id was made.
        self._reached.pop(number, None)
        drained = await self._is_drained(number)
        if drained:
            await self._store.drop_generation(FAMILY, number)
        self._reached.pop(number, None)
        await self._store.commit([(_UNMARK, (mark,))])
        return drained

    async def _is_drained(self, number: int) -> bool:
        of, store = tables(number), self._store
        after = self._reached.get(number, "")
        while after < LAST:
            window = await store.fetch(of.window_end, after, _WINDOW - 1)
            end = window[0][0] if window else LAST
            if await store.fetch(of.open, after, end):
                return False
            after = self._reached[number] = end
        return True

    async def _end(self, number: int) -> float:
        """Up to when the jobs of a generation were made."""
        if number != UPGRADED:
            return float((number + 1) * GENERATION)
        newest = await self._store.fetch(tables(number).newest, 0)
        return made_at(newest[0][0]) if newest else 0.0


async def prune_trace(store: Store, keep: int) -> int:
    """Forget the PDUs of the oldest messages, so that about `keep` rows are left; how many."""
    rows = await store.fetch(_TRACE_EDGE, keep)
    return await store.forget("trace", made_at(rows[0][0])) if rows and rows[0][0] else 0


async def prune_facts(store: Store, now: float, keep: float, read_up_to: int) -> int:
    """Forget facts older than `keep` that every durable cursor has passed; about how many."""
    unread = await store.fetch(_UNREAD, read_up_to)
    before = min([now - keep, *(at - _CLOCKS_APART for (at,) in unread)])
    return await store.forget("facts", before)


async def prune_backlog(store: Store, keep: int) -> int:
    """Forget the oldest facts beyond `keep`, whoever has not read them yet; how many."""
    pruned = 0
    while True:
        rows = await store.fetch(_FACT_SURPLUS, keep, _PAGE)
        if rows:
            await store.commit([(_FACT, row) for row in rows])
        pruned += len(rows)
        if len(rows) < _PAGE:
            return pruned
