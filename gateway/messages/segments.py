"""Segments in the store: which part went out under which id, and what became of it."""

from enum import StrEnum
from typing import Final

import msgspec

from gateway.store.base import Delete, Insert, Query, Row, Update, Write


class SegmentState(StrEnum):
    """What is known of one part of one attempt."""

    HELD = "held"
    KEPT = "kept"  # held, whatever the carrier's policy: a backup does not say whether it left
    SENT = "sent"
    REFUSED = "refused"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of table `segments`; `part` counts from 1."""

    account_sid: str
    sid: str
    part: int
    attempt: int
    carrier: str
    carrier_id: str
    id_key: str
    state: SegmentState
    error_code: int
    at: float


_COLUMNS: Final = Segment.__struct_fields__
INSERT: Final = Insert(table="segments", columns=_COLUMNS, ignore_taken=("sid", "part", "attempt"))
STATE: Final = Update(
    table="segments",
    key=("sid", "part", "attempt"),
    columns=("carrier_id", "id_key", "state", "error_code", "at"),
)
IDENTITY: Final = Update(
    table="segments", key=("sid", "part", "attempt"), columns=("carrier_id", "id_key")
)
FORGET: Final = Delete(table="segments", key=("sid", "part", "attempt"))
WIPE: Final = Delete(table="segments", key=("sid",))
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM segments"
OF_MESSAGE: Final = Query("segments_of_message", f"{_SELECT} WHERE sid = $1 ORDER BY part, attempt")
BY_CARRIER_ID: Final = Query(
    "segments_by_carrier_id",
    f"{_SELECT} WHERE carrier = $1 AND id_key = $2 ORDER BY at DESC LIMIT 1",
)


def segment_of(row: Row) -> Segment:
    """The segment that a row holds."""
    fields = dict(zip(_COLUMNS, row, strict=True))
    fields["state"] = SegmentState(fields["state"])
    return Segment(**fields)


def inserted(segment: Segment) -> Write:
    """The write that makes `segment` known."""
    return INSERT, msgspec.structs.astuple(segment)


def changed(segment: Segment) -> Write:
    """The write that stores its next state."""
    return STATE, (
        segment.sid,
        segment.part,
        segment.attempt,
        segment.carrier_id,
        segment.id_key,
        segment.state,
        segment.error_code,
        segment.at,
    )


def identified(segment: Segment) -> Write:
    """The write that stores its id alone: its state is known better."""
    return IDENTITY, (
        segment.sid,
        segment.part,
        segment.attempt,
        segment.carrier_id,
        segment.id_key,
    )


def forgotten(sid: str, part: int, attempt: int) -> Write:
    """The write that forgets a part of an attempt: it is to be submitted again."""
    return FORGET, (sid, part, attempt)
