"""Conferences and waits in queues whose process died: nobody is in them any more."""

from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from gateway.calls import queue_tables, room_tables
from gateway.calls.conference import Status
from gateway.calls.room_tables import ConferenceRow
from gateway.events import FactType, fact
from gateway.store.base import Lease, Query, Stale, Store, member_name

__all__ = ["RoomCloser"]

_log = structlog.get_logger(__name__)
_PAGE: Final = 200


class RoomCloser:
    """See the module; `lease` fences each commit."""

    def __init__(
        self, store: Store, *, lease: Callable[[], Lease | None], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock

    async def look(self) -> None:
        """End those of processes that are no more."""
        for owner in await self._orphaned(room_tables.OPEN_OWNERS):
            after = ""
            while rows := await self._store.fetch(room_tables.OPEN, owner, after, _PAGE):
                for row in map(room_tables.conference_of, rows):
                    await self._end(row)
                    after = row.sid
        for owner in await self._orphaned(queue_tables.OWNERS):
            rows = await self._store.fetch(queue_tables.OF_OWNER, owner)
            left = [queue_tables.member_of(row) for row in rows]
            await self._store.commit(
                [
                    queue_tables.went(each.account_sid, each.queue_sid, each.call_sid)
                    for each in left
                ],
                self._lease(),
            )

    async def _orphaned(self, owners: Query) -> list[str]:
        found = await self._store.fetch(owners)
        alive = {lease.name for lease in await self._store.leases()}
        return sorted(owner for owner, _ in found if member_name(owner) not in alive)

    async def _end(self, row: ConferenceRow) -> None:
        now = self._clock()
        ended = msgspec.structs.replace(
            row, status=Status.COMPLETED.value, date_updated=now, version=row.version + 1
        )
        sid, version = ended.sid, ended.version
        writes = [
            room_tables.updated(ended),
            room_tables.all_went(ended.account_sid, sid),
            fact(ended.account_sid, sid, version, FactType.CONFERENCE_ENDED, now, {}),
        ]
        try:
            await self._store.commit(writes, self._lease())
        except Stale:  # another process was quicker
            return
        _log.warning("a conference of a dead process was ended", sid=sid)
