"""Recordings in the store: the declared writes, the named reads, rows to values and back."""

from typing import Any, Final

import msgspec

from gateway.recordings.model import Recording, RecordingSource, RecordingStatus
from gateway.store.base import Delete, Insert, Query, Row, Update, Write
from twiml.nouns import RecordingTrack

COLUMNS: Final = Recording.__struct_fields__
_OPEN: Final = "status IN ('in-progress', 'paused', 'stopped', 'processing')"

INSERT: Final = Insert(table="recordings", columns=COLUMNS)
UPDATE: Final = Update(
    table="recordings",
    key=("account_sid", "sid"),
    columns=("status", "channels", "duration", "error_code", "owner", "date_updated", "version"),
    guard="version",
)
DELETE: Final = Delete(table="recordings", key=("account_sid", "sid"))

_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM recordings"
GET: Final = Query("recording_get", f"{_SELECT} WHERE account_sid = $1 AND sid = $2")
# Those of a call, or of a conference, that are not over: few, whatever it has behind it.
RUNNING: Final = Query(
    "recordings_running",
    f"{_SELECT} WHERE call_sid <> '' AND call_sid = $1 AND account_sid = $2 AND {_OPEN}"
    " ORDER BY sid",
)
RUNNING_IN: Final = Query(
    "recordings_running_in",
    f"{_SELECT} WHERE conference_sid <> '' AND conference_sid = $1 AND account_sid = $2 AND {_OPEN}"
    " ORDER BY sid",
)
# That of the whole of a call which REST made with Record=true.
WHOLE: Final = Query(
    "recording_whole",
    f"{_SELECT} WHERE call_sid <> '' AND call_sid = $1 AND account_sid = $2"
    f" AND source = '{RecordingSource.OUTBOUND_API}' ORDER BY sid LIMIT 1",
)
# For a restart: whose recordings are not over, and which they are, page by page.
OPEN_OWNERS: Final = Query(
    "recordings_open_owners",
    f"SELECT owner, count(*) FROM recordings WHERE {_OPEN} GROUP BY owner",
)
OPEN: Final = Query(
    "recordings_open", f"{_SELECT} WHERE owner = $1 AND {_OPEN} AND sid > $2 ORDER BY sid LIMIT $3"
)

_EVENTS_AT: Final = COLUMNS.index("status_callback_events")


def inserted(recording: Recording) -> Write:
    """The write that makes `recording` exist."""
    row = list(msgspec.structs.astuple(recording))
    row[_EVENTS_AT] = " ".join(recording.status_callback_events)
    return INSERT, tuple(row)


def updated(recording: Recording) -> Write:
    """The write that stores the next state of one that exists, one version above it."""
    return UPDATE, (
        recording.account_sid,
        recording.sid,
        recording.status,
        recording.channels,
        recording.duration,
        recording.error_code,
        recording.owner,
        recording.date_updated,
        recording.version,
    )


def deleted(account_sid: str, sid: str) -> Write:
    """The write that forgets one."""
    return DELETE, (account_sid, sid)


def recording_of(row: Row) -> Recording:
    """The recording that a row holds."""
    fields: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    fields["status"] = RecordingStatus(fields["status"])
    fields["source"] = RecordingSource(fields["source"])
    fields["track"] = RecordingTrack(fields["track"])
    fields["status_callback_events"] = tuple(fields["status_callback_events"].split())
    return Recording(**fields)
