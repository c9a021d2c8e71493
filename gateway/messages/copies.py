"""A carrier's second copies: what it delivers again because our answer may not have reached it.

Only what is equal to the octet, only after the bind was lost (or we were) before the carrier had
surely read that the first one was taken, and only for a minute: two equal texts from a person
are two. What was taken is kept by its hash in the commit that took it, so that a crash between
the commit and the answer is known after the restart; it is forgotten in the first commit after
the carrier was seen to have read the answer.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from carriers.events import BindDown, Delivery, Received
from gateway.messages.changes import Changes
from gateway.sids import DELIVERY, new_sid
from gateway.store.base import Delete, Insert, Query, Store

WITHIN: Final = 60.0  # seconds
_MOST: Final = 100_000  # deliveries of one bind that are remembered
_PAGE: Final = 500

INSERT: Final = Insert(table="inbound_seen", columns=("id", "carrier", "digest", "at"))
DELETE: Final = Delete(table="inbound_seen", key=("id",))
SINCE: Final = Query(
    "inbound_seen_since",
    "SELECT id, digest, at FROM inbound_seen WHERE carrier = $1 AND at >= $2 ORDER BY id",
)
OLD: Final = Query("inbound_seen_old", "SELECT id FROM inbound_seen WHERE at < $1 LIMIT $2")


class _Seen(msgspec.Struct, frozen=True, gc=False):
    """A delivery that was taken: its row, its hash, when it came."""

    id: str
    digest: str
    at: float


class Copies:
    """What was delivered lately, and which of it may come again."""

    def __init__(self) -> None:
        self._seen: dict[int, dict[int, _Seen]] = {}  # by bind, by sequence_number
        self._doubtful: dict[tuple[str, str], list[_Seen]] = {}  # by carrier and hash

    async def recover(self, store: Store, carrier: str, now: float) -> None:
        """What the last owner of `carrier` took, it may not have answered."""
        for row in await store.fetch(SINCE, carrier, now - WITHIN):
            self._doubt(carrier, _Seen(*row))

    def drop(self, carrier: str) -> None:
        """Forget `carrier`, which has another owner now; its binds are gone."""
        for key in [key for key in self._doubtful if key[0] == carrier]:
            del self._doubtful[key]

    def is_copy(self, event: Received, changes: Changes) -> bool:
        """Whether `event` is a second copy; each delivery in doubt has one at a time."""
        waiting = self._doubtful.get((event.carrier, event.digest))
        while waiting:
            first = waiting.pop(0)
            changes.write((DELETE, (first.id,)))
            if first.at >= event.at - WITHIN:
                self.taken(event, changes)
                return True
        return False

    def taken(self, event: Received, changes: Changes) -> None:
        """`event` is taken by the commit of `changes`."""
        if not event.digest:
            return
        seen = _Seen(new_sid(DELIVERY, event.at), event.digest, event.at)
        changes.write((INSERT, (seen.id, event.carrier, seen.digest, seen.at)))
        of_bind = self._seen.setdefault(event.delivery.bind, {})
        of_bind[event.delivery.sequence_number] = seen
        if len(of_bind) > _MOST:
            del of_bind[next(iter(of_bind))]

    def refused(self, delivery: Delivery) -> None:
        """It was not taken after all, and comes again as something new."""
        self._seen.get(delivery.bind, {}).pop(delivery.sequence_number, None)

    def read(self, deliveries: Iterable[Delivery], changes: Changes) -> None:
        """Their carriers have read that these were taken: what comes from now on is new."""
        for delivery in deliveries:
            of_bind = self._seen.get(delivery.bind, {})
            seen = of_bind.pop(delivery.sequence_number, None)
            if seen is not None:
                changes.write((DELETE, (seen.id,)))

    def bind_lost(self, event: BindDown, changes: Changes) -> None:
        """What the carrier has not surely read the answers to is in doubt from now on."""
        unread = frozenset(event.unread)
        for sequence_number, seen in self._seen.pop(event.bind, {}).items():
            if sequence_number in unread:
                self._doubt(event.carrier, seen)
            else:
                changes.write((DELETE, (seen.id,)))

    def expire(self, now: float) -> None:
        """Forget what is older than `WITHIN`; its rows are pruned apart from this."""
        oldest = now - WITHIN
        for bind, of_bind in list(self._seen.items()):
            while of_bind and next(iter(of_bind.values())).at < oldest:
                del of_bind[next(iter(of_bind))]
            if not of_bind:
                del self._seen[bind]
        for key, waiting in list(self._doubtful.items()):
            if all(seen.at < oldest for seen in waiting):
                del self._doubtful[key]

    def _doubt(self, carrier: str, seen: _Seen) -> None:
        self._doubtful.setdefault((carrier, seen.digest), []).append(seen)


async def prune_inbound(store: Store, now: float) -> int:
    """Forget the rows that nobody asks for any more; how many."""
    pruned = 0
    while True:
        rows = await store.fetch(OLD, now - WITHIN, _PAGE)
        if rows:
            await store.commit([(DELETE, row) for row in rows])
        pruned += len(rows)
        if len(rows) < _PAGE:
            return pruned
