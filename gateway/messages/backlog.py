"""The queue that does not fit into memory: read by page from the store when there is room.

Per carrier, at most `limit` messages stand in the scheduler. Beyond that, accepted messages
stay in the store alone, and a cursor walks after them in the order of their creation. It starts
a little before the time at which the queue overflowed, so that a message that was made earlier
and committed later is not missed; what is known already is passed over.
"""

import math

from gateway.messages import records, segments
from gateway.messages.book import Book
from gateway.messages.flight import Flight
from gateway.model import Message
from gateway.store.base import Store

_OVERLAP = 10.0  # seconds
_PAGE = 500

HINT = "messages"  # a message was accepted for a carrier that another process owns

_Cursor = tuple[float, str]  # creation and SID of the last message that was read
_BEGINNING: _Cursor = (0.0, "")


class Backlog:
    """One carrier's queue in the store, beyond what is in memory."""

    def __init__(self, carrier: str, limit: int) -> None:
        self.carrier = carrier
        self._limit = limit
        self._cursor: _Cursor | None = _BEGINNING  # None: everything is in memory
        self._reading = False
        self._again_from = math.inf  # what came while a page was being read

    @property
    def spilling(self) -> bool:
        """Whether the store holds messages that the scheduler does not know."""
        return self._cursor is not None

    def admits(self, queued: int, made_at: float) -> bool:
        """Whether a message just accepted may go into the scheduler, which holds `queued`.

        It was made at `made_at`, however long its commit took.
        """
        if self._cursor is None and queued >= self._limit:
            self._cursor = made_at - _OVERLAP, ""
        elif self._cursor is not None:
            self._cursor = min(self._cursor, (made_at, ""))
        if self._reading:
            self._again_from = min(self._again_from, made_at - _OVERLAP)
        return self._cursor is None

    def reread(self) -> None:
        """Look through the whole queue of the store again: something may have been missed."""
        self._cursor, self._again_from = _BEGINNING, 0.0

    def wants(self, queued: int) -> bool:
        """Whether a page should be read now."""
        return self._cursor is not None and not self._reading and queued <= self._limit // 2

    async def read(self, store: Store, book: Book) -> list[Flight]:
        """The next page: flights that `book` does not know yet."""
        if self._cursor is None or self._reading:
            return []
        self._reading = True
        self._again_from = math.inf
        try:
            made_at, sid = self._cursor
            rows = await store.fetch(records.OPEN, self.carrier, made_at, made_at, sid, _PAGE)
            found = [
                await _flight(store, message)
                for message in records.messages_of(rows)
                if message.sid not in book
            ]
            full = len(rows) == _PAGE
            last = records.message_of(rows[-1]) if full else None
            after = (math.inf, "") if last is None else (last.date_created, last.sid)
            after = min(after, (self._again_from, ""))
            self._cursor = after if after[0] < math.inf else None
        finally:
            self._reading = False
        return [flight for flight in found if flight.message.sid not in book]


async def _flight(store: Store, message: Message) -> Flight:
    """The flight of a message that the store holds; one never tried has no parts there."""
    rows = await store.fetch(segments.OF_MESSAGE, message.sid) if message.attempt else []
    return Flight.restored(message, map(segments.segment_of, rows))


class Backlogs:
    """Those of all carriers; `limit` messages of each are held in memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._backlogs: dict[str, Backlog] = {}

    def add(self, carrier: str) -> None:
        """The carrier is ours from now on."""
        self._backlogs[carrier] = Backlog(carrier, self._limit)

    def get(self, carrier: str) -> Backlog | None:
        """The backlog of a carrier; None if another process owns it."""
        return self._backlogs.get(carrier)

    def drop(self, carrier: str) -> None:
        """The carrier has another owner now."""
        self._backlogs.pop(carrier, None)

    def all(self) -> list[Backlog]:
        """Every one."""
        return list(self._backlogs.values())
