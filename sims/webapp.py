"""A customer's TwiML app: records every request it gets and answers from a script.

It serves any path with any method. Some are kept for whoever watches it: `GET /requests` lists the
last that came and `GET /requests/count` says how many did, `DELETE /requests` forgets them and
`PUT /script` changes the answers. It shares no code with the gateway: requests are stored as they
came, so that others can judge signatures by them.
"""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import msgspec
from aiohttp import web

from sims.ledger import Ledger
from sims.script import ScriptError

_XML: Final = "text/xml; charset=utf-8"
_KEPT: Final = 20_000
_RIGHT_SCRIPT: Final = (
    'a script looks like [{"path": "/sms", "replies": [{"message": "You said {Body}"}]}]'
)
_PLACE: Final = re.compile(r"\{(\w+)\}")


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one request is answered.

    `message` is put into `<Response><Message>`; `body` is sent as it is; neither: `<Response/>`.
    In both, `{Name}` stands for the request's parameter of that name. `pad` adds so many octets of
    white space behind, `delay` (seconds) comes before the answer, `drop` closes the connection in
    place of it. `redirect` is a Location; give it a 3xx `status`.
    """

    status: int = 200
    message: str = ""
    body: str = ""
    content_type: str = _XML
    headers: dict[str, str] = {}
    redirect: str = ""
    delay: float = 0.0
    pad: int = 0
    drop: bool = False


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests to `path` (`*` is any) get the replies in turn; the last one holds on."""

    path: str = "*"
    replies: tuple[Reply, ...] = (Reply(),)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came; `at` is in seconds since the epoch.

    `params` are those of the form, or else of the query, the first value of each name; `body` has
    them all. `answered` is the status, 0 where the connection was dropped instead.
    """

    at: float
    method: str
    url: str
    path: str
    headers: dict[str, str]
    params: dict[str, str]
    body: str
    signature: str
    answered: int


class WebApp:
    """The rules, and what came; `handle` serves one request."""

    def __init__(
        self, rules: tuple[Rule, ...], ledger: Ledger, clock: Callable[[], float] = time.time
    ) -> None:
        self._rules = rules
        self._ledger = ledger
        self._clock = clock
        self._requests: deque[Request] = deque(maxlen=_KEPT)
        self._count = 0
        self._taken: Counter[str] = Counter()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Record `request` and answer it; the watcher's own are not recorded."""
        body = await request.read()
        match request.method, request.path:
            case "GET", "/requests":
                return _json(list(self._requests))
            case "GET", "/requests/count":
                return _json({"count": self._count})
            case "DELETE", "/requests":
                self.forget()
                return web.Response(status=204)
            case "PUT", "/script":
                return self._rescript(body)
        return await self._answer(request, body)

    def forget(self) -> None:
        """Drop what came, and give every rule its first reply again."""
        self._requests.clear()
        self._count = 0
        self._taken.clear()

    def _rescript(self, body: bytes) -> web.Response:
        try:
            self._rules = msgspec.json.decode(body, type=tuple[Rule, ...])
        except msgspec.DecodeError as error:
            return _json({"error": f"{error}; {_RIGHT_SCRIPT}"}, status=400)
        self._taken.clear()
        return web.Response(status=204)

    async def _answer(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        reply = self._reply(request.path)
        recorded = _recorded(request, body, self._clock(), reply)
        self._requests.append(recorded)
        self._count += 1
        self._ledger.append((recorded,))
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.drop:
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        headers = {**reply.headers, "Content-Type": reply.content_type}
        if reply.redirect:
            headers["Location"] = reply.redirect
        content = _content(reply, recorded.params)
        return web.Response(status=reply.status, body=content, headers=headers)

    def _reply(self, path: str) -> Reply:
        for rule in self._rules:
            if rule.path in (path, "*") and rule.replies:
                taken = self._taken[path]
                self._taken[path] = taken + 1
                return rule.replies[min(taken, len(rule.replies) - 1)]
        return Reply()


def _recorded(request: web.BaseRequest, body: bytes, at: float, reply: Reply) -> Request:
    headers = dict(request.headers)
    text = body.decode("utf-8", "replace")
    form = request.content_type == "application/x-www-form-urlencoded"
    pairs = parse_qsl(text if form else request.query_string, keep_blank_values=True)
    return Request(
        at=at,
        method=request.method,
        url=f"{request.scheme}://{request.host}{request.raw_path}",
        path=request.path,
        headers=headers,
        params=dict(reversed(pairs)),
        body=text,
        signature=request.headers.get("X-Twilio-Signature", ""),
        answered=0 if reply.drop else reply.status,
    )


def _content(reply: Reply, params: dict[str, str]) -> bytes:
    if reply.message:
        text = _filled(escape(reply.message), params)
        content = f"<Response><Message>{text}</Message></Response>"
    else:
        content = _filled(reply.body, params) or "<Response/>"
    return content.encode() + b" " * reply.pad


def _filled(text: str, params: dict[str, str]) -> str:
    def value(place: re.Match[str]) -> str:
        name = place[1]
        return escape(params[name]) if name in params else place[0]

    return _PLACE.sub(value, text)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )


def replying(message: str | None) -> tuple[Rule, ...]:
    """The rules of an app that answers each request with `message`, or with an empty document."""
    return (Rule(replies=(Reply(message=message or ""),)),)


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of a JSON file; raises ScriptError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Rule, ...])
    except (OSError, msgspec.DecodeError) as error:
        raise ScriptError(f"script {path}: {error}; {_RIGHT_SCRIPT}") from error


async def listen(app: WebApp, host: str, port: int) -> tuple[web.ServerRunner, int]:
    """Serve `app`; returns what to clean up, and the port that was taken."""
    server = web.Server(app.handle, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    return runner, runner.addresses[0][1]
