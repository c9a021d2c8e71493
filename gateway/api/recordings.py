"""Recordings: `/2010-04-01/Accounts/{AccountSid}/Recordings`, and those of a call below it.

They are read from the store, their sound from files. One that runs belongs to the process that has
its call: what is asked of it goes there as an order.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from gateway.api import call_lists
from gateway.api.declare import API_VERSION, PATH, Resource
from gateway.api.http import answer_json, not_found, refuse, request_headers, rfc2822
from gateway.api.lists import Listing, Range, between
from gateway.api.paging import Page, Slice
from gateway.api.resources import Call, Kind, Param, Result
from gateway.calls import documents, orders
from gateway.calls.documents import Note
from gateway.calls.model import Call as CallRecord
from gateway.calls.model import CallStatus
from gateway.calls.orders import ChangeRecording, Order, RecordCall
from gateway.events import FactType, fact
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.recordings import tables
from gateway.recordings.encoding import Form, Unplayable
from gateway.recordings.files import MP3, WAV
from gateway.recordings.model import OVER, Recording, RecordingStatus
from gateway.sids import RECORDING, new_sid
from gateway.store.base import Row
from twiml.errors import Level
from twiml.nouns import RecordingEvent, RecordingTrack, Trim
from twiml.verbs import StartRecording

CURRENT: Final = "Twilio.CURRENT"
_PATIENCE: Final = 3.0  # seconds for another process to take an order, and for it to be durable
_LOOK: Final = 0.02
_JSON: Final = ".json"
_TYPES: Final = {WAV: "audio/x-wav", MP3: "audio/mpeg"}
_CONFIGURATION: Final = "RecordingConfigurationId"
_CHANNELS: Final = {"": 0, "1": 1, "2": 2}
_WORDS: Final = {"mono": 1, "dual": 2, "": 1}
_SETTABLE: Final = (
    RecordingStatus.IN_PROGRESS,
    RecordingStatus.PAUSED,
    RecordingStatus.STOPPED,
)


class CallRecordingBody(msgspec.Struct, frozen=True, kw_only=True):
    """A recording as REST shows it below its call; numbers are texts, as at Twilio."""

    account_sid: str
    api_version: str = API_VERSION
    call_sid: str | None
    conference_sid: str | None
    channels: int
    date_created: str
    date_updated: str
    duration: str | None
    encryption_details: None = None
    error_code: int | None
    price: None = None
    price_unit: str = "USD"
    sid: str
    source: str
    start_time: str
    status: str
    track: str
    uri: str


class RecordingBody(CallRecordingBody, frozen=True, kw_only=True):
    """The same as a resource of its own; `media_url` is where its sound is."""

    media_url: str
    subresource_uris: dict[str, str]


def _shown(recording: Recording, uri: str) -> dict[str, Any]:
    return {
        "account_sid": recording.account_sid,
        "call_sid": recording.call_sid or None,
        "conference_sid": recording.conference_sid or None,
        "channels": recording.channels,
        "date_created": rfc2822(recording.date_created),
        "date_updated": rfc2822(recording.date_updated),
        "duration": str(recording.seconds) if recording.status in OVER else None,
        "error_code": recording.error_code or None,
        "sid": recording.sid,
        "source": recording.source,
        "start_time": rfc2822(recording.start_time),
        "status": recording.status,
        "track": recording.track,
        "uri": f"{uri}.json",
    }


def body(call: Call, recording: Recording) -> RecordingBody:
    """The JSON of a recording."""
    uri = f"{PATH.format(AccountSid=recording.account_sid)}/Recordings/{recording.sid}"
    below = {"add_on_results": "AddOnResults", "transcriptions": "Transcriptions"}
    return RecordingBody(
        **_shown(recording, uri),
        media_url=call.services.recordings.url(recording),
        subresource_uris={name: f"{uri}/{path}.json" for name, path in below.items()},
    )


def body_of_call(call: Call, recording: Recording) -> CallRecordingBody:
    """The JSON of a recording below its call."""
    return body_below("Calls", recording.call_sid, recording)


def body_below(kind: str, of: str, recording: Recording) -> CallRecordingBody:
    """The JSON of a recording below the call or conference `of`."""
    above = f"{PATH.format(AccountSid=recording.account_sid)}/{kind}/{of}"
    return CallRecordingBody(**_shown(recording, f"{above}/Recordings/{recording.sid}"))


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is narrowed to; the range of times is half-open, None for all."""

    call_sid: str = ""
    conference_sid: str = ""
    created: Range | None = None


