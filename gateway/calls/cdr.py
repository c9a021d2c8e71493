"""Call detail records: one for each leg, as values, as CSV and as lines of JSON.

A record says whose leg it was, when it began, rang, was answered and ended, by what it ended and
how its media were. Times are written in UTC to the millisecond, spans in seconds.
"""

import csv
import io
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gateway.calls.model import Call, CallLeg
from gateway.calls.tables import COLUMNS as CALL_COLUMNS
from gateway.calls.tables import LEG_COLUMNS, call_of, leg_of
from gateway.sids import CALL, first_sid
from gateway.store.base import Query, Store

_PAGE: Final = 500  # calls
_RECORDS: Final = Query(
    "cdr_page",
    f"SELECT {', '.join('c.' + name for name in CALL_COLUMNS)},"
    f" {', '.join('l.' + name for name in LEG_COLUMNS)}"
    " FROM (SELECT * FROM calls WHERE account_sid = $1 AND sid > $2 AND sid < $3"
    " ORDER BY sid LIMIT $4) c LEFT JOIN call_legs l ON l.sid = c.sid ORDER BY c.sid, l.attempt",
)
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One leg's record; what is not known is None or "".

    `status` and `reason` are the call's. `duration` runs from the answer to the end,
    `post_dial_delay` from the INVITE to the first sign of ringing. Jitter is in seconds, MOS from
    1 to 5.
    """

    call_sid: str
    attempt: int
    parent_call_sid: str
    direction: str
    status: str
    from_: str = msgspec.field(name="from")
    to: str
    carrier: str
    peer: str
    transport: str
    sip_call_id: str
    began: str | None
    ringing: str | None
    answered: str | None
    ended: str | None
    post_dial_delay: float | None
    duration: float | None
    sip_code: int | None
    cause: str
    released_by: str
    reason: str
    codec_received: str
    codec_sent: str
    packets_received: int
    lost_received: int
    jitter_received: float | None
    mos_received: float | None
    packets_sent: int
    lost_sent: int
    jitter_sent: float | None
    mos_sent: float | None


COLUMNS: Final = Record.__struct_encode_fields__


def record_of(call: Call, leg: CallLeg) -> Record:
    """The record of one leg of `call`."""
    received, sent = leg.received, leg.sent
    return Record(
        call_sid=leg.sid,
        attempt=leg.attempt,
        parent_call_sid=call.parent_sid,
        direction=leg.direction.value,
        status=call.status.value,
        from_=call.from_address,
        to=call.to_address,
        carrier=leg.carrier,
        peer=leg.peer,
        transport=leg.transport,
        sip_call_id=leg.call_id,
        began=_moment(leg.began),
        ringing=_moment(leg.ringing),
        answered=_moment(leg.answered),
        ended=_moment(leg.ended),
        post_dial_delay=_rounded(leg.post_dial_delay, 3),
        duration=_rounded(leg.ended - leg.answered if leg.answered and leg.ended else None, 3),
        sip_code=leg.sip_code or None,
        cause=leg.cause,
        released_by=leg.released_by.value,
        reason=call.reason,
        codec_received=leg.codec_received,
        codec_sent=leg.codec_sent,
        packets_received=received.packets,
        lost_received=received.lost,
        jitter_received=_rounded(received.jitter if received.packets else None, 6),
        mos_received=_rounded(received.mos or None, 2),
        packets_sent=sent.packets,
        lost_sent=sent.lost,
        jitter_sent=_rounded(sent.jitter if sent.packets else None, 6),
        mos_sent=_rounded(sent.mos or None, 2),
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _moment(at: float) -> str | None:
    if not at:
        return None
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


async def records(
    store: Store, account_sid: str, since: float, until: float
) -> AsyncIterator[list[Record]]:
    """Pages of the records of an account's calls made from `since` on and before `until`.

    The oldest call comes first, the legs of each in their order. Times are seconds of the epoch.
    """
    after, end = first_sid(CALL, since), first_sid(CALL, until)
    legs_at = len(CALL_COLUMNS)
    while rows := await store.fetch(_RECORDS, account_sid, after, end, _PAGE):
        page = [(call_of(row[:legs_at]), row[legs_at:]) for row in rows]
        yield [record_of(call, leg_of(leg)) for call, leg in page if leg[0] is not None]
        after = page[-1][0].sid


def csv_head() -> bytes:
    """The line of CSV (RFC 4180) that names the columns."""
    return _csv([COLUMNS])


def csv_lines(page: Sequence[Record]) -> bytes:
    """A page as lines of CSV; no cell begins as a spreadsheet's formula does."""
    return _csv([[_cell(value) for value in msgspec.structs.astuple(each)] for each in page])


def _csv(lines: Sequence[Sequence[Any]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(lines)
    return written.getvalue().encode()


def _cell(value: Any) -> Any:
    """A number may begin with a sign; what else does would be run by whoever opens the file."""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def json_lines(page: Sequence[Record]) -> bytes:
    """A page as lines of JSON, an object each."""
    return _encode_lines(page)


_encode_lines: Final = msgspec.json.Encoder().encode_lines
