"""The parts of customers' long texts, as they stand in the store until each text is whole.

Whichever process gets a part decides over all that the store holds of its text. A row is known by
its place in the order in which the parts came, not by the part's number: of two processes that
add to one text at once the second fails with `Conflict`, and looks again. All parts of a text
have ids with one SID in them, which the whole becomes: two that complete it at once collide too.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from gateway.messages.customers.jobs import Asked
from gateway.messages.draft import CUSTOMER
from gateway.store.base import Delete, Insert, Query, Store, Write
from protocols.smpp.reassembly import join, restore

_BETWEEN: Final = "-"  # the SID of a text and the number of a part
_SLOTS: Final = 50  # keys of one query
_SEARCHED: Final = 1000  # parts of a customer, the newest, that a search looks at

_KEEP: Final = Insert(table="inbound_parts", columns=("group_key", "part", "payload", "at"))
_FORGET: Final = Delete(table="inbound_parts", key=("group_key", "part"))
_IN: Final = ", ".join(f"${n}" for n in range(1, _SLOTS + 1))
_OF_TEXTS: Final = Query(
    "customer_parts",
    f"SELECT group_key, part, payload, at FROM inbound_parts WHERE group_key IN ({_IN})"
    " ORDER BY group_key, part",
)
_OF_CUSTOMER: Final = Query(
    "customer_parts_newest",
    "SELECT payload FROM inbound_parts WHERE group_key >= $1 AND group_key < $2"
    " ORDER BY at DESC LIMIT $3",
)
_IN_MESSAGES: Final = ", ".join(f"${n}" for n in range(2, _SLOTS + 2))
_MESSAGES: Final = Query(
    "customer_texts_whole",
    f"SELECT sid FROM messages WHERE account_sid = $1 AND sid IN ({_IN_MESSAGES})",
)


class KeptPart(msgspec.Struct, frozen=True, array_like=True):
    """What column `payload` of table `inbound_parts` holds for a customer's part."""

    message_id: str
    receipt: int
    reference: int | None
    stored: bytes

    @property
    def asked(self) -> Asked:
        """What its sender wants to be told."""
        return Asked(message_id=self.message_id, reference=self.reference, when=self.receipt)

    @property
    def number(self) -> int:
        """Which part of the text it is."""
        return int(self.message_id.rpartition(_BETWEEN)[2])


Parts = dict[int, KeptPart]  # by number

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(KeptPart)


class _Row(msgspec.Struct, frozen=True):
    """A part that is stored: its place among those of its text."""

    place: int
    part: KeptPart


class Text:
    """A long text that is not whole: what the store holds of it, and what is made of that."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.parts: Parts = {}
        self.last_at = 0.0  # when its newest stored part came
        self._stored: list[_Row] = []

    def found(self, place: int, payload: bytes, at: float) -> None:
        """The store holds this part."""
        part = _decoder.decode(payload)
        self._stored.append(_Row(place, part))
        self.parts[part.number] = part
        self.last_at = max(self.last_at, at)

    @property
    def sid(self) -> str:
        """The SID that the whole will have; "" before the first part."""
        first = next(iter(self.parts.values()), None)
        return "" if first is None else text_sid(first.message_id)

    @property
    def between(self) -> tuple[str, str]:
        """Its sender and the handset."""
        _, from_address, to_address = self.key.split("\t")[:3]
        return from_address, to_address

    def body(self) -> str:
        """What its parts say together."""
        return join(
            restore(self.key, number, part.stored) for number, part in sorted(self.parts.items())
        )

    def wishes(self) -> tuple[Asked, ...]:
        """What the senders of its parts want to be told, if anything."""
        return tuple(part.asked for _, part in sorted(self.parts.items()) if part.receipt)

    def take_all(self) -> Parts:
        """It is whole, or given up: its parts, which are here no more."""
        parts, self.parts, self.last_at = self.parts, {}, 0.0
        return parts

    def take_out(self, sids: Collection[str]) -> Parts:
        """The parts of texts that are whole, which are here no more."""
        out = {n: part for n, part in self.parts.items() if text_sid(part.message_id) in sids}
        for number in out:
            del self.parts[number]
        return out

    def writes(self, now: float) -> list[Write]:
        """What makes the store hold of it what is here."""
        kept = {id(part) for part in self.parts.values()}
        stored = {id(row.part) for row in self._stored}
        following = max((row.place for row in self._stored), default=0) + 1
        fresh = [part for part in self.parts.values() if id(part) not in stored]
        gone = [row for row in self._stored if id(row.part) not in kept]
        return [
            *((_FORGET, (self.key, row.place)) for row in gone),
            *(
                (_KEEP, (self.key, place, _encode(part), now))
                for place, part in enumerate(fresh, following)
            ),
        ]


async def read(store: Store, keys: Sequence[str]) -> dict[str, Text]:
    """The texts under `keys`, each as the store holds it; those that it does not know are empty."""
    texts = {key: Text(key) for key in keys}
    for some in _slots(keys):
        for key, place, payload, at in await store.fetch(_OF_TEXTS, *some):
            texts[key].found(place, payload, at)
    return texts


async def whole(store: Store, account_sid: str, found_in: Iterable[Parts]) -> set[str]:
    """The SIDs of those texts of these parts that are messages: they were completed."""
    sids = {text_sid(part.message_id) for found in found_in for part in found.values()}
    found: set[str] = set()
    for some in _slots(sorted(sids)):
        found.update(sid for (sid,) in await store.fetch(_MESSAGES, account_sid, *some))
    return found


async def waits(store: Store, system_id: str, sid: str) -> bool:
    """Whether parts of this text of the customer are here and others are not."""
    low, high = f"{CUSTOMER}{system_id}\t", f"{CUSTOMER}{system_id}\n"
    rows = await store.fetch(_OF_CUSTOMER, low, high, _SEARCHED)
    return any(text_sid(_decoder.decode(payload).message_id) == sid for (payload,) in rows)


def part_id(sid: str, number: int) -> str:
    """The id that part `number` of the text `sid` is answered with."""
    return f"{sid}{_BETWEEN}{number}"


def text_sid(message_id: str) -> str:
    """The SID of the text that a customer's `message_id` is about: it may name a part."""
    return message_id.partition(_BETWEEN)[0]


def _slots(values: Sequence[str]) -> Iterable[Sequence[str]]:
    """`values` in pieces for a query, each filled up with what it has already."""
    for start in range(0, len(values), _SLOTS):
        some = values[start : start + _SLOTS]
        yield [*some, *[some[0]] * (_SLOTS - len(some))]