LISTING: Final = Listing(
    "recordings",
    tables.COLUMNS,
    lambda rows: [tables.recording_of(row) for row in rows],
    (RECORDING,),
    (
        ("call_sid = {}",),
        ("conference_sid = {}",),
        ("date_created >= {}", "date_created < {}"),
    ),
)


# -- of the account


async def find(call: Call) -> Recording | Refusal:
    """One recording, or its sound: as WAV or MP3 by the suffix, as WAV without one."""
    return await LISTING.find(call)


async def pages(call: Call, page: Page) -> Slice:
    """The account's recordings, newest first."""
    filters = Filters(
        call_sid=call.text("CallSid"),
        conference_sid=call.text("ConferenceSid"),
        created=between(call.form, "DateCreated"),
    )
    return await LISTING.page(call.services.store, call.account.sid, filters, page)


async def show(call: Call) -> Result:
    """See `find`: JSON has the suffix `.json`."""
    path = call.request.path
    if path.endswith(_JSON):
        found = await find(call)
        return found if isinstance(found, Refusal) else answer_json(body(call, found))
    sid = call.path["Sid"]
    suffix = next((each for each in _TYPES if sid.endswith(each)), "")
    call.path["Sid"] = sid.removesuffix(suffix)
    found = await find(call)
    if isinstance(found, Refusal):
        return found
    return await _sound(call, found, suffix or WAV)


async def _sound(call: Call, recording: Recording, suffix: str) -> Result:
    if recording.status is not RecordingStatus.COMPLETED:
        return not_found(call.request.path)
    wanted = _CHANNELS.get(call.text("RequestedChannels"))
    if wanted is None:
        return refuse(20001, "RequestedChannels should be 1 or 2")
    form = Form(suffix=suffix, channels=wanted)
    try:
        file = await call.services.recordings.encoder.file(
            recording.account_sid, recording.sid, form
        )
    except Unplayable as error:
        if wanted:
            return refuse(20001, f"{recording.sid} can't be had in {wanted} channels: {error}")
        return not_found(call.request.path)
    headers = request_headers(call.now, call.services.clock(), _TYPES[suffix])
    headers[hdrs.CACHE_CONTROL] = "private, no-cache"
    return web.FileResponse(file, headers=headers)


async def delete(call: Call, recording: Recording) -> Refusal | None:
    """Remove a recording that is over, and its sound."""
    if recording.status not in OVER:
        return refuse(20009, f"The recording is {recording.status}; stop it first")
    services = call.services
    account_sid, sid = recording.account_sid, recording.sid
    # The sound first: what can't be found any more must not be heard any more.
    await asyncio.to_thread(services.recordings.files.remove, account_sid, sid)
    version = recording.version + 1
    await services.store.commit(
        [
            tables.deleted(account_sid, sid),
            fact(account_sid, sid, version, FactType.RECORDING_DELETED, call.now, {}),
        ]
    )
    return None


# -- of a call


async def _call_of(call: Call) -> CallRecord | Refusal:
    return await call_lists.LISTING.find(call)


