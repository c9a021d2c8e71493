"""From a message to its submit_sm: the one place that says how many segments a text has.

What is counted when a text is accepted, priced and put on the wire goes through the same splitter
with the same carrier profile, so `NumSegments`, price and wire agree by construction.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from carriers.model import Carrier
from carriers.numbers import Address, wire_address
from gateway.messages.book import Book, reference_of
from gateway.model import Message
from protocols.smpp import text
from protocols.smpp.pdu import RegisteredDelivery, SubmitSm, Tag
from protocols.smpp.reassembly import ReferencePool
from protocols.smpp.text import Concatenation

_REFERENCE_LIVES: Final = 3600.0  # seconds for which a handset may wait for the last part
_MAX_KEYS: Final = 100_000

_address = lru_cache(maxsize=65536)(wire_address)


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """`segments` on the air (what is priced), `parts` as submit_sm."""

    alphabet: str
    segments: int
    parts: int


class Composer:
    """Knows how each carrier wants long texts, and which reference numbers are free."""

    def __init__(self, carriers: Mapping[str, Carrier], book: Book) -> None:
        self._carriers = carriers
        self._book = book
        self._next_reference: dict[str, int] = {}
        self._pools = {bits: ReferencePool(bits=bits, limit=_MAX_KEYS) for bits in (8, 16)}

    def size(self, body: str, media: Sequence[str], carrier: str) -> Size:
        """What a text costs at `carrier`."""
        concatenation = self._concatenation(carrier)
        count = text.count(_said(body, media), concatenation=concatenation)
        whole = concatenation is Concatenation.PAYLOAD
        return Size(
            alphabet=count.alphabet,
            segments=count.segments,
            parts=1 if whole else count.segments,
        )

    def references(self, message: Message, now: float) -> dict[str, Any]:
        """The reference numbers of a first attempt; a further one keeps what it has."""
        if message.reference >= 0:
            return {}
        carrier = message.carrier
        first = self._book.free_reference(
            carrier, self._next_reference.get(carrier, int(now * 1000) % 65536), message.parts
        )
        self._next_reference[carrier] = (first + message.parts) % 65536
        fields = {"reference": first}
        if message.parts > 1:
            pool = self._pools[self._concatenation(carrier).reference_bits]
            key = f"{carrier}\t{message.from_address}\t{message.to_address}"
            fields["concat_reference"] = pool.take(key, now, now + _REFERENCE_LIVES)
        return fields

    def hold(self, message: Message, now: float) -> None:
        """The references of a message that was being sent before a restart are in use."""
        if message.concat_reference >= 0:
            pool = self._pools[self._concatenation(message.carrier).reference_bits]
            key = f"{message.carrier}\t{message.from_address}\t{message.to_address}"
            pool.hold(key, message.concat_reference, now, now + _REFERENCE_LIVES)

    def pdus(self, message: Message) -> list[SubmitSm]:
        """The submit_sm of each part, in order; every one asks for a receipt."""
        segments = self._segments(message)
        source, destination = _address(message.from_address), _address(message.to_address)
        return [
            _submit_sm(segment, source, destination, reference_of(message.reference, number))
            for number, segment in enumerate(segments, 1)
        ]

    def _segments(self, message: Message) -> Sequence[text.Segment]:
        """As many as were counted when it was accepted, whatever the config says by now."""
        said = _said(message.body, message.media)
        segments: Sequence[text.Segment] = ()
        for concatenation in (self._concatenation(message.carrier), *Concatenation):
            segments = text.segments(
                said,
                concatenation=concatenation,
                reference=max(0, message.concat_reference) % (1 << concatenation.reference_bits),
            )
            if len(segments) == message.parts:
                break
        return segments

    def _concatenation(self, carrier: str) -> Concatenation:
        known = self._carriers.get(carrier)
        return known.long_message if known is not None else Concatenation.UDH8


def _said(body: str, media: Sequence[str]) -> str:
    """What the handset gets: carriers of texts get media as links below the body."""
    return "\n".join((body, *media) if body else media) if media else body


def _submit_sm(
    segment: text.Segment, source: Address, destination: Address, reference: int
) -> SubmitSm:
    return SubmitSm(
        source_addr_ton=source.ton,
        source_addr_npi=source.npi,
        source_addr=source.wire,
        dest_addr_ton=destination.ton,
        dest_addr_npi=destination.npi,
        destination_addr=destination.wire,
        esm_class=segment.esm_class,
        registered_delivery=RegisteredDelivery.ALWAYS,
        data_coding=segment.data_coding,
        short_message=segment.short_message,
        tlvs=((Tag.USER_MESSAGE_REFERENCE, reference.to_bytes(2, "big")), *segment.tlvs),
    )
