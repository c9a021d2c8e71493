"""Conferences and waits in queues whose process died: nobody is in them any more.

What a conference tells of its people's going and of its end is told all the same, once: in the
commit that ends it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from gateway.calls import queue_tables, room_tables
from gateway.calls.conference import Conference, Do, Leaving, Person, Status, Tell
from gateway.calls.model import CallStatus
from gateway.calls.restart import REASON
from gateway.calls.room_announced import NOBODY, Announced
from gateway.calls.room_book import told_of
from gateway.calls.room_tables import CALLED, ConferenceRow, ParticipantRow, participant_of
from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
from gateway.events import FactType, fact
from gateway.store.base import Lease, Query, Stale, Store, member_name
from gateway.webhooks.callbacks import Patience
from twiml.nouns import Conference as Noun
from twiml.nouns import ConferenceEvent
from twiml.parameters import Happening

__all__ = ["RoomCloser"]

_log = structlog.get_logger(__name__)
_PAGE: Final = 200


class RoomCloser:
    """See the module; `lease` fences each commit, `offer` takes jobs that are durable."""

    def __init__(
        self,
        store: Store,
        *,
        lease: Callable[[], Lease | None],
        clock: Callable[[], float],
        offer: Callable[[Job], None],
        patience: Patience,
    ) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock
        self._offer = offer
        self._patience = patience
        self._announced = Announced(store, lease=lease, clock=clock)

    async def look(self) -> None:
        """End those of processes that are no more."""
        await self._announced.look()
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
        left = {owner for owner, _ in found if member_name(owner) not in alive}
        return sorted(left - {NOBODY})

    async def _end(self, row: ConferenceRow) -> None:
        rows = await self._store.fetch(room_tables.IN, row.account_sid, row.sid)
        people = [person for each in rows if (person := participant_of(each)).status != CALLED]
        now = self._clock()
        conference, told = _left_by_all(row, people, now)
        jobs = [told_of(row, _because(each.happening), now, self._patience) for each in told]
        ended = msgspec.structs.replace(
            row,
            status=Status.COMPLETED.value,
            reason_ended=conference.reason or "",
            call_sid_ending=conference.ended_by,
            date_updated=now,
            version=row.version + 1,
            told=row.told + len(jobs),
        )
        sid, version = ended.sid, ended.version
        writes = [
            room_tables.updated(ended),
            room_tables.all_went(ended.account_sid, sid),
            fact(ended.account_sid, sid, version, FactType.CONFERENCE_ENDED, now, {}),
            *map(job_inserted, jobs),
        ]
        try:
            await self._store.commit(writes, self._lease())
        except Stale:  # another process was quicker
            return
        for job in jobs:
            self._offer(job)
        _log.warning("a conference of a dead process was ended", sid=sid)


def _left_by_all(
    row: ConferenceRow, people: Sequence[ParticipantRow], now: float
) -> tuple[Conference, list[Tell]]:
    """A conference from which all are gone, and what is told of that."""
    events = tuple(each for each in ConferenceEvent if each in row.status_callback_events.split())
    noun = Noun(
        name=row.friendly_name,
        status_callback=row.status_callback,
        status_callback_event=events,
    )
    conference = Conference(row.sid, noun)
    conference.resume(map(_person, sorted(people, key=lambda each: each.date_created)), row.told)
    dos: list[Do] = []
    for each in conference.people:
        dos += conference.leave(each.call_sid, Leaving.HUNG_UP, now, CallStatus.COMPLETED)
    dos += conference.end(now)  # of one that nobody was in
    return conference, [each for each in dos if isinstance(each, Tell)]


def _person(row: ParticipantRow) -> Person:
    return Person(
        call_sid=row.call_sid,
        label=row.label,
        muted=row.muted,
        hold=row.hold,
        coached=row.coached,
        start_on_enter=row.start_on_enter,
        end_on_exit=row.end_on_exit,
        joined=row.date_created,
    )


def _because(happening: Happening) -> Happening:
    """What is told of an end says why it came."""
    if not happening.ended_why:
        return happening
    return msgspec.structs.replace(happening, ended_why=REASON)
