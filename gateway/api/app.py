"""The HTTP application: every operation behind one door per prefix, made from `Services`.

There is no middleware: a request is matched, authenticated, checked, handled and rendered by the
one function here, so that what a POST costs can be read in one place.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from aiohttp import hdrs, web

from gateway.api import (
    accounts,
    applications,
    backup,
    bus,
    call_events,
    call_messages,
    call_records,
    calls,
    carriers,
    clients,
    conference_recordings,
    conferences,
    events,
    explain,
    health,
    jobs,
    keys,
    messages,
    notifications,
    participants,
    phone,
    phone_numbers,
    queues,
    recordings,
    registrations,
    sim,
    sip_domains,
    sip_lists,
    sip_mappings,
    tokens,
    track,
    tracking,
)
from gateway.api.auth import (
    NOBODY,
    Caller,
    Throttled,
    authenticate,
    authenticate_source,
    permit,
    refuse_key,
    target,
)
from gateway.api.checks import checks_of, refuse_types
from gateway.api.declare import Resource, operations
from gateway.api.http import (
    MAX_REQUEST,
    answer_response,
    not_found,
    parse_form,
    parse_json,
    refusal_response,
    refuse,
)
from gateway.api.openapi import described
from gateway.api.resources import (
    FORM,
    JSON,
    UNREAD,
    Access,
    Answer,
    Call,
    Operation,
    Result,
)
from gateway.api.router import Match, Product, Router, product_of
from gateway.api.services import Services
from gateway.messages.draft import Refusal
from gateway.model import Account, AccountKind
from gateway.store.base import StoreUnavailable

_log = structlog.get_logger(__name__)

RESOURCES: Final[tuple[Resource[Any], ...]] = (
    *accounts.RESOURCES,
    *keys.RESOURCES,
    *messages.RESOURCES,
    *calls.RESOURCES,
    *recordings.RESOURCES,
    *phone_numbers.RESOURCES,
    *applications.RESOURCES,
    *conferences.RESOURCES,
    *conference_recordings.RESOURCES,
    *participants.RESOURCES,
    *queues.RESOURCES,
    *notifications.RESOURCES,
    *sip_domains.RESOURCES,
    *sip_mappings.RESOURCES,
    *sip_lists.RESOURCES,
)
V2010: Final = (
    *(each for resource in RESOURCES for each in operations(resource)),
    *call_events.OPERATIONS,
    *call_messages.OPERATIONS,
    *tokens.OPERATIONS,
)
_OWN: Final = (
    *backup.OPERATIONS,
    *bus.OPERATIONS,
    *call_records.OPERATIONS,
    *carriers.OPERATIONS,
    *clients.OPERATIONS,
    *events.OPERATIONS,
    *explain.OPERATIONS,
    *jobs.OPERATIONS,
    *phone.OPERATIONS,
    *registrations.OPERATIONS,
    *sim.OPERATIONS,
    *track.OPERATIONS,
    *tracking.OPERATIONS,
    *health.OPERATIONS,
)
OWN: Final = (*_OWN, described((*V2010, *_OWN)))

_UNMATCHED: Final = "unmatched"
_ACCOUNT: Final = "AccountSid"


def build_app(services: Services) -> web.Application:
    """The application that answers every HTTP request of the gateway."""
    app = web.Application(client_max_size=MAX_REQUEST)
    app[events.STREAMS] = set()
    app[backup.UNDER_WAY] = asyncio.Lock()
    app.on_shutdown.append(events.end_streams)
    app.cleanup_ctx.append(sim.simulator_session)
    api = Door(services, Product.API, V2010)
    own = Door(services, Product.OWN, OWN)
    _show(app, services)
    add = app.router.add_route
    add("*", "/2010-04-01/{tail:.*}", api.answer)
    add("*", "/{tail:.*}", own.answer)
    return app


def build_status_app(services: Services) -> web.Application:
    """What a process without the role `api` serves: health, metrics, and who is connected to it."""
    app = web.Application(client_max_size=MAX_REQUEST)
    app[events.STREAMS] = set()
    _show(app, services)
    operations = (*health.OPERATIONS, *clients.OPERATIONS)
    door = Door(services, Product.OWN, operations, elsewhere)
    app.router.add_route("*", "/{tail:.*}", door.answer)
    return app


def _show(app: web.Application, services: Services) -> None:
    """Serve what this process has beside REST."""
    for path, face in services.faces.items():
        app.router.add_route("*", path, face)


def elsewhere(path: str) -> Refusal:
    """What a process without the role `api` says of a resource: that it may be at another."""
    return refuse(20404, f"{path} is not here: this process has no role api; ask one that has")


class Door:
    """What stands between a request and the operations of one product."""

    def __init__(
        self,
        services: Services,
        product: Product,
        operations: tuple[Operation, ...],
        missing: Callable[[str], Refusal] = not_found,
    ) -> None:
        """`missing` says that there is nothing at a path."""
        self._services = services
        self._missing = missing
        self._product = product
        self._router = Router(operations)
        self._checks = {operation.id: checks_of(operation) for operation in operations}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The one handler: always an answer in Twilio's form, whatever happens inside."""
        services = self._services
        started = services.clock()
        match = self._router.match(request.rel_url.raw_path)
        method = "GET" if request.method == "HEAD" else request.method
        operation = None if match is None else match.operations.get(method)
        try:
            result = await self._result(request, match, operation, started)
        except web.HTTPRequestEntityTooLarge:
            result = _too_large()
        except StoreUnavailable as error:
            result = refuse(20503, f"The store is away, nothing was changed: {error}")
        except Exception:
            _log.exception("a request failed", method=request.method, path=request.path)
            result = refuse(20500)
        now = services.clock()
        match result:
            case Answer():
                response: web.StreamResponse = answer_response(result, started, now)
            case Refusal():
                response = refusal_response(result, started, now)
            case Throttled():
                refusal = refuse(20429, "Too many wrong credentials; wait before the next try")
                response = refusal_response(refusal, started, now, result.seconds)
            case _:
                response = result
        name = operation.id if operation is not None else _UNMATCHED
        services.http.count(name, response.status, now - started)
        return response

    async def _result(
        self, request: web.Request, match: Match | None, operation: Operation | None, now: float
    ) -> Result | Throttled:
        if product_of(request, self._product) is not self._product:
            return not_found(request.path)
        if operation is not None and operation.access is Access.PUBLIC:
            return await self._handle(request, operation, NOBODY, NOBODY, {}, now)
        if match is None and self._product is Product.OWN:
            return self._missing(request.path)
        services = self._services
        header = request.headers.get(hdrs.AUTHORIZATION)
        caller = self._caller(operation, header, lambda: services.proxies.peer(request).host, now)
        if not isinstance(caller, Caller):
            return caller
        if match is None:
            return not_found(request.path)
        if operation is None:
            return _not_offered(request, match, now, services.clock())
        bearer, access = caller.account, operation.access
        sid = match.variables.get(_ACCOUNT, bearer.sid)
        account = target(services.accounts, bearer, sid, request.path)
        if isinstance(account, Refusal):
            return account
        refusal = permit(bearer, account, access) or refuse_key(caller, access)
        if refusal is not None:
            return refusal
        return await self._handle(request, operation, account, bearer, match.variables, now)

    def _caller(
        self,
        operation: Operation | None,
        header: str | None,
        address: Callable[[], str],
        now: float,
    ) -> Caller | Refusal | Throttled:
        services = self._services
        known = services.accounts, services.keys, services.tries, header, address, now
        if operation is not None and operation.access is Access.SOURCE:
            return authenticate_source(services.sources, *known)
        return authenticate(*known)

    async def _handle(
        self,
        request: web.Request,
        operation: Operation,
        account: Account,
        caller: Account,
        path: dict[str, str],
        now: float,
    ) -> Result:
        handler = operation.handler
        if account.kind is AccountKind.TEST and operation.access is not Access.PUBLIC:
            if operation.test is None:
                return refuse(20008, "Test credentials only create messages and phone numbers")
            handler = operation.test
        form = await read_form(request, operation)
        if isinstance(form, Refusal):
            return form
        refusal = refuse_types(form, self._checks[operation.id])
        if refusal is not None:
            return refusal
        call = Call(
            services=self._services,
            request=request,
            operation=operation,
            account=account,
            caller=caller,
            path=path,
            form=form,
            now=now,
        )
        return await handler(call)


