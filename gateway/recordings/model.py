"""Recordings as values, and the table by which a recording's status may change.

A recording is Twilio's: sound of one call or conference, in a file of its own. It is not changed
in place: the next state is a new value with `version` one higher.
"""

from enum import StrEnum
from typing import Any, Final

import msgspec

from twiml.nouns import RecordingEvent, RecordingTrack, Trim


class RecordingStatus(StrEnum):
    """Twilio's states. `ABSENT` is one in which there is nothing to be heard."""

    IN_PROGRESS = "in-progress"
    PAUSED = "paused"
    STOPPED = "stopped"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ABSENT = "absent"


_S = RecordingStatus
OVER: Final = frozenset({_S.COMPLETED, _S.ABSENT})
"""States that nothing follows."""

TRANSITIONS: Final[dict[RecordingStatus, frozenset[RecordingStatus]]] = {
    _S.IN_PROGRESS: frozenset({_S.PAUSED, _S.STOPPED, _S.PROCESSING} | OVER),
    _S.PAUSED: frozenset({_S.IN_PROGRESS, _S.STOPPED, _S.PROCESSING} | OVER),
    _S.STOPPED: frozenset({_S.PROCESSING} | OVER),
    _S.PROCESSING: OVER,
    **{each: frozenset() for each in OVER},
}


class RecordingSource(StrEnum):
    """What asked for it, in Twilio's words."""

    DIAL_VERB = "DialVerb"
    RECORD_VERB = "RecordVerb"
    CONFERENCE = "Conference"
    OUTBOUND_API = "OutboundAPI"
    START_CALL_API = "StartCallRecordingAPI"
    START_CALL_TWIML = "StartCallRecordingTwiML"
    START_CONFERENCE_API = "StartConferenceRecordingAPI"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of a recording's events; "" for nobody."""

    url: str = ""
    method: str = "POST"
    events: tuple[RecordingEvent, ...] = (RecordingEvent.COMPLETED,)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants recorded: seconds of `silence` and `limit` end it, 0 for never."""

    source: RecordingSource
    channels: int = 1
    track: RecordingTrack = RecordingTrack.BOTH
    trim: Trim = Trim.KEEP
    silence: float = 0.0
    limit: float = 0.0
    told: Told = Told()


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no recording, or not the whole of it, as an app is told; the code is Twilio's.

    What it is on this machine is for its operator, and in the log.
    """

    error_code: int = 12400
    reason: str = "the gateway could not write all of the recording; its log says why"


class Recording(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One recording, whole; the columns of table `recordings`. Times are seconds of the epoch.

    `call_sid` is the call that was recorded, and of a conference the one because of which;
    `conference_sid` is "" for none. `duration` is in seconds, 0 before the end. `owner` is the
    member whose process makes it.
    """

    account_sid: str
    sid: str
    call_sid: str = ""
    conference_sid: str = ""
    status: RecordingStatus = RecordingStatus.IN_PROGRESS
    source: RecordingSource
    channels: int = 1
    track: RecordingTrack = RecordingTrack.BOTH
    duration: float = 0.0
    error_code: int = 0
    owner: str = ""
    status_callback: str = ""
    status_callback_method: str = "POST"
    status_callback_events: tuple[str, ...] = (RecordingEvent.COMPLETED,)
    start_time: float
    date_created: float
    date_updated: float
    version: int = 1

    @property
    def seconds(self) -> int:
        """Whole seconds, as Twilio shows them."""
        return round(self.duration)


def advanced(
    recording: Recording, status: RecordingStatus, now: float, **also: Any
) -> Recording | None:
    """`recording` in its next state, with other fields as `also` says; None if it can't be."""
    if status not in TRANSITIONS[recording.status]:
        return None
    return msgspec.structs.replace(
        recording, status=status, date_updated=now, version=recording.version + 1, **also
    )
