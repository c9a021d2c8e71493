"""What REST wants of a call that is up, and how it reaches the process that has the call.

The process that was asked may have the call itself. If it hasn't, the order waits in the store
for the one that has, which is told by a hint; orders to one call are carried out as they came.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from gateway.calls.call_messages import Said
from gateway.calls.model import Call
from gateway.calls.room_orders import ChangePerson, ChangeRoom
from gateway.recordings.model import RecordingStatus
from gateway.sids import ORDER, new_sid
from gateway.store.base import Delete, Insert, Query, Row, Store, Write
from twiml.verbs import StartRecording

HINT: Final = "calls"
UNAVAILABLE: Final = 20503
_PAGE: Final = 200
_LOOK: Final = 0.05  # seconds between looks at whether an order was taken
STALE: Final = 60.0
"""Seconds after which nobody takes an order any more."""


class Complete(msgspec.Struct, frozen=True, kw_only=True, tag="complete"):
    """End the call, whatever its state."""


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """End the call if it was not answered yet."""


class Redirect(msgspec.Struct, frozen=True, kw_only=True, tag="redirect"):
    """Run another document at once: the one at `url`, or `twiml` itself if that is "".

    `fallback_url` is "" for none.
    """

    url: str = ""
    method: str = "POST"
    fallback_url: str = ""
    fallback_method: str = "POST"
    twiml: str = ""


class Amend(msgspec.Struct, frozen=True, kw_only=True, tag="amend"):
    """Change what holds for the call: who is told of its end, and how long it may last.

    `status_callback` is "" and `time_limit`, seconds from the answer, 0 for no change.
    """

    status_callback: str = ""
    status_callback_method: str = "POST"
    time_limit: int = 0


class Place(msgspec.Struct, frozen=True, kw_only=True, tag="place"):
    """Make the call, which is stored and belongs to nobody yet; it runs `runs` when it is answered.

    `to` is a number or a SIP address, which is called as `caller`, with `headers` in its INVITE and
    `username` and `password` for its challenge. `timeout` is seconds to ring, `time_limit` seconds
    to talk, 0 for no limit. `application_sid` is whose settings it runs, "" for none, `display` the
    name that is shown to a SIP peer, `conference_sid` the conference that it is called into.
    """

    to: str
    caller: str
    runs: Redirect
    headers: tuple[tuple[str, str], ...] = ()
    username: str = ""
    password: str = ""
    timeout: int = 60
    time_limit: int = 0
    send_digits: str = ""
    recording: StartRecording | None = None
    application_sid: str = ""
    display: str = ""
    conference_sid: str = ""

    def __repr__(self) -> str:
        """Whom it calls: what else there is may be secret."""
        return f"Place(to={self.to!r})"


class RecordCall(msgspec.Struct, frozen=True, kw_only=True, tag="record"):
    """Record the call from now on, under the SID `sid`."""

    sid: str
    start: StartRecording


class ChangeRecording(msgspec.Struct, frozen=True, kw_only=True, tag="recording"):
    """Pause a recording of the call, go on with it, or stop it; a pause may be left out of it."""

    sid: str
    status: RecordingStatus
    skips: bool = True


class CloseQueue(msgspec.Struct, frozen=True, kw_only=True, tag="queue"):
    """Nobody comes into the queue any more: let go of those who dialled it and wait."""


Order = (
    Complete
    | Cancel
    | Redirect
    | Amend
    | Place
    | RecordCall
    | ChangeRecording
    | CloseQueue
    | Said
    | ChangeRoom
    | ChangePerson
)


class Crowded(msgspec.Struct, frozen=True):
    """No call can be taken now; the reason is a sentence, the code that of REST."""

    reason: str
    code: int = 20429


class Orders(Protocol):
    """What REST asks of the calls of its own process: `gateway/calls/service.py`."""

    async def order(self, account_sid: str, sid: str, order: Order) -> Call | None:
        """The call after `order`; None if this process does not have it.

        Of an order to a conference or a queue it is the call of one who is in it.

        An order that its state does not allow changes nothing.
        """
        ...

    async def place(self, call: Call, place: Place, also: Sequence[Write]) -> Call | Crowded | None:
        """Store `call` with `also`, and make it when that is durable; the call as it is stored.

        None if this process makes no calls, but another may.
        """
        ...


class NoCalls:
    """`Orders` of a process that carries no calls; `why` says why nobody else does, if so."""

    def __init__(self, why: str = "") -> None:
        self._why = why

    async def order(self, account_sid: str, sid: str, order: Order) -> Call | None:
        """None."""
        return None

    async def place(self, call: Call, place: Place, also: Sequence[Write]) -> Call | Crowded | None:
        """See `Orders`."""
        return Crowded(self._why, UNAVAILABLE) if self._why else None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An order in the store; None is one that a newer version gave, and that this can't read."""

    id: str
    account_sid: str
    sid: str
    order: Order | None


