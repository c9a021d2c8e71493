"""The numbers that customers send from: a text to one is theirs, unless somebody holds it."""

from collections.abc import Callable, Iterable

from carriers.numbers import Invalid, check_from
from gateway.core.runner import Job
from gateway.messages.customers import jobs
from gateway.messages.customers.model import Customer
from gateway.model import Message, PhoneNumber
from gateway.phone_numbers import declared_number
from protocols.smpp import text
from protocols.smpp.constants import Ton

Holder = Callable[[str], PhoneNumber | None]


class Senders:
    """Knows the addresses of all customers; `holder` is the directory of numbers."""

    def __init__(self, customers: Iterable[Customer], holder: Holder, now: float) -> None:
        self._holder = holder
        self._customers: dict[str, Customer] = {}
        self._numbers: dict[str, PhoneNumber] = {}
        for customer in customers:
            for sender in customer.senders:
                self._customers.setdefault(sender, customer)
                self._declare(customer, sender, now)

    def _declare(self, customer: Customer, sender: str, now: float) -> None:
        address = check_from(sender)
        if not isinstance(address, Invalid) and address.ton != Ton.ALPHANUMERIC:
            number = declared_number(customer.account_sid, sender, {}, now)
            self._numbers.setdefault(sender, number)

    def holder(self, address: str) -> PhoneNumber | None:
        """Whose `address` is: as the directory says, else the customer's who sends from it."""
        return self._holder(address) or self._numbers.get(address)

    def told(self, message: Message) -> list[Job]:
        """The jobs that bring an inbound text to the customer whose number it was sent to."""
        customer = self._customers.get(message.to_address)
        if customer is None or customer.account_sid != message.account_sid:
            return []
        parts = text.count(message.body).segments
        return jobs.for_inbound(message, customer.system_id, parts, message.date_created)


def sender_of(written: str) -> str:
    """A sender as the config file has it, in the form in which addresses are compared."""
    address = check_from(written)
    if isinstance(address, Invalid) and written.isdecimal():
        address = check_from(f"+{written}")
    return written if isinstance(address, Invalid) else address.text
