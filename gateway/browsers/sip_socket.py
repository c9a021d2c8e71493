"""The WebSocket at `/sip`: SIP of browsers (RFC 7118), frames in and out of the SIP endpoint.

Who proves nobody is closed, and until then has a place of the few that strangers have; so is closed
who answers no ping, reads nothing or sends what is no SIP.
All else is as by any other connection: what is bound over it ends with it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from gateway.browsers.places import Refused, Visit
from gateway.browsers.sockets import LARGEST_FRAME, Door, flow_of, refusal
from protocols.sip import wire
from protocols.sip.endpoint import Endpoint
from protocols.sip.sockets.attached import Attached

PATH: Final = "/sip"
SUBPROTOCOL: Final = "sip"


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long we wait, in seconds.

    For the proof of a user, by a REGISTER or a call; for a pong to a ping, which comes as often;
    for a frame to leave; and for the client to say that it closes too.
    """

    proof: float = 30.0
    heartbeat: float = 25.0
    write: float = 10.0
    close: float = 2.0


class SipSockets:
    """See the module; made for one endpoint, which a restart of the process makes anew."""

    def __init__(
        self, door: Door, endpoint: Callable[[], Endpoint], patience: Patience | None = None
    ) -> None:
        self._door = door
        self._endpoint = endpoint
        self._patience = patience or Patience()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until it is closed."""
        patience = self._patience
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            max_msg_size=LARGEST_FRAME,
            heartbeat=patience.heartbeat,
            timeout=patience.close,
            compress=False,
        )
        if not socket.can_prepare(request).ok:
            return web.Response(status=426, text="this is for WebSockets that speak SIP\n")
        if SUBPROTOCOL not in _offered(request):
            said = f'Sec-WebSocket-Protocol has to name "{SUBPROTOCOL}" (RFC 7118)\n'
            return web.Response(status=400, text=said)
        visit = self._door.enter(request)
        if isinstance(visit, Refused):
            return refusal(visit)
        try:
            await socket.prepare(request)
            await _Served(request, socket, visit, patience).run(self._endpoint())
        finally:
            visit.leave()
        return socket


class _Served:
    """One socket: what comes is read here, what goes is written by a task beside it."""

    def __init__(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        visit: Visit,
        patience: Patience,
    ) -> None:
        self._request = request
        self._socket = socket
        self._visit = visit
        self._patience = patience
        self._outbox: deque[bytes] = deque()
        self._unsent = 0
        self._most = 0
        self._closing = ""
        self._wake = asyncio.Event()

    async def run(self, endpoint: Endpoint) -> None:
        """Serve it until either side ends it."""
        flow = flow_of(self._request, self._visit)
        self._most = endpoint.bounds.unsent
        attached = endpoint.attach(self, flow.transport, local=flow.local, remote=flow.remote)
        if isinstance(attached, wire.Refused):
            await self._socket.close(
                code=WSCloseCode.TRY_AGAIN_LATER, message=attached.reason[:100].encode()
            )
            return
        writing = asyncio.ensure_future(self._write())
        try:
            await self._read(attached)
        finally:
            attached.gone(self._closing or "the peer closed it")
            self._closing = self._closing or "it is closed"
            self._wake.set()
            await asyncio.wait({writing}, timeout=self._patience.close)
            writing.cancel()

    # What the endpoint asks

    def send(self, octets: bytes) -> None:
        """See `attached.Link`."""
        self._unsent += len(octets)
        if self._unsent > self._most:
            self._abort()
            return
        self._outbox.append(octets)
        self._wake.set()

    def close(self, reason: str) -> None:
        """See `attached.Link`."""
        self._closing = reason
        self._wake.set()

    def proved(self) -> None:
        """See `attached.Link`."""
        self._visit.prove()

    # Inside

    async def _read(self, attached: Attached) -> None:
        proof_until = asyncio.get_running_loop().time() + self._patience.proof
        while not attached.is_over:
            until = None if attached.is_proven else proof_until
            try:
                async with asyncio.timeout_at(until):
                    message = await self._socket.receive()
            except TimeoutError:
                if attached.is_proven:  # by what was judged meanwhile
                    continue
                attached.end(f"it proved no user in {self._patience.proof:.0f} s")
                return
            match message.type:
                case WSMsgType.TEXT:
                    attached.receive(message.data.encode())
                case WSMsgType.BINARY:
                    attached.receive(message.data)
                case _:
                    return

    async def _write(self) -> None:
        """Write to the end; a client that reads nothing is cut off."""
        try:
            while await self._write_on():
                self._wake.clear()
                await self._wake.wait()
        except TimeoutError:
            self._abort()
        except (ConnectionError, RuntimeError):
            pass  # the reader sees it too

    async def _write_on(self) -> bool:
        """Send what there is; whether more may come."""
        while self._outbox:
            octets = self._outbox.popleft()
            async with asyncio.timeout(self._patience.write):
                await self._write_frame(octets)
            self._unsent -= len(octets)
        if self._closing:
            said = self._closing[:100].encode()
            await self._socket.close(code=WSCloseCode.GOING_AWAY, message=said)
        return not self._closing

    async def _write_frame(self, octets: bytes) -> None:
        try:
            text = octets.decode()
        except UnicodeDecodeError:
            await self._socket.send_bytes(octets)
        else:
            await self._socket.send_str(text)

    def _abort(self) -> None:
        self._closing = "the peer does not read"
        if self._request.transport is not None:
            self._request.transport.abort()


def _offered(request: web.Request) -> list[str]:
    said = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
    return [each.strip().lower() for each in said.split(",")]
