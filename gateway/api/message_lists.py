"""Messages as lists: the filters of REST and the queries that they become.

SIDs of texts and of media messages begin with different letters, so a list reads both ranges
and merges them by what follows, which is their time.
"""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from gateway.api.paging import Page, Slice
from gateway.messages.records import messages_of
from gateway.model import Message
from gateway.sids import MMS, SMS
from gateway.store.base import Query, Store

_SELECT: Final = f"SELECT {', '.join(Message.__struct_fields__)} FROM messages"
_BEYOND: Final = "g"  # greater than every hex digit
_FOREVER: Final = 1e12


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is narrowed to; `sent` is a half-open range of times, None for all."""

    to_address: str = ""
    from_address: str = ""
    sent: tuple[float, float] | None = None


def _query(name: str, order: str, to_address: int, from_address: int, sent: int) -> Query:
    conditions = ["account_sid = ", "sid > ", "sid < "]
    conditions += ["to_address = "] * to_address + ["from_address = "] * from_address
    conditions += ["date_sent >= ", "date_sent < "] * sent
    where = " AND ".join(f"{test}${place}" for place, test in enumerate(conditions, 1))
    limit = len(conditions) + 1
    return Query(name, f"{_SELECT} WHERE {where} ORDER BY sid {order} LIMIT ${limit}")


# One query for each combination of filters, and for each direction of reading.
_QUERIES: Final = {
    (order, *used): _query(f"messages_{order}_{''.join(map(str, used))}".lower(), order, *used)
    for order in ("DESC", "ASC")
    for used in itertools.product((0, 1), repeat=3)
}


def sent_between(form: Mapping[str, list[str]]) -> tuple[float, float] | None:
    """The range that `DateSent`, `DateSent<` and `DateSent>` narrow to; both ends belong to it.

    `DateSent` means the whole UTC day, also when a time is given with it, as the SDKs do.
    """
    low, high = -_FOREVER, _FOREVER
    if exact := _first(form, "DateSent"):
        low, high = _day(day_of(exact)[0])
    if until := _first(form, "DateSent<"):
        high = min(high, day_of(until)[1])
    if since := _first(form, "DateSent>"):
        low = max(low, day_of(since)[0])
    # A message that was never sent has the date 0 and is in no range.
    return None if (low, high) == (-_FOREVER, _FOREVER) else (max(low, 1.0), high)


def _first(form: Mapping[str, list[str]], name: str) -> str:
    values = form.get(name)
    return values[0] if values else ""


def day_of(written: str) -> tuple[float, float]:
    """Begin and end of the day, or of the second, that is written; raises ValueError if none is."""
    if len(written) == 10:
        return _day(
            datetime.combine(date.fromisoformat(written), datetime.min.time(), UTC).timestamp()
        )
    moment = datetime.fromisoformat(written)
    begin = moment.replace(tzinfo=moment.tzinfo or UTC, microsecond=0).timestamp()
    _day(begin)  # at the ends of the calendar a day of UTC may not be whole
    return begin, begin + 1.0


def _day(at: float) -> tuple[float, float]:
    begin = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return begin.timestamp(), (begin + timedelta(days=1)).timestamp()


async def list_messages(store: Store, account_sid: str, filters: Filters, page: Page) -> Slice:
    """One page of an account's messages, newest first."""
    used = (bool(filters.to_address), bool(filters.from_address), filters.sent is not None)
    backwards = bool(page.before)
    query = _QUERIES[("ASC" if backwards else "DESC", *map(int, used))]
    chosen = [value for value in (filters.to_address, filters.from_address) if value]
    chosen_range = filters.sent or ()
    found: list[Message] = []
    for prefix in (SMS, MMS):
        low = prefix + page.before[2:] if backwards else prefix
        high = prefix + (page.after[2:] or _BEYOND)
        rows = await store.fetch(
            query, account_sid, low, high, *chosen, *chosen_range, page.size + 1
        )
        found += messages_of(rows)
    found.sort(key=_time_part, reverse=not backwards)
    return _slice(found, page, backwards=backwards)


def _time_part(message: Message) -> str:
    return message.sid[2:]


def _slice(found: Sequence[Message], page: Page, *, backwards: bool) -> Slice:
    rows = found[: page.size]
    if backwards:
        rows = rows[::-1]
    older = backwards or len(found) > page.size
    return Slice(rows=rows, sids=[message.sid for message in rows], older=older)
