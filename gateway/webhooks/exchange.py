"""One HTTP exchange: octets out, one response in, within times and sizes; what broke, by code.

Connections (DNS, TLS, the response parser) are aiohttp's; its session is not used, because for a
callback of 300 octets it costs four times what the exchange itself does. A connection that can be
used again waits here, with its parser, and not in aiohttp's pool: that alone would cost a tenth of
an exchange. This is the only room that knows aiohttp's connector, and the only one that tells its
errors apart.
"""

import asyncio
import math
import ssl
import traceback
from collections import OrderedDict, deque
from types import TracebackType
from typing import Final, Protocol, Self

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

from gateway.webhooks.cutoffs import Cutoff, Watch
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
_KEPT_FOR: Final = 15.0  # seconds that a connection may wait for its next exchange
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


class Sink(Protocol):
    """Where the body of a 2xx goes as it comes, for those that would fill the memory."""

    def begin(self) -> None:
        """A body begins: what an earlier try brought is not wanted any more."""
        ...

    def write(self, octets: bytes) -> None:
        """The next octets of it."""
        ...


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a response: its body, up to `max_body`, or only that it came.

    A body that isn't wanted is read and dropped up to `max_body`, which keeps the connection
    usable; a longer one costs the connection and nothing else, and so does a sound, which is
    fetched by whoever plays it. With a `sink` the body of a 2xx goes there, and no other is kept.
    """

    max_body: int
    kept: bool
    sink: Sink | None = None


DOCUMENT: Final = Want(max_body=MAX_BODY, kept=True)
RECEIPT: Final = Want(max_body=MAX_BODY, kept=False)


class _Link(msgspec.Struct, eq=False):
    """A connection and its protocol; idle since when, by the loop's clock (0: not used yet)."""

    connection: Connection
    handler: ResponseHandler
    idle_since: float = 0.0


class _Origin:
    """A host that was asked, its idle connections, and how many more it may have in use.

    The one that was used last is used first, so that those too many grow old. The guard judged
    each of them when it was opened, and a socket does not change the address it is connected to.
    """

    __slots__ = ("_idle", "forgotten", "request", "slots")

    def __init__(self, target: Target, connections: int) -> None:
        self.request = ClientRequest("GET", URL(f"{target.origin}/"))
        self.slots = asyncio.Semaphore(connections)
        self.forgotten = False
        self._idle: deque[_Link] = deque()

    def take(self, now: float) -> _Link | None:
        """An idle connection that is open, silent and young enough; None if there is none."""
        idle = self._idle
        while idle:
            link = idle.pop()
            if now - link.idle_since <= _KEPT_FOR and _is_usable(link.handler):
                return link
            link.connection.close()
        return None

    def keep(self, link: _Link, now: float) -> None:
        """Have `link` wait for the next exchange, if the last one left it fit for that."""
        if self.forgotten or not _is_usable(link.handler):
            link.connection.close()
            return
        link.idle_since = now
        self._idle.append(link)

    def close_older(self, than: float) -> bool:
        """Close what has been idle since before `than`, or was closed; whether any is left."""
        links, self._idle = self._idle, deque()
        for link in links:
            if link.idle_since >= than and _is_usable(link.handler):
                self._idle.append(link)
            else:
                link.connection.close()
        return bool(self._idle)

    def forget(self) -> None:
        """Close what is idle, and keep nothing any more."""
        self.forgotten = True
        self.close_older(math.inf)


def _is_usable(handler: ResponseHandler) -> bool:
    # Closing, too, is what must happen to one whose server spoke unasked.
    return handler.is_connected() and not handler.should_close


