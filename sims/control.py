"""The control face of a simulated carrier: JSON over HTTP on a loopback port.

Whoever holds the handsets in their hand reads what arrived and texts in from them, and steers the
phones. The gateway forwards its own `/sim` here; no answer depends on who asks.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, Protocol

import msgspec
from aiohttp import web

from sims.control_http import MAX_REQUEST, Wrong, answer, explained
from sims.handset import Inboxes, InText, NoBind, Outcome, Refused, Taken, Text, Unanswered
from sims.phone_control import RIGHT_PHONE_PATHS, Phones, add_phones

_HANDSET: Final = re.compile(r"\+?[1-9][0-9]{2,14}")
_RECIPIENT: Final = re.compile(r"\+?[A-Za-z0-9 ._&-]{1,20}")
_RIGHT_HANDSET: Final = "a handset's number is E.164: +15550001001, in a URL also %2B15550001001"
_RIGHT_TEXT: Final = 'a text is JSON: {"to": "+15550001000", "body": "hello"}'
_RIGHT_PATHS: Final = (
    "there are GET and POST /sim/handsets/{number}/messages,"
    f" {RIGHT_PHONE_PATHS}, and DELETE /sim to forget all"
)


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


def application(carrier: Carrier | None, phones: Phones | None = None) -> web.Application:
    """The HTTP application over a carrier of texts, over phones, or both."""

    async def forget(_request: web.Request) -> web.Response:
        for each in (carrier, phones):
            if each is not None:
                each.forget()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    explain = explained(_RIGHT_TEXT, _RIGHT_PATHS)
    app = web.Application(client_max_size=MAX_REQUEST, middlewares=[explain])
    if carrier is not None:
        _add_handsets(app, carrier)
    if phones is not None:
        add_phones(app, phones)
    app.router.add_delete("/sim", forget)
    return app


@asynccontextmanager
async def listening(app: web.Application, port: int) -> AsyncIterator[int]:
    """`app` on a loopback port, a free one for 0, which is given. Raises `OSError`."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _add_handsets(app: web.Application, carrier: Carrier) -> None:
    async def messages(request: web.Request) -> web.Response:
        number = _handset(request)
        return answer([_shown(text) for text in carrier.inboxes.of(number)])

    async def text_in(request: web.Request) -> web.Response:
        number = _handset(request)
        texting = _texting(await request.read())
        text = InText(from_address=number, to_address=texting.to, body=texting.body)
        return _answer(text, await carrier.text_in(text))

    app.router.add_get("/sim/handsets/{number}/messages", messages)
    app.router.add_post("/sim/handsets/{number}/messages", text_in)


def _handset(request: web.Request) -> str:
    number = request.match_info["number"]
    if not _HANDSET.fullmatch(number):
        raise Wrong(f"{number!r} is no number; {_RIGHT_HANDSET}")
    return "+" + number.lstrip("+")


def _texting(body: bytes) -> _Texting:
    try:
        texting = msgspec.json.decode(body, type=_Texting)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Wrong(f"{error}; {_RIGHT_TEXT}") from error
    if not _RECIPIENT.fullmatch(texting.to):
        raise Wrong(f"'to' can't be {texting.to!r}; {_RIGHT_TEXT}")
    return texting


def _answer(text: InText, outcome: Outcome) -> web.Response:
    match outcome:
        case Taken(parts=parts):
            sent = _Sent(from_=text.from_address, to=text.to_address, body=text.body, parts=parts)
            return answer(sent, HTTPStatus.CREATED)
        case Refused(command_status=status):
            error = f"the gateway refused the text with command_status 0x{status:08x}"
            return answer({"error": error, "command_status": status}, HTTPStatus.BAD_GATEWAY)
        case NoBind():
            error = "no bind that receives is up; the gateway binds as receiver or transceiver"
            return answer({"error": error}, HTTPStatus.SERVICE_UNAVAILABLE)
        case Unanswered(seconds=seconds):
            error = f"the gateway sent no deliver_sm_resp within {seconds:g} s"
            return answer({"error": error}, HTTPStatus.GATEWAY_TIMEOUT)


def _shown(text: Text) -> _Shown:
    at = datetime.fromtimestamp(text.received_at, UTC)
    return _Shown(
        from_=text.from_address,
        to=text.to_address,
        body=text.body,
        received_at=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
