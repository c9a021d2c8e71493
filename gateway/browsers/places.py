"""How many sockets there may be at once: in all, and of one place.

A place is an IPv4 address or a /64 of IPv6.
"""

from collections import Counter
from collections.abc import Callable
from itertools import count

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

    def take(self, visit: "Visit") -> None:
        """One more is open, whether or not there was room."""
        self._open[visit.place] += 1
        self._count += 1

    def give(self, visit: "Visit") -> None:
        """One is closed."""
        self._count -= 1
        self._open[visit.place] -= 1
        if not self._open[visit.place]:
            del self._open[visit.place]


class Strangers(Places):
    """Counts those who have yet to show who they are, and lets few places not keep out all others.

    When there are as many as may be, who came first of the place that has the most makes way for
    one of a place that has fewer. Who shows a token or a password does so at once; who is idle has
    nothing to lose.
    """

    def __init__(self, most: int, per_address: int, what: str) -> None:
        super().__init__(most, per_address, what)
        self._visits: dict[str, dict[Visit, int]] = {}  # by place, numbered as they came
        self._numbers = count()

    def objection(self, place: str) -> Refused | None:
        """See `Places`."""
        if self._is_full and self._first_of_most(place) is not None:
            return None  # and one of this place is not one too many: another has more
        return super().objection(place)

    def take(self, visit: "Visit") -> None:
        """See `Places`; another one may have to make way."""
        if self._is_full and (other := self._first_of_most(visit.place)) is not None:
            other.make_way()
        self._visits.setdefault(visit.place, {})[visit] = next(self._numbers)
        super().take(visit)

    def give(self, visit: "Visit") -> None:
        """See `Places`."""
        super().give(visit)
        there = self._visits[visit.place]
        del there[visit]
        if not there:
            del self._visits[visit.place]

    @property
    def _is_full(self) -> bool:
        return len(self) >= self._most

    def _first_of_most(self, place: str) -> "Visit | None":
        """Who makes way for one of `place`; None if no other place has more."""
        most = max(self._visits.values(), key=_many_and_old)
        return next(iter(most)) if len(most) > self._open.get(place, 0) else None


def _many_and_old(visits: "dict[Visit, int]") -> tuple[int, int]:
    return len(visits), -next(iter(visits.values()))


class Visit:
    """One socket that was let in: whose it is, and what it takes up until it leaves."""

    def __init__(
        self,
        peer: Peer,
        place: str,
        strangers: Strangers,
        seats: Places,
        *,
        left: Callable[[], None],
        cut: Callable[[], None],
    ) -> None:
        """It is one of the `strangers`; `seats` are for those who have shown who they are.

        `left` is called when it has left, and before that `cut` if it has to: it ends the socket.
        """
        self.peer = peer
        self.place = place
        self._held: Places | None = strangers
        self._seats = seats
        self._left = left
        self._cut = cut
        strangers.take(self)

    def prove(self) -> None:
        """It has shown who it is, and is a stranger no longer.

        A seat was free when it came. Where others took it since, there is one more, as many as
        there may be strangers: nobody is sent away for having been slow.
        """
        if self._held is not None and self._held is not self._seats:
            self._held.give(self)
            self._held = self._seats
            self._seats.take(self)

    def make_way(self) -> None:
        """Its place is another's now."""
        self._cut()
        self.leave()

    def leave(self) -> None:
        """It is closed; said again it changes nothing."""
        if self._held is not None:
            self._held.give(self)
            self._held = None
            self._left()
