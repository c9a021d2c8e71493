"""One SMPP connection of a simulated carrier, and the faults that only a connection can have.

It drives a session over a transport: what came in one read goes to the owner in one batch, and
what the owner answered leaves in one write when it says `flush`. Between the two it can put octets
that no session would write, write in small pieces, or go deaf and drop.
"""

import asyncio
from collections import deque
from typing import Final, Protocol, cast

from protocols.smpp.events import Event
from protocols.smpp.session import Role, Session, SessionConfig

_PIECE_GAP: Final = 0.002  # seconds between the pieces of a split write
_LAST_READ: Final = 0.05  # seconds in which what was under way to us is still taken


class Owner(Protocol):
    """Who is told what happened on a wire."""

    def happened(self, wire: "Wire", events: list[Event]) -> None:
        """The events of one read or one timer, in order; never empty."""


class Wire(asyncio.Protocol):
    """A connection that was accepted; `session` takes the commands."""

    session: Session

    def __init__(self, config: SessionConfig, owner: Owner) -> None:
        self._config = config
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._pieces: deque[bytes] = deque()
        self._piece_size = 0
        self._muted = False
        self.congested = False

    @property
    def is_open(self) -> bool:
        """Whether what is written now can still arrive."""
        return self._transport is not None and not self._muted

    def flush(self) -> None:
        """Write what the session has to say, and wake up when it next wants to."""
        data = self.session.data_to_send()
        if data and self.is_open:
            self._write(data)
        if self.session.closed:
            self.close()
        self._arm()

    def inject(self, octets: bytes) -> None:
        """Write `octets` behind what the session had to say so far."""
        self.flush()
        if self.is_open:
            self._write(octets)

    def split(self, size: int) -> None:
        """From now on write at most `size` octets at a time."""
        self._piece_size = size

    def drop(self) -> None:
        """Write what was answered so far and no more, then cut the connection.

        What was on its way to us is read and taken before: a peer that may not send anything
        twice would never know that we had not got it.
        """
        self.flush()
        self._muted = True
        self._loop.call_later(_LAST_READ, self.abort)

    def close(self) -> None:
        """End the connection when all is written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands (TCP_NODELAY is set by the loop)."""
        # uvloop's transports are no subclass of it.
        self._transport = cast(asyncio.Transport, transport)
        self.session = Session(Role.SMSC, self._config, self._loop.time())
        self._arm()

    def data_received(self, data: bytes) -> None:
        """asyncio: octets came."""
        self.session.receive_data(data, self._loop.time())
        self._report()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._transport = None
        self._pieces.clear()
        self.session.receive_data(b"", self._loop.time())
        self._report()
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        """asyncio: the peer does not read as fast as we write."""
        self.congested = True

    def resume_writing(self) -> None:
        """asyncio: it has caught up."""
        self.congested = False

    def _report(self) -> None:
        events: list[Event] = []
        while (event := self.session.next_event()) is not None:
            events.append(event)
        if events:
            self._owner.happened(self, events)
        else:
            self.flush()

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        if not self._piece_size and not self._pieces:
            self._transport.write(data)
            return
        waiting = bool(self._pieces)
        size = self._piece_size or len(data)
        self._pieces.extend(data[at : at + size] for at in range(0, len(data), size))
        if not waiting:
            self._write_piece()

    def _write_piece(self) -> None:
        if self._transport is None or not self._pieces:
            return
        self._transport.write(self._pieces.popleft())
        if self._pieces:
            self._loop.call_later(_PIECE_GAP, self._write_piece)

    def _arm(self) -> None:
        """Wake up no later than the session wants; earlier does no harm."""
        due = self.session.timer()
        if due is None or self._transport is None:
            return
        if self._timer is not None:
            if self._armed_for <= due:
                return
            self._timer.cancel()
        self._armed_for = due
        self._timer = self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.session.handle_timer(self._loop.time())
        self._report()


async def listen(
    host: str, port: int, config: SessionConfig, owner: Owner
) -> tuple[asyncio.Server, int]:
    """Accept connections; the server, and the port that was taken."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(config, owner), host, port)
    return server, server.sockets[0].getsockname()[1]
