"""SIP's sockets: UDP, TCP, TLS and WebSockets behind one `send` and one stream of events.

Events are handed to a receiver in batches, one call for each wake-up of the UDP sockets or of a
connection: nothing is created per message but its value, and no task waits for one. The receiver
answers by `send` while it runs. What goes wrong in sending is told as an event after it, never
raised. Requests that are too large for UDP are the matter of `sizes`. WebSockets are opened
elsewhere, where HTTP is served, and attached here.
"""

import asyncio
import itertools
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from protocols.sip.codec import StreamReader, read_datagram
from protocols.sip.errors import LocalProtocolError
from protocols.sip.sockets import tls
from protocols.sip.sockets.addresses import Addresses, peer_of
from protocols.sip.sockets.attached import Attached, Link
from protocols.sip.sockets.datagrams import Datagrams, Socket
from protocols.sip.sockets.listening import Listener
from protocols.sip.sockets.streams import Connection, prepare
from protocols.sip.transport import SOCKETS, Destination, Flow, Hop, Transport
from protocols.sip.wire import (
    Address,
    Bounds,
    Clock,
    Closed,
    Event,
    Failed,
    Listen,
    Opened,
    Patience,
    Reading,
    Refused,
    Tls,
)

Receiver = Callable[[list[Event]], None]

READING: Final = Reading(datagram=read_datagram, stream=StreamReader)


