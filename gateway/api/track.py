"""Events from customers' sources: `/v1/track`, `/v1/batch` and their likes, in Segment's shapes.

What comes is the customer's data, kept as it came: a fact without state, durable before it is
answered, and once for each `messageId` of a day. Beside an account's credentials a source's write
key is taken, as the user of Basic auth with no password.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import uuid4

import msgspec
from aiohttp import hdrs

from gateway.api.http import answer_json, basic_credentials, encode, iso8601, refuse
from gateway.api.resources import UNREAD, Access, Call, Handler, Operation, Result
from gateway.events import FactType, fact
from gateway.messages import idempotency
from gateway.messages.draft import Refusal
from gateway.messages.idempotency import Scope
from gateway.sids import EVENT, new_sid
from gateway.store.base import Conflict, Write

MAX_EVENT: Final = 32 * 1024  # octets, as at Segment; so is the next
MAX_BATCH: Final = 500 * 1024
MAX_EVENTS: Final = 2500
_MAX_KEPT: Final = 4 * MAX_BATCH  # octets of a batch when each event has got what all share
_TRIES: Final = 5  # while others send the same events at the same moment

_FACTS: Final = {
    "track": FactType.TRACK,
    "identify": FactType.TRACK_IDENTIFY,
    "page": FactType.TRACK_PAGE,
    "screen": FactType.TRACK_SCREEN,
    "group": FactType.TRACK_GROUP,
    "alias": FactType.TRACK_ALIAS,
}
# What an event of a type needs beside a user.
_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "track": ("event",),
    "group": ("groupId",),
    "alias": ("previousId", "userId"),
}
_TIMES: Final = ("timestamp", "originalTimestamp", "sentAt")
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_MessageId = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]
_Object = dict[str, Any]


class TrackEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event, with the fields that Segment documents; more are kept as they come.

    `userId` or `anonymousId` says whose it is. `event` is needed to track, `groupId` to group,
    `previousId` to alias. Times are ISO 8601. An event whose `messageId` came within a day is
    taken to be the same.
    """

    type: Literal["track", "identify", "page", "screen", "group", "alias"] | None = None
    messageId: _MessageId | None = None
    userId: str | None = None
    anonymousId: str | None = None
    event: str | None = None
    name: str | None = None
    groupId: str | None = None
    previousId: str | None = None
    properties: _Object | None = None
    traits: _Object | None = None
    context: _Object | None = None
    integrations: _Object | None = None
    timestamp: str | None = None
    originalTimestamp: str | None = None
    sentAt: str | None = None


class TrackBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Several events, each with its `type`; `context` and `integrations` hold for all of them."""

    batch: list[msgspec.Raw]
    context: _Object | None = None
    integrations: _Object | None = None
    sentAt: str | None = None


class TrackAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The events are durable."""

    success: bool = True


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was checked: `value` is what is kept of it."""

    type: str
    message_id: str
    value: _Object


_event: Final = msgspec.json.Decoder(TrackEvent)
_object: Final = msgspec.json.Decoder(_Object)
_batch: Final = msgspec.json.Decoder(TrackBatch)


def read_event(octets: bytes | msgspec.Raw, kind: str, shared: _Object) -> _Told | str:
    """The event that `octets` hold, or what is wrong with it, for a person.

    `kind` is its type unless it says another; of `shared` it gets what it has not itself.
    """
    try:
        event, value = _event.decode(octets), _object.decode(octets)
    except _MALFORMED as error:
        return str(error) or "nested too deeply"
    kind = event.type or kind
    if not kind:
        return f"'type' should be one of {', '.join(_FACTS)}"
    for name in _NEEDS.get(kind, ()):
        if not getattr(event, name):
            return f"{kind} needs '{name}'"
    if not event.userId and not event.anonymousId:
        return f"{kind} needs 'userId' or 'anonymousId'"
    for name in _TIMES:
        if not _is_time(getattr(event, name)):
            return f"'{name}' should be a time in ISO 8601"
    message_id = event.messageId or str(uuid4())
    whole = {**shared, **value, "type": kind, "messageId": message_id}
    return _Told(type=kind, message_id=message_id, value=whole)


def _is_time(given: str | None) -> bool:
    if given is None:
        return True
    try:
        datetime.fromisoformat(given)
    except ValueError:
        return False
    return True


async def _read_body(call: Call, most: int) -> bytes | Refusal:
    if (call.request.content_length or 0) <= most:
        body = await call.request.read()
        if len(body) <= most:
            return body
    return refuse(20413, f"The body may have {most} octets")


def _taking(kind: str) -> Handler:
    async def take(call: Call) -> Result:
        body = await _read_body(call, MAX_EVENT)
        if isinstance(body, Refusal):
            return body
        told = read_event(body, kind, {})
        if isinstance(told, str):
            return refuse(20001, f"The event can't be taken: {told}")
        return await _keep(call, [told])

    take.__doc__ = f"Keep an event of Segment's type {kind}: 200 once it is durable."
    return take


async def take_batch(call: Call) -> Result:
    """Keep several events, all or none: 200 once they are durable."""
    body = await _read_body(call, MAX_BATCH)
    if isinstance(body, Refusal):
        return body
    try:
        given = _batch.decode(body)
    except _MALFORMED as error:
        return refuse(20001, f"The body is not a batch: {error or 'nested too deeply'}")
    if len(given.batch) > MAX_EVENTS:
        return refuse(20413, f"A batch may have {MAX_EVENTS} events, not {len(given.batch)}")
    shared = {
        name: value
        for name in ("context", "integrations", "sentAt")
        if (value := getattr(given, name)) is not None
    }
    size = len(encode(shared))
    if size * len(given.batch) + len(body) > _MAX_KEPT:
        return refuse(20413, "What the events of the batch share is too much for so many")
    if not _is_time(given.sentAt):
        return refuse(20001, "'sentAt' of the batch should be a time in ISO 8601")
    told: list[_Told] = []
    for at, octets in enumerate(given.batch):
        if len(octets) + size > MAX_EVENT:
            return refuse(20413, f"batch[{at}]: an event may have {MAX_EVENT} octets")
        event = read_event(octets, "", shared)
        if isinstance(event, str):
            return refuse(20001, f"batch[{at}] can't be taken, nor what came with it: {event}")
        told.append(event)
    return await _keep(call, told)


async def _keep(call: Call, told: Sequence[_Told]) -> Result:
    """Make durable those of `told` that did not come before."""
    services = call.services
    if services.overloaded() or not services.ingest.admit(len(told)):
        return refuse(20429, "Too many events wait to be kept; try again in a second")
    try:
        fresh = {Scope.TRACK + each.message_id: each for each in reversed(told)}
        for _ in range(_TRIES):
            known = await idempotency.find(services.store, call.account.sid, list(fresh), call.now)
            fresh = {key: each for key, each in fresh.items() if key not in known.entries}
            writes = _writes(call, fresh)
            try:
                if writes:
                    await services.store.commit([*known.outlived, *writes])
                return answer_json(TrackAnswer())
            except Conflict:
                continue
    finally:
        services.ingest.dismiss(len(told))
    return refuse(20503, "Others send the same events at the same moment; try again")


def _writes(call: Call, events: dict[str, _Told]) -> list[Write]:
    source, now = _source_of(call), call.now
    received_at = iso8601(now)
    account_sid = call.account.sid
    writes: list[Write] = []
    for key, each in reversed(events.items()):
        sid = new_sid(EVENT, now)
        data = {"source": source, "payload": {**each.value, "receivedAt": received_at}}
        writes.append(fact(account_sid, sid, 0, _FACTS[each.type], now, data))
        writes.append(idempotency.kept(account_sid, key, "", sid, now))
    return writes


def _source_of(call: Call) -> str:
    """The name of the source whose key the request bears, "" with an account's credentials."""
    credentials = basic_credentials(call.request.headers.get(hdrs.AUTHORIZATION, ""))
    source = None if credentials is None else call.services.sources.find(credentials[0])
    return "" if source is None else source.name


def _operation(kind: str) -> Operation:
    return Operation(
        *(f"{kind.capitalize()}Event", "POST", f"/v1/{kind}", _taking(kind), Access.SOURCE),
        consumes=UNREAD,
        takes=TrackEvent,
        returns=TrackAnswer,
    )


OPERATIONS: Final = (
    *map(_operation, _FACTS),
    Operation(
        *("BatchEvents", "POST", "/v1/batch", take_batch, Access.SOURCE),
        consumes=UNREAD,
        takes=TrackBatch,
        returns=TrackAnswer,
    ),
)
