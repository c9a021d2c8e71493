"""Resources that are read from the store: one of them, and pages with the filters of a list."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

import msgspec

from gateway.api.http import not_found
from gateway.api.paging import Page, Slice
from gateway.api.resources import Call
from gateway.messages.draft import Refusal
from gateway.sids import is_sid
from gateway.store.base import Query, Row, Store

T = TypeVar("T")

Range = tuple[float, float]  # half-open

_BEYOND: Final = "g"  # greater than every hex digit
_FOREVER: Final = 1e12


class Listing(Generic[T]):
    """The rows of one table that an account has, by SID and as lists, newest first.

    SIDs may begin with any of `prefixes`: each range of them is read, and they are merged by what
    follows, which is their time. `tests` are the conditions of each filter, in the order of their
    struct's fields, each with a value of its own; a filter that is empty or None narrows nothing.
    There is one query for each combination of filters, and for each direction of reading.
    """

    def __init__(
        self,
        table: str,
        columns: Sequence[str],
        read: Callable[[Sequence[Row]], list[T]],
        prefixes: Sequence[str],
        tests: Sequence[tuple[str, ...]],
        variable: str = "Sid",
    ) -> None:
        """`variable` is that of a path which names one of them."""
        self._variable = variable
        self._read = read
        self._prefixes = prefixes
        named = f"SELECT {', '.join(columns)} FROM {table} WHERE account_sid = $1 AND sid = $2"
        self.one: Final = Query(f"{table}_one", named)
        self.queries: Final = {
            (order, *used): _query(table, columns, order, used, tests)
            for order in ("DESC", "ASC")
            for used in itertools.product((0, 1), repeat=len(tests))
        }

    async def find(self, call: Call) -> T | Refusal:
        """The one that the path names, of the account of `call`."""
        return await self.named(call, call.path[self._variable])

    async def named(self, call: Call, sid: str) -> T | Refusal:
        """The one with this SID, of the account of `call`."""
        if any(is_sid(sid, prefix) for prefix in self._prefixes):
            rows = await call.services.store.fetch(self.one, call.account.sid, sid)
            if rows:
                return self._read(rows)[0]
        return not_found(call.request.path)

    async def page(
        self, store: Store, account_sid: str, filters: msgspec.Struct, page: Page
    ) -> Slice:
        """One page of an account's rows."""
        given = msgspec.structs.astuple(filters)
        backwards = bool(page.before)
        query = self.queries["ASC" if backwards else "DESC", *(int(bool(each)) for each in given)]
        values: list[Any] = []
        for each in given:
            values += [] if not each else [each] if isinstance(each, str) else each
        rows: list[Row] = []
        for prefix in self._prefixes:
            low = prefix + page.before[2:]
            high = prefix + (page.after[2:] or _BEYOND)
            rows += await store.fetch(query, account_sid, low, high, *values, page.size + 1)
        found: list[Any] = self._read(rows)
        found.sort(key=_time_part, reverse=not backwards)
        shown = found[: page.size][::-1] if backwards else found[: page.size]
        older = backwards or len(found) > page.size
        return Slice(rows=shown, sids=[each.sid for each in shown], older=older)


def _time_part(resource: Any) -> str:
    return str(resource.sid[2:])


def _query(
    table: str,
    columns: Sequence[str],
    order: str,
    used: tuple[int, ...],
    tests: Sequence[tuple[str, ...]],
) -> Query:
    chosen = [test for wanted, more in zip(used, tests, strict=True) if wanted for test in more]
    where = " AND ".join(("account_sid = {}", "sid > {}", "sid < {}", *chosen))
    sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {where} ORDER BY sid {order} LIMIT {{}}"
    places = (f"${at}" for at in itertools.count(1))
    text = "".join(part + next(places) for part in sql.split("{}")[:-1])
    return Query(f"{table}_{order}_{''.join(map(str, used))}".lower(), text)


def between(form: Mapping[str, list[str]], name: str) -> Range | None:
    """The range that `name`, `name<` and `name>` narrow to; both ends belong to it.

    `name` means the whole UTC day, also when a time is given with it, as the SDKs do.
    """
    low, high = -_FOREVER, _FOREVER
    if exact := _first(form, name):
        low, high = _day(day_of(exact)[0])
    if until := _first(form, f"{name}<"):
        high = min(high, day_of(until)[1])
    if since := _first(form, f"{name}>"):
        low = max(low, day_of(since)[0])
    # What has not happened has the time 0 and is in no range.
    return None if (low, high) == (-_FOREVER, _FOREVER) else (max(low, 1.0), high)


def _first(form: Mapping[str, list[str]], name: str) -> str:
    values = form.get(name)
    return values[0] if values else ""


def day_of(written: str) -> Range:
    """Begin and end of the day, or of the second, that is written; raises ValueError if none is."""
    if len(written) == 10:
        return _day(
            datetime.combine(date.fromisoformat(written), datetime.min.time(), UTC).timestamp()
        )
    moment = datetime.fromisoformat(written)
    begin = moment.replace(tzinfo=moment.tzinfo or UTC, microsecond=0).timestamp()
    _day(begin)  # at the ends of the calendar a day of UTC may not be whole
    return begin, begin + 1.0


def _day(at: float) -> Range:
    begin = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return begin.timestamp(), (begin + timedelta(days=1)).timestamp()
