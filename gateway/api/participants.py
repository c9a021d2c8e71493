"""Who is in a conference: `…/Conferences/{ConferenceSid}/Participants`, by call or by label."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.api import call_lists, conferences
from gateway.api.declare import PATH, Resource
from gateway.api.http import not_found, refuse, rfc2822
from gateway.api.paging import Page, Slice
from gateway.api.participant_create import PARAMS, called_into, misnamed
from gateway.api.resources import Call, Kind, Param
from gateway.api.rows import sliced
from gateway.calls import room_announced
from gateway.calls.conference import Status
from gateway.calls.model import Call as Record
from gateway.calls.model import CallStatus
from gateway.calls.orders import Complete
from gateway.calls.room_orders import ChangePerson
from gateway.calls.room_tables import (
    CALLED,
    GET,
    IN,
    NAMED,
    ConferenceRow,
    ParticipantRow,
    came,
    conference_of,
    participant_of,
)
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.sids import CALL, CONFERENCE, is_sid
from gateway.store.base import Row, Write

__all__ = ["RESOURCES"]

_PATIENCE: Final = 3.0  # seconds for a change to be durable
_LOOK: Final = 0.02
_IN: Final = "connected"
_RINGING: Final = {
    CallStatus.INITIATED: "connecting",
    CallStatus.RINGING: "ringing",
    CallStatus.IN_PROGRESS: "connecting",  # on their way in
}
_SAID: Final = ("Muted", "Coaching", "StartConferenceOnEnter", "EndConferenceOnExit")


class ParticipantBody(msgspec.Struct, frozen=True, kw_only=True):
    """One who is in a conference, as REST shows it."""

    account_sid: str
    call_sid: str
    call_sid_to_coach: str | None
    coaching: bool
    conference_sid: str | None
    date_created: str
    date_updated: str
    end_conference_on_exit: bool
    hold: bool
    label: str | None
    muted: bool
    queue_time: None = None
    start_conference_on_enter: bool
    status: str
    uri: str


def body(call: Call, found: ParticipantRow) -> ParticipantBody:
    """The JSON of a participant."""
    above = f"{PATH.format(AccountSid=found.account_sid)}/Conferences/{found.conference_sid}"
    return ParticipantBody(
        account_sid=found.account_sid,
        call_sid=found.call_sid,
        call_sid_to_coach=found.coached or None,
        coaching=bool(found.coached),
        conference_sid=found.conference_sid or None,
        date_created=rfc2822(found.date_created),
        date_updated=rfc2822(found.date_updated),
        end_conference_on_exit=found.end_on_exit,
        hold=found.hold,
        label=found.label or None,
        muted=found.muted,
        start_conference_on_enter=found.start_on_enter,
        status=found.status,
        uri=f"{above}/Participants/{found.call_sid}.json",
    )


async def _people(call: Call) -> list[ParticipantRow] | Refusal:
    conference = await conferences.find(call)
    if isinstance(conference, Refusal):
        return conference
    rows = await call.services.store.fetch(IN, conference.account_sid, conference.sid)
    people = [participant_of(row) for row in rows]
    return [each if each.status != CALLED else await _ringing(call, each) for each in people]


async def _ringing(call: Call, person: ParticipantRow) -> ParticipantRow:
    """How far the call is into which somebody is called."""
    found = await call_lists.LISTING.named(call, person.call_sid)
    status = CALLED if isinstance(found, Refusal) else _RINGING.get(found.status, CALLED)
    return msgspec.structs.replace(person, status=status)


async def find(call: Call) -> ParticipantRow | Refusal:
    """One who is in now or is called, by the SID of their call or by their label."""
    people, named = await _people(call), call.path["CallSid"]
    if isinstance(people, Refusal):
        return people
    found = next((each for each in people if named in (each.call_sid, each.label)), None)
    return found or not_found(call.request.path)


async def pages(call: Call, page: Page) -> Slice | Refusal:
    """Who is in now or is called, who came last is first."""
    people = await _people(call)
    if isinstance(people, Refusal):
        return people
    wanted = {name: call.switch(name) for name in ("Muted", "Hold", "Coaching")}
    shown = [
        each
        for each in people
        if wanted["Muted"] in (None, each.muted)
        and wanted["Hold"] in (None, each.hold)
        and wanted["Coaching"] in (None, bool(each.coached))
    ]
    return sliced(shown, lambda each: each.call_sid, page)


async def create(call: Call) -> ParticipantRow | Refusal:
    """Call somebody into a conference, by its SID or its name; it is there from now on.

    Until they answer they are queued, connecting or ringing, and nobody hears them.
    """
    found = await _room(call)
    if isinstance(found, Refusal):
        return found
    room, writes = found
    taken = _label_taken(call, await call.services.store.fetch(IN, room.account_sid, room.sid))
    if taken is not None:
        return taken
    called = _called(call, room)

    def stored(record: Record) -> list[Write]:
        return [*writes, came(msgspec.structs.replace(called, call_sid=record.sid))]

    record = await called_into(call, room, stored)
    if isinstance(record, Refusal):
        return record
    return msgspec.structs.replace(called, call_sid=record.sid)


async def _room(call: Call) -> tuple[ConferenceRow, list[Write]] | Refusal:
    """The conference that the path names, and the writes that make it if it is not there."""
    named, account_sid = call.path["ConferenceSid"], call.account.sid
    by_sid = is_sid(named, CONFERENCE)
    rows = await call.services.store.fetch(GET if by_sid else NAMED, account_sid, named)
    if not rows:
        if by_sid:
            return not_found(call.request.path)
        return misnamed(named) or room_announced.announced(account_sid, named, call.now)
    found = conference_of(rows[0])
    if found.status == Status.COMPLETED:
        return refuse(16022, "The conference is over")
    return found, []


def _label_taken(call: Call, rows: Sequence[Row]) -> Refusal | None:
    label = call.text("Label")
    if label and any(participant_of(row).label == label for row in rows):
        return refuse(16026, f"The label '{label[:40]}' is another's in the conference")
    return None


def _called(call: Call, room: ConferenceRow) -> ParticipantRow:
    """Who is called, as the form says; the call is still to be made."""
    said = {name: call.switch(name) for name in _SAID}
    return ParticipantRow(
        account_sid=room.account_sid,
        conference_sid=room.sid,
        call_sid="",
        label=call.text("Label"),
        muted=said["Muted"] is True,
        hold=False,
        coached=call.text("CallSidToCoach") if said["Coaching"] else "",
        start_on_enter=said["StartConferenceOnEnter"] is not False,
        end_on_exit=said["EndConferenceOnExit"] is True,
        date_created=call.now,
        date_updated=call.now,
        status=CALLED,
    )


async def update(call: Call, found: ParticipantRow) -> ParticipantRow | Refusal:
    """Mute or hold somebody, let them coach or hear a document, or change what their going does."""
    order = _order(call, found)
    if isinstance(order, Refusal):
        return order
    if found.status != _IN:
        return refuse(21220, f"They are {found.status}: who is in can be changed")
    await conferences.ordered(call, found.conference_sid, order)
    for _ in range(round(_PATIENCE / _LOOK)):
        after = await find(call)
        if isinstance(after, Refusal) or _is_as(after, order):
            return after
        await asyncio.sleep(_LOOK)
    return after


def _order(call: Call, found: ParticipantRow) -> ChangePerson | Refusal:
    for name in ("HoldUrl", "AnnounceUrl", "WaitUrl"):
        url = call.text(name)
        if url and not is_http_url(url):
            return refuse(21205, f"{name} should be an http or https URL, not '{url[:80]}'")
    coached, coaching = call.text("CallSidToCoach"), call.switch("Coaching")
    if coached and not is_sid(coached, CALL):
        return refuse(13240, "CallSidToCoach should be the SID of a call")
    if coaching and not (coached or found.coached):
        return refuse(13240, "Coaching=true takes the CallSidToCoach as well")
    changed = coached if coached else None
    if coaching is False:
        changed = ""
    return ChangePerson(
        call_sid=found.call_sid,
        muted=call.switch("Muted"),
        hold=call.switch("Hold"),
        coached=changed,
        end_on_exit=call.switch("EndConferenceOnExit"),
        beep_on_exit=call.switch("BeepOnExit"),
        hold_url=call.text("HoldUrl"),
        hold_method=(call.text("HoldMethod") or "POST").upper(),
        wait_url=call.text("WaitUrl") if "WaitUrl" in call.form else None,
        wait_method=(call.text("WaitMethod") or "POST").upper(),
        announce_url=call.text("AnnounceUrl"),
        announce_method=(call.text("AnnounceMethod") or "POST").upper(),
    )


def _is_as(row: ParticipantRow, order: ChangePerson) -> bool:
    names = ("muted", "hold", "coached", "end_on_exit")
    return all(getattr(order, name) in (None, getattr(row, name)) for name in names)


async def delete(call: Call, found: ParticipantRow) -> Refusal | None:
    """Send somebody out of the conference, or call them no more.

    The call of who was in goes on as its documents say.
    """
    if found.status == _IN:
        order = ChangePerson(call_sid=found.call_sid, removed=True)
        await conferences.ordered(call, found.conference_sid, order)
    else:
        await conferences.ordered(call, found.call_sid, Complete())
    for _ in range(round(_PATIENCE / _LOOK)):
        if isinstance(await find(call), Refusal):
            return None
        await asyncio.sleep(_LOOK)
    return None


def _switch(name: str, doc: str) -> Param:
    return Param(name=name, kind=Kind.BOOLEAN, doc=doc)


_UPDATE: Final = (
    _switch("Muted", "Whether the others don't hear them."),
    _switch("Hold", "Whether they hear something else than the conference."),
    Param(name="HoldUrl", doc="Where the document is that they hear on hold; music without it."),
    Param(name="HoldMethod", kind=Kind.METHOD, error_code=21209, doc="How it is asked: POST."),
    Param(name="WaitUrl", doc="What they hear until it starts; nothing is silence."),
    Param(name="WaitMethod", kind=Kind.METHOD, error_code=21209, doc="How it is asked: POST."),
    Param(name="AnnounceUrl", doc="Where the document is that they hear now, once."),
    Param(name="AnnounceMethod", kind=Kind.METHOD, error_code=21209, doc="How: POST."),
    _switch("BeepOnExit", "Whether the conference hears a beep when they go."),
    _switch("EndConferenceOnExit", "Whether their going ends the conference."),
    _switch("Coaching", "Whether one call alone hears them."),
    Param(name="CallSidToCoach", doc="Which call that is."),
)

RESOURCES: Final = (
    Resource[ParticipantRow](
        name="Participant",
        path=f"{PATH}/Conferences/{{ConferenceSid}}/Participants",
        variable="CallSid",
        prefixes=(CALL,),
        list_key="participants",
        returns=ParticipantBody,
        body=body,
        find=find,
        pages=pages,
        create=create,
        create_params=PARAMS,
        update=update,
        delete=delete,
        filters=(
            _switch("Muted", "Only those who are muted, or are not."),
            _switch("Hold", "Only those on hold, or who are not."),
            _switch("Coaching", "Only those who coach, or don't."),
        ),
        update_params=_UPDATE,
    ),
)
