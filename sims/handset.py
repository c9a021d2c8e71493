"""The handsets of a simulated carrier: what they got, and what they text in.

A handset puts the parts of a long text together itself, as phones do, from the parts alone. Each
copy of a text that arrives whole is an entry of its own, so that duplicates can be seen.
"""

from collections import OrderedDict, deque
from typing import Final

import msgspec

from protocols.smpp.constants import Npi, Ton
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.reassembly import Part
from protocols.smpp.text import segments
from sims.addresses import numbering

_SETS: Final = 10_000  # texts in parts that are remembered
_PARTIAL_FOR: Final = 4 * 3600.0  # seconds that a text waits for its missing parts
_REPEATS_FOR: Final = 30.0  # seconds that parts wait which came again after the text was whole


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A whole text on a handset; `received_at` is in seconds since the epoch."""

    from_address: str
    to_address: str
    body: str
    received_at: float


class InText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that a handset sends; numbers are in E.164 with +."""

    from_address: str
    to_address: str
    body: str


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway answered every one of the `parts` deliver_sm with status 0."""

    parts: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway answered a part with another `command_status`; the first one counts."""

    command_status: int


class NoBind(msgspec.Struct, frozen=True, kw_only=True):
    """No bind that receives was up, or the last one went before it answered."""


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway gave no answer within `seconds`."""

    seconds: float


Outcome = Taken | Refused | NoBind | Unanswered


def deliver_sms(text: InText, reference: int) -> list[DeliverSm]:
    """The deliver_sm that carry `text`, several under `reference` if it is long.

    Raises `TextError` for one that needs more than 255.
    """
    recipient = text.to_address.lstrip("+")
    ton, npi = numbering(recipient)
    return [
        DeliverSm(
            source_addr_ton=Ton.INTERNATIONAL,
            source_addr_npi=Npi.ISDN,
            source_addr=text.from_address.lstrip("+"),
            dest_addr_ton=ton,
            dest_addr_npi=npi,
            destination_addr=recipient,
            esm_class=segment.esm_class,
            data_coding=segment.data_coding,
            short_message=segment.short_message,
            tlvs=segment.tlvs,
        )
        for segment in segments(text.body, reference=reference)
    ]


class Inboxes:
    """Whole texts by the digits of the handset's number, oldest first.

    Over all handsets at most `limit` are kept; the oldest goes first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._texts: dict[str, deque[Text]] = {}
        self._order: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def add(self, text: Text) -> None:
        """`text` arrived on the handset it names."""
        number = text.to_address.lstrip("+")
        self._texts.setdefault(number, deque()).append(text)
        self._order.append(number)
        if len(self._order) > self._limit:
            self._drop_oldest()

    def of(self, number: str) -> tuple[Text, ...]:
        """What arrived on the handset `number` (with or without +)."""
        return tuple(self._texts.get(number.lstrip("+"), ()))

    def forget(self) -> None:
        """Empty every inbox."""
        self._texts.clear()
        self._order.clear()

    def _drop_oldest(self) -> None:
        number = self._order.popleft()
        texts = self._texts[number]
        texts.popleft()
        if not texts:
            del self._texts[number]


class _Set:
    """The parts of one text that wait for the others; several of a number are copies."""

    __slots__ = ("message_reference", "parts", "repeats", "touched")

    def __init__(self) -> None:
        self.parts: dict[int, list[Part]] = {}
        self.repeats = False
        self.message_reference: int | None = None
        self.touched = 0.0


class Assembly:
    """Puts parts together, in whatever order they come.

    A text is told by from, to, reference and total, as on a phone. When it is whole, parts that
    come again are the beginning of another copy; as references are used again for other texts
    they make way early: after seconds, or when the sender's user_message_reference is another.
    """

    def __init__(self) -> None:
        self._sets: OrderedDict[str, _Set] = OrderedDict()

    def add(self, part: Part, message_reference: int | None, now: float) -> list[Part] | None:
        """Take one part, `now` in seconds; all parts in order if the text is whole."""
        waiting = self._sets.pop(part.group_key, None) or _Set()
        self._sets[part.group_key] = waiting
        if len(self._sets) > _SETS:
            self._sets.popitem(last=False)
        if _stale(waiting, message_reference, now):
            waiting.parts.clear()
            waiting.repeats = False
        waiting.touched = now
        waiting.message_reference = message_reference
        copies = waiting.parts.setdefault(part.number, [])
        if copies and copies[0] != part:  # another text under the same reference
            copies.clear()
        copies.append(part)
        if len(waiting.parts) < part.total:
            return None
        return _taken(waiting)

    def forget(self) -> None:
        """Drop every part that waits."""
        self._sets.clear()


def _taken(waiting: _Set) -> list[Part]:
    """One copy, in order; what is left over stays."""
    copy = [copies.pop(0) for _, copies in sorted(waiting.parts.items())]
    waiting.parts = {number: copies for number, copies in waiting.parts.items() if copies}
    waiting.repeats = True
    return copy


def _stale(waiting: _Set, message_reference: int | None, now: float) -> bool:
    age = now - waiting.touched
    if not waiting.repeats:
        return age > _PARTIAL_FOR
    return age > _REPEATS_FOR or waiting.message_reference != message_reference
