"""Who is bound: a customer's connections, and a place in their windows for each delivery."""

import asyncio

from gateway.messages.customers.model import Customer
from protocols.smpp import endpoint
from protocols.smpp.events import BindKind
from protocols.smpp.pdu import Pdu

RECEIVES = frozenset({BindKind.RECEIVER, BindKind.TRANSCEIVER})
SENDS = frozenset({BindKind.TRANSMITTER, BindKind.TRANSCEIVER})


class BindLost(Exception):
    """The bind ended before the customer answered."""


class Bind:
    """One connection; `customer` and `kind` are set once it is bound."""

    def __init__(self, connection: endpoint.Connection) -> None:
        self.connection = connection
        self.customer: Customer | None = None
        self.kind: BindKind | None = None
        self._unanswered: dict[int, asyncio.Future[int]] = {}

    @property
    def receives(self) -> bool:
        """Whether deliveries may go to it."""
        return self.kind in RECEIVES

    def deliver(self, pdu: Pdu, now: float) -> "asyncio.Future[int]":
        """Send `pdu`; the future gives the command_status of its answer, or raises `BindLost`."""
        number = self.connection.session.request(pdu, now)
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._unanswered[number] = answered
        self.connection.flush()
        return answered

    def answered(self, sequence_number: int, command_status: int) -> None:
        """The customer answered a delivery."""
        future = self._unanswered.pop(sequence_number, None)
        if future is not None and not future.done():
            future.set_result(command_status)

    def lost(self, sequence_number: int | None = None) -> None:
        """One delivery, or all of them, will not be answered any more."""
        numbers = [sequence_number] if sequence_number is not None else list(self._unanswered)
        for number in numbers:
            future = self._unanswered.pop(number, None)
            if future is not None and not future.done():
                future.set_exception(BindLost())


class Binds:
    """All of them by customer."""

    def __init__(self) -> None:
        self._binds: dict[str, list[Bind]] = {}

    def of(self, system_id: str) -> list[Bind]:
        """The binds of a customer."""
        return self._binds.get(system_id, [])

    def add(self, bind: Bind) -> None:
        """A bind was accepted."""
        assert bind.customer is not None
        self._binds.setdefault(bind.customer.system_id, []).append(bind)

    def remove(self, bind: Bind) -> None:
        """A bind ended."""
        if bind.customer is not None and bind in self.of(bind.customer.system_id):
            self._binds[bind.customer.system_id].remove(bind)

    def receiver(self, system_id: str) -> Bind | None:
        """The bind with the most room for a delivery; None if none receives."""
        receivers = [bind for bind in self.of(system_id) if bind.receives]
        return max(receivers, key=lambda bind: bind.connection.session.window_free, default=None)

    def counts(self) -> dict[str, int]:
        """How many binds each customer has."""
        return {system_id: len(binds) for system_id, binds in self._binds.items()}
