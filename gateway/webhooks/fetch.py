"""Asking customers' URLs: tries, redirects, credentials and cookies over single exchanges.

`fetch` is for instructions (its body is the answer), `notify` for callbacks (that it was taken is
the answer), `download` for what is too long for the memory. All end within the URL's total timeout
and never raise for what a server does.
"""

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec

from gateway.webhooks.authorization import Challenge, authorize, parse_challenges
from gateway.webhooks.cookies import Cookie, cookie_header, merged, parse_set_cookie
from gateway.webhooks.exchange import (
    DOCUMENT,
    HTTP_FAILURE,
    RECEIPT,
    Connections,
    Fault,
    Response,
    Sink,
    Want,
)
from gateway.webhooks.overrides import RetryOn
from gateway.webhooks.request import Answer, Failure, Request
from gateway.webhooks.signature import sign
from gateway.webhooks.target import BadTarget, Target, encode_form, parse_target, resolve, shown

__all__ = [
    "EMPTY_CHUNKED_BODY",
    "MAX_REDIRECTS",
    "TOO_MANY_REDIRECTS",
    "Answer",
    "Failure",
    "Fetcher",
    "Request",
]

TOO_MANY_REDIRECTS: Final = 11215
EMPTY_CHUNKED_BODY: Final = 11770
MAX_REDIRECTS: Final = 10

_REMEMBERED_CHALLENGES: Final = 1024
_KEPT_OF_REFUSAL: Final = 4096

# RFC 9110 15.4: after these the request goes on as a GET without its form, …
_AS_GET: Final = frozenset({301, 302, 303})
# … and after these as it was.
_AS_IT_WAS: Final = frozenset({307, 308})

# RFC 9111: what says how long an answer is good, and how to ask whether it still is.
_FRESHNESS: Final = ("age", "cache-control", "date", "etag", "expires", "last-modified", "vary")

_HEAD: Final = "User-Agent: TwilioProxy/1.1\r\nAccept: */*\r\nX-Home-Region: us1\r\n"
_FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"


class _Step(msgspec.Struct):
    """Where a request stands: redirects move it on."""

    target: Target
    method: str
    parameters: tuple[tuple[str, str], ...]
    cookies: tuple[Cookie, ...]


class _Credential(msgspec.Struct):
    """A challenge that was answered, and how often."""

    challenge: Challenge
    count: int = 0


class _Refused(msgspec.Struct, frozen=True, kw_only=True):
    """One try that failed, and the policy under which another may be made."""

    failure: Failure
    retry: RetryOn | None


