"""Invariant: a text comes out of its parts as it went in, and hostile parts cost only themselves.

- Whatever the text, the alphabet and the way of concatenation, the parts in any order and with
  duplicates give the text once, also when strangers' parts come in between;
- any octets under any header are a part or a text, never an exception; a part that was stored is
  restored as it was;
- what is unfinished stays within its limit and is gone when its time has passed.
"""

import random
from typing import Final

from protocols.smpp.reassembly import (
    Duplicate,
    Incomplete,
    Part,
    Reassembly,
    Whole,
    part_of,
    restore,
    text_of,
)
from protocols.smpp.text import Concatenation, Segment, TextError, segments
from protocols.smpp.tlv import Tag
from protocols.smpp.udh import parse_udh

LIMIT: Final = 8
LIFETIME: Final = 60.0
_RUNS: Final = (
    "a", "€", "[", "é", "ж", "\U0001f44b", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301",
    "\ud83d", "\udc4b", "\0", "\r\n", " ", "\ufeff",
)  # fmt: skip


def text(chance: random.Random) -> str:
    return "".join(
        chance.choice(_RUNS) * chance.choice((1, 2, 60, 150)) for _ in range(chance.randrange(9))
    )


def mended(said: str) -> str:
    """As it can be written: a lone surrogate is none."""
    return said.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


def as_part(segment: Segment, sender: str) -> Part | None:
    return part_of(
        esm_class=segment.esm_class,
        data_coding=segment.data_coding,
        payload=segment.short_message,
        tlvs=segment.tlvs,
        from_address=sender,
        to_address="2",
        carrier="acme",
    )


def hostile(chance: random.Random) -> Part | None:
    """A deliver_sm that may be a part; its text is read as well."""
    tags = (Tag.SAR_MSG_REF_NUM, Tag.SAR_TOTAL_SEGMENTS, Tag.SAR_SEGMENT_SEQNUM)
    tlvs = [(int(tag), chance.randbytes(chance.randrange(4))) for tag in tags]
    octets = chance.randbytes(chance.randrange(40))
    if chance.random() < 0.7:
        total = chance.randrange(1, 5)
        said = bytes((0, 3, chance.randrange(3), total, chance.randrange(6)))
        other = bytes((chance.randrange(256), 1, 7))
        header = b"".join(chance.sample((said, other, said), chance.randrange(1, 4)))
        length = len(header) + chance.choice((0, 0, 0, 1, -1))
        octets = bytes((max(0, length),)) + header + octets
    fields = {
        "esm_class": chance.choice((0, 0x40, 0x40, chance.randrange(256))),
        "data_coding": chance.choice((0, 3, 8, chance.randrange(256))),
    }
    given = chance.sample(tlvs, chance.randrange(4))
    text_of(**fields, payload=octets, tlvs=given).encode("utf-8", "surrogatepass")
    udh = parse_udh(octets)
    assert 0 <= udh.octets <= len(octets)
    return part_of(
        **fields,
        payload=octets,
        tlvs=given,
        from_address=chance.choice(("3", "4\t", "é")),
        to_address="2",
        carrier="acme",
    )


def check_text(chance: random.Random, reassembly: Reassembly) -> None:
    said = text(chance)
    concatenation = chance.choice(list(Concatenation))
    reference = chance.randrange(1 << concatenation.reference_bits)
    try:
        made = segments(said, concatenation=concatenation, reference=reference)
    except TextError:
        assert len(said) > 255 * 60
        return
    if len(made) == 1:
        (alone,) = made
        assert as_part(alone, "1") is None
        read = text_of(
            esm_class=alone.esm_class,
            data_coding=alone.data_coding,
            payload=alone.short_message,
            tlvs=alone.tlvs,
        )
        assert read == mended(said)
        return
    coming = [*made, *chance.sample(made, chance.randrange(len(made)))]
    chance.shuffle(coming)
    wholes = []
    for segment in coming:
        part = as_part(segment, "1")
        assert part is not None
        assert restore(part.group_key, part.number, part.stored) == part
        answer = reassembly.add(part, 1.0)
        assert isinstance(answer, Whole | Incomplete | Duplicate)
        if isinstance(answer, Whole):
            wholes.append(answer.text)
        stranger = hostile(chance) if len(reassembly) < LIMIT - 1 else None
        if stranger is not None:
            reassembly.add(stranger, 1.0)
    assert wholes == [mended(said)]


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    reassembly = Reassembly(lifetime=LIFETIME, limit=LIMIT)
    check_text(chance, reassembly)
    for at in range(30):
        part = hostile(chance)
        if part is not None:
            assert 1 <= part.number <= part.total <= 255
            assert restore(part.group_key, part.number, part.stored) == part
            reassembly.add(part, 2.0 + at)
        assert len(reassembly) <= LIMIT
    reassembly.expire(100.0 + LIFETIME)
    assert len(reassembly) == 0 and reassembly.timer() is None
