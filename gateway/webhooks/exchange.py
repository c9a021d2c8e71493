"""One HTTP exchange: octets out, one response in, within times and sizes; what broke, by code.

Connections (DNS, TLS, keep-alive, the response parser) are aiohttp's; its session is not used,
because for a callback of 300 octets it costs four times what the exchange itself does. This is
the only room that knows aiohttp's connector, and the only one that tells its errors apart.
"""

import asyncio
import ssl
import weakref
from collections import OrderedDict
from types import TracebackType
from typing import Final, Self

import msgspec
from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientOSError,
    ClientPayloadError,
    ClientRequest,
    ClientTimeout,
    InvalidURL,
    ServerDisconnectedError,
    SocketTimeoutError,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from multidict import CIMultiDictProxy
from yarl import URL

from gateway.webhooks.guard import AddressRefused, Guard
from gateway.webhooks.overrides import RetryOn
from gateway.webhooks.target import INVALID_URL, Target

HTTP_FAILURE: Final = 11200
CONNECT_TIMEOUT: Final = 11201
CONNECT_REFUSED: Final = 11202
TIMEOUT: Final = 11203
CONNECTION_FAILURE: Final = 11205
PROTOCOL_VIOLATION: Final = 11206
BAD_HOST: Final = 11210
TLS_FAILURE: Final = 11220
TLS_WRONG_NAME: Final = 11235
TLS_EXPIRED: Final = 11236
TLS_UNTRUSTED: Final = 11237
BODY_TOO_LARGE: Final = 11750

MAX_BODY: Final = 65536  # "64 kB", Twilio's bound for a document

_ORIGINS: Final = 1024
_NO_CEILING: Final = 1e9  # aiohttp rounds timeouts above this up to whole seconds

# OpenSSL's X509_V_ERR_*: what is wrong with a certificate.
_CERTIFICATE_CODES: Final = {
    9: TLS_EXPIRED,  # not yet valid
    10: TLS_EXPIRED,
    18: TLS_UNTRUSTED,  # self-signed
    19: TLS_UNTRUSTED,
    20: TLS_UNTRUSTED,
    21: TLS_UNTRUSTED,
    62: TLS_WRONG_NAME,
    64: TLS_WRONG_NAME,
}


