"""Which message a receipt is about: by id, else by reference, else by its addresses.

The only part of settling that may have to read the store. So it comes in two halves: `search`
reads, before a batch is settled, and `recall` looks at what is in memory, while it is.

A carrier may answer in hex and write receipts in decimal, or the reverse. An id that fits only
after such a conversion is believed if the addresses agree: with plain decimal ids another
message has it.
"""

import msgspec

from carriers.events import Receipted
from gateway.messages import records, segments
from gateway.messages.book import Book
from gateway.messages.flight import Flight, PartState
from gateway.model import Message, MessageStatus
from gateway.store.base import Store
from protocols.smpp.receipt import id_candidates

_UNANSWERED = (PartState.OUT, PartState.HELD)
_OPEN = frozenset({MessageStatus.QUEUED, MessageStatus.SENDING})
_TELLING_DIGITS = 7  # of a number that is written without its country code


class Match(msgspec.Struct, frozen=True):
    """The flight and the part (from 1) that a receipt is about."""

    flight: Flight
    part: int


class Correlator:
    """Finds matches; loads flights that left memory."""

    def __init__(self, store: Store, book: Book) -> None:
        self._store = store
        self._book = book

    async def load(self, account_sid: str, sid: str) -> Flight | None:
        """The flight of a message, from memory or from the store; None if it is gone.

        One that is still to be sent is not kept in memory by this: the queue would pass over it.
        """
        flight = self._book.get(sid)
        if flight is not None:
            return flight if flight.message.account_sid == account_sid else None
        rows = await self._store.fetch(records.GET, account_sid, sid)
        if not rows:
            return None
        parts = await self._store.fetch(segments.OF_MESSAGE, sid)
        flight = self._book.get(sid)  # somebody may have loaded it meanwhile
        if flight is None:
            flight = Flight.restored(records.message_of(rows[0]), map(segments.segment_of, parts))
            if flight.message.status not in _OPEN:
                self._book.keep(flight)
        return flight

    def recall_by_id(self, event: Receipted) -> Match | None:
        """The part that the carrier gave this id, if its message is in memory."""
        exact = True
        for key in id_candidates(event.receipt.message_id):
            known = self._book.part_by_id(event.carrier, key)
            if known is not None:
                flight = self._book.get(known[0])
                if flight is None and exact:
                    return None  # the store has it, and what fits by conversion is another
                if flight is not None and (exact or _agree(flight.message, event)):
                    return Match(flight, known[1])
            exact = False
        return None

    async def search(self, event: Receipted) -> Match | None:
        """The part that the carrier gave this id, as the store has it."""
        exact = True
        for key in id_candidates(event.receipt.message_id):
            rows = await self._store.fetch(segments.BY_CARRIER_ID, event.carrier, key)
            for segment in map(segments.segment_of, rows):
                flight = await self.load(segment.account_sid, segment.sid)
                if flight is not None and (exact or _agree(flight.message, event)):
                    return Match(flight, segment.part)
            exact = False
        return None

    def recall(self, event: Receipted) -> Match | None:
        """The part that the receipt is about, where no id tells."""
        return self._by_reference(event) or self._by_addresses(event)

    def _by_reference(self, event: Receipted) -> Match | None:
        reference = event.receipt.user_message_reference
        if reference is None:
            return None
        known = self._book.part_by_reference(event.carrier, reference)
        if known is None:
            return None
        flight = self._book.get(known[0])
        # A reference has 16 bits: the addresses must agree before it is believed.
        if flight is None or not _same_number(flight.message.to_address, event.from_address):
            return None
        return Match(flight, known[1])

    def _by_addresses(self, event: Receipted) -> Match | None:
        return self.only_held(event.carrier, event.to_address, event.from_address)

    def only_held(self, carrier: str, from_address: str, to_address: str) -> Match | None:
        """The one held part between two addresses, unless another could be meant as well."""

        def between(flight: Flight) -> bool:
            message = flight.message
            return (
                message.carrier == carrier
                and _same_number(message.to_address, to_address)
                and _same_number(message.from_address, from_address)
            )

        if not any(map(between, self._book.held())):
            return None
        found = [
            (flight, part)
            for flight in filter(between, self._book.attempted())
            for part in flight.listed(_UNANSWERED)
        ]
        if len(found) != 1:
            return None
        flight, part = found[0]
        return Match(flight, part) if flight.parts[part - 1] is PartState.HELD else None


def _same_number(ours: str, theirs: str) -> bool:
    """Carriers write numbers with and without `+`."""
    return ours.lstrip("+") == theirs.lstrip("+")


def _agree(message: Message, event: Receipted) -> bool:
    """Whether the handset of `message` stands in the receipt, in whatever form and place."""
    ours = message.to_address.lstrip("+")
    for address in (event.from_address, event.to_address):
        theirs = address.lstrip("+0")
        if ours == theirs or (len(theirs) >= _TELLING_DIGITS and ours.endswith(theirs)):
            return True
    return False