class Fetcher:
    """Asks URLs over `connections`; `clock` gives epoch seconds, for cookies."""

    def __init__(self, connections: Connections, *, clock: Callable[[], float] = time.time) -> None:
        self._connections = connections
        self._clock = clock
        self._credentials: OrderedDict[tuple[str, str, str], _Credential] = OrderedDict()

    async def fetch(self, request: Request) -> Answer | Failure:
        """The answer to `request` if it is a 2xx of at most 64 KiB."""
        return await self._ask(request, DOCUMENT)

    async def notify(self, request: Request) -> Answer | Failure:
        """Whether `request` was taken: any 2xx, whose body is passed over."""
        return await self._ask(request, RECEIPT)

    async def download(self, request: Request, sink: Sink, max_body: int) -> Answer | Failure:
        """The answer to `request` if it is a 2xx, its body in `sink`, of at most `max_body`."""
        return await self._ask(request, Want(max_body=max_body, kept=False, sink=sink))

    async def _ask(self, request: Request, want: Want) -> Answer | Failure:
        target = parse_target(request.url)
        if isinstance(target, BadTarget):
            return Failure(error_code=target.error_code, message=target.message, url=target.url)
        clock = asyncio.get_running_loop().time
        started = clock()
        deadline = started + target.overrides.total_timeout
        tries = 1 + target.overrides.retries
        while True:
            outcome = await self._try(request, target, want, started, deadline)
            tries -= 1
            if not isinstance(outcome, _Refused):
                return outcome
            again = outcome.retry in target.overrides.retry_on and tries and clock() < deadline
            if not again:
                return outcome.failure

    async def _try(
        self, request: Request, target: Target, want: Want, started: float, deadline: float
    ) -> Answer | _Refused:
        step = _Step(target, request.method, request.parameters, request.cookies)
        clock = asyncio.get_running_loop().time
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._exchange(step, request, want, deadline)
            if isinstance(response, Fault):
                return _Refused(
                    failure=Failure(
                        error_code=response.error_code,
                        message=response.message,
                        url=step.target.url,
                        elapsed=clock() - started,
                    ),
                    retry=response.retry,
                )
            if 200 <= response.status < 300:
                if not (want.kept and response.chunked and not response.body):
                    return _answer(response, step, clock() - started)
                moved: _Step | Failure = _emptied(step.target, response)
            elif response.status == HTTPStatus.NOT_MODIFIED and request.conditions:
                return _answer(response, step, clock() - started)
            else:
                moved = self._redirected(step, response, request)
            if isinstance(moved, Failure):
                failure = msgspec.structs.replace(moved, elapsed=clock() - started)
                return _Refused(failure=failure, retry=_policy(response.status))
            step = moved
        failure = Failure(
            error_code=TOO_MANY_REDIRECTS,
            message=f"more than {MAX_REDIRECTS} redirects from {target.url}",
            url=step.target.url,
            elapsed=clock() - started,
        )
        return _Refused(failure=failure, retry=None)

    async def _exchange(
        self, step: _Step, request: Request, want: Want, deadline: float
    ) -> Response | Fault:
        """One exchange, or two where the server asks for the credentials that the URL has."""
        target = step.target
        key = (target.origin, target.user, target.password)
        for _ in range(2):
            credential = self._credentials.get(key) if target.user else None
            octets = self._octets(step, request, credential)
            remaining = deadline - asyncio.get_running_loop().time()
            response = await self._connections.exchange(target, octets, want, remaining)
            if isinstance(response, Fault):
                return response
            if "Set-Cookie" in response.headers:
                step.cookies = self._cookies_after(step, response)
            if response.status != HTTPStatus.UNAUTHORIZED or not target.user:
                return response
            challenge = parse_challenges(response.headers.getall("WWW-Authenticate", ()))
            if challenge is None or (credential and credential.challenge == challenge):
                return response
            self._credentials[key] = _Credential(challenge)
            if len(self._credentials) > _REMEMBERED_CHALLENGES:
                self._credentials.popitem(last=False)
        return response

    def _octets(self, step: _Step, request: Request, credential: _Credential | None) -> bytes:
        target, path, signed = step.target, step.target.path, step.target.url
        query, body, kind = _carried(step, request)
        if query:
            joint = "&" if "?" in path else "?"
            path, signed = f"{path}{joint}{query}", f"{signed}{joint}{query}"
        signature = sign(signed, () if query else step.parameters, request.auth_token)
        extra = f"I-Twilio-Idempotency-Token: {request.idempotency_token}\r\n"
        if step.method == "POST":
            extra += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        extra += "".join(f"{name}: {value}\r\n" for name, value in request.conditions)
        if step.cookies:
            bare = path.partition("?")[0]
            line = cookie_header(step.cookies, target.scheme, target.host, bare, self._clock())
            extra += f"Cookie: {line}\r\n" if line else ""
        if credential is not None:
            extra += f"Authorization: {_authorization(credential, step, path)}\r\n"
        head = (
            f"{step.method} {path} HTTP/1.1\r\nHost: {target.authority}\r\n{_HEAD}"
            f"X-Twilio-Signature: {signature}\r\n{extra}\r\n"
        )
        return head.encode("utf-8", "surrogateescape") + body

    def _cookies_after(self, step: _Step, response: Response) -> tuple[Cookie, ...]:
        now = self._clock()
        path = step.target.path.partition("?")[0]
        news = [
            cookie
            for header in response.headers.getall("Set-Cookie")
            if (cookie := parse_set_cookie(header, step.target.host, path, now)) is not None
        ]
        return merged(step.cookies, news, now)

    def _redirected(self, step: _Step, response: Response, request: Request) -> _Step | Failure:
        """Where a response that isn't a 2xx leads: on, or nowhere."""
        location = _header(response, "Location")
        status = response.status
        if not location or status not in _AS_GET | _AS_IT_WAS:
            return _refusal(step.target, response)
        if status in _AS_GET and request.content:
            return _refusal(step.target, response)  # a GET would leave behind what is to be taken
        target = parse_target(resolve(step.target.base, location))
        if isinstance(target, BadTarget):
            return Failure(
                error_code=target.error_code,
                message=f"{step.target.url} redirects to a URL that can't be asked:"
                f" {target.message}",
                url=target.url or shown(location),
                status=status,
            )
        # The limits are the first URL's: a redirect can't ask for more.
        target = msgspec.structs.replace(target, overrides=step.target.overrides)
        if status in _AS_GET:
            return _Step(target, "GET", (), step.cookies)
        return _Step(target, step.method, step.parameters, step.cookies)


