"""The conferences of this process, by their names: a room is made for the first who comes.

A name belongs to an account. When a room is over its name is free, though it may still be there
until its sound and its rows are written.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from gateway.calls import room_announced
from gateway.calls.conference import Refused
from gateway.calls.model import Call
from gateway.calls.orders import ChangeRecording, Order
from gateway.calls.room_orders import ChangePerson, ChangeRoom, carry_out
from gateway.calls.room_run import Room
from gateway.calls.room_tables import ConferenceRow
from gateway.media.wire import Told
from gateway.store.base import StoreError

if TYPE_CHECKING:
    from gateway.calls.attending import Attending
    from gateway.calls.house import House

__all__ = ["Rooms"]

_log = structlog.get_logger(__name__)


class Rooms:
    """See the module."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str], Room] = {}
        self._by_sid: dict[str, Room] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        """How many there are of which anything is left."""
        return len(self._by_sid)

    async def announced(self, house: "House", one: "Attending") -> ConferenceRow | None:
        """What REST has made of the room that somebody is to open, None for nothing."""
        account_sid, name = one.visitor.line.call.account_sid, one.noun.name
        if (account_sid, name) in self._by_name:
            return None
        try:
            return await room_announced.find(house.store, account_sid, name)
        except StoreError as error:
            _log.warning("a conference begins without the store", name=name, reason=str(error))
            return None

    def enter(
        self, house: "House", one: "Attending", announced: ConferenceRow | None
    ) -> Refused | None:
        """Have somebody in the room that their noun names; raises `NoMedia`."""
        key = one.visitor.line.call.account_sid, one.noun.name
        room = self._by_name.get(key)
        if room is None:
            room = Room(house, one, announced, over=self._over, gone=self._gone)
            self._by_name[key] = self._by_sid[room.sid] = room
            self._empty.clear()
        return room.join(one)

    def find(self, account_sid: str, sid: str) -> Room | None:
        """A room of the account that is not over."""
        room = self._by_sid.get(sid)
        if room is None or self._by_name.get((account_sid, room.name)) is not room:
            return None
        return room

    def order(self, account_sid: str, sid: str, order: Order) -> Call | None:
        """Do what REST wants; the call of one who was in, None if the room is not here."""
        room = self.find(account_sid, sid)
        if room is None:
            return None
        call = room.somebody
        match order:
            case ChangeRoom() | ChangePerson():
                carry_out(room, order)
            case ChangeRecording(sid=recorded, status=status, skips=skips):
                room.change_recording(recorded, status, skips=skips)
        return call

    def told(self, event: Told) -> bool:
        """Take what happened to a room's media; whether it is one of these."""
        room = self._by_sid.get(event.call)
        if room is not None:
            room.told(event)
        return room is not None

    def end(self, sid: str) -> None:
        """End a room whose media are lost; one that is not here is passed over."""
        room = self._by_sid.get(sid)
        if room is not None:
            room.end()

    async def close(self, patience: float) -> None:
        """End all, and have `patience` seconds for what is left of them."""
        for room in list(self._by_sid.values()):
            room.end()
            room.hurry()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._empty.wait()

    def _over(self, room: Room) -> None:
        self._by_name.pop((room.account_sid, room.name), None)

    def _gone(self, room: Room) -> None:
        self._by_sid.pop(room.sid, None)
        if not self._by_sid:
            self._empty.set()
