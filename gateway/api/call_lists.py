"""Calls as lists: the filters of REST and the queries that they become."""

import itertools
from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.api.message_lists import day_of
from gateway.api.paging import Page, Slice
from gateway.calls.model import CallStatus
from gateway.calls.tables import COLUMNS, call_of
from gateway.sids import CALL
from gateway.store.base import Query, Store

_BEYOND: Final = "g"  # greater than every hex digit
_FOREVER: Final = 1e12
# A call that was never answered began when it was made.
_START: Final = "CASE WHEN started > 0 THEN started ELSE date_created END"

Range = tuple[float, float]


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is narrowed to; ranges of times are half-open, None for all."""

    to_address: str = ""
    from_address: str = ""
    parent_sid: str = ""
    statuses: tuple[CallStatus, ...] = ()
    started: Range | None = None
    ended: Range | None = None


# The conditions of each filter, each with a value of its own.
_TESTS: Final = (
    ("to_address = {}",),
    ("from_address = {}",),
    ("parent_sid = {}",),
    ("status IN ({}, {})",),
    (f"{_START} >= {{}}", f"{_START} < {{}}"),
    ("ended >= {}", "ended < {}"),
)


def _query(order: str, used: tuple[int, ...]) -> Query:
    tests = ["account_sid = {}", "sid > {}", "sid < {}"]
    for wanted, more in zip(used, _TESTS, strict=True):
        tests += more * wanted
    sql = f"SELECT {', '.join(COLUMNS)} FROM calls WHERE {' AND '.join(tests)}"
    sql += f" ORDER BY sid {order} LIMIT {{}}"
    places = (f"${at}" for at in itertools.count(1))
    text = "".join(part + next(places) for part in sql.split("{}")[:-1])
    return Query(f"calls_{order}_{''.join(map(str, used))}".lower(), text)


# One query for each combination of filters, and for each direction of reading.
_QUERIES: Final = {
    (order, *used): _query(order, used)
    for order in ("DESC", "ASC")
    for used in itertools.product((0, 1), repeat=len(_TESTS))
}


def statuses_of(given: str) -> tuple[CallStatus, ...]:
    """The states that REST shows as the one that is given, "" for all; two, maybe the same."""
    if not given:
        return ()
    if given == CallStatus.QUEUED:  # REST never shows that a call was initiated
        return (CallStatus.QUEUED, CallStatus.INITIATED)
    return (CallStatus(given), CallStatus(given))


def between(form: Mapping[str, list[str]], name: str) -> Range | None:
    """The range that `name`, `name<` and `name>` narrow to; both ends belong to it.

    `name` means the whole UTC day, also when a time is given with it, as the SDKs do.
    """
    low, high = -_FOREVER, _FOREVER
    if exact := _first(form, name):
        low, high = day_of(exact[:10])
    if until := _first(form, f"{name}<"):
        high = min(high, day_of(until)[1])
    if since := _first(form, f"{name}>"):
        low = max(low, day_of(since)[0])
    # What has not happened has the time 0 and is in no range.
    return None if (low, high) == (-_FOREVER, _FOREVER) else (max(low, 1.0), high)


def _first(form: Mapping[str, list[str]], name: str) -> str:
    values = form.get(name)
    return values[0] if values else ""


async def list_calls(store: Store, account_sid: str, filters: Filters, page: Page) -> Slice:
    """One page of an account's calls, newest first."""
    given = (
        filters.to_address,
        filters.from_address,
        filters.parent_sid,
        filters.statuses,
        filters.started,
        filters.ended,
    )
    backwards = bool(page.before)
    query = _QUERIES[("ASC" if backwards else "DESC", *(int(bool(each)) for each in given))]
    values: list[object] = []
    for each in given:
        values += [] if not each else [each] if isinstance(each, str) else each
    low = page.before if backwards else CALL
    high = page.after or CALL + _BEYOND
    rows = await store.fetch(query, account_sid, low, high, *values, page.size + 1)
    found = [call_of(row) for row in rows]
    calls = found[: page.size][::-1] if backwards else found[: page.size]
    older = backwards or len(found) > page.size
    return Slice(rows=calls, sids=[call.sid for call in calls], older=older)