class Endpoint:
    """All sockets of SIP; made by `open_endpoint`."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        clock: Clock,
        chance: Callable[[], float],
        bounds: Bounds,
        patience: Patience,
        reading: Reading,
    ) -> None:
        self.bounds = bounds
        self.patience = patience
        self.clock = clock
        self._receiver = receiver
        self._chance = chance
        self._reading = reading
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._ours = Addresses()
        self.advertised = self._ours.advertised
        """What Via and Contact say of us to a destination: the address that it answers to."""
        self._datagrams = Datagrams(reading.datagram, clock, self.deliver)
        self._sockets: dict[int, Socket] = {}
        self._at: dict[Address, Socket] = {}
        self._listeners: list[Listener] = []
        self._flows: dict[int, Connection | Attached] = {}
        self._reached: dict[Hop, Connection] = {}
        self._alive: dict[Connection, str] = {}
        self._attached: set[Attached] = set()
        self._by_peer: Counter[str] = Counter()
        self._making: dict[Connection, asyncio.Task[bool]] = {}
        self._later: list[Event] = []
        self._closed = False
        self._gone = asyncio.Event()
        self._server: ssl.SSLContext | None = None
        self._client: ssl.SSLContext | None = None
        self._files = Tls()

    # Commands

    def listen(self, at: Listen) -> Address:
        """Open one more address; gives what was bound.

        Raises `OSError` if it can't be had, `LocalProtocolError` if its transport can't be spoken.
        """
        match at.transport:
            case Transport.UDP:
                opened = self._datagrams.add(next(self._ids), (at.host, at.port))
                self._sockets[opened.id] = self._at[opened.local] = opened
                bound = opened.local
            case Transport.TCP | Transport.TLS:
                if at.transport is Transport.TLS and self._server is None:
                    self._server = tls.server_context(self._files)
                listener = Listener(at.transport, (at.host, at.port), self._taken)
                self._listeners.append(listener)
                bound = listener.local
            case _:
                raise LocalProtocolError(f"{at.transport} is not spoken here")
        self._ours.add(at, bound)
        return bound

    def addresses(self) -> list[tuple[Transport, Address]]:
        """What was bound, in the order in which it was asked for."""
        return [(listen.transport, bound) for listen, bound in self._ours.bound]

    def path(self, local: Address, remote: Address) -> Flow | None:
        """The flow from our UDP socket at `local` to `remote`; None if none of ours is there."""
        found = self._at.get(local)
        return None if found is None else found.flow(remote)

    def connections(self) -> int:
        """How many stand, are being made or are being closed."""
        return len(self._alive) + len(self._attached)

    def reload(self, files: Tls) -> None:
        """Take certificates from files, for handshakes from now on; connections stay.

        Raises `LocalProtocolError` if a file can't be used; then all is as it was.
        """
        client = tls.client_context(files)
        serves = self._server is not None or files.certificates
        server = tls.server_context(files) if serves else None
        self._files, self._client, self._server = files, client, server

    def send(self, octets: bytes, destination: Destination) -> None:
        """Send one message. If that fails now or later, `Failed` or `Closed` tells.

        A hop over TCP or TLS takes the connection that we made to the same hop, or makes one.
        Raises `LocalProtocolError` if the hop is none that can be reached by an address.
        """
        if isinstance(destination, Flow):
            wire = self._sockets.get(destination.id)
            if wire is not None:
                self._send_datagram(wire, octets, destination.remote, destination)
                return
            connection = self._flows.get(destination.id)
            if connection is None:
                self._tell(Failed(destination=destination, reason="the connection is gone"))
            else:
                connection.send(octets)
        elif destination.transport in SOCKETS:
            reason = "who speaks by WebSocket has to come to us"
            self._tell(Failed(destination=destination, reason=reason))
        elif destination.transport is Transport.UDP:
            wire = self._socket_to(destination)
            if wire is None:
                self._tell(Failed(destination=destination, reason="no UDP socket of ours fits"))
            else:
                remote = (destination.host, destination.port)
                self._send_datagram(wire, octets, remote, destination)
        elif not self._closed:
            connection = self._reached.get(destination)
            (connection or self._connect(destination)).send(octets)

    def attach(
        self, link: Link, transport: Transport, *, local: Address, remote: Address
    ) -> Attached | Refused:
        """Take a WebSocket that a peer opened; what comes over it goes into what is given.

        How many there are is for whoever opens them to bound.
        """
        if self._closed:
            return Refused(transport=transport, remote=remote, reason="we are closing")
        attached = Attached(
            self,
            self._reading.datagram,
            link,
            ident=next(self._ids),
            transport=transport,
            local=local,
            remote=remote,
        )
        self._attached.add(attached)
        self._flows[attached.flow.id] = attached
        self.deliver([Opened(flow=attached.flow, hop=None, names=())])
        return attached

    def proved(self, flow: Flow) -> None:
        """The peer of a flow has shown who it is, so its WebSocket may stay."""
        attached = self._flows.get(flow.id)
        if isinstance(attached, Attached):
            attached.prove()

    def drop(self, flow: Flow) -> None:
        """Close the connection of a flow, as soon as what was sent is written."""
        connection = self._flows.get(flow.id)
        if connection is not None:
            connection.end("we closed it")

    async def close(self) -> None:
        """Close everything, after what was sent; nothing is left when it returns."""
        if not self._closed:
            self._closed = True
            self._sockets.clear()
            self._datagrams.close()
            for listener in self._listeners:
                listener.close()
            for connection in list(self._alive):
                connection.end("we closed it")
            for attached in list(self._attached):
                attached.end("we closed it")
        while self._alive:
            self._gone.clear()
            await self._gone.wait()
        self._tell_now()

    # What connections ask of their owner

    def deliver(self, batch: list[Event]) -> None:
        """Hand events over; an error in the receiver is the loop's matter, and the next go on."""
        try:
            self._receiver(batch)
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": "a receiver of SIP failed", "exception": error}
            )

    def opened(self, connection: Connection, names: tuple[str, ...]) -> None:
        self._flows[connection.id] = connection
        self.deliver([Opened(flow=connection.flow, hop=connection.hop, names=names)])

    def ended(self, connection: Connection, reason: str) -> None:
        self._flows.pop(connection.id, None)
        hop = connection.hop
        if hop is not None and self._reached.get(hop) is connection:
            del self._reached[hop]
        if connection.known:
            self._tell(Closed(flow=connection.flow, reason=reason))
        elif hop is not None:
            self._tell(Failed(destination=hop, reason=reason))
        else:
            self._tell(
                Refused(transport=connection.transport, remote=connection.remote, reason=reason)
            )
        making = self._making.get(connection)
        # One that was made is closed by itself; uvloop would forget it if its making were ended.
        if making is not None and not connection.made and making is not asyncio.current_task():
            making.cancel()

    def detached(self, attached: Attached, reason: str) -> None:
        self._flows.pop(attached.flow.id, None)
        self._attached.discard(attached)
        self._tell(Closed(flow=attached.flow, reason=reason))

    def lost(self, connection: Connection) -> None:
        peer = self._alive.pop(connection, None)
        if peer is None:
            return
        self._by_peer[peer] -= 1
        if not self._by_peer[peer]:
            del self._by_peer[peer]
        if not self._alive:
            self._gone.set()

    # Inside

    def _tell(self, event: Event) -> None:
        """Events that come up while the receiver may be running are told after it."""
        if not self._later:
            self._loop.call_soon(self._tell_now)
        self._later.append(event)

    def _tell_now(self) -> None:
        batch, self._later = self._later, []
        if batch:
            self.deliver(batch)

    def _send_datagram(
        self, wire: Socket, octets: bytes, remote: Address, destination: Destination
    ) -> None:
        refused: list[Event] = []
        reason = wire.send(octets, remote, refused)
        if reason:
            refused.append(Failed(destination=destination, reason=reason))
        for event in refused:
            self._tell(event)

    def _socket_to(self, hop: Hop) -> Socket | None:
        chosen = self._ours.nearest(Transport.UDP, hop.source, hop.host)
        if chosen is None or self._closed:
            return None
        return self._at[chosen[1]]

    def _full(self, peer: str) -> str:
        """Why `peer` can have no other connection; "" if it can."""
        if self._closed:
            return "we are closing"
        if len(self._alive) >= self.bounds.connections:
            return f"there are {self.bounds.connections} connections, the limit"
        if self._by_peer[peer] >= self.bounds.per_peer:
            return f"{peer} has {self.bounds.per_peer} connections, the limit of one peer"
        return ""

    def _connect(self, hop: Hop) -> Connection:
        try:
            peer = peer_of(hop.host)
        except ValueError as error:
            raise LocalProtocolError(f"a hop needs an address: {error}") from error
        if hop.transport not in (Transport.TCP, Transport.TLS):
            raise LocalProtocolError(f"{hop.transport} is not spoken here")
        if hop.transport is Transport.TLS and self._client is None:
            self._client = tls.client_context(self._files)
        connection = Connection(
            self,
            self._reading.stream(),
            ident=next(self._ids),
            transport=hop.transport,
            remote=(hop.host, hop.port),
            hop=hop,
            # RFC 5626 §4.4.1: 80 to 100 % of it, so that not all ping at once.
            apart=self.patience.ping * (0.8 + 0.2 * self._chance()),
        )
        full = self._full(peer)
        if full:
            connection.cut(full)
        else:
            self._reached[hop] = connection
            self._make(connection, peer, lambda: self._dial(connection, hop))
        return connection

    def _taken(self, listener: Listener, wire: socket.socket, remote: Address) -> None:
        """A peer connected."""
        peer = peer_of(remote[0])
        reason = self._full(peer)
        try:
            if not reason:
                prepare(wire, self.patience)
        except OSError as error:
            reason = str(error)
        if reason:
            wire.close()
            self._tell(Refused(transport=listener.transport, remote=remote, reason=reason))
            return
        connection = Connection(
            self,
            self._reading.stream(),
            ident=next(self._ids),
            transport=listener.transport,
            remote=remote,
        )
        self._make(connection, peer, lambda: self._take(connection, wire), wire.close)

    def _make(
        self,
        connection: Connection,
        peer: str,
        making: Callable[[], Coroutine[Any, Any, None]],
        given_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Count it from now until it is gone; `given_up` is called if nothing came of it."""

        def settled(task: asyncio.Task[bool]) -> None:
            self._making.pop(connection, None)
            if task.cancelled() or not task.result():
                given_up()
                connection.cut("it was given up")
                self.lost(connection)

        self._by_peer[peer] += 1
        self._alive[connection] = peer
        task = self._loop.create_task(self._settle(connection, making))
        task.add_done_callback(settled)
        self._making[connection] = task

    async def _settle(
        self, connection: Connection, making: Callable[[], Coroutine[Any, Any, None]]
    ) -> bool:
        """Whether it came about; whatever went wrong is why it did not."""
        try:
            await making()
        except Exception as error:
            connection.cut(str(error) or "no answer in time")
            return False
        return True

    async def _dial(self, connection: Connection, hop: Hop) -> None:
        secured = hop.transport is Transport.TLS
        family = socket.AF_INET6 if ":" in hop.host else socket.AF_INET
        async with asyncio.timeout(self.patience.connect):
            wire = socket.socket(family, socket.SOCK_STREAM)
            try:
                prepare(wire, self.patience)
                if hop.source[0]:
                    wire.bind((hop.source[0], 0))
                await self._loop.sock_connect(wire, (hop.host, hop.port))
                if wire.getsockname() == wire.getpeername():
                    raise ConnectionRefusedError("nobody listens there: it reached itself")
            except BaseException:
                wire.close()
                raise
            await self._loop.create_connection(
                lambda: connection,
                sock=wire,
                ssl=self._client if secured else None,
                server_hostname=(hop.domain or hop.host) if secured else None,
            )

    async def _take(self, connection: Connection, wire: socket.socket) -> None:
        secured = connection.transport is Transport.TLS
        await self._loop.connect_accepted_socket(
            lambda: connection,
            wire,
            ssl=self._server if secured else None,
            ssl_handshake_timeout=self.patience.handshake if secured else None,
        )


async def open_endpoint(
    listens: Sequence[Listen],
    receiver: Receiver,
    *,
    clock: Clock,
    chance: Callable[[], float],
    files: Tls | None = None,
    bounds: Bounds | None = None,
    patience: Patience | None = None,
    reading: Reading = READING,
) -> Endpoint:
    """An endpoint that listens at all of `listens`, or at none and an error.

    `clock` counts seconds, `chance` gives numbers from 0 to below 1. Raises what `listen` and
    `reload` do.
    """
    endpoint = Endpoint(
        receiver,
        clock=clock,
        chance=chance,
        bounds=bounds or Bounds(),
        patience=patience or Patience(),
        reading=reading,
    )
    try:
        if files is not None:
            endpoint.reload(files)
        for each in listens:
            endpoint.listen(each)
    except BaseException:
        await endpoint.close()
        raise
    return endpoint
