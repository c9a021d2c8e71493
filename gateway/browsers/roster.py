"""Who of the Voice SDK is connected to this process, since when and from where, for `/v1/clients`.

Each account sees its own. The order is that of identities and, within one, of their coming, so a
page begins where the last one ended whoever came and went meanwhile.
"""

import heapq
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING

import msgspec

from protocols.sip.transport import Flow

if TYPE_CHECKING:
    from gateway.browsers.client import Client

Place = tuple[str, int]  # (identity, number)


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """One device: `number` counts those that came, `since` and `expires_at` are in seconds of the
    epoch, the latter of its token. `calls` are the SIDs of those that it has.
    """

    identity: str
    number: int
    agent: str
    flow: Flow
    is_registered: bool
    calls: tuple[str, ...]
    since: float
    expires_at: float

    @property
    def place(self) -> Place:
        """What comes after it follows on the next page."""
        return self.identity, self.number


class _Seat(msgspec.Struct, frozen=True, kw_only=True):
    client: "Client"
    number: int
    since: float


class Roster:
    """See the module; `clock` gives seconds of the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._numbers = count(1)
        self._seats: dict[str, dict[Client, _Seat]] = {}  # by account

    def came(self, account_sid: str, client: "Client") -> None:
        """A client has shown a token that is good, its first."""
        seat = _Seat(client=client, number=next(self._numbers), since=self._clock())
        self._seats.setdefault(account_sid, {})[client] = seat

    def left(self, client: "Client") -> None:
        """A client is gone, if it ever came."""
        seats = self._seats.get(client.account_sid, {})
        seats.pop(client, None)
        if not seats:
            self._seats.pop(client.account_sid, None)

    def page(self, account_sid: str, limit: int, after: Place = ("", 0)) -> Sequence[Present]:
        """The first `limit` devices of an account behind `after`."""
        seats = self._seats.get(account_sid, {}).values()
        places = (((each.client.identity, each.number), each) for each in seats)
        behind = ((place, each) for place, each in places if place > after)
        chosen = heapq.nsmallest(limit, behind, key=lambda each: each[0])
        return [_present(seat) for _, seat in chosen]


def _present(seat: _Seat) -> Present:
    client = seat.client
    access = client.access
    return Present(
        identity=client.identity,
        number=seat.number,
        agent=client.agent,
        flow=client.flow,
        is_registered=client.is_registered,
        calls=client.calls,
        since=seat.since,
        expires_at=0.0 if access is None else access.expires,
    )