class Response(msgspec.Struct, frozen=True):
    """A final response (never 1xx). `body` is empty where it was not wanted."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    chunked: bool


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no response; `retry` is the policy under which another try makes sense."""

    error_code: int
    message: str
    retry: RetryOn | None = None


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a response: its body, up to `max_body`, or only that it came.

    A body that isn't wanted is read and dropped up to `max_body`, which keeps the connection
    usable; a longer one costs the connection and nothing else.
    """

    max_body: int
    kept: bool


DOCUMENT: Final = Want(max_body=MAX_BODY, kept=True)
RECEIPT: Final = Want(max_body=MAX_BODY, kept=False)


class _Origin:
    """A host that was asked, and how many more connections it may have."""

    __slots__ = ("request", "slots")

    def __init__(self, target: Target, connections: int) -> None:
        self.request = ClientRequest("GET", URL(f"{target.origin}/"))
        self.slots = asyncio.Semaphore(connections)


class Connections:
    """Kept-alive connections to whoever was asked lately; made inside a running loop.

    `per_host` bounds the exchanges with one origin at a time; the time an exchange waits for its
    turn doesn't count against its limits. `tls` replaces the system's trust (a private CA).
    """

    def __init__(
        self, guard: Guard, *, per_host: int = 64, tls: ssl.SSLContext | None = None
    ) -> None:
        self._connector = TCPConnector(
            limit=0, ssl=tls or True, socket_factory=guard.open_socket, keepalive_timeout=15.0
        )
        self._per_host = per_host
        self._origins: OrderedDict[str, _Origin] = OrderedDict()
        self._used: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()
        self._timeouts: dict[float, ClientTimeout] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._connector.close()

    async def exchange(
        self, target: Target, octets: bytes, want: Want, remaining: float
    ) -> Response | Fault:
        """Write `octets` (a whole request) to `target` and read its response.

        `remaining` is how many seconds it may take once it has its turn.
        """
        try:
            origin = self._origin(target)
            async with origin.slots:
                return await self._converse(origin, target, octets, want, remaining)
        except (ClientConnectionError, ClientPayloadError, HttpProcessingError) as error:
            return _fault_of(error, target)
        except InvalidURL as error:
            return Fault(error_code=INVALID_URL, message=f"the host is unusable: {error}")
        except UnicodeError as error:
            # A name that the resolver can't even write, as one with a label of 64 octets.
            return Fault(error_code=BAD_HOST, message=f"the host is unusable: {error}")

    def _origin(self, target: Target) -> _Origin:
        name = target.origin
        origin = self._origins.get(name)
        if origin is None:
            origin = self._origins[name] = _Origin(target, self._per_host)
            if len(self._origins) > _ORIGINS:
                self._origins.popitem(last=False)
        return origin

    async def _converse(
        self, origin: _Origin, target: Target, octets: bytes, want: Want, remaining: float
    ) -> Response | Fault:
        loop = asyncio.get_running_loop()
        ends = loop.time() + remaining
        while True:
            remaining = ends - loop.time()
            connection = await self._connect(origin, target, remaining)
            if isinstance(connection, Fault):
                return connection
            handler = connection.protocol
            assert handler is not None  # aiohttp's type: it is None only after release
            reused = handler in self._used
            if not reused:
                self._used.add(handler)
            cutoff = _Cutoff(handler)
            timer = loop.call_at(ends, cutoff.end)
            try:
                # Without a shorter one, the total timeout is watch enough.
                silence = target.overrides.read_timeout
                limit = silence if silence < remaining else None
                response = await _ask(handler, octets, want, limit)
            except (ServerDisconnectedError, ClientOSError, ClientPayloadError) as error:
                connection.close()
                if cutoff.passed:
                    return _too_slow(target)
                # The server closed an idle connection while we wrote: RFC 9112 9.3.1 lets it be
                # asked again, and the idempotency token lets the app see that it was.
                if reused and _unanswered(error):
                    continue
                raise
            except BaseException:
                connection.close()
                raise
            finally:
                timer.cancel()
            connection.release()
            # Cutting off an answer that only its end delimits makes it look whole.
            return _too_slow(target) if cutoff.passed else response

    async def _connect(
        self, origin: _Origin, target: Target, remaining: float
    ) -> Connection | Fault:
        limit = target.overrides.connect_timeout
        if remaining <= 0:
            return _too_slow(target)
        timeout = self._timeouts.get(limit)
        if timeout is None:
            timeout = ClientTimeout(total=None, connect=limit, ceil_threshold=_NO_CEILING)
            self._timeouts[limit] = timeout
        if remaining < limit:
            timeout = ClientTimeout(total=None, connect=remaining, ceil_threshold=_NO_CEILING)
        try:
            return await self._connector.connect(origin.request, [], timeout)
        except TimeoutError:
            if remaining < limit:
                return _too_slow(target)
            return Fault(
                error_code=CONNECT_TIMEOUT,
                message=f"{target.authority} took no connection within {limit:g} s",
                retry=RetryOn.CONNECT,
            )


class _Cutoff:
    """Ends an exchange whose time is up by ending its connection: a timer, and no task's."""

    __slots__ = ("_handler", "passed")

    def __init__(self, handler: ResponseHandler) -> None:
        self._handler = handler
        self.passed = False

    def end(self) -> None:
        self.passed = True
        if self._handler.transport is not None:
            self._handler.transport.abort()


