"""Messages between an app and a client of the Voice SDK in a call, in both directions.

What an app says goes as an order to the process that has the call, and to the client's leg, which
is a `Listener`. What a client says is told to whoever subscribed, by a job for each: when `heard`
returns they are durable, and the client may be told so. What they say of it:
https://www.twilio.com/docs/voice/sdks/call-message-events.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final, Protocol, runtime_checkable

import msgspec

from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
from gateway.sids import SUBSCRIPTION, first_sid
from gateway.store.base import Delete, Insert, Lease, Query, Row, Store, Write
from gateway.webhooks.callbacks import Patience, Payload, callback

__all__ = [
    "KIND",
    "LONGEST",
    "CallMessages",
    "Listener",
    "Said",
    "Subscription",
    "deleted",
    "deliver",
    "forget",
    "has_client",
    "inserted",
    "is_content",
    "of_call",
]

KIND: Final = "user_defined_message"
LONGEST: Final = 10_000
"""Octets of one message, as the Voice SDK has it."""

_CLIENT: Final = "client:"
_PAGE: Final = 500
_MOST_CALLS: Final = 20_000


class Said(msgspec.Struct, frozen=True, kw_only=True, tag="said"):
    """One message, as an order too: `content` is JSON, `sid` its own."""

    sid: str
    content: str
    content_type: str = "application/json"


@runtime_checkable
class Listener(Protocol):
    """A leg whose peer is a client of the Voice SDK."""

    def send_message(self, said: Said) -> None:
        """Have the client told."""
        ...


def deliver(leg: object, said: Said) -> None:
    """Have it told to a leg, if that is a client's."""
    if isinstance(leg, Listener):
        leg.send_message(said)


def has_client(from_address: str, to_address: str) -> bool:
    """Whether one of a call's two ends is a client of the Voice SDK."""
    return from_address.startswith(_CLIENT) or to_address.startswith(_CLIENT)


def is_content(content: str) -> bool:
    """Whether it is JSON."""
    try:
        msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an app wants told; the columns of table `message_subscriptions`."""

    account_sid: str
    call_sid: str
    sid: str
    callback: str
    method: str
    date_created: float


_COLUMNS: Final = Subscription.__struct_fields__
_INSERT: Final = Insert(table="message_subscriptions", columns=_COLUMNS)
_DELETE: Final = Delete(table="message_subscriptions", key=("account_sid", "call_sid", "sid"))
_WIPE: Final = Delete(table="message_subscriptions", key=("account_sid", "call_sid"))
_OF_CALL: Final = Query(
    "message_subscriptions_of",
    f"SELECT {', '.join(_COLUMNS)} FROM message_subscriptions"
    " WHERE account_sid = $1 AND call_sid = $2 ORDER BY sid",
)
_OLD: Final = Query(
    "message_subscriptions_old",
    "SELECT account_sid, call_sid, sid FROM message_subscriptions WHERE sid < $1"
    " ORDER BY sid LIMIT $2",
)


def inserted(subscription: Subscription) -> Write:
    """The write that makes one."""
    return _INSERT, msgspec.structs.astuple(subscription)


def deleted(account_sid: str, call_sid: str, sid: str = "") -> Write:
    """The write that takes one away, or all of a call."""
    key = (account_sid, call_sid)
    return (_DELETE, (*key, sid)) if sid else (_WIPE, key)


async def of_call(store: Store, account_sid: str, call_sid: str) -> list[Subscription]:
    """Those of a call, the oldest first."""
    return [_read(row) for row in await store.fetch(_OF_CALL, account_sid, call_sid)]


def _read(row: Row) -> Subscription:
    return Subscription(**dict(zip(_COLUMNS, row, strict=True)))


async def forget(store: Store, before: float) -> int:
    """Delete those made before `before`, seconds of the epoch, in pages; how many."""
    count = 0
    while rows := await store.fetch(_OLD, first_sid(SUBSCRIPTION, before), _PAGE):
        await store.commit([(_DELETE, row) for row in rows])
        count += len(rows)
    return count


class CallMessages:
    """What clients say; `offer` takes jobs that are durable, `lease` fences each commit."""

    def __init__(
        self,
        store: Store,
        *,
        lease: Callable[[], Lease | None],
        offer: Callable[[Job], None],
        patience: Patience,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._lease = lease
        self._offer = offer
        self._patience = patience
        self._clock = clock
        # How many a call has said; a call ends with its process, and the oldest ones are forgotten.
        self._counts: OrderedDict[str, int] = OrderedDict()

    async def heard(self, account_sid: str, call_sid: str, said: Said) -> int:
        """A client of the call said something; how many are told. Raises `StoreError`."""
        number, at = self._next(call_sid), self._clock()
        told = await of_call(self._store, account_sid, call_sid)
        jobs = [self._job(each, said, number, at) for each in told]
        if jobs:
            await self._store.commit([job_inserted(job) for job in jobs], self._lease())
        for job in jobs:
            self._offer(job)
        return len(jobs)

    def _next(self, call_sid: str) -> int:
        number = self._counts.pop(call_sid, 0)
        self._counts[call_sid] = number + 1
        if len(self._counts) > _MOST_CALLS:
            self._counts.popitem(last=False)
        return number

    def _job(self, to: Subscription, said: Said, number: int, at: float) -> Job:
        parameters = [
            ("AccountSid", to.account_sid),
            ("CallSid", to.call_sid),
            ("Sid", said.sid),
            ("Content", said.content),
            ("ContentType", said.content_type),
            ("SequenceNumber", str(number)),
            ("Timestamp", format_datetime(datetime.fromtimestamp(at, UTC))),
        ]
        payload = Payload(url=to.callback, method=to.method, parameters=parameters)
        return callback(KIND, to.account_sid, to.sid, payload, self._clock(), self._patience)
