"""Counters: `/v1/tracking`, what an account's facts come to, by day in UTC; made again on order."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from gateway.api.http import answer_json, refuse
from gateway.api.resources import Access, Call, Operation, Param, Result
from gateway.core.tracking.counters import OF_ACCOUNT
from gateway.core.tracking.tracker import order_rebuild
from gateway.messages.draft import Refusal

_MAX_DAYS: Final = 400
_SPAN: Final = timedelta(days=6)  # of days before `to`, unless told
_MAX_COUNTERS: Final = 20_000


class CounterBody(msgspec.Struct, frozen=True, kw_only=True):
    """How often on a day; docs/events.md names the types of facts that metrics are made of."""

    day: str
    metric: str
    value: int


class CountersBody(msgspec.Struct, frozen=True, kw_only=True):
    """The counters of the days `from` to `to`, by day and metric."""

    from_: str = msgspec.field(name="from")
    to: str
    counters: list[CounterBody]


class RebuildBody(msgspec.Struct, frozen=True, kw_only=True):
    """How many facts there are, at most, to be counted again, of all accounts."""

    facts: int


async def show(call: Call) -> Result:
    """What the account's facts came to in a range of days, the last seven unless told."""
    today = datetime.fromtimestamp(call.now, UTC).date()
    to = _day(call, "to", today)
    if isinstance(to, Refusal):
        return to
    first = _day(call, "from", max(to, date.min + _SPAN) - _SPAN)
    if isinstance(first, Refusal):
        return first
    days = (to - first).days + 1
    if not 1 <= days <= _MAX_DAYS:
        return refuse(20001, f"'from' to 'to' should be 1 to {_MAX_DAYS} days, not {days}")
    metric = call.text("metric")
    rows = await call.services.store.fetch(
        OF_ACCOUNT, call.account.sid, first.isoformat(), to.isoformat(), _MAX_COUNTERS + 1
    )
    if len(rows) > _MAX_COUNTERS:
        return refuse(20001, f"These are more than {_MAX_COUNTERS} counters: ask for fewer days")
    counters = [
        CounterBody(day=day, metric=name, value=value)
        for day, name, value in rows
        if not metric or name == metric or name.startswith(f"{metric}.")
    ]
    return answer_json(CountersBody(from_=first.isoformat(), to=to.isoformat(), counters=counters))


def _day(call: Call, name: str, default: date) -> date | Refusal:
    given = call.text(name)
    try:
        return date.fromisoformat(given) if given else default
    except ValueError:
        return refuse(20001, f"'{name}' should be a day, YYYY-MM-DD, not '{given[:40]}'")


async def rebuild(call: Call) -> Result:
    """Throw the counters of all accounts away and count again every fact that is kept.

    Whoever counts begins within seconds; `/v1/bus` shows how far it is. Counts of days whose facts
    are no longer kept are gone.
    """
    await order_rebuild(call.services.store)
    stats = await call.services.bus.stats()
    return answer_json(RebuildBody(facts=stats.kept), 202)


OPERATIONS: Final = (
    Operation(
        *("ShowTracking", "GET", "/v1/tracking", show, Access.READ),
        params=(
            Param(name="from", doc="The first day, YYYY-MM-DD, UTC."),
            Param(name="to", doc="The last day; today if absent."),
            Param(
                name="metric",
                doc="One metric, such as message.delivered, or what several begin with:"
                " message, segments, carrier.acme, error, track.",
            ),
        ),
        returns=CountersBody,
    ),
    Operation(
        *("RebuildTracking", "POST", "/v1/tracking/rebuild", rebuild, Access.STEER),
        status=202,
        returns=RebuildBody,
    ),
)
