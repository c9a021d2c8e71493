"""What the Voice SDK measures of a call and posts: kept with the call, as figures of its quality.

The SDK posts samples once in ten seconds and a warning when something gets bad or good again. What
is kept are figures, and names of warnings that look like names; whose call it is the token says.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.browsers.client import Access
from gateway.calls.browser import CLIENT
from gateway.calls.model import Call
from gateway.events import FactType, fact
from gateway.store.base import StoreError, Write
from protocols.voicesdk.errors import Fault

EVENTS: Final = "/v4/EndpointEvents"
METRICS: Final = "/v4/EndpointMetrics"
LARGEST: Final = 64 * 1024  # octets
MOST_OF_CALL: Final = 2000  # posts: five hours and more
MOST_UNDER_WAY: Final = 100
_WITHIN: Final = 10.0  # seconds for a post to come
_MOST_CALLS: Final = 20_000
_MOST_SAMPLES: Final = 100

_TOKEN: Final = "X-Twilio-Token"
_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")
_WARNING: Final = re.compile(r"(audio-level|network-quality)-warning-(raised|cleared)")
_FEEDBACK: Final = "feedback"
_OPEN: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": f"Content-Type, {_TOKEN}",
    "Access-Control-Max-Age": "86400",
}
"""A post proves by its token who made it; no cookie is looked at."""

Keep = Callable[[Sequence[Write]], Awaitable[None]]
Find = Callable[[str, str], Awaitable[Call | None]]


class _Sample(msgspec.Struct, frozen=True):
    call_sid: str = ""
    mos: float | None = None
    jitter: float | None = None
    rtt: float | None = None
    packets_lost_fraction: float | None = None


class _Metrics(msgspec.Struct, frozen=True):
    payload: list[_Sample] = []


class _Of(msgspec.Struct, frozen=True):
    call_sid: str = ""
    quality_score: float | None = None


class _Event(msgspec.Struct, frozen=True):
    group: str = ""
    name: str = ""
    payload: _Of = _Of()


class Insights:
    """See the module. `judge` looks at tokens, `find` gives an account's call, `keep` commits."""

    def __init__(
        self,
        *,
        judge: Callable[[str], Awaitable[Access | Fault]],
        find: Find,
        keep: Keep,
        clock: Callable[[], float],
    ) -> None:
        self._judge = judge
        self._find = find
        self._keep = keep
        self._clock = clock
        self._counts: OrderedDict[str, int] = OrderedDict()  # by call
        self._under_way = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take one post of either kind."""
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=_OPEN)
        if request.method != "POST":
            return _answer(405)
        if self._under_way >= MOST_UNDER_WAY:
            return _answer(429)
        self._under_way += 1
        try:
            return _answer(await self._take(request))
        except StoreError:
            return _answer(503)
        finally:
            self._under_way -= 1

    async def _take(self, request: web.Request) -> int:
        access = await self._judge(request.headers.get(_TOKEN, ""))
        if isinstance(access, Fault):
            return 401
        try:
            async with asyncio.timeout(_WITHIN):
                body = await _body(request)
        except TimeoutError:
            return 408
        if len(body) > LARGEST:
            return 413
        try:
            sid, told = _READERS[request.path](body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return 400
        if told:
            await self._note(access, sid, told)
        return 200

    async def _note(self, access: Access, sid: str, told: Mapping[str, Any]) -> None:
        call = await self._find(access.account_sid, sid) if sid else None
        client = CLIENT + access.identity
        if call is None or client not in (call.from_address, call.to_address):
            return
        count = self._counts[sid] = self._counts.pop(sid, 0) + 1
        while len(self._counts) > _MOST_CALLS:
            self._counts.popitem(last=False)
        if count > MOST_OF_CALL:
            return
        kind, now = FactType.CALL_QUALITY, self._clock()
        await self._keep([fact(call.account_sid, sid, call.version, kind, now, dict(told))])


def _metrics(body: bytes) -> tuple[str, Mapping[str, Any]]:
    """The call, and the means of its samples; the worst MOS beside its mean."""
    samples = msgspec.json.decode(body, type=_Metrics).payload[:_MOST_SAMPLES]
    if not samples:
        return "", {}
    told: dict[str, Any] = {"samples": len(samples)}
    for name in ("mos", "jitter", "rtt", "packets_lost_fraction"):
        values = [value for each in samples if (value := getattr(each, name)) is not None]
        if values:
            told[name] = round(sum(values) / len(values), 2)
            if name == "mos":
                told["mos_min"] = round(min(values), 2)
    return samples[0].call_sid, told


def _event(body: bytes) -> tuple[str, Mapping[str, Any]]:
    """The call, and the warning or what its user thought of it; nothing of other events."""
    event = msgspec.json.decode(body, type=_Event)
    if event.group == _FEEDBACK and event.payload.quality_score is not None:
        return event.payload.call_sid, {"score": event.payload.quality_score}
    warned = _WARNING.fullmatch(event.group)
    if warned is None or _NAME.fullmatch(event.name) is None:
        return "", {}
    return event.payload.call_sid, {"warning": event.name, "is": warned[2]}


_READERS: Final[Mapping[str, Callable[[bytes], tuple[str, Mapping[str, Any]]]]] = {
    EVENTS: _event,
    METRICS: _metrics,
}


async def _body(request: web.Request) -> bytes:
    """What is posted; of too much only so much that this is seen."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > LARGEST:
            break
    return bytes(body)


def _answer(status: int) -> web.Response:
    return web.json_response({}, status=status, headers=_OPEN)
