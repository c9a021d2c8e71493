"""The newest facts as they were appended: who keeps up with them need not ask the disk.

Reading rows back takes a thread that wants the interpreter's lock for each of them, from an event
loop that is busy appending the next.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from gateway.store.base import Fact

COLUMNS: Final = ("account_sid", "sid", "version", "type", "at", "data")
_MOST: Final = 8192  # facts; twice what comes while a reader that keeps up rests
_OCTETS: Final = 4 * 2**20  # of their data


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of COLUMNS, at least one, that have the ids from `first` to `last`."""

    first: int
    last: int
    rows: Sequence[tuple[Any, ...]]

    @property
    def octets(self) -> int:
        """About how much memory their data takes."""
        return sum([len(row[-1]) for row in self.rows])


class RecentFacts:
    """All facts above some id, which are not more than memory may take."""

    def __init__(self, newest: int) -> None:
        """Facts up to the id `newest` are on the disk alone."""
        self._parts: deque[Part] = deque()
        self._above = self._newest = newest
        self._count = self._octets = 0

    def add(self, part: Part) -> None:
        """Take in what was committed; parts come in the order of their ids."""
        if part.first != self._newest + 1:  # what is between may stand on the disk
            self.forget(part.first - 1)
        self._newest = part.last
        self._parts.append(part)
        self._count += len(part.rows)
        self._octets += part.octets
        while self._count > _MOST or self._octets > _OCTETS:
            oldest = self._parts.popleft()
            self._above = oldest.last
            self._count -= len(oldest.rows)
            self._octets -= oldest.octets

    def forget(self, newest: int) -> None:
        """Facts were changed or deleted: those up to `newest` are as the disk has them."""
        self._parts.clear()
        self._above = self._newest = newest
        self._count = self._octets = 0

    def after(self, cursor: int, limit: int) -> list[Fact] | None:
        """The first `limit` facts after `cursor`; None if the disk must be asked."""
        if cursor < self._above:
            return None
        found: list[Fact] = []
        for part in islice(self._parts, self._place(cursor), None):
            skipped = max(0, cursor + 1 - part.first)
            rows = part.rows[skipped : skipped + limit - len(found)]
            found += map(_fact, range(part.first + skipped, part.last + 1), rows)
            if len(found) >= limit:
                break
        return found

    def _place(self, cursor: int) -> int:
        """Where the first part stands that has a fact after `cursor`: mostly near the end."""
        place = len(self._parts)
        for part in reversed(self._parts):
            if part.last <= cursor:
                break
            place -= 1
        return place


def _fact(fact_id: int, row: tuple[Any, ...]) -> Fact:
    account_sid, sid, version, kind, at, data = row
    return Fact(
        id=fact_id,
        account_sid=account_sid,
        sid=sid,
        version=version,
        type=str(kind),
        at=float(at),
        data=data,
    )
