"""SMPP over TCP: a `Session` joined to a socket and a clock, with one wake-up per batch.

`Connection.events` returns all that happened since it was last asked; after the commands that
follow from them, `flush` writes every PDU they made at once. Nothing here is created per PDU.
Reading pauses only while the peer does not read us.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ssl import SSLContext
from typing import Final, cast

from protocols.smpp.events import Event
from protocols.smpp.session import Session

HIGH_WATER: Final = 256 * 1024
"""Octets that the peer has not taken, above which we stop reading it."""

LINGER: Final = 2.0
"""Seconds in which the peer can take what was written before we closed."""

Clock = Callable[[], float]


class Connection:
    """A session and its socket; made by `connect` and `listen`, for one reader of `events`."""

    def __init__(self, session: Session, transport: asyncio.Transport, clock: Clock) -> None:
        self.session = session
        host, port = (transport.get_extra_info("peername") or ("gone", 0))[:2]
        self.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        """`host:port` of the other end."""
        self._transport = transport
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._ready: list[Event] = []
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._linger: asyncio.TimerHandle | None = None

    async def events(self) -> list[Event]:
        """All events since the last call; waits until there is one.

        The last batch ends with `Closed`; after it the answer is [], at once.
        """
        while not self._ready:
            if self.session.closed:
                return []
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        batch, self._ready = self._ready, []
        return batch

    def flush(self) -> None:
        """Write what the session has to send, in one piece; call it after a batch of commands."""
        session = self.session
        while (event := session.next_event()) is not None:
            self._ready.append(event)
        data = session.data_to_send()
        if self._linger is None and not self._lost.is_set():
            if data:
                self._transport.write(data)
            if session.closed:
                self._transport.close()
                self._linger = self._loop.call_later(LINGER, self._transport.abort)
        self._arm()
        if self._ready and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """End the session at once, without unbind, and close the socket."""
        self.session.close()
        self.flush()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed, `LINGER` seconds after the session at the latest."""
        await self._lost.wait()

    async def drain(self) -> None:
        """Wait while the peer does not read us; returns when the connection is gone, too."""
        await self._writable.wait()

    def _arm(self) -> None:
        """One timer; it is moved only if the session needs it earlier than it stands."""
        due = self.session.timer()
        if self._timer is not None:
            if due is not None and self._timer_at <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer_at = due
            self._timer = self._loop.call_later(max(0.0, due - self._clock()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.session.handle_timer(self._clock())
        self.flush()

    # What `_Wire` tells

    def _received(self, data: bytes) -> None:
        self.session.receive_data(data, self._clock())
        self.flush()

    def _gone(self) -> None:
        self._lost.set()
        self._writable.set()
        if self._linger is not None:
            self._linger.cancel()
        self._received(b"")

    def _full(self) -> None:
        self._writable.clear()
        self._transport.pause_reading()

    def _free(self) -> None:
        self._writable.set()
        if not self._transport.is_closing():
            self._transport.resume_reading()


class _Wire(asyncio.Protocol):
    """What asyncio calls."""

    connection: Connection

    def __init__(
        self,
        session_factory: Callable[[float], Session],
        made: Callable[[Connection], None],
        clock: Clock,
    ) -> None:
        self._session_factory = session_factory
        self._made = made
        self._clock = clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        # Nagle's algorithm holds a response back until the peer's delayed ACK: 40 ms per PDU.
        stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.set_write_buffer_limits(high=HIGH_WATER)
        self.connection = Connection(self._session_factory(self._clock()), stream, self._clock)
        self.connection.flush()
        self._made(self.connection)

    def data_received(self, data: bytes) -> None:
        self.connection._received(data)

    def eof_received(self) -> None:
        self.connection._received(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection._gone()

    def pause_writing(self) -> None:
        self.connection._full()

    def resume_writing(self) -> None:
        self.connection._free()


async def connect(
    host: str, port: int, session: Session, *, clock: Clock, ssl: SSLContext | None = None
) -> Connection:
    """Connect `session` to a peer; its times are those of `clock`, in seconds.

    Raises `OSError` (`ssl.SSLError` is one) if no connection comes about; takes as long as the
    system does, so put a timeout around it.
    """
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(
        lambda: _Wire(lambda _: session, lambda _: None, clock), host, port, ssl=ssl
    )
    return wire.connection


class Listener:
    """A port on which peers connect; made by `listen`."""

    port: int
    _server: asyncio.Server

    def __init__(self, on_connection: Callable[[Connection], Awaitable[None]]) -> None:
        self._on_connection = on_connection
        self._running: dict[asyncio.Task[None], Connection] = {}

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Those that are being served."""
        return tuple(self._running.values())

    async def close(self) -> None:
        """Stop listening, close every connection and wait until they are served to the end."""
        self._server.close()
        for connection in self.connections:
            connection.close()
        if self._running:
            await asyncio.wait(set(self._running))

    def _started(self, server: asyncio.Server) -> None:
        self._server = server
        self.port = server.sockets[0].getsockname()[1]

    def _accept(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._running[task] = connection
        task.add_done_callback(self._running.pop)

    async def _serve(self, connection: Connection) -> None:
        try:
            await self._on_connection(connection)
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"serving SMPP peer {connection.peer} failed", "exception": error}
            )
        finally:
            connection.close()
            await connection.wait_closed()


async def listen(
    host: str,
    port: int,
    session_factory: Callable[[float], Session],
    on_connection: Callable[[Connection], Awaitable[None]],
    *,
    clock: Clock,
    ssl: SSLContext | None = None,
) -> Listener:
    """Accept peers; port 0 takes a free one, see `Listener.port`.

    `session_factory` is called with the time of `clock` for each connection, `on_connection` runs
    as a task of its own; the connection is closed when it returns, and an error in it goes to the
    loop's exception handler. Raises `OSError` if the address can't be had.
    """
    listener = Listener(on_connection)
    server = await asyncio.get_running_loop().create_server(
        lambda: _Wire(session_factory, listener._accept, clock), host, port, ssl=ssl
    )
    listener._started(server)
    return listener
