"""What a fact counts as: pure, and never at a loss.

A counter is named by its account, its day in UTC and a metric: the type of the fact, such as
`message.sent`; the short messages on the air, `segments.outbound` and `segments.inbound`; what
went by a carrier, `carrier.acme.message.sent`; minutes of calls, each begun one whole,
`minutes.outbound` and `minutes.inbound`; an error code, `error.30003`. A fact of a type that is
not known here counts as `unknown`, one whose data can't be read as `unreadable` too.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from gateway.calls.model import CallDirection
from gateway.events import FactType
from gateway.store.base import Fact

Key = tuple[str, str, str]  # account, day, metric

UNKNOWN: Final = "unknown"
UNREADABLE: Final = "unreadable"
NO_DAY: Final = "0000-00-00"  # of a time that is on no calendar

_KNOWN: Final = frozenset(FactType)
_SEGMENTS: Final = {
    FactType.MESSAGE_QUEUED: "segments.outbound",
    FactType.MESSAGE_RECEIVED: "segments.inbound",
}
_MINUTES: Final[dict[str, str]] = {
    CallDirection.INBOUND: "minutes.inbound",
    CallDirection.OUTBOUND_API: "minutes.outbound",
    CallDirection.OUTBOUND_DIAL: "minutes.outbound",
}
_DAY: Final = 86400.0
_MOST: Final = 2**31  # more than a number in a fact can rightly be

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def day_of(at: float) -> str:
    """The day of the time `at` (seconds since the epoch): `YYYY-MM-DD` in UTC."""
    try:
        return _day(int(at // _DAY))
    except (ValueError, OverflowError):
        return NO_DAY


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    try:
        return datetime.fromtimestamp(number * _DAY, UTC).date().isoformat()
    except OSError as error:
        raise ValueError(error.strerror) from error


def count(facts: Iterable[Fact]) -> Counter[Key]:
    """What `facts` add to which counters."""
    # Most facts of a time say the same of different texts: what they say is read once.
    same = Counter((fact.account_sid, day_of(fact.at), fact.type, fact.data) for fact in facts)
    counts: Counter[Key] = Counter()
    for (account_sid, day, type_, data), times in same.items():
        for metric, number in _metrics(type_, data):
            counts[account_sid, day, metric] += times * number
    return counts


def _metrics(type_: str, said: str) -> Iterable[tuple[str, int]]:
    """What a fact of this type with this data counts as."""
    if type_ not in _KNOWN:
        yield UNKNOWN, 1
        return
    yield type_, 1
    if type_.startswith("track."):
        return  # what follows would be the customer's own
    try:
        data = _decode(said)
    except (msgspec.DecodeError, RecursionError):
        yield UNREADABLE, 1
        return
    segments = _SEGMENTS.get(FactType(type_))
    if segments is not None and (number := _number(data.get("segments"))):
        yield segments, number
    if type_ == FactType.CALL_COMPLETED and (seconds := _number(data.get("duration"))):
        yield _MINUTES.get(str(data.get("direction")), UNKNOWN), -(-seconds // 60)
    carrier = data.get("carrier")
    if isinstance(carrier, str) and carrier:
        yield f"carrier.{carrier}.{type_}", 1
    if code := _number(data.get("error_code")):
        yield f"error.{code}", 1


def _number(given: object) -> int:
    """`given` if it can count as a number of something, else 0."""
    return given if type(given) is int and 0 < given < _MOST else 0
