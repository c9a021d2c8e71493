"""The transactions that live: found by number, by key, by destination, and woken by one clock.

Whatever stands in any of these tables stands there from `add` to `remove`.
"""

from collections.abc import Hashable
from typing import Final

import msgspec

from protocols.sip.events import TransactionId
from protocols.sip.timers import Schedule
from protocols.sip.transaction import Client, Server, Transaction
from protocols.sip.transport import Destination, Flow, Transport

STATELESS: Final = 0
"""The number of no transaction."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many transactions live at once.

    Beyond `servers` a peer's new request is refused with 503 and `retry_after` (seconds); those
    within a dialog have `reserve` more, so that calls can end. Beyond `clients` ours are refused
    to the user; a CANCEL never is.
    """

    servers: int = 50_000
    reserve: int = 5_000
    clients: int = 50_000
    retry_after: int = 10


class Ledger:
    """See the module."""

    def __init__(self) -> None:
        self.transactions: dict[int, Transaction] = {}
        self.clients: dict[Hashable, Client] = {}
        self.servers: dict[Hashable, Server] = {}
        self.acks: dict[Hashable, Server] = {}
        """INVITEs of RFC 2543 by the key of the ACK that they wait for."""
        self.merging: dict[Hashable, Server] = {}
        """Requests that open something, by what another way of them would share."""
        self.schedule = Schedule()
        self._number = STATELESS
        self._places: dict[Hashable, set[int]] = {}

    def take_number(self) -> int:
        """A number that no transaction has had."""
        self._number += 1
        return self._number

    def add(self, transaction: Transaction) -> None:
        """Let it live."""
        if isinstance(transaction, Client):
            self.clients[transaction.key] = transaction
        elif isinstance(transaction, Server):
            self.servers[transaction.key] = transaction
        self.transactions[transaction.number] = transaction
        self._join(transaction)
        self.schedule.arm(transaction.number, transaction.deadline)

    def add_ack(self, server: Server, key: Hashable) -> None:
        """Let it be found by the key of its ACK too."""
        server.ack_key = key
        self.acks[key] = server

    def add_merging(self, server: Server, key: Hashable) -> None:
        """Let it be found when the same request comes by another way."""
        server.merge_key = key
        self.merging[key] = server

    def remove(self, transaction: Transaction) -> None:
        """Forget it; nothing happens if that has been done."""
        if self.transactions.pop(transaction.number, None) is None:
            return
        self.schedule.forget(transaction.number)
        self._leave(transaction)
        if isinstance(transaction, Client):
            del self.clients[transaction.key]
        elif isinstance(transaction, Server):
            del self.servers[transaction.key]
            if transaction.ack_key is not None:
                self.acks.pop(transaction.ack_key, None)
            if transaction.merge_key is not None:
                del self.merging[transaction.merge_key]

    def at(self, where: Destination | TransactionId) -> list[Transaction]:
        """Those that speak to a destination, the oldest first; or the one of this number."""
        numbers = [where] if isinstance(where, int) else sorted(self._places.get(_place(where), ()))
        return [self.transactions[each] for each in numbers if each in self.transactions]

    def move(self, transaction: Transaction, destination: Destination) -> None:
        """Let it speak to another destination."""
        self._leave(transaction)
        transaction.destination = destination
        self._join(transaction)

    def _join(self, transaction: Transaction) -> None:
        place = _place(transaction.destination)
        sharing = self._places.get(place)
        if sharing is None:
            self._places[place] = {transaction.number}
        else:
            sharing.add(transaction.number)

    def _leave(self, transaction: Transaction) -> None:
        place = _place(transaction.destination)
        sharing = self._places[place]
        sharing.discard(transaction.number)
        if not sharing:
            del self._places[place]


_UDP: Final = Transport.UDP  # an attribute of an enumeration is slow to find


def _place(destination: Destination) -> Hashable:
    """What fails as one: a connection, a place to connect to, or an address over UDP.

    There a refusal names the socket that heard of it, whatever the request was sent to.
    """
    if destination.transport is not _UDP:
        return destination
    if isinstance(destination, Flow):
        return destination.remote
    return destination.host, destination.port
