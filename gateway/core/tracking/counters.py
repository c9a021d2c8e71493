"""The table of counters, as the one process that counts sees it.

What is written is always the whole value, so that a commit which is made twice counts once.
"""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from gateway.core.tracking.counting import Key
from gateway.store.base import Delete, Insert, Lease, Query, Row, Store, Update, Write

_DAYS: Final = 10_000  # days of accounts that are remembered
_PAGE: Final = 1000
_MASK: Final = 2**256 - 1

_KEY: Final = ("account_sid", "day", "metric")
INSERT: Final = Insert(table="tracking_counters", columns=(*_KEY, "value"))
UPDATE: Final = Update(table="tracking_counters", key=_KEY, columns=("value",))
DELETE: Final = Delete(table="tracking_counters", key=_KEY)
OF_DAY: Final = Query(
    "tracking_of_day",
    "SELECT metric, value FROM tracking_counters WHERE account_sid = $1 AND day = $2",
)
OF_ACCOUNT: Final = Query(
    "tracking_of_account",
    "SELECT day, metric, value FROM tracking_counters"
    " WHERE account_sid = $1 AND day >= $2 AND day <= $3 ORDER BY day, metric LIMIT $4",
)
_ALL: Final = Query(
    "tracking_all",
    "SELECT account_sid, day, metric, value FROM tracking_counters"
    " WHERE (account_sid, day, metric) > ($1, $2, $3)"
    " ORDER BY account_sid, day, metric LIMIT $4",
)


class Counters:
    """Adds to the counters; `add` gives the writes, `settle` follows their commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._days: OrderedDict[tuple[str, str], dict[str, int]] = OrderedDict()
        self._next: dict[Key, int] = {}

    async def add(self, counts: Counter[Key]) -> list[Write]:
        """The writes by which `counts` are added to what there is."""
        writes: list[Write] = []
        self._next = {}
        for key, number in counts.items():
            account_sid, day, metric = key
            values = await self._values(account_sid, day)
            before = values.get(metric)
            value = self._next[key] = (before or 0) + number
            writes.append((INSERT if before is None else UPDATE, (*key, value)))
        return writes

    def settle(self) -> None:
        """What `add` gave is durable."""
        for (account_sid, day, metric), value in self._next.items():
            values = self._days.get((account_sid, day))
            if values is not None:
                values[metric] = value
        self._next = {}
        while len(self._days) > _DAYS:
            self._days.popitem(last=False)

    def forget(self) -> None:
        """Somebody else wrote: read anew what there is."""
        self._days.clear()

    async def _values(self, account_sid: str, day: str) -> dict[str, int]:
        key = (account_sid, day)
        values = self._days.get(key)
        if values is None:
            rows = await self._store.fetch(OF_DAY, account_sid, day)
            values = self._days[key] = {metric: value for metric, value in rows}
        self._days.move_to_end(key)
        return values


async def all_counters(store: Store) -> AsyncIterator[list[Row]]:
    """Every counter (account, day, metric, value), in pages."""
    after: tuple[str, str, str] = ("", "", "")
    while rows := await store.fetch(_ALL, *after, _PAGE):
        yield rows
        after = rows[-1][:3]


async def checksum(store: Store) -> str:
    """The same for two tables that hold the same counters, in whatever order they came."""
    total = 0
    async for rows in all_counters(store):
        for row in rows:
            digest = hashlib.sha256(msgspec.json.encode(row)).digest()
            total = (total + int.from_bytes(digest)) & _MASK
    return f"{total:064x}"


async def wipe(store: Store, fence: Lease | None) -> None:
    """Delete every counter, page by page."""
    async for rows in all_counters(store):
        await store.commit([(DELETE, row[:3]) for row in rows], fence)
