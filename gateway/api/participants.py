"""Who is in a conference: `…/Conferences/{ConferenceSid}/Participants`, by call or by label."""

import asyncio
from typing import Final

import msgspec

from gateway.api import conferences
from gateway.api.declare import PATH, Resource
from gateway.api.http import not_found, refuse, rfc2822
from gateway.api.paging import Page, Slice
from gateway.api.participant_create import PARAMS, called_into
from gateway.api.resources import Call, Kind, Param
from gateway.api.rows import sliced
from gateway.calls.conference import Status
from gateway.calls.room_orders import ChangePerson
from gateway.calls.room_tables import (
    GET,
    IN,
    NAMED,
    ParticipantRow,
    conference_of,
    participant_of,
)
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.sids import CALL, CONFERENCE, is_sid

__all__ = ["RESOURCES"]

_PATIENCE: Final = 3.0  # seconds for a change to be durable
_LOOK: Final = 0.02
_TRUE: Final = {"true": True, "false": False}
_SAID: Final = ("Muted", "Coaching", "StartConferenceOnEnter", "EndConferenceOnExit")


class _Called(ParticipantRow, frozen=True, kw_only=True):
    """One who is being called, and will be in when they answer."""


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
    status: str = "connected"
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
        status="queued" if isinstance(found, _Called) else "connected",
        uri=f"{above}/Participants/{found.call_sid}.json",
    )


async def _people(call: Call) -> list[ParticipantRow] | Refusal:
    conference = await conferences.find(call)
    if isinstance(conference, Refusal):
        return conference
    rows = await call.services.store.fetch(IN, conference.account_sid, conference.sid)
    return [participant_of(row) for row in rows]


async def find(call: Call) -> ParticipantRow | Refusal:
    """One who is in now, by the SID of their call or by their label."""
    people, named = await _people(call), call.path["CallSid"]
    if isinstance(people, Refusal):
        return people
    found = next((each for each in people if named in (each.call_sid, each.label)), None)
    return found or not_found(call.request.path)


async def pages(call: Call, page: Page) -> Slice | Refusal:
    """Who is in now, who came last is first."""
    people = await _people(call)
    if isinstance(people, Refusal):
        return people
    wanted = {name: _TRUE.get(call.text(name)) for name in ("Muted", "Hold", "Coaching")}
    shown = [
        each
        for each in people
        if wanted["Muted"] in (None, each.muted)
        and wanted["Hold"] in (None, each.hold)
        and wanted["Coaching"] in (None, bool(each.coached))
    ]
    return sliced(shown, lambda each: each.call_sid, page)


async def create(call: Call) -> ParticipantRow | Refusal:
    """Call somebody into a conference, by its SID or its name; its SID is null while nobody is in.

    Until they answer the call is no participant.
    """
    named, account_sid = call.path["ConferenceSid"], call.account.sid
    store = call.services.store
    rows = await store.fetch(NAMED, account_sid, named)
    if is_sid(named, CONFERENCE):
        rows = await store.fetch(GET, account_sid, named)
        if not rows:
            return not_found(call.request.path)
    found = conference_of(rows[0]) if rows else None
    if found is not None and found.status == Status.COMPLETED:
        return refuse(16022, "The conference is over")
    said = {name: _TRUE.get(call.text(name)) for name in _SAID}
    label, coached = call.text("Label"), call.text("CallSidToCoach")
    record = await called_into(call, found.friendly_name if found else named)
    if isinstance(record, Refusal):
        return record
    return _Called(
        account_sid=account_sid,
        conference_sid=found.sid if found else "",
        call_sid=record.sid,
        label=label,
        muted=said["Muted"] is True,
        hold=False,
        coached=coached if said["Coaching"] else "",
        start_on_enter=said["StartConferenceOnEnter"] is not False,
        end_on_exit=said["EndConferenceOnExit"] is True,
        date_created=call.now,
        date_updated=call.now,
    )


async def update(call: Call, found: ParticipantRow) -> ParticipantRow | Refusal:
    """Mute or hold somebody, let them coach or hear a document, or change what their going does."""
    order = _order(call, found)
    if isinstance(order, Refusal):
        return order
    await conferences.ordered(call, found.conference_sid, order)
    for _ in range(round(_PATIENCE / _LOOK)):
        after = await find(call)
        if isinstance(after, Refusal) or _is_as(after, order):
            return after
        await asyncio.sleep(_LOOK)
    return after


def _order(call: Call, found: ParticipantRow) -> ChangePerson | Refusal:
    for name in ("HoldUrl", "AnnounceUrl"):
        url = call.text(name)
        if url and not is_http_url(url):
            return refuse(21205, f"{name} should be an http or https URL, not '{url[:80]}'")
    coached, coaching = call.text("CallSidToCoach"), _TRUE.get(call.text("Coaching"))
    if coached and not is_sid(coached, CALL):
        return refuse(13240, "CallSidToCoach should be the SID of a call")
    if coaching and not (coached or found.coached):
        return refuse(13240, "Coaching=true takes the CallSidToCoach as well")
    changed = coached if coached else None
    if coaching is False:
        changed = ""
    return ChangePerson(
        call_sid=found.call_sid,
        muted=_TRUE.get(call.text("Muted")),
        hold=_TRUE.get(call.text("Hold")),
        coached=changed,
        end_on_exit=_TRUE.get(call.text("EndConferenceOnExit")),
        beep_on_exit=_TRUE.get(call.text("BeepOnExit")),
        hold_url=call.text("HoldUrl"),
        hold_method=(call.text("HoldMethod") or "POST").upper(),
        announce_url=call.text("AnnounceUrl"),
        announce_method=(call.text("AnnounceMethod") or "POST").upper(),
    )


def _is_as(row: ParticipantRow, order: ChangePerson) -> bool:
    names = ("muted", "hold", "coached", "end_on_exit")
    return all(getattr(order, name) in (None, getattr(row, name)) for name in names)


async def delete(call: Call, found: ParticipantRow) -> Refusal | None:
    """Send somebody out of the conference; their call goes on as its documents say."""
    order = ChangePerson(call_sid=found.call_sid, removed=True)
    await conferences.ordered(call, found.conference_sid, order)
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
