"""A conference as it is kept while it lives: its row, who is in it, and who is told.

Every change is put into its `Keeping` in the order in which it happened: rows, the fact and the
callback that it makes due, together.
"""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.calls import room_tables as tables
from gateway.calls.conference import Conference, Person
from gateway.calls.room_tables import ConferenceRow, ParticipantRow
from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
from gateway.events import FactType, fact
from gateway.store.base import Write
from gateway.webhooks.callbacks import Patience, Payload, callback
from twiml.nouns import Conference as Noun
from twiml.parameters import Happening, conference_parameters

if TYPE_CHECKING:
    from gateway.calls.house import House

__all__ = ["KIND", "RoomBook", "told_of"]

KIND: Final = "conference_status"


class RoomBook:
    """See the module; `noun` is that of the first one, `announced` what is stored already."""

    def __init__(
        self,
        house: "House",
        account_sid: str,
        conference: Conference,
        noun: Noun,
        announced: ConferenceRow | None,
    ) -> None:
        self._house = house
        self._conference = conference
        self.keeping: Final = house.keeping(conference.sid)
        now = house.clock()
        self._is_announced = announced is not None
        asked: dict[str, Any] = {
            "owner": house.owner,
            "date_updated": now,
            "status_callback": noun.status_callback or noun.event_callback_url,
            "status_callback_method": noun.status_callback_method,
            "status_callback_events": " ".join(sorted(conference.events)),
        }
        if announced is not None:
            version = announced.version + 1
            self.row = msgspec.structs.replace(announced, version=version, **asked)
            return
        self.row = ConferenceRow(
            account_sid=account_sid,
            sid=conference.sid,
            friendly_name=conference.name,
            status=conference.status.value,
            date_created=now,
            **asked,
        )

    def begin(self) -> None:
        """Keep it for the first time, or that somebody has it now."""
        if self._is_announced:
            self.keeping.put([tables.updated(self.row)])
            return
        self._put([tables.inserted(self.row)], FactType.CONFERENCE_CREATED)

    def move(self) -> None:
        """Keep how far it is."""
        conference = self._conference
        self.row = msgspec.structs.replace(
            self.row,
            status=conference.status.value,
            reason_ended="" if conference.reason is None else conference.reason.value,
            call_sid_ending=conference.ended_by,
            date_updated=self._house.clock(),
            version=self.row.version + 1,
        )
        over = conference.reason is not None
        kind = FactType.CONFERENCE_ENDED if over else FactType.CONFERENCE_STARTED
        self._put([tables.updated(self.row)], kind)

    def came(self, person: Person) -> None:
        """Somebody is in."""
        self._put(tables.came_in(self._row(person)), FactType.PARTICIPANT_JOINED, person.call_sid)

    def changed(self, person: Person) -> None:
        """Somebody is otherwise than before."""
        self._put(
            [tables.changed(self._row(person))], FactType.PARTICIPANT_UPDATED, person.call_sid
        )

    def went(self, call_sid: str) -> None:
        """Somebody is in no more."""
        gone = tables.went(self.row.account_sid, self.row.sid, call_sid)
        self._put([gone], FactType.PARTICIPANT_LEFT, call_sid)

    def tell(self, happening: Happening) -> None:
        """Have the room's status callback told."""
        house = self._house
        self.row = msgspec.structs.replace(self.row, told=happening.sequence)
        job = told_of(self.row, happening, house.clock(), house.patience)
        self.keeping.put([job_inserted(job), tables.told(self.row)], [job])

    def _row(self, person: Person) -> ParticipantRow:
        return ParticipantRow(
            account_sid=self.row.account_sid,
            conference_sid=self.row.sid,
            call_sid=person.call_sid,
            label=person.label,
            muted=person.muted,
            hold=person.hold,
            coached=person.coached,
            start_on_enter=person.start_on_enter,
            end_on_exit=person.end_on_exit,
            date_created=person.joined,
            date_updated=self._house.clock(),
        )

    def _put(self, writes: list[Write], kind: FactType, call_sid: str = "") -> None:
        row = self.row
        data = {"call_sid": call_sid} if call_sid else {}
        happened = fact(row.account_sid, row.sid, row.version, kind, self._house.clock(), data)
        self.keeping.put([*writes, happened])


def told_of(row: ConferenceRow, happening: Happening, now: float, patience: Patience) -> Job:
    """The job that tells the status callback of a conference."""
    payload = Payload(
        url=row.status_callback,
        method=row.status_callback_method,
        parameters=[("AccountSid", row.account_sid), *conference_parameters(happening)],
    )
    return callback(KIND, row.account_sid, row.sid, payload, now, patience)
