"""How calls that REST makes come to be: stored, given a turn, and begun once.

The process that was asked takes a call for its own in the commit that stores it, so that a restart
ends what it could not begin. One that carries no calls stores it for nobody, with an order to make
it: of those that see the order, whose name is in the row first makes the call.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gateway.calls.book import changed_at
from gateway.calls.house import House
from gateway.calls.model import Call, CallStatus
from gateway.calls.orders import STALE, UNAVAILABLE, Crowded, Place
from gateway.calls.pace import Paces
from gateway.calls.placed import Placed
from gateway.calls.places import Find
from gateway.calls.scoped import Scoped
from gateway.store.base import Stale, Write


class Placing:
    """Those of one process.

    `full` says why none can be taken now, "" if one can. `begin` lets a call live, when it is
    stored if that is still to come.
    """

    def __init__(
        self,
        house: House,
        paces: Paces,
        *,
        full: Callable[[], str],
        begin: Callable[[Scoped, Awaitable[None] | None], None],
        find: Find,
    ) -> None:
        self._house = house
        self._paces = paces
        self._full = full
        self._begin = begin
        self._find = find

    async def take(self, call: Call, place: Place, also: Sequence[Write]) -> Call | Crowded:
        """See `orders.Orders.place`."""
        house, wait = self._house, self._turn(call.account_sid)
        if isinstance(wait, Crowded):
            return wait
        mine = msgspec.structs.replace(call, owner=house.owner)
        stored = house.book.commit([*house.book.begun(mine, None), *also])
        live = Placed(house, mine, place, self._find, wait=wait)
        self._begin(live, asyncio.shield(stored))
        await asyncio.shield(stored)  # who asked may be gone: the call is made all the same
        return mine

    async def claim(self, account_sid: str, sid: str, place: Place) -> Call | None:
        """Make a call that another process has stored, unless somebody else was quicker."""
        house = self._house
        call = await house.book.get(account_sid, sid)
        if call is None or call.owner or call.status is not CallStatus.QUEUED:
            return call
        if call.date_created < house.clock() - STALE:
            return call  # `restart` ends it
        wait = self._turn(account_sid)
        if isinstance(wait, Crowded):
            return None  # another process may have room
        mine = changed_at(call, house.clock(), owner=house.owner)
        try:
            await house.book.commit(house.book.updated(mine))
        except Stale:
            return call
        self._begin(Placed(house, mine, place, self._find, wait=wait), None)
        return mine

    def _turn(self, account_sid: str) -> float | Crowded:
        """In how many seconds another call of the account may begin."""
        if why := self._full():
            return Crowded(f"No call can be made now: {why}", UNAVAILABLE)
        wait = self._paces.take(account_sid, self._house.clock())
        if wait is None:
            return Crowded("Too many calls of the account wait ([sip] max_queued); try again later")
        return wait
