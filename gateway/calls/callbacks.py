"""Status callbacks of calls: which events have one, and what it says.

An app names the events that it wants to be told of; without a word from it, that the call is over.
How a callback is sent stands in `gateway/webhooks/callbacks`. Source:
https://www.twilio.com/docs/voice/api/call-resource#statuscallbackevent.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.calls.model import Call, CallStatus
from gateway.calls.parameters import leg_of
from gateway.core.runner import Job
from gateway.recordings.model import Recording, RecordingStatus
from gateway.webhooks.callbacks import Patience, Payload, callback
from twiml.nouns import CallEvent
from twiml.parameters import Progress, once, sendable, status_parameters

KIND: Final = "call_status"


class Sound(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded of a call that REST made with Record=true; nothing else is told of."""

    url: str
    sid: str
    seconds: int


def sound_of(recording: Recording, url: str) -> Sound | None:
    """What is told of a recording that is over, None if there is nothing to be heard."""
    if recording.status is not RecordingStatus.COMPLETED:
        return None
    return Sound(url=url, sid=recording.sid, seconds=recording.seconds)


# The end of a call is told with the status that it ended in.
_STATUS: Final = {
    CallEvent.INITIATED: CallStatus.INITIATED,
    CallEvent.RINGING: CallStatus.RINGING,
    CallEvent.ANSWERED: CallStatus.IN_PROGRESS,
}


def for_event(
    call: Call,
    event: CallEvent,
    *,
    sequence: int,
    now: float,
    policy: Patience,
    extra: Iterable[tuple[str, str]] = (),
    sound: Sound | None = None,
) -> list[Job]:
    """The job that tells of `event`, for the commit that makes it true; none if nobody asked.

    `sequence` is how many were told of this call before, `now` seconds since the epoch. First
    tries of one call's callbacks start in order. `extra` go along as in requests for documents,
    behind the rest, `sound` with the end.
    """
    if not call.status_callback or event.value not in call.status_callback_events:
        return []
    leg = leg_of(call, status=_STATUS.get(event))
    parameters = [*status_parameters(leg, _progress(call, event, sequence, now, sound))]
    if event is CallEvent.COMPLETED and call.error_code:
        parameters.append(("ErrorCode", str(call.error_code)))
    parameters = [*once(sendable((*parameters, *extra)))]
    payload = Payload(
        url=call.status_callback, method=call.status_callback_method, parameters=parameters
    )
    return [callback(KIND, call.account_sid, call.sid, payload, now, policy)]


def _progress(
    call: Call, event: CallEvent, sequence: int, now: float, sound: Sound | None
) -> Progress:
    if event is not CallEvent.COMPLETED:
        return Progress(at=now, sequence=sequence)
    return Progress(
        at=now,
        sequence=sequence,
        duration=call.duration,
        sip_response_code=call.sip_code,
        recording_url=sound.url if sound else "",
        recording_sid=sound.sid if sound else "",
        recording_duration=str(sound.seconds) if sound else "",
    )
