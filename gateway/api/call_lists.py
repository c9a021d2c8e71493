"""Calls as lists: the filters of REST."""

from typing import Final

import msgspec

from gateway.api.lists import Listing, Range
from gateway.calls.model import CallStatus
from gateway.calls.tables import COLUMNS, call_of
from gateway.sids import CALL

# A call that was never answered began when it was made.
_START: Final = "CASE WHEN started > 0 THEN started ELSE date_created END"


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is narrowed to; ranges of times are half-open, None for all."""

    to_address: str = ""
    from_address: str = ""
    parent_sid: str = ""
    statuses: tuple[CallStatus, ...] = ()
    started: Range | None = None
    ended: Range | None = None


LISTING: Final = Listing(
    "calls",
    COLUMNS,
    lambda rows: [call_of(row) for row in rows],
    (CALL,),
    (
        ("to_address = {}",),
        ("from_address = {}",),
        ("parent_sid = {}",),
        ("status IN ({}, {})",),
        (f"{_START} >= {{}}", f"{_START} < {{}}"),
        ("ended >= {}", "ended < {}"),
    ),
    variable="CallSid",
)


def statuses_of(given: str) -> tuple[CallStatus, ...]:
    """The states that REST shows as the one that is given, "" for all; two, maybe the same."""
    if not given:
        return ()
    if given == CallStatus.QUEUED:  # REST never shows that a call was initiated
        return (CallStatus.QUEUED, CallStatus.INITIATED)
    return (CallStatus(given), CallStatus(given))
