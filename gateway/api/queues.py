"""Queues: `/2010-04-01/Accounts/{AccountSid}/Queues`, and who waits in them, `…/Members`."""

from typing import Final

import msgspec

from gateway.api.declare import PATH, Resource
from gateway.api.http import not_found, refuse, rfc2822
from gateway.api.lists import Listing
from gateway.api.paging import Page, Slice
from gateway.api.resources import Call, Kind, Param
from gateway.api.rows import sliced
from gateway.calls import orders
from gateway.calls import queue_tables as tables
from gateway.calls.orders import CloseQueue, Redirect
from gateway.calls.queue_tables import COLUMNS, MemberRow, QueueRow
from gateway.events import FactType, fact
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.sids import CALL, QUEUE, new_sid
from gateway.store.base import Conflict, Stale

__all__ = ["RESOURCES"]

_PATIENCE: Final = 3.0  # seconds for another process to take an order
_MAX_NAME: Final = 64
_MOST: Final = 5000
_USUAL: Final = 1000
_FRONT: Final = "Front"


class QueueBody(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as REST shows it; times are seconds."""

    account_sid: str
    average_wait_time: int
    current_size: int
    date_created: str
    date_updated: str
    friendly_name: str
    max_size: int
    sid: str
    uri: str


class MemberBody(msgspec.Struct, frozen=True, kw_only=True):
    """One who waits in a queue, as REST shows it; `position` counts from 1."""

    call_sid: str
    date_enqueued: str
    position: int
    queue_sid: str
    uri: str
    wait_time: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A queue, and since when each of its members waits."""

    row: QueueRow
    since: tuple[float, ...] = ()

    @property
    def sid(self) -> str:
        """Its SID."""
        return self.row.sid


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One who waits, and where they stand."""

    row: MemberRow
    position: int


class _Filters(msgspec.Struct, frozen=True, kw_only=True):
    pass


_LISTING: Final = Listing(
    "queues",
    COLUMNS,
    lambda rows: [tables.queue_of(row) for row in rows],
    (QUEUE,),
    (),
    variable="QueueSid",
)


def body(call: Call, found: Standing) -> QueueBody:
    """The JSON of a queue."""
    row, waited = found.row, [call.now - each for each in found.since]
    base = PATH.format(AccountSid=row.account_sid)
    return QueueBody(
        account_sid=row.account_sid,
        average_wait_time=round(sum(waited) / len(waited)) if waited else 0,
        current_size=len(waited),
        date_created=rfc2822(row.date_created),
        date_updated=rfc2822(row.date_updated),
        friendly_name=row.friendly_name,
        max_size=row.max_size,
        sid=row.sid,
        uri=f"{base}/Queues/{row.sid}.json",
    )


async def _standing(call: Call, row: QueueRow) -> Standing:
    waiting = await call.services.store.fetch(tables.WAITING, row.account_sid, row.sid)
    since = tuple(tables.member_of(each).date_enqueued for each in waiting)
    return Standing(row=row, since=since)


async def find(call: Call) -> Standing | Refusal:
    """One queue of the account."""
    row = await _LISTING.find(call)
    return row if isinstance(row, Refusal) else await _standing(call, row)


async def pages(call: Call, page: Page) -> Slice:
    """The account's queues, newest first."""
    found = await _LISTING.page(call.services.store, call.account.sid, _Filters(), page)
    rows = [await _standing(call, row) for row in found.rows]
    return msgspec.structs.replace(found, rows=rows)


def _asked(call: Call, row: QueueRow) -> QueueRow | Refusal:
    """`row` as the form wants it."""
    name, size = call.text("FriendlyName") or row.friendly_name, call.text("MaxSize")
    if not name or len(name) > _MAX_NAME:
        return refuse(20001, f"FriendlyName should have 1 to {_MAX_NAME} characters")
    if size and not (size.isdecimal() and 1 <= int(size[:9]) <= _MOST):
        return refuse(20001, f"MaxSize should be a whole number from 1 to {_MOST}")
    return msgspec.structs.replace(
        row,
        friendly_name=name,
        max_size=int(size) if size else row.max_size,
        date_updated=call.now,
    )


async def create(call: Call) -> Standing | Refusal:
    """Make a queue before anybody waits in it."""
    now = call.now
    blank = QueueRow(
        account_sid=call.account.sid,
        sid=new_sid(QUEUE, now),
        friendly_name="",
        max_size=_USUAL,
        date_created=now,
        date_updated=now,
    )
    row = _asked(call, blank)
    if isinstance(row, Refusal):
        return row
    made = fact(row.account_sid, row.sid, row.version, FactType.QUEUE_CREATED, now, {})
    try:
        await call.services.store.commit([tables.inserted(row), made])
    except Conflict:
        return refuse(20409, f"The account has a queue {row.friendly_name!r} already")
    return Standing(row=row)


async def update(call: Call, found: Standing) -> Standing | Refusal:
    """Rename a queue, or let it take more or fewer from when nobody is in it."""
    row = _asked(call, found.row)
    if isinstance(row, Refusal):
        return row
    row = msgspec.structs.replace(row, version=row.version + 1)
    changed = fact(row.account_sid, row.sid, row.version, FactType.QUEUE_UPDATED, call.now, {})
    try:
        await call.services.store.commit([tables.updated(row), changed])
    except Conflict:
        return refuse(20409, f"The account has a queue {row.friendly_name!r} already")
    except Stale:
        return refuse(20009, "The queue was changed meanwhile: ask again")
    return Standing(row=row, since=found.since)


async def delete(call: Call, found: Standing) -> Refusal | None:
    """Remove a queue that nobody waits in; who dialled it waits for nobody any more."""
    row = found.row
    if found.since:
        return refuse(20409, f"{len(found.since)} calls wait in the queue")
    gone = fact(row.account_sid, row.sid, row.version + 1, FactType.QUEUE_DELETED, call.now, {})
    services = call.services
    await services.store.commit([tables.deleted(row.account_sid, row.sid), gone])
    order = CloseQueue()
    if await services.calls.order(row.account_sid, row.sid, order) is None:
        # Whoever may have somebody who dialled it finds it, and if nobody has it is forgotten.
        await orders.leave(services.store, row.account_sid, row.sid, order, services.clock())
    return None


# -- who waits


def member_body(call: Call, found: Waiting) -> MemberBody:
    """The JSON of one who waits."""
    row = found.row
    above = f"{PATH.format(AccountSid=row.account_sid)}/Queues/{row.queue_sid}"
    return MemberBody(
        call_sid=row.call_sid,
        date_enqueued=rfc2822(row.date_enqueued),
        position=found.position,
        queue_sid=row.queue_sid,
        uri=f"{above}/Members/{row.call_sid}.json",
        wait_time=max(0, round(call.now - row.date_enqueued)),
    )


async def _waiting(call: Call) -> list[Waiting] | Refusal:
    queue = await _LISTING.find(call)
    if isinstance(queue, Refusal):
        return queue
    rows = await call.services.store.fetch(tables.WAITING, queue.account_sid, queue.sid)
    return [Waiting(row=tables.member_of(row), position=at) for at, row in enumerate(rows, 1)]


async def find_member(call: Call) -> Waiting | Refusal:
    """One who waits, by the SID of their call; Front is who waits longest."""
    waiting, named = await _waiting(call), call.path["CallSid"]
    if isinstance(waiting, Refusal):
        return waiting
    fits = (each for each in waiting if named in (_FRONT, each.row.call_sid))
    return next(fits, None) or not_found(call.request.path)


async def pages_of_members(call: Call, page: Page) -> Slice | Refusal:
    """Who waits, who waits longest is first."""
    waiting = await _waiting(call)
    if isinstance(waiting, Refusal):
        return waiting
    return sliced(waiting, lambda each: each.row.call_sid, page)


async def dequeue(call: Call, found: Waiting) -> Waiting | Refusal:
    """Take somebody out of the queue: their call runs the document at Url."""
    url = call.text("Url")
    if not is_http_url(url):
        return refuse(21205, f"Url should be an http or https URL, not '{url[:80]}'")
    order = Redirect(url=url, method=(call.text("Method") or "POST").upper())
    services, row = call.services, found.row
    if await services.calls.order(row.account_sid, row.call_sid, order) is None:
        left = await orders.leave(
            services.store, row.account_sid, row.call_sid, order, services.clock()
        )
        await orders.taken(services.store, row.call_sid, left, _PATIENCE)
    return msgspec.structs.replace(found, position=0)


_PARAMS: Final = (
    Param(name="FriendlyName", doc="What documents call it, up to 64 characters."),
    Param(name="MaxSize", doc=f"How many may wait in it: {_USUAL}, at most {_MOST}."),
)

RESOURCES: Final = (
    Resource[Standing](
        name="Queue",
        path=f"{PATH}/Queues",
        variable="QueueSid",
        prefixes=(QUEUE,),
        list_key="queues",
        returns=QueueBody,
        body=body,
        find=find,
        pages=pages,
        create=create,
        update=update,
        delete=delete,
        create_params=_PARAMS,
        update_params=_PARAMS,
    ),
    Resource[Waiting](
        name="Member",
        path=f"{PATH}/Queues/{{QueueSid}}/Members",
        variable="CallSid",
        prefixes=(CALL,),
        list_key="queue_members",
        returns=MemberBody,
        body=member_body,
        find=find_member,
        pages=pages_of_members,
        update=dequeue,
        update_params=(
            Param(name="Url", required=True, doc="Where the document is that the call runs."),
            Param(name="Method", kind=Kind.METHOD, error_code=21209, doc="How it is asked: POST."),
        ),
    ),
)
