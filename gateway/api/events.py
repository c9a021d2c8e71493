"""Events: `/v1/events`, what happens to an account's resources, as it happens.

Server-sent events (WHATWG HTML §9.2) over the facts: the id of an event is its fact's, so a
client that comes back with `Last-Event-ID` misses nothing. Without it the stream begins now.
"""

import asyncio
from typing import Final

import msgspec
from aiohttp import web

from gateway.api.files import begin, is_head
from gateway.api.http import encode, iso8601, refuse
from gateway.api.resources import Access, Call, Operation, Param, Result
from gateway.bus.base import Position
from gateway.store.base import Fact

_STREAM: Final = "text/event-stream"
_LOOK: Final = 1.0  # seconds between looks at whether the client is still there
_KEEP_ALIVE: Final = 15  # looks without an event before a comment, so that proxies keep the line
_MAX_CURSOR: Final = 2**62

STREAMS: Final = web.AppKey("streams", set[asyncio.Task[None]])


class EventBody(msgspec.Struct, frozen=True, kw_only=True):
    """One fact; `data` never holds what a text said."""

    id: int
    type: str
    sid: str
    account_sid: str
    version: int
    at: str | None
    data: msgspec.Raw


def event_frame(fact: Fact) -> bytes:
    """`fact` as a server-sent event."""
    body = EventBody(
        id=fact.id,
        type=fact.type,
        sid=fact.sid,
        account_sid=fact.account_sid,
        version=fact.version,
        at=iso8601(fact.at),
        data=msgspec.Raw(fact.data.encode()),
    )
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (fact.id, fact.type.encode(), encode(body))


async def follow(call: Call) -> Result:
    """The account's facts from now on, or from `Last-Event-ID` on, until the client leaves."""
    services = call.services
    streams = call.request.app[STREAMS]
    if len(streams) >= services.limits.max_event_streams:
        return refuse(20429, f"{len(streams)} event streams are open, the most there may be")
    given = call.request.headers.get("Last-Event-ID") or call.text("after")
    if not given:
        position = await services.live.newest()
    elif given.isascii() and given.isdigit() and int(given) < _MAX_CURSOR:
        position = given
    else:
        return refuse(20001, f"Last-Event-ID should be the id of an event, not '{given[:40]}'")
    response = await begin(call, {"Content-Type": _STREAM})
    if is_head(call):
        return response
    await response.write(b": stream\n\n")
    task = asyncio.ensure_future(_pump(call, response, position))
    streams.add(task)
    try:
        await task
    except asyncio.CancelledError:
        task.cancel()
    except ConnectionError:
        pass  # the client left, which is how every stream ends
    finally:
        streams.discard(task)
    return response


async def _pump(call: Call, response: web.StreamResponse, position: Position) -> None:
    batches = aiter(call.services.live.subscribe(position))
    coming = asyncio.ensure_future(anext(batches, None))
    quiet = 0
    try:
        while (transport := call.request.transport) is not None and not transport.is_closing():
            done, _ = await asyncio.wait({coming}, timeout=_LOOK)
            facts = []
            if done:
                batch = coming.result()
                if batch is None:
                    return  # the bus is closed: the gateway stops
                facts = batch.facts
                coming = asyncio.ensure_future(anext(batches, None))
            frames = [event_frame(fact) for fact in facts if fact.account_sid == call.account.sid]
            quiet = 0 if frames else quiet + (not done)
            if frames or quiet >= _KEEP_ALIVE:
                quiet = 0
                await response.write(b"".join(frames) or b": still here\n\n")
    finally:
        coming.cancel()


async def end_streams(app: web.Application) -> None:
    """End every stream: the gateway stops. Clients come back with their `Last-Event-ID`."""
    streams = app[STREAMS]
    for task in tuple(streams):
        task.cancel()


OPERATIONS: Final = (
    Operation(
        *("FollowEvents", "GET", "/v1/events", follow, Access.READ),
        params=(Param(name="after", doc="As the header Last-Event-ID, which wins."),),
        returns=EventBody,
        produces=_STREAM,
    ),
)