INSERT: Final = Insert(table="call_orders", columns=("sid", "id", "account_sid", "wanted", "at"))
DELETE: Final = Delete(table="call_orders", key=("sid", "id"))
WIPE: Final = Delete(table="call_orders", key=("sid",))
_WAITING: Final = Query(
    "call_orders_waiting",
    "SELECT sid, id, account_sid, wanted FROM call_orders"
    " WHERE sid > $1 OR (sid = $2 AND id > $3) ORDER BY sid, id LIMIT $4",
)
_THERE: Final = Query("call_order_there", "SELECT at FROM call_orders WHERE sid = $1 AND id = $2")
_COUNT: Final = Query(
    "call_orders_count", "SELECT count(*) FROM call_orders WHERE account_sid = $1"
)
_OLD: Final = Query("call_orders_old", "SELECT sid, id FROM call_orders WHERE at < $1 LIMIT $2")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Order).decode


async def leave(store: Store, account_sid: str, sid: str, order: Order, now: float) -> str:
    """Leave an order for the process that has the call; the id under which it waits."""
    id, write = left(account_sid, sid, order, now)
    await store.commit([write])
    store.hint(HINT)
    return id


def left(account_sid: str, sid: str, order: Order, now: float) -> tuple[str, Write]:
    """The id under which an order will wait, and the write that leaves it."""
    id = new_sid(ORDER, now)
    return id, (INSERT, (sid, id, account_sid, _encode(order).decode(), now))


async def count_of(store: Store, account_sid: str) -> int:
    """How many orders of an account wait."""
    return int((await store.fetch(_COUNT, account_sid))[0][0])


async def taken(store: Store, sid: str, id: str, within: float) -> bool:
    """Whether somebody has carried the order out, `within` seconds from now."""
    for _ in range(max(1, round(within / _LOOK))):
        await asyncio.sleep(_LOOK)
        if not await store.fetch(_THERE, sid, id):
            return True
    return False


async def waiting(store: Store, after: Waiting | None = None) -> list[Waiting]:
    """A page of the orders that wait, those of one call in their order."""
    sid, id = ("", "") if after is None else (after.sid, after.id)
    rows = await store.fetch(_WAITING, sid, sid, id, _PAGE)
    return [_waiting_of(row) for row in rows]


def _waiting_of(row: Row) -> Waiting:
    sid, id, account_sid, wanted = row
    return Waiting(id=id, account_sid=account_sid, sid=sid, order=_order_of(wanted))


def _order_of(wanted: str) -> Order | None:
    try:
        found: Order = _decode(wanted)
    except msgspec.ValidationError:
        return None
    return found


def done(orders: Sequence[Waiting]) -> list[Write]:
    """The writes that take orders away."""
    return [(DELETE, (order.sid, order.id)) for order in orders]


async def forget(store: Store, now: float) -> int:
    """Take away orders that nobody took: their calls are gone; how many."""
    count = 0
    while rows := await store.fetch(_OLD, now - STALE, _PAGE):
        await store.commit([(DELETE, row) for row in rows])
        count += len(rows)
    return count
