"""Simulated phones over HTTP: how they answer, what they dial, and what they heard.

A number in a path is that of a phone of a carrier, or the name of a phone's user.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar

import msgspec
from aiohttp import web

from protocols.sip.agent_commands import Reliability
from protocols.sip.session_refresh import Refresher
from protocols.sip.transport import Transport
from sims.carrier import Dialling, Gateway, Nowhere, TooMany
from sims.control_http import Wrong, answer
from sims.phone_calls import CallLog, CallRecord, Over
from sims.phone_script import RIGHT_SCRIPT, Manner, read_manner, read_script
from sims.sip_exchange import NoPorts

RIGHT_PHONE_PATHS: Final = (
    "PUT /sim/phones/{number}, GET and POST /sim/phones/{number}/calls,"
    " DELETE /sim/phones/{number}/calls/{id}, POST /sim/phones/{number}/calls/{id}/scripts,"
    " DELETE /sim/phones for all to hang up, PUT /sim/gateway"
)
_PHONE: Final = re.compile(r"\+?[A-Za-z0-9._-]{1,64}")
_DIALLED: Final = re.compile(r"\+?[A-Za-z0-9._*#-]{1,64}")
_HOST: Final = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_RIGHT_PHONE: Final = "a phone's number is E.164: +15550001001, in a URL also %2B15550001001"
_RIGHT_CALL: Final = f'a call is JSON: {{"to": "+15550001000", "script": […]}}; {RIGHT_SCRIPT}'
_RIGHT_GIVEN: Final = f'what is done in a call is JSON: {{"script": […]}}; {RIGHT_SCRIPT}'
_RIGHT_MANNER: Final = (
    f'how a phone answers is JSON: {{"answer_after": 1, "script": […]}}; {RIGHT_SCRIPT}'
)
_RIGHT_GATEWAY: Final = (
    'where the gateway is, is JSON: {"host": "127.0.0.1", "port": 5060,'
    ' "username": "simulated", "password": "secret", "transport": "udp"}'
)


class Phones(Protocol):
    """What of simulated phones can be reached over a control port."""

    @property
    def calls(self) -> CallLog:
        """The calls of all phones."""

    def phone_of(self, text: str) -> str:
        """A phone's number as it is written in the log."""

    def set_gateway(self, gateway: Gateway) -> None:
        """Say where calls go in. Raises `Nowhere` where that is settled."""

    def set_phone(self, phone: str, manner: Manner) -> None:
        """Say how a phone answers. Raises `TooMany`."""

    def call(self, phone: str, dialling: Dialling) -> CallRecord:
        """Call the gateway from a phone. Raises `Nowhere` and `NoPorts`."""

    def forget(self) -> None:
        """Forget how phones answer and what they heard."""


class _Dialling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    to: str
    script: list[dict[str, Any]] = []
    early: list[dict[str, Any]] = []
    late_offer: bool = False
    give_up_after: float | None = None
    drop_after: float | None = None
    reliable: Reliability = Reliability.IF_SUPPORTED
    session_expires: int = 0
    refresher: Refresher | None = None


class _Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    script: list[dict[str, Any]]


class _Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str
    port: int
    username: str = ""
    password: str = ""
    transport: str = "udp"


class _Placed(msgspec.Struct, frozen=True, kw_only=True):
    id: str


T = TypeVar("T")


