"""The WebSocket at `/signal`: frames of the Voice SDK in and out, and time, for `client`."""

import asyncio
import secrets
from typing import Final

import structlog
from aiohttp import WSMsgType, web

from gateway.browsers.client import Client
from gateway.browsers.desk import Desk
from gateway.browsers.dialogue import Tap
from gateway.browsers.places import Refused, Visit
from gateway.browsers.sockets import LARGEST_FRAME, Door, flow_of, refusal
from protocols.sip.transport import Flow
from protocols.voicesdk.session import NORMAL, Limits, Session

_log = structlog.get_logger(__name__)
PATH: Final = "/signal"
_PROOF: Final = 24  # octets
_CLOSE_WITHIN: Final = 2.0  # seconds for a client to say that it closes too

_WRITE_WITHIN: Final = 10.0  # seconds for a frame to leave


class Signal:
    """See the module; `tap` keeps what passes in calls."""

    def __init__(self, door: Door, desk: Desk, tap: Tap, limits: Limits | None = None) -> None:
        self._door = door
        self._desk = desk
        self._tap = tap
        self._limits = limits or Limits()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until it is closed."""
        socket = web.WebSocketResponse(
            max_msg_size=LARGEST_FRAME, timeout=_CLOSE_WITHIN, compress=False
        )
        if not socket.can_prepare(request).ok:
            return web.Response(status=426, text="this is for WebSockets\n")
        visit = self._door.enter(request)
        if isinstance(visit, Refused):
            return refusal(visit)
        try:
            await socket.prepare(request)
            await _Served(self, request, socket, visit).run()
        finally:
            visit.leave()
        return socket

    def client(self, flow: Flow, wake: asyncio.Event) -> Client:
        """Who has just come."""
        loop = asyncio.get_running_loop()
        return Client(
            self._desk,
            Session(loop.time(), self._limits),
            flow,
            now=loop.time,
            proof=lambda: secrets.token_urlsafe(_PROOF),
            tap=self._tap,
            wake=wake.set,
        )


class _Served:
    """One socket: what comes is read here, what goes is written by a task beside it."""

    def __init__(
        self, signal: Signal, request: web.Request, socket: web.WebSocketResponse, visit: Visit
    ) -> None:
        self._request = request
        self._socket = socket
        self._visit = visit
        self._wake = asyncio.Event()
        self._client = signal.client(flow_of(request, visit), self._wake)

    async def run(self) -> None:
        """Serve it until either side ends it."""
        writing = asyncio.ensure_future(self._write())
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    self._client.receive_text(message.data)
                elif message.type is WSMsgType.BINARY:
                    self._client.receive_garbage()
                if self._client.closed is not None:
                    break
            if self._client.closed is not None:
                await writing  # what it is told last
        finally:
            writing.cancel()
            self._client.drop()

    async def _write(self) -> None:
        """Write to the end; a client that reads nothing is cut off, and so is one that we fail."""
        try:
            await self._write_on()
        except (ConnectionError, RuntimeError):
            pass  # the reader sees it too
        except TimeoutError:
            self._abort()
        except Exception:
            _log.exception("a socket at /signal fell")
            self._abort()

    def _abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _write_on(self) -> None:
        """Send what there is, when there is some or something is due."""
        client, loop = self._client, asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if client.access is not None:
                self._visit.prove()
            while client.outbox:
                async with asyncio.timeout(_WRITE_WITHIN):
                    await self._socket.send_str(client.outbox.popleft())
            if client.closed is not None:
                await self._socket.close(code=client.closed.status or NORMAL)
                return
            due = client.session.timer()
            try:
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            except TimeoutError:
                if due is not None and loop.time() >= due:
                    client.handle_timer()
