"""What a simulated carrier has for the binds of one system_id: receipts, and texts from handsets.

A receipt waits while no bind receives, goes over any bind that does, and goes again if it was not
answered or was refused for the moment. A text from a handset waits for nobody: somebody holds the
handset and wants to know what became of it.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import DeliverSm
from sims.handset import NoBind, Outcome, Refused, Taken, Unanswered

_WAITING: Final = 1_000_000  # deliver_sm that wait per system_id; the oldest goes first

# Refusals after which it is worth to try again (SMPP 3.4, 5.1.3).
TEMPORARY: Final = frozenset(
    {
        CommandStatus.ESME_RSYSERR,
        CommandStatus.ESME_RMSGQFUL,
        CommandStatus.ESME_RTHROTTLED,
        CommandStatus.ESME_RX_T_APPN,
    }
)


class Texting:
    """A text on its way from a handset: `outcome` is done when all parts are, or one can't be."""

    def __init__(self, parts: int) -> None:
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._parts = parts
        self._missing = parts

    def taken(self) -> None:
        """One more part was answered with status 0."""
        self._missing -= 1
        if not self._missing:
            self.ended(Taken(parts=self._parts))

    def ended(self, outcome: Outcome) -> None:
        """The text ends so; what comes later doesn't count."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Delivery:
    """A deliver_sm to be sent: part of `texting`, or a receipt if that is None."""

    __slots__ = ("pdu", "texting")

    def __init__(self, pdu: DeliverSm, texting: Texting | None = None) -> None:
        self.pdu = pdu
        self.texting = texting

    @property
    def is_wanted(self) -> bool:
        """Whether it still makes sense to send it."""
        return self.texting is None or not self.texting.outcome.done()


class Mailbox:
    """The deliver_sm that wait for a bind, oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque(maxlen=_WAITING)

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """They go after all that wait."""
        self._waiting.extend(deliveries)

    def put_back(self, deliveries: Iterable[Delivery]) -> None:
        """They were sent and not answered: they go before all that wait, in their order."""
        self._waiting.extendleft(reversed(list(deliveries)))

    def take(self, room: int) -> list[Delivery]:
        """Up to `room` that are to be sent now."""
        taken: list[Delivery] = []
        while self._waiting and len(taken) < room:
            delivery = self._waiting.popleft()
            if delivery.is_wanted:
                taken.append(delivery)
        return taken

    def give_up_texts(self) -> None:
        """The last bind that receives has gone: texts end, receipts wait."""
        for delivery in self._waiting:
            if delivery.texting is not None:
                delivery.texting.ended(NoBind())
        self._waiting = deque((d for d in self._waiting if d.is_wanted), maxlen=_WAITING)

    def forget(self) -> None:
        """Drop all that waits."""
        self.give_up_texts()
        self._waiting.clear()


def answered(delivery: Delivery, command_status: int) -> bool:
    """Take the gateway's answer; whether `delivery` has to go again later."""
    if delivery.texting is None:
        return command_status in TEMPORARY
    if command_status:
        delivery.texting.ended(Refused(command_status=command_status))
    else:
        delivery.texting.taken()
    return False


def unanswered(delivery: Delivery, seconds: float) -> bool:
    """No answer came within `seconds`; whether `delivery` has to go again."""
    if delivery.texting is None:
        return True
    delivery.texting.ended(Unanswered(seconds=seconds))
    return False
