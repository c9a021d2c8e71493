"""Conferences that REST calls somebody into before anybody is in.

Such a one has its SID at once, and nobody has it: its owner is "". Whoever comes first under its
name opens it under that SID. If all who are called into it come to nothing it is over.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.calls import room_tables, tables
from gateway.calls.conference import Reason, Status
from gateway.calls.model import OVER
from gateway.calls.room_tables import CALLED, ConferenceRow, ParticipantRow
from gateway.events import FactType, fact
from gateway.sids import CONFERENCE, new_sid
from gateway.store.base import Lease, Query, Stale, Store, Write

__all__ = ["Announced", "announced", "find", "is_announced"]

NOBODY: Final = ""
_PAGE: Final = 500
_CALLED: Final = Query(
    "participants_called",
    f"SELECT {', '.join(room_tables.PEOPLE)} FROM participants"
    f" WHERE status = '{CALLED}' AND call_sid > $1 ORDER BY call_sid LIMIT $2",
)


def announced(account_sid: str, name: str, now: float) -> tuple[ConferenceRow, list[Write]]:
    """A conference in which nobody is so far, and the writes that make it."""
    row = ConferenceRow(
        account_sid=account_sid,
        sid=new_sid(CONFERENCE, now),
        friendly_name=name,
        status=Status.INIT.value,
        owner=NOBODY,
        date_created=now,
        date_updated=now,
    )
    created = fact(account_sid, row.sid, row.version, FactType.CONFERENCE_CREATED, now, {})
    return row, [room_tables.inserted(row), created]


def is_announced(row: ConferenceRow) -> bool:
    """Whether nobody has come so far."""
    return row.owner == NOBODY and row.status == Status.INIT


async def find(store: Store, account_sid: str, name: str) -> ConferenceRow | None:
    """The one of this name that nobody has opened yet."""
    rows = await store.fetch(room_tables.NAMED, account_sid, name)
    row = room_tables.conference_of(rows[0]) if rows else None
    return row if row is not None and is_announced(row) else None


class Announced:
    """Ends them; `lease` fences each commit."""

    def __init__(
        self, store: Store, *, lease: Callable[[], Lease | None], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock

    async def over(self, account_sid: str, sid: str, call_sid: str) -> None:
        """A call into a conference is over: it is no participant any more."""
        await self._store.commit([room_tables.went(account_sid, sid, call_sid)], self._lease())
        rows = await self._store.fetch(room_tables.GET, account_sid, sid)
        row = room_tables.conference_of(rows[0]) if rows else None
        if row is None or not is_announced(row):
            return
        if not await self._store.fetch(room_tables.IN, account_sid, sid):
            await self.end(row, Reason.LAST_LEFT, call_sid)

    async def end(self, row: ConferenceRow, reason: Reason, call_sid: str = "") -> bool:
        """End one that nobody has opened; whether that was still so."""
        now = self._clock()
        ended = msgspec.structs.replace(
            row,
            status=Status.COMPLETED.value,
            reason_ended=reason.value,
            call_sid_ending=call_sid,
            date_updated=now,
            version=row.version + 1,
        )
        told = fact(row.account_sid, row.sid, ended.version, FactType.CONFERENCE_ENDED, now, {})
        try:
            await self._store.commit([room_tables.updated(ended), told], self._lease())
        except Stale:
            return False
        return True

    async def look(self) -> None:
        """Have whoever was called by a process that died be no participant."""
        after = ""
        while rows := await self._store.fetch(_CALLED, after, _PAGE):
            for each in map(room_tables.participant_of, rows):
                after = each.call_sid
                if await self._is_over(each):
                    await self.over(each.account_sid, each.conference_sid, each.call_sid)

    async def _is_over(self, person: ParticipantRow) -> bool:
        rows = await self._store.fetch(tables.GET, person.account_sid, person.call_sid)
        return not rows or tables.call_of(rows[0]).status in OVER
