"""Calls: `/2010-04-01/Accounts/{AccountSid}/Calls`.

They are read from the store. A call that is up belongs to one process: what is asked of it goes
there, at once if it is this one.
"""

import re
from typing import Final

import msgspec

from gateway.api.addresses import plus_restored
from gateway.api.call_create import BOTH_GIVEN, LONGEST, MAX_TWIML, PARAMS, create, create_as_test
from gateway.api.call_lists import LISTING, Filters, statuses_of
from gateway.api.declare import API_VERSION, PATH, Resource
from gateway.api.http import refuse, rfc2822
from gateway.api.lists import between
from gateway.api.paging import Page, Slice
from gateway.api.resources import Call, Kind, Param
from gateway.calls import call_messages, documents, orders, tables
from gateway.calls.apps import APPLICATION
from gateway.calls.book import changed_at
from gateway.calls.model import OVER, CallStatus
from gateway.calls.model import Call as Record
from gateway.calls.orders import Amend, Cancel, Complete, Order, Redirect
from gateway.events import FactType, fact
from gateway.messages import notifications
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.sids import CALL

_PATIENCE: Final = 3.0  # seconds for another process to take an order
_NORTH_AMERICAN: Final = re.compile(r"\+1(\d{3})(\d{3})(\d{4})")
_SUBRESOURCES: Final = (
    *("events", "notifications", "payments", "recordings", "siprec", "streams"),
    *("transcriptions", "user_defined_message_subscriptions", "user_defined_messages"),
)
_CAMEL: Final = {
    name: "".join(word.capitalize() for word in name.split("_")) for name in _SUBRESOURCES
}
_SHOWN: Final = tuple(status for status in CallStatus if status is not CallStatus.INITIATED)
_UNANSWERED: Final = frozenset({CallStatus.QUEUED, CallStatus.INITIATED, CallStatus.RINGING})


class CallBody(msgspec.Struct, frozen=True, kw_only=True):
    """A call as REST shows it; numbers are texts, as at Twilio."""

    account_sid: str
    annotation: None = None
    answered_by: None = None
    api_version: str = API_VERSION
    caller_name: str
    date_created: str
    date_updated: str
    direction: str
    duration: str | None
    end_time: str | None
    forwarded_from: str
    from_: str = msgspec.field(name="from")
    from_formatted: str
    group_sid: None = None
    parent_call_sid: str | None
    phone_number_sid: str | None
    price: None = None
    price_unit: str = "USD"
    queue_time: str = "0"
    sid: str
    start_time: str | None
    status: str
    subresource_uris: dict[str, str]
    to: str
    to_formatted: str
    trunk_sid: None = None
    uri: str


def call_body(request: Call, call: Record) -> CallBody:
    """The JSON of `call`; one that is being set up is shown as queued, as Twilio does."""
    base = f"{PATH.format(AccountSid=call.account_sid)}/Calls/{call.sid}"
    status = CallStatus.QUEUED if call.status is CallStatus.INITIATED else call.status
    began = call.started or (0.0 if status is CallStatus.QUEUED else call.date_created)
    return CallBody(
        account_sid=call.account_sid,
        caller_name=call.caller_name,
        date_created=rfc2822(call.date_created),
        date_updated=rfc2822(call.date_updated),
        direction=call.direction,
        duration=str(call.duration) if call.status in OVER else None,
        end_time=rfc2822(call.ended) if call.ended else None,
        forwarded_from=call.forwarded_from,
        from_=call.from_address,
        from_formatted=_formatted(call.from_address),
        parent_call_sid=call.parent_sid or None,
        phone_number_sid=call.phone_number_sid or None,
        sid=call.sid,
        start_time=rfc2822(began) if began else None,
        status=status,
        subresource_uris={name: f"{base}/{_CAMEL[name]}.json" for name in _SUBRESOURCES},
        to=call.to_address,
        to_formatted=_formatted(call.to_address),
        uri=f"{base}.json",
    )


def _formatted(address: str) -> str:
    """North American numbers as people there write them, whatever else as it is."""
    found = _NORTH_AMERICAN.fullmatch(address)
    return address if found is None else f"({found[1]}) {found[2]}-{found[3]}"


async def find(call: Call) -> Record | Refusal:
    """One call."""
    return await LISTING.find(call)


async def update(call: Call, found: Record) -> Record | Refusal:
    """End a call (Status), or run another document in it (Url or Twiml; Url wins)."""
    wanted = (_amended(call, found), _order(call))
    for order in wanted:
        refusal = order if isinstance(order, Refusal) else _refused(order, found)
        if refusal is not None:
            return refusal
    if call.text("Url") and call.text("Twiml") and isinstance(wanted[1], Redirect):
        await call.services.store.commit(documents.written(found, [BOTH_GIVEN], call.now))
    changed: Record | Refusal = found
    for order in wanted:
        if order is not None and isinstance(changed, Record):
            assert not isinstance(order, Refusal)
            changed = await _carried_out(call, changed, order)
    return changed


def _amended(call: Call, found: Record) -> Amend | Refusal | None:
    """What of the form holds for the call from now on, None for nothing."""
    told, limit = call.text("StatusCallback"), call.text("TimeLimit")
    if told and not is_http_url(told):
        return refuse(21609, f"StatusCallback should be an http or https URL, not '{told[:80]}'")
    if limit and not 0 < int(limit) <= LONGEST:
        return refuse(20001, f"TimeLimit should be from 1 to {LONGEST} seconds, not {limit}")
    if not told and call.text("StatusCallbackMethod"):
        told = found.status_callback  # is told in another way
    if not told and not limit:
        return None
    return Amend(
        status_callback=told,
        status_callback_method=(call.text("StatusCallbackMethod") or "POST").upper(),
        time_limit=int(limit or 0),
    )