async def _ask(
    handler: ResponseHandler, octets: bytes, want: Want, read_timeout: float | None
) -> Response | Fault:
    handler.set_response_params(
        read_until_eof=True, read_timeout=read_timeout, timeout_ceil_threshold=_NO_CEILING
    )
    transport = handler.transport
    if transport is None or transport.is_closing():
        raise ServerDisconnectedError
    transport.write(octets)
    handler.start_timeout()
    while True:
        message, payload = await handler.read()
        if not 100 <= message.code < 200:
            return await _received(handler, message, payload, want)
        if message.code == 101:
            handler.force_close()
            return Fault(
                error_code=PROTOCOL_VIOLATION, message="the server switched protocols unasked"
            )


async def _received(
    handler: ResponseHandler, message: RawResponseMessage, payload: StreamReader, want: Want
) -> Response | Fault:
    chunks: list[bytes] = []
    size = 0
    while not payload.at_eof():
        chunk = await payload.readany()
        size += len(chunk)
        if size > want.max_body:
            handler.force_close()
            if want.kept:
                return Fault(
                    error_code=BODY_TOO_LARGE,
                    message=f"the answer is longer than {want.max_body} octets",
                )
            break
        if want.kept:
            chunks.append(chunk)
    return Response(message.code, message.headers, b"".join(chunks), message.chunked)


def _too_slow(target: Target) -> Fault:
    return Fault(
        error_code=TIMEOUT,
        message=f"no whole answer within {target.overrides.total_timeout:g} s",
        retry=RetryOn.READ,
    )


def _unanswered(error: Exception) -> bool:
    """Whether not even the head of a response had begun."""
    match error:
        case ServerDisconnectedError(message=message):
            return not isinstance(message, RawResponseMessage)
        case ClientOSError():
            return True
        case _:
            return False


def _fault_of(error: Exception, target: Target) -> Fault:
    match error:
        case ClientConnectorCertificateError():
            return _certificate_fault(error.certificate_error, target)
        case ClientConnectorSSLError():
            return Fault(
                error_code=TLS_FAILURE,
                message=f"the TLS handshake with {target.authority} failed: {error.os_error}",
            )
        case ClientConnectorDNSError():
            return Fault(
                error_code=BAD_HOST, message=f"the name {target.host} was not found in DNS"
            )
        case ClientConnectorError():
            return _connect_fault(error.os_error, target)
        case SocketTimeoutError():
            limit = target.overrides.read_timeout
            return Fault(
                error_code=TIMEOUT,
                message=f"{target.authority} was silent for {limit:g} s",
                retry=RetryOn.READ,
            )
        case HttpProcessingError():
            return Fault(
                error_code=PROTOCOL_VIOLATION,
                message=f"{target.authority} answered something that is not HTTP",
            )
        case ClientPayloadError():
            return Fault(
                error_code=PROTOCOL_VIOLATION,
                message=f"{target.authority} ended or garbled its answer",
            )
        case _:
            return Fault(
                error_code=CONNECTION_FAILURE,
                message=f"{target.authority} closed the connection without an answer",
                retry=RetryOn.READ,
            )


def _certificate_fault(error: Exception, target: Target) -> Fault:
    code = TLS_FAILURE
    reason = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        code = _CERTIFICATE_CODES.get(error.verify_code, TLS_FAILURE)
        reason = error.verify_message
    return Fault(
        error_code=code,
        message=f"the certificate of {target.authority} was not accepted: {reason}",
    )


def _connect_fault(error: OSError, target: Target) -> Fault:
    match error:
        case AddressRefused(address=address):
            return Fault(
                error_code=CONNECTION_FAILURE,
                message=f"{target.host} is {address}: {error}",
            )
        case ConnectionRefusedError():
            code, message = CONNECT_REFUSED, f"nobody listens on {target.authority}"
        case _:
            code, message = CONNECTION_FAILURE, f"{target.authority} is not reachable: {error}"
    return Fault(error_code=code, message=message, retry=RetryOn.CONNECT)
