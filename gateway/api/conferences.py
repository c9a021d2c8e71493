"""Conferences: `/2010-04-01/Accounts/{AccountSid}/Conferences`.

They are read from the store. One that is not over belongs to the process that has it: what is asked
of it goes there as an order.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.api.declare import API_VERSION, PATH, Resource
from gateway.api.http import refuse, rfc2822
from gateway.api.lists import Listing, Range, between
from gateway.api.paging import Page, Slice
from gateway.api.resources import Call, Kind, Param
from gateway.calls import orders
from gateway.calls.conference import Reason, Status
from gateway.calls.room_announced import Announced, is_announced
from gateway.calls.room_orders import ChangeRoom
from gateway.calls.room_tables import (
    CALLED,
    COLUMNS,
    IN,
    ConferenceRow,
    conference_of,
    participant_of,
)
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.sids import CONFERENCE

__all__ = ["LISTING", "RESOURCES", "ordered", "until"]

_PATIENCE: Final = 3.0  # seconds for another process to take an order, and for it to be durable
_LOOK: Final = 0.02


class ConferenceBody(msgspec.Struct, frozen=True, kw_only=True):
    """A conference as REST shows it."""

    account_sid: str
    api_version: str = API_VERSION
    call_sid_ending_conference: str | None
    date_created: str
    date_updated: str
    friendly_name: str
    reason_conference_ended: str | None
    region: str = "us1"
    sid: str
    status: str
    subresource_uris: dict[str, str]
    uri: str


class _Filters(msgspec.Struct, frozen=True, kw_only=True):
    friendly_name: str = ""
    status: str = ""
    created: Range | None = None
    updated: Range | None = None


LISTING: Final = Listing(
    "conferences",
    COLUMNS,
    lambda rows: [conference_of(row) for row in rows],
    (CONFERENCE,),
    (
        ("friendly_name = {}",),
        ("status = {}",),
        ("date_created >= {}", "date_created < {}"),
        ("date_updated >= {}", "date_updated < {}"),
    ),
    variable="ConferenceSid",
)


def body(call: Call, found: ConferenceRow) -> ConferenceBody:
    """The JSON of a conference."""
    uri = f"{PATH.format(AccountSid=found.account_sid)}/Conferences/{found.sid}"
    return ConferenceBody(
        account_sid=found.account_sid,
        call_sid_ending_conference=found.call_sid_ending or None,
        date_created=rfc2822(found.date_created),
        date_updated=rfc2822(found.date_updated),
        friendly_name=found.friendly_name,
        reason_conference_ended=found.reason_ended or None,
        sid=found.sid,
        status=found.status,
        subresource_uris={
            name.lower(): f"{uri}/{name}.json" for name in ("Participants", "Recordings")
        },
        uri=f"{uri}.json",
    )


async def find(call: Call) -> ConferenceRow | Refusal:
    """One conference of the account."""
    return await LISTING.find(call)


async def pages(call: Call, page: Page) -> Slice:
    """The account's conferences, newest first."""
    filters = _Filters(
        friendly_name=call.text("FriendlyName"),
        status=call.text("Status"),
        created=between(call.form, "DateCreated"),
        updated=between(call.form, "DateUpdated"),
    )
    return await LISTING.page(call.services.store, call.account.sid, filters, page)


async def update(call: Call, found: ConferenceRow) -> ConferenceRow | Refusal:
    """End a conference, or have all who are in it hear a document."""
    url, ends = call.text("AnnounceUrl"), bool(call.text("Status"))
    if url and not is_http_url(url):
        return refuse(21205, f"AnnounceUrl should be an http or https URL, not '{url[:80]}'")
    if call.text("Status") not in ("", Status.COMPLETED):
        return refuse(20001, f"Status should be completed, not '{call.text('Status')[:40]}'")
    if found.status == Status.COMPLETED:
        return refuse(16022, "The conference is over")
    if not url and not ends:
        return found
    if is_announced(found) and not ends:
        return refuse(16001, "Nobody is in the conference who could hear it")
    if not (ends and is_announced(found) and await _called_off(call, found)):
        method = (call.text("AnnounceMethod") or "POST").upper()
        order = ChangeRoom(ends=ends, announce_url=url, announce_method=method)
        await ordered(call, found.sid, order)
    if ends:
        await _call_nobody(call, found)

    def is_done(row: ConferenceRow | Refusal) -> bool:
        return isinstance(row, ConferenceRow) and (not ends or row.status == Status.COMPLETED)

    return await until(call, is_done)


async def _called_off(call: Call, found: ConferenceRow) -> bool:
    """End one that nobody has come into; whether that was still so."""
    services = call.services
    announced = Announced(services.store, lease=lambda: None, clock=services.clock)
    return await announced.end(found, Reason.OVER_REST)


async def _call_nobody(call: Call, found: ConferenceRow) -> None:
    """Have those hung up who are being called into it."""
    rows = await call.services.store.fetch(IN, found.account_sid, found.sid)
    for person in map(participant_of, rows):
        if person.status == CALLED:
            await ordered(call, person.call_sid, orders.Complete())


async def ordered(call: Call, sid: str, order: orders.Order) -> None:
    """Have an order carried out by whichever process has the conference or call, if one has."""
    services, account_sid = call.services, call.account.sid
    if await services.calls.order(account_sid, sid, order) is None:
        left = await orders.leave(services.store, account_sid, sid, order, services.clock())
        await orders.taken(services.store, sid, left, _PATIENCE)


async def until(
    call: Call, is_done: Callable[[ConferenceRow | Refusal], bool]
) -> ConferenceRow | Refusal:
    """The conference once it is stored so; as it is if that takes too long."""
    found = await find(call)
    for _ in range(round(_PATIENCE / _LOOK)):
        if is_done(found):
            break
        await asyncio.sleep(_LOOK)
        found = await find(call)
    return found


_FILTERS: Final = (
    Param(name="FriendlyName", doc="Only those of exactly this name."),
    Param(name="Status", choices=tuple(Status), doc="Only those in this state."),
    *(
        Param(name=f"{name}{sign}", kind=Kind.DATE, doc=f"Only those {did} on this day{also}.")
        for name, did in (("DateCreated", "begun"), ("DateUpdated", "changed last"))
        for sign, also in (("", ""), ("<", " or before"), (">", " or after"))
    ),
)
_UPDATE: Final = (
    Param(name="Status", doc="completed ends it."),
    Param(name="AnnounceUrl", doc="Where the document is that all who are in it hear."),
    Param(name="AnnounceMethod", kind=Kind.METHOD, error_code=21209, doc="How it is asked: POST."),
)

RESOURCES: Final = (
    Resource[ConferenceRow](
        name="Conference",
        path=f"{PATH}/Conferences",
        variable="ConferenceSid",
        prefixes=(CONFERENCE,),
        list_key="conferences",
        returns=ConferenceBody,
        body=body,
        find=find,
        pages=pages,
        update=update,
        filters=_FILTERS,
        update_params=_UPDATE,
    ),
)