def _order(call: Call) -> Order | Refusal | None:
    """What the form asks for, None if for nothing."""
    match call.text("Status"):
        case "completed":
            return Complete()
        case "canceled":
            return Cancel()
    url, fallback, twiml = call.text("Url"), call.text("FallbackUrl"), call.text("Twiml")
    for name, given in (("Url", url), ("FallbackUrl", fallback)):
        if given and not is_http_url(given):
            return refuse(21205, f"{name} should be an http or https URL, not '{given[:80]}'")
    if not url and len(twiml) > MAX_TWIML:
        return refuse(32018, f"Twiml may have {MAX_TWIML} characters, not {len(twiml)}")
    if not url and not twiml:
        return None
    return Redirect(
        url=url,
        method=(call.text("Method") or "POST").upper(),
        fallback_url=fallback if url else "",
        fallback_method=(call.text("FallbackMethod") or "POST").upper(),
        twiml="" if url else twiml,
    )


def _refused(order: Order | None, found: Record) -> Refusal | None:
    """Why a call in this state can't do as it is ordered."""
    status = found.status
    if order is None:
        return None
    if status in OVER:
        return refuse(21220, f"The call is over: {status}")
    if isinstance(order, Cancel) and status not in _UNANSWERED:
        return refuse(21220, f"The call is {status}; Status=completed ends one that was answered")
    runs = not found.parent_sid or found.origin.startswith(APPLICATION)
    if isinstance(order, Redirect) and not runs:
        return refuse(21220, f"{found.parent_sid} dialled it, and runs the documents of both")
    if isinstance(order, Redirect) and status is not CallStatus.IN_PROGRESS:
        return refuse(21220, f"The call is {status}, not in-progress: cannot redirect it")
    return None


async def _carried_out(call: Call, found: Record, order: Order) -> Record | Refusal:
    """The call after the order, by whichever process has it; as it is if none took it so far."""
    services = call.services
    changed = await services.calls.order(found.account_sid, found.sid, order)
    if changed is None:
        waiting = await orders.leave(
            services.store, found.account_sid, found.sid, order, services.clock()
        )
        await orders.taken(services.store, found.sid, waiting, _PATIENCE)
        stored = await find(call)
        if isinstance(stored, Refusal):
            return stored
        changed = stored
    if isinstance(order, Cancel) and changed.status is CallStatus.IN_PROGRESS:
        return refuse(21220, "The call was answered meanwhile")
    return changed


async def delete(call: Call, found: Record) -> Refusal | None:
    """Remove a call that is over, its legs and its timeline."""
    if found.status not in OVER:
        return refuse(20009, f"The call is {found.status}; wait until it is over")
    gone = changed_at(found, call.now)
    await call.services.store.commit(
        [
            *tables.deleted(found.account_sid, found.sid),
            notifications.wiped(found.sid),
            (orders.WIPE, (found.sid,)),
            call_messages.deleted(found.account_sid, found.sid),
            fact(gone.account_sid, gone.sid, gone.version, FactType.CALL_DELETED, call.now, {}),
        ]
    )
    return None


async def pages(call: Call, page: Page) -> Slice:
    """The account's calls in both directions, newest first."""
    filters = Filters(
        to_address=plus_restored(call.text("To")),
        from_address=plus_restored(call.text("From")),
        parent_sid=call.text("ParentCallSid"),
        statuses=statuses_of(call.text("Status")),
        started=between(call.form, "StartTime"),
        ended=between(call.form, "EndTime"),
    )
    return await LISTING.page(call.services.store, call.account.sid, filters, page)


_DATE_DOC: Final = "YYYY-MM-DD or ISO 8601, UTC"
_FILTERS: Final = (
    Param(name="To", doc="Only calls to this number or SIP address."),
    Param(name="From", doc="Only calls from this number or SIP address."),
    Param(name="ParentCallSid", doc="Only calls that this one dialled."),
    Param(name="Status", choices=_SHOWN, doc="Only calls in this state."),
    *(
        Param(name=f"{name}{sign}", kind=Kind.DATE, doc=f"Only those that {what} ({_DATE_DOC}).")
        for name, did in (("StartTime", "began"), ("EndTime", "ended"))
        for sign, what in (
            ("", f"{did} on this day"),
            ("<", f"{did} on this day or before"),
            (">", f"{did} on this day or after"),
        )
    ),
)
_UPDATE: Final = (
    Param(
        name="Status",
        choices=("canceled", "completed"),
        doc="completed ends the call, canceled only one that was not answered.",
    ),
    Param(name="Url", doc="Where the document is that the call runs from now on."),
    Param(name="Method", kind=Kind.METHOD, error_code=21209, doc="How Url is asked: POST."),
    Param(name="FallbackUrl", doc="Asked when Url fails."),
    Param(name="FallbackMethod", kind=Kind.METHOD, error_code=21209, doc="How it is asked: POST."),
    Param(name="Twiml", doc=f"The document itself, {MAX_TWIML} characters at most."),
    Param(name="StatusCallback", doc="Told of the call's end instead of who was."),
    Param(name="StatusCallbackMethod", kind=Kind.METHOD, error_code=21209, doc="How: POST."),
    Param(name="TimeLimit", kind=Kind.INTEGER, doc="Seconds from the answer after which it ends."),
)

RESOURCES: Final = (
    Resource[Record](
        name="Call",
        path=f"{PATH}/Calls",
        variable="CallSid",
        prefixes=(CALL,),
        list_key="calls",
        returns=CallBody,
        body=call_body,
        find=find,
        pages=pages,
        create=create,
        test=create_as_test,
        update=update,
        delete=delete,
        filters=_FILTERS,
        create_params=PARAMS,
        update_params=_UPDATE,
    ),
)
