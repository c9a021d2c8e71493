"""The control face of a simulated carrier: JSON over HTTP on a loopback port.

Whoever holds the handsets in their hand reads what arrived and texts in from them. The gateway
forwards its own `/sim` here; no answer depends on who asks.
"""

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from protocols.smpp.text import TextError
from sims.handset import Inboxes, InText, NoBind, Outcome, Refused, Taken, Text, Unanswered

_HANDSET: Final = re.compile(r"\+?[1-9][0-9]{2,14}")
_RECIPIENT: Final = re.compile(r"\+?[A-Za-z0-9 ._&-]{1,20}")
_RIGHT_HANDSET: Final = "a handset's number is E.164: +15550001001, in a URL also %2B15550001001"
_RIGHT_TEXT: Final = 'a text is JSON: {"to": "+15550001000", "body": "hello"}'
_RIGHT_PATHS: Final = (
    "there are GET and POST /sim/handsets/{number}/messages, and DELETE /sim to forget all"
)
_MAX_REQUEST: Final = 256 * 1024


class Carrier(Protocol):
    """What of a simulated carrier can be reached over its control port."""

    @property
    def inboxes(self) -> Inboxes:
        """What arrived on the handsets."""

    async def text_in(self, text: InText) -> Outcome:
        """Hand a text to the gateway; returns when that has answered, or can't any more."""

    def forget(self) -> None:
        """Forget what arrived and whose turn it is."""


class _Texting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    to: str
    body: str


class _Shown(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    from_: str
    to: str
    body: str
    received_at: str


class _Sent(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    from_: str
    to: str
    body: str
    parts: int


def application(carrier: Carrier) -> web.Application:
    """The HTTP application over `carrier`."""

    async def messages(request: web.Request) -> web.Response:
        number = _handset(request)
        return _json([_shown(text) for text in carrier.inboxes.of(number)])

    async def text_in(request: web.Request) -> web.Response:
        number = _handset(request)
        texting = _texting(await request.read())
        text = InText(from_address=number, to_address=texting.to, body=texting.body)
        return _answer(text, await carrier.text_in(text))

    async def forget(_request: web.Request) -> web.Response:
        carrier.forget()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    app = web.Application(client_max_size=_MAX_REQUEST, middlewares=[_explained])
    app.router.add_get("/sim/handsets/{number}/messages", messages)
    app.router.add_post("/sim/handsets/{number}/messages", text_in)
    app.router.add_delete("/sim", forget)
    return app


class _Wrong(Exception):
    """A request that can't be followed; the text says what would be right."""


@web.middleware
async def _explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (_Wrong, TextError) as wrong:
        return _json({"error": str(wrong)}, HTTPStatus.BAD_REQUEST)
    except web.HTTPRequestEntityTooLarge:
        error = f"the body is longer than {_MAX_REQUEST} octets; {_RIGHT_TEXT}"
        return _json({"error": error}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
        what = f"nothing answers {request.method} {request.path}; {_RIGHT_PATHS}"
        return _json({"error": what}, HTTPStatus(error.status))


def _handset(request: web.Request) -> str:
    number = request.match_info["number"]
    if not _HANDSET.fullmatch(number):
        raise _Wrong(f"{number!r} is no number; {_RIGHT_HANDSET}")
    return "+" + number.lstrip("+")


def _texting(body: bytes) -> _Texting:
    try:
        texting = msgspec.json.decode(body, type=_Texting)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Wrong(f"{error}; {_RIGHT_TEXT}") from error
    if not _RECIPIENT.fullmatch(texting.to):
        raise _Wrong(f"'to' can't be {texting.to!r}; {_RIGHT_TEXT}")
    return texting


def _answer(text: InText, outcome: Outcome) -> web.Response:
    match outcome:
        case Taken(parts=parts):
            sent = _Sent(from_=text.from_address, to=text.to_address, body=text.body, parts=parts)
            return _json(sent, HTTPStatus.CREATED)
        case Refused(command_status=status):
            error = f"the gateway refused the text with command_status 0x{status:08x}"
            return _json({"error": error, "command_status": status}, HTTPStatus.BAD_GATEWAY)
        case NoBind():
            error = "no bind that receives is up; the gateway binds as receiver or transceiver"
            return _json({"error": error}, HTTPStatus.SERVICE_UNAVAILABLE)
        case Unanswered(seconds=seconds):
            error = f"the gateway sent no deliver_sm_resp within {seconds:g} s"
            return _json({"error": error}, HTTPStatus.GATEWAY_TIMEOUT)


def _shown(text: Text) -> _Shown:
    at = datetime.fromtimestamp(text.received_at, UTC)
    return _Shown(
        from_=text.from_address,
        to=text.to_address,
        body=text.body,
        received_at=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def _json(value: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )
