"""Which message a receipt is about: by id, else by reference, else by its addresses.

The only part of settling that may have to read the store, so it runs before the batch is
settled and leaves what it found in memory.
"""

import msgspec

from carriers.events import Receipted
from gateway.messages import records, segments
from gateway.messages.book import Book
from gateway.messages.flight import Flight, PartState
from gateway.store.base import Store
from protocols.smpp.receipt import id_candidates


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
        """The flight of a message, from memory or from the store; None if it is gone."""
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
            self._book.keep(flight)
        return flight

    async def match(self, event: Receipted) -> Match | None:
        """The part that `event` is about, or None if it must wait."""
        candidates = id_candidates(event.receipt.message_id)
        for key in candidates:
            known = self._book.part_by_id(event.carrier, key)
            if known is not None:
                flight = self._book.get(known[0])
                if flight is not None:
                    return Match(flight, known[1])
        return (
            await self._by_stored_id(event, candidates)
            or self._by_reference(event)
            or self._by_addresses(event)
        )

    async def _by_stored_id(self, event: Receipted, candidates: tuple[str, ...]) -> Match | None:
        for key in candidates:
            rows = await self._store.fetch(segments.BY_CARRIER_ID, event.carrier, key)
            for segment in map(segments.segment_of, rows):
                flight = await self.load(segment.account_sid, segment.sid)
                if flight is not None:
                    return Match(flight, segment.part)
        return None

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
        held = [
            (flight, part)
            for flight in self._book.moving()
            if flight.message.carrier == event.carrier
            and _same_number(flight.message.to_address, event.from_address)
            and _same_number(flight.message.from_address, event.to_address)
            for part in flight.listed([PartState.HELD])
        ]
        return Match(*held[0]) if len(held) == 1 else None


def _same_number(ours: str, theirs: str) -> bool:
    """Carriers write numbers with and without `+`."""
    return ours.lstrip("+") == theirs.lstrip("+")
