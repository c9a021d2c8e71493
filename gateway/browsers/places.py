"""How many sockets there may be at once: in all, and of one place.

A place is an IPv4 address or a /64 of IPv6.
"""

from collections import Counter
from collections.abc import Callable

import msgspec

from gateway.proxies import Peer


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why a socket is not opened, with the status of HTTP that says so."""

    status: int
    reason: str


class Places:
    """Counts sockets: `most` at once, `per_address` from one place; `what` they are called."""

    def __init__(self, most: int, per_address: int, what: str) -> None:
        self._most = most
        self._per_address = per_address
        self._what = what
        self._open: Counter[str] = Counter()
        self._count = 0

    def __len__(self) -> int:
        """How many are open."""
        return self._count

    def objection(self, place: str) -> Refused | None:
        """Why one more from there can't be; None if it can."""
        if self._count >= self._most:
            reason = f"{self._count} {self._what} are open, the most there are"
            return Refused(status=503, reason=reason)
        if self._open.get(place, 0) >= self._per_address:
            reason = f"{place} has {self._per_address} {self._what} open"
            return Refused(status=429, reason=reason)
        return None

    def take(self, place: str) -> None:
        """One more is open, whether or not there was room."""
        self._open[place] += 1
        self._count += 1

    def give(self, place: str) -> None:
        """One is closed."""
        self._count -= 1
        self._open[place] -= 1
        if not self._open[place]:
            del self._open[place]


class Visit:
    """One socket that was let in: whose it is, and what it takes up until it leaves."""

    def __init__(
        self, peer: Peer, place: str, strangers: Places, seats: Places, left: Callable[[], None]
    ) -> None:
        """It is one of the `strangers`; `seats` are for those who have shown who they are."""
        self.peer = peer
        self._place = place
        self._held: Places | None = strangers
        self._seats = seats
        self._left = left
        strangers.take(place)

    def prove(self) -> None:
        """It has shown who it is, and is a stranger no longer.

        A seat was free when it came. Where others took it since, there is one more, as many as
        there may be strangers: nobody is sent away for having been slow.
        """
        if self._held is not None and self._held is not self._seats:
            self._held.give(self._place)
            self._held = self._seats
            self._seats.take(self._place)

    def leave(self) -> None:
        """It is closed; said again it changes nothing."""
        if self._held is not None:
            self._held.give(self._place)
            self._held = None
            self._left()
