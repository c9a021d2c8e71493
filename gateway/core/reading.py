"""Reads the jobs that still need something out of the store, in pages, over all generations.

A row of `jobs` has no mark when it is done, so what is read is bounded by a window of rows, most
of them done. A page may be older than what the process knows: jobs whose end is on its way to the
store, or that ended while the page was read, are taken out of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import structlog

from gateway.core.backlog import Place
from gateway.core.owned import Queues
from gateway.core.records import FAMILY, LAST, TOGETHER, Pending, Tables, pending_of, tables
from gateway.store.base import Horizon, Query, Row, Store, StoreUnavailable

_log = structlog.get_logger(__name__)

PAGE: Final = 500
_WINDOW: Final = 5_000  # rows that one read of the store looks at
_RECENT: Final = 50_000  # rows that are looked at before traffic comes, a tenth of a second
_STORE_AWAY: Final = 0.25  # seconds between tries to read from it
DRAINED: Final = "jobs_drained:"  # with a number in table `meta`: a generation without open jobs
_DRAINED: Final = Query("jobs_drained", "SELECT name FROM meta WHERE name LIKE 'jobs_drained:%'")

T = TypeVar("T")
Behind = tuple[Sequence[str], Iterable[int]]  # resources, and the generations to look for them


class Span(msgspec.Struct, frozen=True):
    """The jobs of a generation with ids above `after` up to `until`."""

    generation: int
    after: str = ""
    until: str = LAST


class Reader:
    """`unstored` gives the keys of jobs whose end the store does not know yet."""

    def __init__(self, store: Store, unstored: Callable[[], set[str]]) -> None:
        self._store = store
        self._unstored = unstored
        self._lock = asyncio.Lock()
        self._gone: set[str] = set()  # what is being read may show these, or those
        self._changed: list[Queues] = []  # in these queues, as they are no more

    def left(self, key: str) -> None:
        """A job has left the memory: what is being read may show it wrongly."""
        if self._lock.locked():
            self._gone.add(key)

    def changed(self, queues: Queues) -> None:
        """These come or go: others may have tried, or may yet try, what is being read of them.

        Who gets them reads them anew.
        """
        if self._lock.locked():
            self._changed.append(queues)

    async def horizon(self) -> Horizon:
        """`Store.horizon`, however long the store is away."""
        return await _patiently(self._store.horizon)

    async def generations(self) -> list[int]:
        """Those that are there, oldest first."""
        return await _patiently(lambda: self._store.generations(FAMILY))

    async def spans(self) -> tuple[list[Span], list[Span]]:
        """What is recent, oldest first, and what is older, newest first.

        Generations without open jobs are left out.
        """
        recent: list[Span] = []
        older: list[Span] = []
        left = _RECENT
        for number in reversed(await self._open()):
            if not left:
                older.append(Span(number))
                continue
            of = tables(number)
            ((count,),) = await self._fetch(of.count, left)
            before = await self._fetch(of.newest, left) if count == left else []
            since = before[0][0] if before else ""
            recent.insert(0, Span(number, since))
            if since:
                older.append(Span(number, "", since))
            left -= count
        return recent, older

    async def page(self, span: Span, queues: Queues) -> tuple[list[Pending], Span | None]:
        """A page of `span`, of these queues, and what is left to be read."""
        marks = queues.marks()
        of = tables(span.generation)
        return await self._page(of, of.pending, span, (marks, marks), PAGE)

    async def page_of(
        self,
        endpoint: str,
        after: Place,
        limit: int,
        behind: Callable[[Sequence[Pending]], Behind],
    ) -> tuple[list[Pending], Place | None]:
        """A page of one endpoint, of at most `limit`, and from where to read on.

        With it comes what is open about the resources that `behind` names, at most `TOGETHER`.
        """
        generation, last = after
        following = [number for number in await self._open() if number >= generation]
        if following and following[0] == generation and last >= LAST:
            following.pop(0)
        if not following:
            return [], None
        of = tables(following[0])
        span = Span(of.number, last if of.number == generation else "")
        page, rest = await self._page(of, of.pending_of, span, (endpoint,), limit, behind)
        if rest is not None:
            return page, (of.number, rest.after)
        return page, (of.number, LAST) if len(following) > 1 else None

    async def arrived(
        self, since: Mapping[int, Horizon], until: Horizon, shards: Sequence[int]
    ) -> tuple[list[Pending], dict[int, Horizon]]:
        """What others inserted up to a horizon, and the next ones; `since` is by generation.

        `shards` are to be chosen after `until` was asked for: see `Store.arrived`.
        """
        found: list[tuple[int, Sequence[Row]]] = []
        horizons: dict[int, Horizon] = {}
        async with self._lock:
            self._begin()
            for number, known in since.items():
                rows, horizons[number] = await _patiently(
                    partial(self._store.arrived, tables(number).arrived, known, until, shards)
                )
                found.append((number, rows))
            return self._all_known(found), horizons

    async def open_of(self, generations: Iterable[int], sids: Sequence[str]) -> list[Pending]:
        """What is open about some resources, at most `TOGETHER`, in some generations."""
        async with self._lock:
            self._begin()
            return self._all_known(await self._about(sids, generations))

    async def _about(
        self, sids: Sequence[str], generations: Iterable[int]
    ) -> list[tuple[int, Sequence[Row]]]:
        if not sids:
            return []
        named = [*sids, *("" for _ in range(TOGETHER - len(sids)))]
        return [(each, await self._fetch(tables(each).open_of, *named)) for each in generations]

    async def _page(
        self,
        of: Tables,
        query: Query,
        span: Span,
        chosen: Sequence[Any],
        limit: int,
        behind: Callable[[Sequence[Pending]], Behind] = lambda _: ((), ()),
    ) -> tuple[list[Pending], Span | None]:
        async with self._lock:
            self._begin()
            window = await self._fetch(of.window_end, span.after, _WINDOW - 1)
            end = min(window[0][0], span.until) if window else span.until
            rows = await self._fetch(query, span.after, end, *chosen, limit)
            before = await self._about(*behind(self._known(rows, of.number)))
            page = self._all_known([*before, (of.number, rows)])
        last = rows[-1][0] if len(rows) == limit else end
        rest = Span(of.number, last, span.until) if last < span.until else None
        return page, rest

    def _begin(self) -> None:
        self._gone = self._unstored()
        self._changed = []

    def _all_known(self, found: Iterable[tuple[int, Sequence[Row]]]) -> list[Pending]:
        return [each for number, rows in found for each in self._known(rows, number)]

    def _known(self, rows: Sequence[Row], generation: int) -> list[Pending]:
        """What `rows` say, but for what is known better, or not known at all."""
        page = []
        for row in rows:
            if row[0] in self._gone:
                continue
            try:
                pending = pending_of(row, generation)
            except ValueError as error:  # left to the newer version that wrote it
                _log.error("a job is in a state not known here", job=row[0], reason=str(error))
                continue
            if not any(pending.job.endpoint in queues for queues in self._changed):
                page.append(pending)
        return page

    async def _open(self) -> list[int]:
        drained = {row[0] for row in await self._fetch(_DRAINED)}
        return [each for each in await self.generations() if f"{DRAINED}{each}" not in drained]

    async def _fetch(self, query: Query, *parameters: Any) -> list[Row]:
        return await _patiently(lambda: self._store.fetch(query, *parameters))


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What the store answers, however long it is away."""
    while True:
        try:
            return await ask()
        except StoreUnavailable as error:
            _log.warning("jobs wait for the store", reason=str(error))
            await asyncio.sleep(_STORE_AWAY)
