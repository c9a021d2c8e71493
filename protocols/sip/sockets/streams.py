"""SIP over TCP and TLS: one connection, whichever side made it.

What it may take and how long it may last is bounded on every side: octets that the peer does not
read, a message that never ends, silence (`liveness`). It has one timer, moved only when it has to
ring earlier.
"""

import asyncio
import socket
from typing import Final, Protocol, cast

from protocols.sip import identity
from protocols.sip.codec import KeepAlive, Malformed
from protocols.sip.liveness import NEVER, Liveness
from protocols.sip.transport import Flow, Hop, Transport
from protocols.sip.wire import Address, Bounds, Clock, Event, Framer, Patience, Received

PING: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"

LINGER: Final = 2.0
"""Seconds in which the peer can take what was written before we closed."""


class Owner(Protocol):
    """What a connection needs of the endpoint."""

    bounds: Bounds
    patience: Patience
    clock: Clock

    def deliver(self, batch: list[Event]) -> None:
        """Hand events to the receiver, now."""

    def opened(self, connection: "Connection", names: tuple[str, ...]) -> None:
        """It can be written to."""

    def ended(self, connection: "Connection", reason: str) -> None:
        """Nothing more goes over it; called once."""

    def lost(self, connection: "Connection") -> None:
        """Its socket is closed; called once, if it was ever made."""


class Connection(asyncio.Protocol):
    """A stream of messages; `hop` is whom we wanted to reach, None if the peer came to us."""

    flow: Flow

    def __init__(
        self,
        owner: Owner,
        framer: Framer,
        *,
        ident: int,
        transport: Transport,
        remote: Address,
        hop: Hop | None = None,
        apart: float = NEVER,
    ) -> None:
        self.id = ident
        self.transport = transport
        self.remote = remote
        self.hop = hop
        self.open = False
        self.over = False
        self.made = False
        self.known = False
        """Whether `opened` was told of it."""
        self._owner = owner
        self._framer = framer
        self._loop = asyncio.get_running_loop()
        self._alive = Liveness(owner.patience, owner.clock(), apart=apart)
        self._waiting: list[bytes] = []
        self._waiting_octets = 0
        self._blocked = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._wire: asyncio.Transport

    def send(self, octets: bytes) -> None:
        """Write, or keep for when it is open. Who does not read is cut off."""
        bounds = self._owner.bounds
        if self.over:
            return
        if not self.open:
            self._waiting_octets += len(octets)
            if self._waiting_octets > bounds.waiting:
                self.cut("too much waits for it")
            else:
                self._waiting.append(octets)
            return
        self._alive.used = True
        if self._blocked and self._wire.get_write_buffer_size() + len(octets) > bounds.unsent:
            self.cut("the peer does not read")
        else:
            self._wire.write(octets)

    def end(self, reason: str) -> None:
        """Close it; what was written still goes out, for `LINGER` seconds."""
        if self._finish(reason):
            self._wire.close()
            self._timer = self._loop.call_later(LINGER, self._wire.abort)

    def cut(self, reason: str) -> None:
        """Close it at once."""
        if self._finish(reason):
            self._wire.abort()

    def _finish(self, reason: str) -> bool:
        """Tell that it is over, the first time; whether there is something to close."""
        if self.over:
            return False
        was_open, self.open, self.over = self.open, False, True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._owner.ended(self, reason)
        return was_open

    def _look(self) -> None:
        """The timer rang."""
        self._timer = None
        now = self._owner.clock()
        reason = self._alive.verdict(now)
        if reason:
            self.cut(reason)
            return
        if self._alive.wants_ping(now):
            self._wire.write(PING)
        self._arm()

    def _arm(self) -> None:
        due = self._alive.due()
        if self._timer is not None:
            if due >= self._timer_at:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_later(max(0.0, due - self._owner.clock()), self._look)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        local = self._wire.get_extra_info("sockname")[:2]
        self.flow = Flow(id=self.id, transport=self.transport, local=local, remote=self.remote)
        self.made = True
        if self.over:
            self._wire.abort()
            return
        self.open = True
        self._wire.set_write_buffer_limits(high=self._owner.bounds.unsent // 4)
        certificate = self._wire.get_extra_info("peercert")
        if self.hop is not None and self.transport is Transport.TLS:
            wanted = self.hop.domain or self.hop.host
            if not identity.stands_for(certificate, wanted):
                shown = ", ".join(identity.names(certificate)[:4]) or "nobody"
                self.cut(f"its certificate is for {shown}, not for {wanted}")
                return
        waiting, self._waiting = self._waiting, []
        if waiting:  # uvloop never closes what was given nothing to write
            self._wire.write(b"".join(waiting))
        self._arm()
        self.known = True
        self._owner.opened(self, identity.names(certificate))

    def data_received(self, data: bytes) -> None:
        if self.over:
            return
        now = self._owner.clock()
        framer = self._framer
        framer.feed(data)
        batch: list[Event] = []
        pings = signs = 0
        broken = ""
        while (item := framer.next()) is not None:
            if isinstance(item, KeepAlive):
                signs += 1
                pings += item is KeepAlive.PING
                continue
            batch.append(Received(message=item, flow=self.flow, at=now))
            if isinstance(item, Malformed) and not item.recoverable:
                broken = f"its octets are no SIP any more: {item.reason}"
                break
        if batch or signs:
            self._alive.hear(now)
        else:
            self._alive.hear_part(now)
        if pings:
            self.send(PONG * pings)
        if batch:
            self._owner.deliver(batch)
        if broken:
            self.end(broken)
        elif not self.over:
            self._arm()

    def pause_writing(self) -> None:
        self._blocked = True
        self._alive.block(self._owner.clock())
        if not self.over:
            self._arm()

    def resume_writing(self) -> None:
        self._blocked = False
        self._alive.unblock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(str(exc) if exc else "the peer closed it")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._owner.lost(self)


def prepare(wire: socket.socket, patience: Patience) -> None:
    """What holds for every stream: no delay, and an end if nothing is acknowledged.

    The kernel's end comes after ours (`Liveness.block`), whose reason says more.
    """
    wire.setblocking(False)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience.read * 2000))
