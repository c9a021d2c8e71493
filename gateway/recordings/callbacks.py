"""Callbacks of recordings: which events have one, and what it says.

An app names the events that it wants to be told of; without a word from it, that the recording
is there. Source: https://www.twilio.com/docs/voice/api/recording#recordingstatuscallback.
"""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from gateway.core.runner import Job
from gateway.recordings.model import Recording, RecordingStatus
from gateway.webhooks.callbacks import Patience, Payload, callback

KIND: Final = "recording_status"

_EVENTS: Final = frozenset(
    {RecordingStatus.IN_PROGRESS, RecordingStatus.COMPLETED, RecordingStatus.ABSENT}
)


def for_state(recording: Recording, url: str, now: float, policy: Patience) -> list[Job]:
    """The job that tells of the state that `recording` has reached; none if nobody asked.

    `url` is where its sound is. First tries of one recording's callbacks start in order.
    """
    status = recording.status
    told = status in _EVENTS and status.value in recording.status_callback_events
    if not recording.status_callback or not told:
        return []
    payload = Payload(
        url=recording.status_callback,
        method=recording.status_callback_method,
        parameters=parameters(recording, url),
    )
    return [callback(KIND, recording.account_sid, recording.sid, payload, now, policy)]


def parameters(recording: Recording, url: str) -> list[tuple[str, str]]:
    """What is told of `recording` as it is, in Twilio's order."""
    whose = (
        ("ConferenceSid", recording.conference_sid)
        if recording.conference_sid
        else ("CallSid", recording.call_sid)
    )
    told = [
        ("AccountSid", recording.account_sid),
        whose,
        ("RecordingSid", recording.sid),
        ("RecordingUrl", url),
        ("RecordingStatus", recording.status.value),
    ]
    if recording.status is RecordingStatus.COMPLETED:
        told.append(("RecordingDuration", str(recording.seconds)))
    told += [
        ("RecordingChannels", str(recording.channels)),
        ("RecordingStartTime", format_datetime(datetime.fromtimestamp(recording.start_time, UTC))),
        ("RecordingSource", recording.source.value),
        ("RecordingTrack", recording.track.value),
    ]
    if recording.error_code:
        told.append(("ErrorCode", str(recording.error_code)))
    return told