async def find_of_call(call: Call) -> Recording | Refusal:
    """One recording of a call; Twilio.CURRENT is the one that runs."""
    found = await _call_of(call)
    if isinstance(found, Refusal):
        return found
    if call.path["RecordingSid"] != CURRENT:
        recording = await LISTING.named(call, call.path["RecordingSid"])
        if isinstance(recording, Refusal) or recording.call_sid == found.sid:
            return recording
        return not_found(call.request.path)
    rows = await call.services.store.fetch(tables.RUNNING, found.sid, found.account_sid)
    return current(call, rows)


def current(call: Call, rows: Sequence[Row]) -> Recording | Refusal:
    """The one that runs, of the rows of all that do."""
    if len(rows) == 1:
        return tables.recording_of(rows[0])
    if rows:
        return refuse(21220, f"{len(rows)} recordings run: name one of them")
    return not_found(call.request.path)


async def pages_of_call(call: Call, page: Page) -> Slice | Refusal:
    """The recordings of a call, newest first."""
    found = await _call_of(call)
    if isinstance(found, Refusal):
        return found
    filters = Filters(call_sid=found.sid, created=between(call.form, "DateCreated"))
    return await LISTING.page(call.services.store, call.account.sid, filters, page)


async def create(call: Call) -> Recording | Refusal:
    """Record a call that is up from now on, beside what else happens."""
    found = await _call_of(call)
    if isinstance(found, Refusal):
        return found
    start = start_of(call)
    if isinstance(start, Refusal):
        return start
    if found.status is not CallStatus.IN_PROGRESS or found.parent_sid:
        return refuse(21220, f"The call is {found.status}: one that is up can be recorded")
    if call.text(_CONFIGURATION):
        why = f"{_CONFIGURATION} has no effect in this version"
        note = Note(error_code=20001, level=Level.WARNING, message=why)
        await call.services.store.commit(documents.written(found, [note], call.now))
    sid = new_sid(RECORDING, call.now)
    await _ordered(call, found.sid, RecordCall(sid=sid, start=start))
    made = await _when(call, sid, tuple(RecordingStatus))
    return made or refuse(21220, "The call can't be recorded: it is over, or recorded often enough")


async def update(call: Call, recording: Recording) -> Recording | Refusal:
    """Pause a recording, go on with it, or stop it."""
    return await changed(call, recording, recording.call_sid)


async def changed(call: Call, recording: Recording, of: str) -> Recording | Refusal:
    """A recording of the call or conference `of` as the form wants it."""
    given = call.text("Status")
    status = next((each for each in _SETTABLE if each == given), None)
    if status is None:
        return refuse(20001, f"Status should be one of {', '.join(_SETTABLE)}, not '{given[:40]}'")
    if recording.status in OVER:
        return refuse(21220, f"The recording is {recording.status}")
    skips = call.text("PauseBehavior") != "silence"
    order = ChangeRecording(sid=recording.sid, status=status, skips=skips)
    await _ordered(call, of, order)
    return await _when(call, recording.sid, (status, *OVER)) or recording


async def delete_of_call(call: Call, recording: Recording) -> Refusal | None:
    """Remove a recording of a call that is over, and its sound."""
    return await delete(call, recording)


def start_of(call: Call) -> StartRecording | Refusal:
    """What the form says of a recording; the defaults are those of Twilio's REST."""
    url = call.text("RecordingStatusCallback")
    if url and not is_http_url(url):
        return refuse(
            21609, f"RecordingStatusCallback should be an http or https URL, not '{url[:80]}'"
        )
    given = " ".join(call.form.get("RecordingStatusCallbackEvent", ())).split()
    events = tuple(each for each in RecordingEvent if each.value in given)
    if len(events) < len(set(given)):
        known = ", ".join(RecordingEvent)
        return refuse(20001, f"RecordingStatusCallbackEvent should be of {known}")
    return StartRecording(
        channels=_WORDS[call.text("RecordingChannels")],
        track=RecordingTrack(call.text("RecordingTrack") or RecordingTrack.BOTH),
        trim=Trim(call.text("Trim") or Trim.KEEP),
        recording_status_callback=url,
        recording_status_callback_method=(
            call.text("RecordingStatusCallbackMethod") or "POST"
        ).upper(),
        recording_status_callback_event=events or (RecordingEvent.COMPLETED,),
    )


