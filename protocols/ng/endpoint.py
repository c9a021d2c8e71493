"""ng over UDP: a `Session` joined to a socket and a clock.

The socket is connected, so nobody else is heard, and the system says where nobody listens.
"""

import asyncio
from typing import Any, Final, cast

from protocols.ng.errors import Unanswered
from protocols.ng.events import Answered
from protocols.ng.message import Message
from protocols.ng.session import PATIENCE, Session

_NOBODY: Final = "is not there: nobody listens on that port"


class Connection(asyncio.DatagramProtocol):
    """Who is asked, and who waits; made by `connect`."""

    def __init__(self, session: Session) -> None:
        self.is_closed = False
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, command: Message) -> Message:
        """The answer. Raises `Unanswered`, and `LocalProtocolError` for what can't be asked."""
        told: asyncio.Future[Message] = self._loop.create_future()
        self._session.ask(command, self._loop.time())
        self._waiting[command.cookie] = told
        try:
            self._flush()
            return await told
        finally:
            self._waiting.pop(command.cookie, None)
            self._session.forget(command.cookie)

    def close(self) -> None:
        """Close the socket; who waits is told so."""
        self._end("was still asked when the line to it was closed")
        if self._transport is not None:
            self._transport.close()

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `DatagramProtocol`."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        """See `DatagramProtocol`."""
        self._end(f"was lost: {error}")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """See `DatagramProtocol`."""
        self._session.receive_data(data, self._loop.time())
        self._flush()

    def error_received(self, error: Exception) -> None:
        """See `DatagramProtocol`."""
        if isinstance(error, ConnectionRefusedError):
            self._session.fail(_NOBODY)
        else:
            self._session.report(str(error))
        self._flush()

    # Inside

    def _end(self, reason: str) -> None:
        self.is_closed = True
        self._session.fail(reason)
        self._flush()

    def _flush(self) -> None:
        for each in self._session.data_to_send():
            if self._transport is not None and not self.is_closed:
                self._transport.sendto(each)
        while (event := self._session.next_event()) is not None:
            waiting = self._waiting.get(event.cookie)
            if waiting is None or waiting.done():
                continue
            if isinstance(event, Answered):
                waiting.set_result(Message(cookie=event.cookie, fields=event.fields))
            else:
                waiting.set_exception(Unanswered(event.reason))
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (due := self._session.timer()) is not None:
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._session.handle_timer(self._loop.time())
        self._flush()


async def connect(address: tuple[str, int], *, patience: float = PATIENCE) -> Connection:
    """A socket towards `address`; whether anybody is there is not asked. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_datagram_endpoint(
        lambda: Connection(Session(patience=patience)), remote_addr=address
    )
    return connection
