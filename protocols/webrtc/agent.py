"""ICE on a socket that is read and written elsewhere: aioice's agent without its transports.

aioice makes a socket, a queue and a coroutine per packet of its own. Here it gets the STUN of a
socket that the media share, and says where the peer was found. What is used of it that it does
not promise is in this module and in `handshake`, and pinned by one test.
"""

import struct
from collections.abc import Callable
from typing import Any, Final, cast

from aioice import Candidate, Connection, stun
from aioice.ice import CandidatePair, StunProtocol

from protocols.rtp.events import Address

MOST_SOURCES: Final = 50
"""Addresses of one peer, named or found; checks from any other are answered and lead nowhere."""

_TRANSACTION: Final = slice(8, 20)  # where a message has its id (RFC 8489 §5)

Sender = Callable[[bytes, Address], None]


def _nobody(*_: Address) -> None:
    """Tell nobody."""


class _Borrowed:
    """The socket, as aioice's protocol sees one; closing it is its owner's matter."""

    def __init__(self, send: Sender, protocol: StunProtocol) -> None:
        self._send = send
        self._protocol = protocol

    def sendto(self, octets: bytes, address: Address) -> None:
        self._send(octets, address)

    def close(self) -> None:
        self._protocol.connection_lost(None)


class Agent(Connection):
    """One agent, from its name and password to its end; a restart is another agent.

    `found` is told where to send to as often as that changes, `lost` when the peer does not
    consent any more (RFC 7675). Set `remote_username` and `remote_password`, then `connect`.
    """

    def __init__(
        self,
        *,
        controls: bool,
        place: Candidate,
        send: Sender,
        found: Callable[[Address], None],
        lost: Callable[[], None],
        names: tuple[str, str] | None = None,
    ) -> None:
        username, password = names or (None, None)
        super().__init__(ice_controlling=controls, local_username=username, local_password=password)
        self._found = found
        self._lost = lost
        self._told: Address | None = None
        self._name = f"{self.local_username}:".encode()
        self._protocol = StunProtocol(self)
        self._protocol.connection_made(cast(Any, _Borrowed(send, self._protocol)))
        self._protocol.local_candidate = place
        self._protocols.append(self._protocol)
        self._local_candidates.append(place)
        self._local_candidates_start = self._local_candidates_end = True

    def take(self, octets: bytes, source: Address) -> None:
        """Take what came in and looks like STUN, whoever sent it.

        What neither answers us nor says our name gets no look and no answer: to read a message
        and to prove it takes fifty times as long as to read a packet.
        """
        transaction = self._protocol.transactions.get(octets[_TRANSACTION])
        if transaction is None and self._name not in octets:
            return
        try:
            message = stun.parse_message(octets)
        except (ValueError, struct.error):
            return
        if message.message_class is stun.Class.REQUEST:
            self.request_received(message, source, self._protocol)
        elif transaction is not None and message.message_class is not stun.Class.INDICATION:
            transaction.response_received(message, source)

    def knows(self, source: Address) -> bool:
        """Whether the peer named this address, or showed by its password that it is there."""
        if any((each._network_host, each.port) == source for each in self._remote_candidates):
            return True
        return any(address == source for _, address, _ in self._early_checks)

    def check_incoming(self, message: stun.Message, addr: Address, protocol: StunProtocol) -> None:
        """A check of the peer's, whose password is right."""
        if "PRIORITY" not in message.attributes:  # RFC 8445 §7.1.1 asks for it
            return
        if len(self._remote_candidates) < MOST_SOURCES or self.knows(addr):
            super().check_incoming(message, addr, protocol)

    def check_complete(self, pair: CandidatePair) -> None:
        """A check of ours has ended, and may have chosen where to send to."""
        super().check_complete(pair)
        chosen = self._nominated.get(pair.component)
        if chosen is not None and chosen.remote_addr != self._told and not self._closing:
            self._told = chosen.remote_addr
            self._found(chosen.remote_addr)

    async def query_consent(self) -> None:
        """Ask every few seconds; aioice's ends, having closed, when nobody answers."""
        await super().query_consent()
        self._lost()

    def end(self) -> None:
        """Be no more, at once: tasks end with the loop's next turn, and nothing is sent."""
        self._closing = self._check_list_done = True
        tasks = [each.task for each in self._check_list]
        for task in (*tasks, self._query_consent_task):
            if task is not None:
                task.cancel()
        self._nominated.clear()
        self._early_checks.clear()
        self._found = self._lost = _nobody  # whoever asked is not to wait for the collector