def add_phones(app: web.Application, phones: Phones) -> None:
    """Let `app` steer `phones`."""

    async def put_phone(request: web.Request) -> web.Response:
        phone = phones.phone_of(_phone(request))
        written = _read(await request.read(), dict[str, Any], _RIGHT_MANNER)
        try:
            phones.set_phone(phone, read_manner(written))
        except TooMany as error:
            raise Wrong(str(error), HTTPStatus.INSUFFICIENT_STORAGE) from error
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def get_calls(request: web.Request) -> web.Response:
        phone = phones.phone_of(_phone(request))
        return answer([each.shown() for each in phones.calls.of(phone)])

    async def post_call(request: web.Request) -> web.Response:
        phone = phones.phone_of(_phone(request))
        dialling = _dialling(await request.read())
        try:
            record = phones.call(phone, dialling)
        except (Nowhere, NoPorts) as error:
            raise Wrong(str(error), HTTPStatus.SERVICE_UNAVAILABLE) from error
        return answer(_Placed(id=record.id), HTTPStatus.CREATED)

    async def post_script(request: web.Request) -> web.Response:
        record = _record(request, phones)
        written = _read(await request.read(), _Given, _RIGHT_GIVEN)
        id = record.next_script()
        script = read_script(written.script, id)
        with _explained():
            record.party().follow_too(script)
        return answer(_Placed(id=id), HTTPStatus.CREATED)

    async def delete_call(request: web.Request) -> web.Response:
        record = _record(request, phones)
        if not record.is_over:
            with _explained():
                record.party().hang_up()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def delete_calls(_request: web.Request) -> web.Response:
        for each in phones.calls.go_on():
            with suppress(Over):
                each.party().hang_up()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def put_gateway(request: web.Request) -> web.Response:
        try:
            phones.set_gateway(_gateway(await request.read()))
        except Nowhere as error:
            raise Wrong(str(error), HTTPStatus.CONFLICT) from error
        return web.Response(status=HTTPStatus.NO_CONTENT)

    app.router.add_put("/sim/phones/{number}", put_phone)
    app.router.add_get("/sim/phones/{number}/calls", get_calls)
    app.router.add_post("/sim/phones/{number}/calls", post_call)
    app.router.add_post("/sim/phones/{number}/calls/{id}/scripts", post_script)
    app.router.add_delete("/sim/phones/{number}/calls/{id}", delete_call)
    app.router.add_delete("/sim/phones", delete_calls)
    app.router.add_put("/sim/gateway", put_gateway)


def _phone(request: web.Request) -> str:
    number = request.match_info["number"]
    if not _PHONE.fullmatch(number):
        raise Wrong(f"{number!r} is no number; {_RIGHT_PHONE}")
    return number


def _record(request: web.Request, phones: Phones) -> CallRecord:
    id = request.match_info["id"]
    found = phones.calls.find(phones.phone_of(_phone(request)), id)
    if found is None:
        raise Wrong(f"the phone has no call {id!r}; its calls: GET …/calls", HTTPStatus.NOT_FOUND)
    return found


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Over as error:
        raise Wrong(str(error), HTTPStatus.CONFLICT) from error


def _read(body: bytes, kind: type[T], right: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Wrong(f"{error}; {right}") from error


def _dialling(body: bytes) -> Dialling:
    written = _read(body, _Dialling, _RIGHT_CALL)
    if not _DIALLED.fullmatch(written.to):
        raise Wrong(f"'to' can't be {written.to!r}; {_RIGHT_CALL}")
    if written.give_up_after is not None and not 0 <= written.give_up_after <= 86_400:
        raise Wrong(f"'give_up_after' is a time of 0 to 86400 seconds; {_RIGHT_CALL}")
    manner = msgspec.to_builtins(written)
    del manner["to"], manner["late_offer"], manner["give_up_after"]
    return Dialling(
        to=written.to,
        manner=read_manner(manner),
        late_offer=written.late_offer,
        give_up_after=written.give_up_after,
    )


def _gateway(body: bytes) -> Gateway:
    written = _read(body, _Where, _RIGHT_GATEWAY)
    if not _HOST.fullmatch(written.host) or not 0 < written.port < 65_536:
        raise Wrong(f"{written.host!r}:{written.port} is no address; {_RIGHT_GATEWAY}")
    try:
        transport = Transport(written.transport.upper())
    except ValueError:
        raise Wrong(f"{written.transport!r} is no transport; {_RIGHT_GATEWAY}") from None
    return Gateway(
        host=written.host,
        port=written.port,
        username=written.username,
        password=written.password,
        transport=transport,
    )
