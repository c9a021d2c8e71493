"""Events of a call: what its app was asked and what it answered, the oldest first.

They are kept with the call's ladder, for as long as that is. They have no SIDs: their pages go by
number, and the token of each is the call's own.
"""

from typing import Final
from urllib.parse import urlencode

import msgspec

from gateway.api import call_lists
from gateway.api.declare import PATH
from gateway.api.http import answer_json, rfc2822
from gateway.api.paging import PARAMS, page_of, uri_base
from gateway.api.resources import Access, Call, Operation, Result
from gateway.calls import tables
from gateway.calls.documents import Exchange
from gateway.calls.ladder_file import exchanges_of
from gateway.messages.draft import Refusal
from gateway.sids import CALL


class EventRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked."""

    method: str
    url: str


class EventResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; `request_duration` is milliseconds, `response_code` null for no answer."""

    date_created: str
    error_code: int | None
    request_duration: int
    response_body: str
    response_code: int | None


class EventBody(msgspec.Struct, frozen=True, kw_only=True):
    """One event as REST shows it."""

    request: EventRequest
    response: EventResponse


async def events(call: Call) -> Result:
    """What a call's app was asked and answered, the oldest first."""
    page = page_of(call, CALL)
    if isinstance(page, Refusal):
        return page
    found = await call_lists.LISTING.find(call)
    if isinstance(found, Refusal):
        return found
    kept = exchanges_of(await call.services.store.fetch(tables.TRACE, found.sid))
    first = page.number * page.size
    shown = sorted(kept, key=lambda each: each.at)[first : first + page.size]
    base = uri_base(call.request.rel_url.raw_path)

    def place(number: int) -> str:
        token = {"PageToken": f"PA{found.sid}"} if number else {}
        return f"{base}?{urlencode({'PageSize': page.size, 'Page': number} | token)}"

    def uri(number: int) -> str | None:
        if number < 0 or number * page.size >= max(1, len(kept)):
            return None
        return place(number)

    return answer_json(
        {
            "page": page.number,
            "page_size": page.size,
            "start": first,
            "end": first + max(len(shown) - 1, 0),
            "uri": place(page.number),
            "first_page_uri": uri(0),
            "next_page_uri": uri(page.number + 1),
            "previous_page_uri": uri(page.number - 1),
            "events": [_body(each) for each in shown],
        }
    )


def _body(exchange: Exchange) -> EventBody:
    return EventBody(
        request=EventRequest(method=exchange.method, url=exchange.url),
        response=EventResponse(
            date_created=rfc2822(exchange.at),
            error_code=exchange.error_code or None,
            request_duration=round(exchange.elapsed * 1000),
            response_body=exchange.body,
            response_code=exchange.status or None,
        ),
    )


OPERATIONS: Final = (
    Operation(
        *("ListCallEvent", "GET", f"{PATH}/Calls/{{CallSid}}/Events", events, Access.READ),
        params=PARAMS,
        returns=EventBody,
        list_key="events",
    ),
)
