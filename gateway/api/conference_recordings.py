"""Recordings of a conference: `…/Conferences/{ConferenceSid}/Recordings`.

What is recorded is said by the first who comes (`record`, or ConferenceRecord over REST); Twilio
has no other way to begin one.
"""

from typing import Final

from gateway.api import conferences
from gateway.api.declare import PATH, Resource
from gateway.api.http import not_found
from gateway.api.lists import between
from gateway.api.paging import Page, Slice
from gateway.api.recordings import (
    CHANGE_PARAMS,
    CURRENT,
    DATES,
    LISTING,
    CallRecordingBody,
    Filters,
    body_below,
    changed,
    current,
    delete_of_call,
)
from gateway.api.resources import Call
from gateway.messages.draft import Refusal
from gateway.recordings import tables
from gateway.recordings.model import Recording
from gateway.sids import RECORDING

__all__ = ["RESOURCES"]


def body(call: Call, recording: Recording) -> CallRecordingBody:
    """The JSON of a recording below its conference."""
    return body_below("Conferences", recording.conference_sid, recording)


async def find(call: Call) -> Recording | Refusal:
    """One recording of a conference; Twilio.CURRENT is the one that runs."""
    found = await conferences.find(call)
    if isinstance(found, Refusal):
        return found
    if call.path["RecordingSid"] == CURRENT:
        store = call.services.store
        return current(call, await store.fetch(tables.RUNNING_IN, found.sid, found.account_sid))
    recording = await LISTING.named(call, call.path["RecordingSid"])
    if isinstance(recording, Refusal) or recording.conference_sid == found.sid:
        return recording
    return not_found(call.request.path)


async def pages(call: Call, page: Page) -> Slice | Refusal:
    """The recordings of a conference, newest first."""
    found = await conferences.find(call)
    if isinstance(found, Refusal):
        return found
    filters = Filters(conference_sid=found.sid, created=between(call.form, "DateCreated"))
    return await LISTING.page(call.services.store, call.account.sid, filters, page)


async def update(call: Call, recording: Recording) -> Recording | Refusal:
    """Pause the recording of a conference, go on with it, or stop it."""
    return await changed(call, recording, recording.conference_sid)


async def delete(call: Call, recording: Recording) -> Refusal | None:
    """Remove a recording of a conference that is over, and its sound."""
    return await delete_of_call(call, recording)


RESOURCES: Final = (
    Resource[Recording](
        name="ConferenceRecording",
        path=f"{PATH}/Conferences/{{ConferenceSid}}/Recordings",
        variable="RecordingSid",
        prefixes=(RECORDING,),
        list_key="recordings",
        returns=CallRecordingBody,
        body=body,
        find=find,
        pages=pages,
        update=update,
        delete=delete,
        filters=DATES,
        update_params=CHANGE_PARAMS,
    ),
)
