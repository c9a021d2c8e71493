"""SIP over WebSocket (RFC 7118): a peer's socket that somebody else reads and writes.

Each frame is one message, which needs no Content-Length; line ends alone keep the socket open
(RFC 5626 §4.4.1). Nobody is called by WebSocket who did not open it: where it is gone its peer is.
"""

from typing import Final, Protocol

from protocols.sip.codec import Kind, Malformed
from protocols.sip.sockets.streams import PING, PONG
from protocols.sip.transport import Flow, Transport
from protocols.sip.wire import Address, Clock, Event, ReadDatagram, Received

_IDLE: Final = b"\r\n"


class Link(Protocol):
    """Whoever has the socket; neither call waits."""

    def send(self, octets: bytes) -> None:
        """Write one frame. Who does not read is cut off."""

    def close(self, reason: str) -> None:
        """Close the socket, after what was sent."""

    def proved(self) -> None:
        """Its peer has shown who it is; said once."""


class Keeper(Protocol):
    """What an attached socket needs of the endpoint."""

    clock: Clock

    def deliver(self, batch: list[Event]) -> None:
        """Hand events to the receiver, now."""

    def detached(self, attached: "Attached", reason: str) -> None:
        """Nothing more goes over it; called once."""


class Attached:
    """One socket; whoever has it tells what came, and when it is gone."""

    def __init__(
        self,
        keeper: Keeper,
        read: ReadDatagram,
        link: Link,
        *,
        ident: int,
        transport: Transport,
        local: Address,
        remote: Address,
    ) -> None:
        self.flow = Flow(id=ident, transport=transport, local=local, remote=remote)
        self.is_over = False
        self.is_proven = False
        """Whether its peer has shown who it is."""
        self._keeper = keeper
        self._read = read
        self._link = link

    # What the endpoint asks

    def send(self, octets: bytes) -> None:
        """Write one message."""
        if not self.is_over:
            self._link.send(octets)

    def prove(self) -> None:
        """Its peer has shown who it is; said again it changes nothing."""
        if not (self.is_proven or self.is_over):
            self.is_proven = True
            self._link.proved()

    def end(self, reason: str) -> None:
        """Close it."""
        if not self.is_over:
            self.gone(reason)
            self._link.close(reason)

    # What happens to the socket

    def receive(self, frame: bytes) -> None:
        """Take a frame. Who sends what is no SIP at all is cut off."""
        if self.is_over:
            return
        if not frame.strip(_IDLE):
            if frame == PING:
                self.send(PONG)
            return
        message = self._read(frame)
        if message is None:
            return
        is_noise = isinstance(message, Malformed) and message.kind is Kind.NOISE
        event = Received(message=message, flow=self.flow, at=self._keeper.clock(), octets=frame)
        self._keeper.deliver([event])
        if is_noise:
            self.end("its frames are no SIP")

    def gone(self, reason: str) -> None:
        """It is closed."""
        if not self.is_over:
            self.is_over = True
            self._keeper.detached(self, reason)