async def _ordered(call: Call, of: str, order: Order) -> None:
    """Have an order carried out by whichever process has the call or conference, if one has."""
    services, account_sid = call.services, call.account.sid
    if await services.calls.order(account_sid, of, order) is None:
        left = await orders.leave(services.store, account_sid, of, order, services.clock())
        await orders.taken(services.store, of, left, _PATIENCE)


async def _when(call: Call, sid: str, statuses: tuple[RecordingStatus, ...]) -> Recording | None:
    """A recording once it is stored in one of these states; as it is if it takes too long."""
    found = None
    for _ in range(round(_PATIENCE / _LOOK)):
        found = await call.services.recordings.get(call.account.sid, sid)
        if found is not None and found.status in statuses:
            break
        await asyncio.sleep(_LOOK)
    return found


DATES: Final = tuple(
    Param(
        name=f"DateCreated{sign}",
        kind=Kind.DATE,
        doc=f"Only those made on this day{also} (YYYY-MM-DD or ISO 8601, UTC).",
    )
    for sign, also in (("", ""), ("<", " or before"), (">", " or after"))
)
_DELETED: Final = Param(
    name="IncludeSoftDeleted",
    kind=Kind.BOOLEAN,
    doc="Of what was deleted nothing is kept: there is none to include.",
)
CHANGE_PARAMS: Final = (
    Param(name="Status", required=True, doc="paused, in-progress to go on, or stopped."),
    Param(
        name="PauseBehavior",
        choices=("skip", "silence"),
        doc="Whether the pause is left out of the recording or silent in it: skip.",
    ),
)
RECORDING_PARAMS: Final = (
    Param(
        name="RecordingStatusCallbackEvent",
        repeated=True,
        doc="What is told of: in-progress, completed, absent; completed if nothing is said.",
    ),
    Param(name="RecordingStatusCallback", doc="Told of what becomes of the recording."),
    Param(name="RecordingStatusCallbackMethod", kind=Kind.METHOD, doc="How it is asked: POST."),
    Param(
        name="Trim",
        choices=tuple(Trim),
        doc="Whether silence at both ends is cut off: do-not-trim.",
    ),
    Param(
        name="RecordingChannels",
        choices=("mono", "dual"),
        doc="Whether each side has a channel of its own: mono.",
    ),
    Param(
        name="RecordingTrack",
        choices=tuple(RecordingTrack),
        doc="Which side is recorded: both.",
    ),
    Param(name=_CONFIGURATION, doc="Has no effect in this version: a warning is kept."),
)

RESOURCES: Final = (
    Resource[Recording](
        name="Recording",
        path=f"{PATH}/Recordings",
        prefixes=(RECORDING,),
        list_key="recordings",
        returns=RecordingBody,
        body=body,
        find=find,
        fetch=show,
        pages=pages,
        delete=delete,
        filters=(
            Param(name="CallSid", doc="Only those of this call."),
            Param(name="ConferenceSid", doc="Only those of this conference."),
            *DATES,
            _DELETED,
        ),
        fetch_params=(
            _DELETED,
            Param(name="RequestedChannels", doc="Of its sound, 1 or 2; as many as there are."),
        ),
    ),
    Resource[Recording](
        name="CallRecording",
        path=f"{PATH}/Calls/{{CallSid}}/Recordings",
        variable="RecordingSid",
        prefixes=(RECORDING,),
        list_key="recordings",
        returns=CallRecordingBody,
        body=body_of_call,
        find=find_of_call,
        pages=pages_of_call,
        create=create,
        update=update,
        delete=delete_of_call,
        filters=DATES,
        create_params=RECORDING_PARAMS,
        update_params=CHANGE_PARAMS,
    ),
)