async def read_form(request: web.Request, operation: Operation) -> dict[str, list[str]] | Refusal:
    """The parameters of `request`: of its query, or of its body when it is a POST."""
    if request.method != "POST":
        return parse_form(request.rel_url.raw_query_string.encode())
    if operation.consumes == UNREAD:
        return {}
    if (request.content_length or 0) > MAX_REQUEST:
        return _too_large()
    given = request.headers.get(hdrs.CONTENT_TYPE, "")
    body = await request.read()
    kind = given.partition(";")[0].strip().lower()
    if kind in (FORM, "") or not body:
        return parse_form(body)
    if kind == JSON and operation.consumes == JSON:
        return parse_json(body)
    return refuse(
        20001, f"Content-Type should be {operation.consumes}, not {given[:60] or 'absent'}"
    )


def _not_offered(request: web.Request, match: Match, started: float, now: float) -> web.Response:
    """405, with the methods that there are (RFC 9110 §15.5.6)."""
    refusal = refuse(20004, f"{request.method} is not offered at {request.path}")
    response = refusal_response(refusal, started, now)
    also = {"HEAD"} if "GET" in match.operations else set()
    response.headers[hdrs.ALLOW] = ", ".join(sorted({*match.operations, *also}))
    return response


def _too_large() -> Refusal:
    return refuse(20413, f"A request may have {MAX_REQUEST} octets")
