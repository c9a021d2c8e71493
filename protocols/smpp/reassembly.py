"""Long texts from handsets, put together again: parts in any order, twice, or never all.

`part_of` finds a part in a deliver_sm, whether a header or SAR TLVs say so; `Reassembly` keeps
what has come until the text is whole or has waited too long; `join` reads the octets of all
parts as one, so that a pair which the sender cut in two heals. What is kept is small and bounded,
and a part can be stored as a row (`group_key`, `number`, `stored`) and read back with `restore`.
`ReferencePool` is the other direction: references for the texts that we send in parts.
"""

import zlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

import msgspec

from protocols.smpp.constants import EsmClass
from protocols.smpp.text import decode
from protocols.smpp.tlv import Tag
from protocols.smpp.udh import Part as UdhPart
from protocols.smpp.udh import parse_udh

_SAR_WIDTH: Final = 16


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Part `number` (from 1) of `total` of the text `group_key`; `payload` has no header."""

    group_key: str
    number: int
    total: int
    data_coding: int
    payload: bytes

    @property
    def stored(self) -> bytes:
        """Alphabet and octets in one, for a column of octets."""
        return bytes((self.data_coding,)) + self.payload


def restore(group_key: str, number: int, stored: bytes) -> Part:
    """The part that was kept as (`group_key`, `number`, `stored`)."""
    return Part(
        group_key=group_key,
        number=number,
        total=int(group_key.rpartition("\t")[2]),
        data_coding=stored[0],
        payload=stored[1:],
    )


def part_of(
    *,
    esm_class: int,
    data_coding: int,
    payload: bytes,
    tlvs: Sequence[tuple[int, bytes]],
    from_address: str,
    to_address: str,
    carrier: str,
) -> Part | None:
    """The part that a deliver_sm is; None if its text is whole (read it with `text_of`).

    `payload` is short_message; if it is empty message_payload is looked for among `tlvs`. The
    header counts before the SAR TLVs.
    """
    if not esm_class & EsmClass.UDHI and not tlvs:
        return None
    given = dict(tlvs)
    user_data, said = _split_header(esm_class, payload or given.get(Tag.MESSAGE_PAYLOAD, b""))
    said = said or _sar_part(given)
    if said is None:
        return None
    key = (carrier, from_address, to_address, f"{said.width}:{said.reference}", str(said.total))
    return Part(
        group_key="\t".join(field.replace("\t", " ") for field in key),
        number=said.number,
        total=said.total,
        data_coding=data_coding,
        payload=user_data,
    )


def text_of(
    *, esm_class: int, data_coding: int, payload: bytes, tlvs: Sequence[tuple[int, bytes]]
) -> str:
    """What a deliver_sm that is no part says; a header is passed over, a broken one is text."""
    octets = payload or dict(tlvs).get(Tag.MESSAGE_PAYLOAD, b"")
    return decode(_split_header(esm_class, octets)[0], data_coding)


def join(parts: Iterable[Part]) -> str:
    """What the parts say together, in the order of their numbers.

    Neighbours in one alphabet are read as one string of octets.
    """
    ordered = sorted(parts, key=lambda part: part.number)
    return "".join(
        decode(b"".join(part.payload for part in run), data_coding)
        for data_coding, run in groupby(ordered, key=lambda part: part.data_coding)
    )


def _split_header(esm_class: int, octets: bytes) -> tuple[bytes, UdhPart | None]:
    if not esm_class & EsmClass.UDHI:
        return octets, None
    udh = parse_udh(octets)
    return octets[udh.octets :], udh.part


def _sar_part(given: Mapping[int, bytes]) -> UdhPart | None:
    reference = given.get(Tag.SAR_MSG_REF_NUM)
    total = int.from_bytes(given.get(Tag.SAR_TOTAL_SEGMENTS, b""), "big")
    number = int.from_bytes(given.get(Tag.SAR_SEGMENT_SEQNUM, b""), "big")
    if not reference or not 1 <= number <= total <= 255:
        return None
    return UdhPart(
        reference=int.from_bytes(reference[-2:], "big"),
        width=_SAR_WIDTH,
        total=total,
        number=number,
    )


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """A text that is given up: it waited too long, or another one took its place."""

    group_key: str
    parts: tuple[Part, ...]
    total: int
    reason: str


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """All parts are there, in the order of their numbers. `displaced` as in `Incomplete`."""

    group_key: str
    parts: tuple[Part, ...]
    displaced: tuple[Unfinished, ...] = ()

    @property
    def text(self) -> str:
        """What they say together."""
        return join(self.parts)


class Incomplete(msgspec.Struct, frozen=True, kw_only=True):
    """Parts are still to come. `displaced` had to leave for this one: forget its rows first.

    A displaced text with the same `group_key` is an older one whose reference is used again.
    """

    group_key: str
    missing: int
    displaced: tuple[Unfinished, ...] = ()


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """The part was here before, perhaps in a text that is whole by now: answer it and forget it."""

    group_key: str


class _Group:
    __slots__ = ("last_at", "parts", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.parts: dict[int, Part] = {}
        self.last_at = 0.0


class Reassembly:
    """Texts that are not whole yet, at most `limit` of them, each for `lifetime` s after a part.

    After a restart, `add` the stored parts again in the order in which they came. That a whole
    text was here before is known for `lifetime` too, but not over a restart.
    """

    def __init__(self, *, lifetime: float, limit: int) -> None:
        self._lifetime = lifetime
        self._limit = limit
        self._groups: OrderedDict[str, _Group] = OrderedDict()  # the longest untouched first
        self._finished: OrderedDict[str, tuple[float, dict[int, int]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, part: Part, now: float) -> Whole | Incomplete | Duplicate:
        """Take in `part`, which came at `now`."""
        key = part.group_key
        if self._was_in_finished(part, now):
            return Duplicate(group_key=key)
        displaced: list[Unfinished] = []
        group = self._groups.get(key)
        if group is not None and (known := group.parts.get(part.number)) is not None:
            if known.payload == part.payload and known.data_coding == part.data_coding:
                return Duplicate(group_key=key)
            displaced.append(self._give_up(key, "its reference is used again"))
            group = None
        if group is None:
            if len(self._groups) >= self._limit:
                displaced.append(self._give_up(next(iter(self._groups)), "too many unfinished"))
            group = self._groups[key] = _Group(part.total)
        group.parts[part.number] = part
        group.last_at = now
        if len(group.parts) < group.total:
            self._groups.move_to_end(key)
            missing = group.total - len(group.parts)
            return Incomplete(group_key=key, missing=missing, displaced=tuple(displaced))
        del self._groups[key]
        self._remember(key, group, now)
        return Whole(group_key=key, parts=_ordered(group), displaced=tuple(displaced))

    def expire(self, now: float) -> list[Unfinished]:
        """The texts that got no part for `lifetime` seconds; they are forgotten here."""
        given_up: list[Unfinished] = []
        while self._groups:
            key, group = next(iter(self._groups.items()))
            if now - group.last_at < self._lifetime:
                break
            given_up.append(self._give_up(key, f"no part for {self._lifetime:g} s"))
        while self._finished:
            key, (at, _) = next(iter(self._finished.items()))
            if now - at < self._lifetime:
                break
            del self._finished[key]
        return given_up

    def forget(self, group_key: str) -> None:
        """Know nothing of this text, whole or not: what was said of its parts was taken back."""
        self._groups.pop(group_key, None)
        self._finished.pop(group_key, None)

    def unfinished(self) -> list[str]:
        """The group keys of the texts that are not whole yet."""
        return list(self._groups)

    def timer(self) -> float | None:
        """When `expire` has something to do; None while nothing waits."""
        if not self._groups:
            return None
        return next(iter(self._groups.values())).last_at + self._lifetime

    def _was_in_finished(self, part: Part, now: float) -> bool:
        finished = self._finished.get(part.group_key)
        if finished is None:
            return False
        at, digests = finished
        return now - at < self._lifetime and digests.get(part.number) == zlib.crc32(part.stored)

    def _remember(self, key: str, group: _Group, now: float) -> None:
        if len(self._finished) >= self._limit:
            self._finished.popitem(last=False)
        self._finished.pop(key, None)
        digests = {number: zlib.crc32(part.stored) for number, part in group.parts.items()}
        self._finished[key] = (now, digests)

    def _give_up(self, key: str, reason: str) -> Unfinished:
        group = self._groups.pop(key)
        return Unfinished(group_key=key, parts=_ordered(group), total=group.total, reason=reason)


def _ordered(group: _Group) -> tuple[Part, ...]:
    return tuple(group.parts[number] for number in sorted(group.parts))


class _References:
    __slots__ = ("following", "live")

    def __init__(self, following: int) -> None:
        self.following = following
        self.live: dict[int, float] = {}  # reference -> until when, the oldest first


class ReferencePool:
    """References of `bits` (8 or 16), each live once per key: (carrier, from, to) in one string.

    Where to begin follows from the key and the time, so that a key that was forgotten, or a
    restart, does not begin with what it gave out last. At most `limit` keys are remembered.
    """

    def __init__(self, *, bits: int, limit: int) -> None:
        self._size = 1 << bits
        self._limit = limit
        self._keys: OrderedDict[str, _References] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, key: str, now: float, lives_until: float) -> int:
        """A reference that nothing else of `key` uses until `lives_until`.

        While all are live it is the oldest one.
        """
        known = self._references(key, now)
        self._lapse(known, now)
        if len(known.live) >= self._size:
            reference = next(iter(known.live))
            del known.live[reference]
        else:
            reference = known.following
            while reference in known.live:
                reference = (reference + 1) % self._size
        known.following = (reference + 1) % self._size
        known.live[reference] = lives_until
        return reference

    def hold(self, key: str, reference: int, now: float, lives_until: float) -> None:
        """`reference` is in use already: it was taken before a restart."""
        live = self._references(key, now).live
        live.pop(reference, None)
        live[reference] = lives_until

    def release(self, key: str, reference: int) -> None:
        """The parts under `reference` are all settled."""
        known = self._keys.get(key)
        if known is not None:
            known.live.pop(reference, None)

    def _references(self, key: str, now: float) -> _References:
        known = self._keys.get(key)
        if known is None:
            if len(self._keys) >= self._limit:
                self._keys.popitem(last=False)
            known = _References((zlib.crc32(key.encode()) + int(now)) % self._size)
            self._keys[key] = known
        else:
            self._keys.move_to_end(key)
        return known

    def _lapse(self, known: _References, now: float) -> None:
        """Forget the oldest that lived long enough; one that lives longer shields the younger."""
        while known.live:
            reference, until = next(iter(known.live.items()))
            if until > now:
                return
            del known.live[reference]