def _carried(step: _Step, request: Request) -> tuple[str, bytes, str]:
    """What goes into the query, and the body with its type."""
    form = encode_form(step.parameters) if step.parameters else ""
    if step.method != "POST":
        return form, b"", ""
    if request.content:
        # What is no form is signed by its hash in the URL, as Twilio signs JSON.
        digest = hashlib.sha256(request.content).hexdigest()
        return f"bodySHA256={digest}", request.content, request.content_type
    return "", form.encode("utf-8", "surrogateescape"), _FORM


def _authorization(credential: _Credential, step: _Step, path: str) -> str:
    credential.count += 1
    return authorize(
        credential.challenge,
        user=step.target.user,
        password=step.target.password,
        method=step.method,
        path=path,
        count=credential.count,
        cnonce=os.urandom(8).hex(),
    )


def _header(response: Response, name: str) -> str:
    # What is no UTF-8 comes as lone surrogates, which nothing below could store.
    text = response.headers.get(name, "")
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _answer(response: Response, step: _Step, elapsed: float) -> Answer:
    return Answer(
        status=response.status,
        content_type=_header(response, "Content-Type"),
        body=response.body,
        url=step.target.url,
        base=step.target.base,
        cookies=step.cookies,
        elapsed=elapsed,
        freshness=_freshness(response),
    )


def _freshness(response: Response) -> tuple[tuple[str, str], ...]:
    headers = response.headers
    found = [(name, ", ".join(headers.getall(name))) for name in _FRESHNESS if name in headers]
    # What is no ASCII says nothing there, and could not be stored.
    return tuple((name, value) for name, value in found if value.isascii())


def _emptied(target: Target, response: Response) -> Failure:
    return Failure(
        error_code=EMPTY_CHUNKED_BODY,
        message=f"{target.authority} announced a chunked body and sent an empty one",
        url=target.url,
        status=response.status,
    )


def _refusal(target: Target, response: Response) -> Failure:
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = "an unknown status"
    return Failure(
        error_code=HTTP_FAILURE,
        message=f"{target.authority} answered {response.status} ({phrase})",
        url=target.url,
        status=response.status,
        content_type=_header(response, "Content-Type"),
        body=response.body[:_KEPT_OF_REFUSAL],
    )


def _policy(status: int) -> RetryOn | None:
    if 400 <= status < 500:
        return RetryOn.CLIENT_ERROR
    return RetryOn.SERVER_ERROR if status >= 500 else None