class Connections:
    """Kept-alive connections to whoever was asked lately; made inside a running loop.

    `per_host` bounds the exchanges with one origin at a time; the time an exchange waits for its
    turn doesn't count against its limits. `tls` replaces the system's trust (a private CA).
    """

    def __init__(
        self, guard: Guard, *, per_host: int = 64, tls: ssl.SSLContext | None = None
    ) -> None:
        self._connector = TCPConnector(limit=0, ssl=tls or True, socket_factory=guard.open_socket)
        self._per_host = per_host
        self._origins: OrderedDict[str, _Origin] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._watch = Watch(self._loop)
        self._sweeper: asyncio.TimerHandle | None = None  # set while anything may be idle
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
        for origin in self._origins.values():
            origin.forget()
        self._watch.close()
        if self._sweeper is not None:
            self._sweeper.cancel()

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
            _empty_frames(error)
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
                self._origins.popitem(last=False)[1].forget()
        else:
            self._origins.move_to_end(name)
        return origin

    def _keep(self, origin: _Origin, link: _Link) -> None:
        origin.keep(link, self._loop.time())
        if self._sweeper is None and not self._connector.closed:
            self._sweeper = self._loop.call_later(_KEPT_FOR, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        than = self._loop.time() - _KEPT_FOR
        if any([origin.close_older(than) for origin in self._origins.values()]):
            self._sweeper = self._loop.call_later(_KEPT_FOR, self._sweep)

    async def _converse(
        self, origin: _Origin, target: Target, octets: bytes, want: Want, remaining: float
    ) -> Response | Fault:
        loop = self._loop
        now = loop.time()
        ends = now + remaining
        while True:
            if remaining <= 0:
                return _too_slow(target)
            link = origin.take(now)
            if link is None:
                connected = await self._connect(origin, target, remaining)
                if isinstance(connected, Fault):
                    return connected
                link = connected
            handler = link.handler
            cutoff = Cutoff(handler.transport, ends)
            self._watch.add(cutoff)
            try:
                # Without a shorter one, the total timeout is watch enough.
                silence = target.overrides.read_timeout
                limit = silence if silence < remaining else None
                response = await _ask(handler, octets, want, limit)
            except (ServerDisconnectedError, ClientOSError, ClientPayloadError) as error:
                link.connection.close()
                if cutoff.passed:
                    return _too_slow(target)
                # The server closed an idle connection while we wrote: RFC 9112 9.3.1 lets it be
                # asked again, and the idempotency token lets the app see that it was.
                if link.idle_since and _unanswered(error):
                    now = loop.time()
                    remaining = ends - now
                    continue
                raise
            except BaseException:
                link.connection.close()
                raise
            finally:
                self._watch.discard(cutoff)
            self._keep(origin, link)
            # Cutting off an answer that only its end delimits makes it look whole.
            return _too_slow(target) if cutoff.passed else response

    async def _connect(self, origin: _Origin, target: Target, remaining: float) -> _Link | Fault:
        limit = target.overrides.connect_timeout
        timeout = self._timeouts.get(limit)
        if timeout is None:
            timeout = ClientTimeout(total=None, connect=limit, ceil_threshold=_NO_CEILING)
            self._timeouts[limit] = timeout
        if remaining < limit:
            timeout = ClientTimeout(total=None, connect=remaining, ceil_threshold=_NO_CEILING)
        try:
            connection = await self._connector.connect(origin.request, [], timeout)
        except TimeoutError:
            if remaining < limit:
                return _too_slow(target)
            return Fault(
                error_code=CONNECT_TIMEOUT,
                message=f"{target.authority} took no connection within {limit:g} s",
                retry=RetryOn.CONNECT,
            )
        handler = connection.protocol
        assert handler is not None  # aiohttp's type: it is None only after release
        handler.set_response_params(
            read_until_eof=True, read_timeout=None, timeout_ceil_threshold=_NO_CEILING
        )
        return _Link(connection, handler)


async def _ask(
    handler: ResponseHandler, octets: bytes, want: Want, read_timeout: float | None
) -> Response | Fault:
    handler.read_timeout = read_timeout
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
    sink = want.sink if 200 <= message.code < 300 else None
    if sink is not None:
        sink.begin()
    while not payload.at_eof():
        chunk = await payload.readany()
        size += len(chunk)
        if size > want.max_body:
            handler.force_close()
            if (want.kept and not _is_sound(message)) or sink is not None:
                return Fault(
                    error_code=BODY_TOO_LARGE,
                    message=f"the answer is longer than {want.max_body} octets",
                )
            break
        if sink is not None:
            sink.write(chunk)
        elif want.kept:
            chunks.append(chunk)
    return Response(message.code, message.headers, b"".join(chunks), message.chunked)


def _is_sound(message: RawResponseMessage) -> bool:
    return message.headers.get("Content-Type", "").strip().lower().startswith("audio/")


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


def _empty_frames(error: BaseException) -> None:
    """Free what the frames hold that an error came through.

    aiohttp keeps the error in one of them: that ring would stay until the collector looks.
    """
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


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


def _resolved(host: str, address: str) -> str:
    """A host, and the address that was found for it if that is not how it was written."""
    return host if host.strip("[]") == address else f"{host} is {address}"


def _connect_fault(error: OSError, target: Target) -> Fault:
    match error:
        case AddressRefused(address=address):
            return Fault(
                error_code=CONNECTION_FAILURE,
                message=f"{_resolved(target.host, address)}: {error}",
            )
        case ConnectionRefusedError():
            code, message = CONNECT_REFUSED, f"nobody listens on {target.authority}"
        case _:
            code, message = CONNECTION_FAILURE, f"{target.authority} is not reachable: {error}"
    return Fault(error_code=code, message=message, retry=RetryOn.CONNECT)
