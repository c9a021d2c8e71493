"""Notifications: what went wrong at an app's URLs, or in its documents, of the account or a call.

What the app was asked and what it answered is kept with its call for some time, and shown with what
was noted of it for as long.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.api import call_lists
from gateway.api.declare import API_VERSION, PATH, Resource
from gateway.api.http import not_found, rfc2822
from gateway.api.lists import Listing, Range, between
from gateway.api.paging import Page, Slice
from gateway.api.resources import Call, Kind, Param
from gateway.calls import tables
from gateway.calls.documents import Exchange
from gateway.calls.ladder_file import exchanges_of
from gateway.errors import describe
from gateway.messages.draft import Refusal
from gateway.messages.notifications import INSERT
from gateway.sids import CALL, NOTIFICATION
from gateway.store.base import Row, Store

_LEVELS: Final = {"error": "0", "warning": "1"}
_BY_LOG: Final = {log: level for level, log in _LEVELS.items()}
_NO_METHOD: Final = ""


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One, with what was asked and answered then, if that is known still."""

    account_sid: str
    sid: str
    resource_sid: str
    error_code: int
    level: str
    details: dict[str, Any]
    date_created: float
    exchange: Exchange | None = None


class NotificationBody(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as REST shows it; `log` is "0" for an error and "1" for a warning."""

    account_sid: str
    api_version: str = API_VERSION
    call_sid: str | None
    date_created: str
    date_updated: str
    error_code: str
    log: str
    message_date: str
    message_text: str
    more_info: str
    request_method: str
    request_url: str
    request_variables: str
    response_body: str
    response_headers: str
    sid: str
    uri: str


class _Filters(msgspec.Struct, frozen=True, kw_only=True):
    resource_sid: str = ""
    level: str = ""
    created: Range | None = None


def _read(rows: Sequence[Row]) -> list[Notification]:
    found = []
    for row in rows:
        fields = dict(zip(INSERT.columns, row, strict=True))
        fields["details"] = msgspec.json.decode(fields["details"])
        found.append(Notification(**fields))
    return found


LISTING: Final = Listing(
    "notifications",
    INSERT.columns,
    _read,
    (NOTIFICATION,),
    (
        ("resource_sid = {}",),
        ("level = {}",),
        ("date_created >= {}", "date_created < {}"),
    ),
)


def body(call: Call, found: Notification) -> NotificationBody:
    """The JSON of a notification; one of a call stands below it as well."""
    details, exchange = found.details, found.exchange
    of_call = found.resource_sid.startswith(CALL)
    base = PATH.format(AccountSid=found.account_sid)
    text = details.get("message") or describe(found.error_code).message
    line = f" (line {details['line']})" if "line" in details else ""
    return NotificationBody(
        account_sid=found.account_sid,
        call_sid=found.resource_sid if of_call else None,
        date_created=rfc2822(found.date_created),
        date_updated=rfc2822(found.date_created),
        error_code=str(found.error_code),
        log=_LEVELS.get(found.level, "0"),
        message_date=rfc2822(found.date_created),
        message_text=f"{text}{line}",
        more_info=describe(found.error_code).more_info,
        request_method=exchange.method if exchange else details.get("method", _NO_METHOD),
        request_url=details.get("url", ""),
        request_variables="",
        response_body=exchange.body if exchange else "",
        response_headers="",
        sid=found.sid,
        uri=f"{base}/Notifications/{found.sid}.json",
    )


async def _with_exchanges(store: Store, found: list[Notification]) -> list[Notification]:
    """Each with what its call's app was asked at its URL, the last time before it."""
    kept: dict[str, list[Exchange]] = {}
    for sid in {each.resource_sid for each in found if each.resource_sid.startswith(CALL)}:
        kept[sid] = exchanges_of(await store.fetch(tables.TRACE, sid))
    return [
        msgspec.structs.replace(each, exchange=_last(kept.get(each.resource_sid, ()), each))
        for each in found
    ]


def _last(exchanges: Sequence[Exchange], of: Notification) -> Exchange | None:
    url = of.details.get("url", "")
    asked = [each for each in exchanges if each.url == url and each.at <= of.date_created]
    return max(asked, key=lambda each: each.at, default=None)


async def find(call: Call) -> Notification | Refusal:
    """One notification of the account."""
    found = await LISTING.find(call)
    if isinstance(found, Refusal):
        return found
    return (await _with_exchanges(call.services.store, [found]))[0]


async def pages(call: Call, page: Page) -> Slice:
    """What was wrong with the account's apps, newest first."""
    return await _page(call, page, "")


async def find_of_call(call: Call) -> Notification | Refusal:
    """One notification about a call."""
    found = await find(call)
    if isinstance(found, Notification) and found.resource_sid != call.path["CallSid"]:
        return not_found(call.request.path)
    return found


async def pages_of_call(call: Call, page: Page) -> Slice | Refusal:
    """What was wrong with the documents of a call, newest first."""
    owner = await call_lists.LISTING.find(call)
    return owner if isinstance(owner, Refusal) else await _page(call, page, owner.sid)


async def _page(call: Call, page: Page, resource_sid: str) -> Slice:
    filters = _Filters(
        resource_sid=resource_sid,
        level=_BY_LOG.get(call.text("Log"), ""),
        created=between(call.form, "MessageDate"),
    )
    store = call.services.store
    found = await LISTING.page(store, call.account.sid, filters, page)
    rows = await _with_exchanges(store, list(found.rows))
    return msgspec.structs.replace(found, rows=rows)


_DATE_DOC: Final = "YYYY-MM-DD or ISO 8601, UTC"
_FILTERS: Final = (
    Param(name="Log", choices=tuple(_BY_LOG), doc="0: errors, 1: warnings."),
    Param(name="MessageDate", kind=Kind.DATE, doc=f"Only those of this day ({_DATE_DOC})."),
    Param(name="MessageDate<", kind=Kind.DATE, doc=f"Of this day or before ({_DATE_DOC})."),
    Param(name="MessageDate>", kind=Kind.DATE, doc=f"Of this day or after ({_DATE_DOC})."),
)

RESOURCES: Final = (
    Resource[Notification](
        name="Notification",
        path=f"{PATH}/Notifications",
        prefixes=(NOTIFICATION,),
        list_key="notifications",
        returns=NotificationBody,
        body=body,
        find=find,
        pages=pages,
        filters=_FILTERS,
    ),
    Resource[Notification](
        name="CallNotification",
        path=f"{PATH}/Calls/{{CallSid}}/Notifications",
        prefixes=(NOTIFICATION,),
        list_key="notifications",
        returns=NotificationBody,
        body=body,
        find=find_of_call,
        pages=pages_of_call,
        filters=_FILTERS,
    ),
)
