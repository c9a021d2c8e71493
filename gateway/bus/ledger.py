"""What the forwarder knows durably: rows of table `meta`, written under its lease.

`cursor:kafka` is the id of the fact up to which all are in Kafka, `sent:kafka` the last one of
each partition, `bus:forwarder` how things are, for whoever asks. Dedup's `dedup:<topic>:<n>` says
which fact it copied last.
"""

from collections.abc import Callable
from typing import Final

from gateway.bus.status import (
    CURSOR,
    FORWARDER,
    NEWEST,
    ROW,
    SENT,
    ForwarderStatus,
    Place,
    copied,
    cursor_of,
    encode_sent,
    sent,
)
from gateway.store.base import Insert, Lease, Query, Store, Update, Write

_FAR_BACK: Final = 24 * 3600.0  # seconds for which facts surely stand in the store

NEXT: Final = Query("bus_next_fact", "SELECT id, at FROM facts WHERE id > $1 ORDER BY id LIMIT 1")
_FIRST: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_NEXT: Final = Update(table="meta", key=("name",), columns=("value",))


def kept(name: str, value: str) -> list[Write]:
    """The writes by which the row `name` of `meta` has this value."""
    return [(_FIRST, (name, value)), (_NEXT, (name, value))]


class Ledger:
    """The cursor, and the last fact of each partition; durable when `note` is done."""

    def __init__(self, store: Store, fence: Lease | None, clock: Callable[[], float]) -> None:
        self._store = store
        self._fence = fence
        self._clock = clock
        self._sent: dict[Place, int] = {}
        self._floor = 0  # a partition that is not in _sent has nothing up to the cursor
        self.cursor = 0

    async def load(self) -> ForwarderStatus | None:
        """Begin where the last forwarder ended; what it said last, if there was one."""
        self.cursor = self._floor = await cursor_of(self._store)
        self._sent = await sent(self._store)
        rows = await self._store.fetch(ROW, FORWARDER)
        return ForwarderStatus.decode(str(rows[0][0])) if rows else None

    def before(self, place: Place) -> int:
        """The fact before the next one of a partition: none of that partition is in between."""
        return self._sent.get(place, self._floor)

    def sent(self, place: Place, fact_id: int) -> None:
        """The partition has everything up to this fact."""
        self._sent[place] = fact_id

    def advance(self, cursor: int) -> None:
        """Everything up to this fact is in Kafka."""
        self.cursor = cursor

    async def rewind(self) -> None:
        """Go back to what dedup has confirmed, of each partition that was sent more than that."""
        known = await copied(self._store)
        behind = [
            known.get(place, 0)
            for place, fact_id in self._sent.items()
            if fact_id > known.get(place, 0)
        ]
        if behind:
            oldest = await self._fact_at(self._clock() - _FAR_BACK)
            self.cursor = min(self.cursor, max(min(behind), oldest))
        for place, fact_id in self._sent.items():
            # Neither what dedup confirmed is sent again, nor what is before the cursor.
            self._sent[place] = min(fact_id, max(known.get(place, 0), self.cursor))

    async def note(self, status: ForwarderStatus) -> None:
        """Make it durable; raises `Fenced` when another forwarder took over."""
        await self._store.commit(
            [
                *kept(CURSOR, str(self.cursor)),
                *kept(SENT, encode_sent(self._sent)),
                *kept(FORWARDER, status.encode()),
            ],
            self._fence,
        )

    async def _fact_at(self, at: float) -> int:
        """The last fact before the time `at`, or near it: ids grow with time, nearly."""
        low, high = 0, int((await self._store.fetch(NEWEST))[0][0] or 0)
        while low < high:
            middle = (low + high) // 2
            rows = await self._store.fetch(NEXT, middle)
            if rows and rows[0][1] < at:
                low = rows[0][0]
            else:
                high = middle
        return low
