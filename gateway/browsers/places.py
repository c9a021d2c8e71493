"""How many sockets there may be at once: in all, and of one place.

A place is an IPv4 address or a /64 of IPv6.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.proxies import Peer

_TIME: Final = 5.0  # seconds for a stranger to show who it is while others wait for its place
_CROWD: Final = 2  # times as many as the newcomer's place would have


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
    """Counts those who have yet to show who they are, and has the idle ones keep nobody out.

    Where a newcomer finds no place, who came first makes way: of its own place where that has as
    many as it may, else of the one that has the most, or of all if nobody there has been for long.
    Who shows a token or a password does so at once, so whoever had `_TIME` for it goes; sooner only
    who is of a crowd. When all come at once, as after a restart, those who are at it are not driven
    out.
    """

    def __init__(self, most: int, per_address: int, what: str, clock: Callable[[], float]) -> None:
        super().__init__(most, per_address, what)
        self._clock = clock
        self._visits: dict[str, dict[Visit, float]] = {}  # by place, with when they came

    def objection(self, place: str) -> Refused | None:
        """See `Places`."""
        refused = super().objection(place)
        return None if refused is None or self._who_goes(place) is not None else refused

    def take(self, visit: "Visit") -> None:
        """See `Places`; another one may have to make way."""
        if super().objection(visit.place) is not None:
            goes = self._who_goes(visit.place)
            if goes is not None:
                goes.make_way()
        self._visits.setdefault(visit.place, {})[visit] = self._clock()
        super().take(visit)

    def give(self, visit: "Visit") -> None:
        """See `Places`."""
        super().give(visit)
        there = self._visits[visit.place]
        del there[visit]
        if not there:
            del self._visits[visit.place]

    def _who_goes(self, place: str) -> "Visit | None":
        """Who makes way for one more of `place`, where there is no room for it."""
        own = self._visits.get(place, {})
        is_own = len(own) >= self._per_address
        crowd = own if is_own else max(self._visits.values(), key=_many_and_old)
        oldest = crowd if is_own else min(self._visits.values(), key=_old)
        for several in (crowd, oldest):
            first, came = next(iter(several.items()))
            if self._clock() - came >= _TIME:
                return first
        return next(iter(crowd)) if len(crowd) > _CROWD * (len(own) + 1) else None


def _many_and_old(visits: "dict[Visit, float]") -> tuple[int, float]:
    return len(visits), -_old(visits)


def _old(visits: "dict[Visit, float]") -> float:
    """When the first of them came."""
    return next(iter(visits.values()))


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
