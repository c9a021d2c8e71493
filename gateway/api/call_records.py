"""What is known of calls: `/v1/calls/{sid}/timeline`, its messages as packets, and CDRs.

CDRs are read page by page and sent as they are read, however many there are.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from gateway.api.files import send_file
from gateway.api.http import answer_json, not_found
from gateway.api.lists import day_of
from gateway.api.resources import Access, Answer, Call, Kind, Operation, Param, Result
from gateway.calls import cdr
from gateway.calls.pcap import MEDIA_TYPE
from gateway.calls.timeline import captured
from gateway.calls.timeline import timeline as timeline_of
from gateway.sids import CALL, is_sid

_FOREVER: Final = 1e10

_Lines = Callable[[Sequence[cdr.Record]], bytes]


async def timeline(call: Call) -> Result:
    """Everything known of a call in the order of time: facts, SIP messages, documents, tries."""
    sid = call.path["Sid"]
    store, account_sid = call.services.store, call.account.sid
    found = await timeline_of(store, account_sid, sid) if is_sid(sid, CALL) else None
    return not_found(call.request.path) if found is None else answer_json(found)


async def packets(call: Call) -> Result:
    """The SIP messages of a call as a capture file, without what is secret in them."""
    sid = call.path["Sid"]
    store, account_sid = call.services.store, call.account.sid
    found = await captured(store, account_sid, sid) if is_sid(sid, CALL) else None
    if found is None:
        return not_found(call.request.path)
    return Answer(200, found, MEDIA_TYPE, _attached(f"{sid}.pcap"))


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


_FORMATS: Final[dict[str, tuple[str, str, bytes, _Lines]]] = {
    "csv": ("text/csv; charset=utf-8", "cdr.csv", cdr.csv_head(), cdr.csv_lines),
    "json": ("application/x-ndjson", "cdr.ndjson", b"", cdr.json_lines),
}


async def records(call: Call) -> Result:
    """The legs of the account's calls, a record each, oldest first; calls begun `start` to `end`.

    A file that was cut off ends without the end of its transfer.
    """
    start, end = call.text("start"), call.text("end")
    since = day_of(start)[0] if start else 0.0
    until = day_of(end)[1] if end else _FOREVER
    content_type, name, head, lines = _FORMATS[call.text("format") or "csv"]
    pages = cdr.records(call.services.store, call.account.sid, since, until)
    first: list[cdr.Record] = await anext(pages, [])  # while a refusal can still be said

    async def octets() -> AsyncIterator[bytes]:
        yield head + lines(first)
        async for page in pages:
            yield lines(page)

    headers = {"Content-Type": content_type, **_attached(name)}
    return await send_file(call, headers, octets(), "call records were")


_ANY: Final = dict[str, Any]
_DATE_DOC: Final = "YYYY-MM-DD or ISO 8601, UTC"

OPERATIONS: Final = (
    Operation(
        "FetchCallTimeline", "GET", "/v1/calls/{Sid}/timeline", timeline, Access.READ, returns=_ANY
    ),
    Operation(
        "FetchCallPackets", "GET", "/v1/calls/{Sid}/pcap", packets, Access.READ, produces=MEDIA_TYPE
    ),
    Operation(
        *("ListCallRecords", "GET", "/v1/cdr", records, Access.READ),
        params=(
            Param(name="format", choices=tuple(_FORMATS), doc="csv, or json for a line each."),
            Param(name="start", kind=Kind.DATE, doc=f"Begun on this day or after ({_DATE_DOC})."),
            Param(name="end", kind=Kind.DATE, doc=f"Begun on this day or before ({_DATE_DOC})."),
        ),
        returns=cdr.Record,
        produces="text/csv",
    ),
)
