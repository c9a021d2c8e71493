"""A text and its short messages: which alphabet carries it, in how many parts, with what octets.

The one place that says so. `count`, `segments` and `explain` go through the same encoding and the
same limits, and the limits are computed from the header that is written, so what is counted is
what is sent. `decode` is the way back, and reads whatever a peer writes.
"""

import re
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from protocols.smpp import gsm
from protocols.smpp.constants import DataCoding, EsmClass
from protocols.smpp.errors import LocalProtocolError
from protocols.smpp.graphemes import is_border
from protocols.smpp.tlv import Tag
from protocols.smpp.udh import Part, render_part


class TextError(LocalProtocolError):
    """A text cannot be sent as asked; `str(error)` says why."""


class Alphabet(StrEnum):
    """How the octets of a text are to be read; the values are what people call them."""

    GSM7 = "GSM-7"
    LATIN1 = "Latin-1"
    OCTETS = "8-bit"
    UCS2 = "UCS-2"

    @property
    def data_coding(self) -> int:
        """As SMPP writes it (v3.4 §5.2.19)."""
        return _DATA_CODING[self]


_DATA_CODING: Final = {
    Alphabet.GSM7: int(DataCoding.DEFAULT),
    Alphabet.LATIN1: int(DataCoding.LATIN_1),
    Alphabet.OCTETS: int(DataCoding.OCTET_UNSPECIFIED_2),
    Alphabet.UCS2: int(DataCoding.UCS2),
}
_UNIT_NAMES: Final = {
    Alphabet.GSM7: "septets",
    Alphabet.LATIN1: "octets",
    Alphabet.OCTETS: "octets",
    Alphabet.UCS2: "UTF-16 units",
}


class Concatenation(StrEnum):
    """How a text that needs several short messages says so.

    `UDH8` and `UDH16` write a header with a reference of so many bits. With `SAR` the carrier
    writes it from TLVs, and with `PAYLOAD` it also splits: room is kept for the 8-bit header, so
    the references of `SAR` have 8 bits too.
    """

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"

    @property
    def reference_bits(self) -> int:
        """How wide its references are."""
        return 16 if self is Concatenation.UDH16 else 8


MAX_PARTS: Final = 255  # the total is one octet
_USER_DATA_OCTETS: Final = 140  # TS 23.040 §9.2.3.24


class Count(NamedTuple):
    """What a text costs: its alphabet and the number of short messages on the air."""

    alphabet: Alphabet
    segments: int


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What one submit_sm carries of a text; `esm_class` has only the UDHI bit, to be or'ed."""

    number: int
    total: int
    short_message: bytes
    esm_class: int
    data_coding: int
    tlvs: tuple[tuple[int, bytes], ...] = ()


class Segments(msgspec.Struct, frozen=True, kw_only=True):
    """A text cut to size: the octets of each part, without header."""

    alphabet: Alphabet
    parts: tuple[bytes, ...]

    def texts(self) -> tuple[str, ...]:
        """What each part says; each can be read alone."""
        return tuple(decode(part, self.alphabet.data_coding) for part in self.parts)


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """A character that GSM-7 does not have, at `index` (code points from 0)."""

    character: str
    code_point: str
    index: int


class ExplainedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an explained text: what it says and how much of its room that takes."""

    number: int
    text: str
    units: int
    start: int
    end: int


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a text is what it is on the wire.

    `unit` names what `units`, `units_per_segment` and the segments' units count; `why` says why
    this alphabet, `foreign` holds the first characters that forced it. `start` and `end` of a
    segment are indexes of the text in code points.
    """

    alphabet: Alphabet
    data_coding: int
    why: str
    foreign: tuple[Foreign, ...]
    unit: str
    units: int
    units_per_segment: int
    characters: int
    segments: tuple[ExplainedSegment, ...]


_HEADER_OCTETS: Final = {
    concatenation: len(
        render_part(Part(reference=0, width=concatenation.reference_bits, total=2, number=1))
    )
    for concatenation in Concatenation
}


def _room(alphabet: Alphabet, header_octets: int) -> int:
    """How many octets of SMPP (septets stand unpacked) fit beside a header."""
    free = _USER_DATA_OCTETS - header_octets
    if alphabet is Alphabet.GSM7:
        return free * 8 // 7
    if alphabet is Alphabet.UCS2:
        return free // 2 * 2
    return free


_ALONE: Final = {alphabet: _room(alphabet, 0) for alphabet in Alphabet}
_IN_PARTS: Final = {
    (alphabet, concatenation): _room(alphabet, octets)
    for alphabet in Alphabet
    for concatenation, octets in _HEADER_OCTETS.items()
}

_CHEAPEST: Final = (Alphabet.GSM7, Alphabet.UCS2)


def choose(text: str, allowed: tuple[Alphabet, ...] = _CHEAPEST) -> Alphabet:
    """The first of `allowed` that carries all of `text`; without a say GSM-7, else UCS-2.

    Raises `TextError` if none does.
    """
    for alphabet in allowed:
        if _octets(text, alphabet) is not None:
            return alphabet
    names = ", ".join(allowed)
    raise TextError(f"none of {names} carries the text; UCS-2 carries every text")


def _octets(text: str, alphabet: Alphabet) -> bytes | None:
    """`text` in `alphabet`, None if it does not have all of it. UCS-2 has everything."""
    if alphabet is Alphabet.GSM7:
        return gsm.encode(text)
    if alphabet is Alphabet.UCS2:
        try:
            return text.encode("utf-16-be")
        except UnicodeEncodeError:  # half a pair: no text, and not ours to pass on
            return _mended(text).encode("utf-16-be")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return None


def _mended(text: str) -> str:
    """`text` with U+FFFD for each surrogate that is no half of a pair."""
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


def _encoded(text: str, alphabet: Alphabet | None) -> tuple[Alphabet, bytes]:
    if alphabet is None:
        septets = gsm.encode(text)
        if septets is not None:
            return Alphabet.GSM7, septets
        alphabet = Alphabet.UCS2
    octets = _octets(text, alphabet)
    if octets is None:
        raise TextError(f"{alphabet} does not carry the text; UCS-2 carries every text")
    return alphabet, octets


def count(
    text: str,
    alphabet: Alphabet | None = None,
    concatenation: Concatenation = Concatenation.UDH8,
) -> Count:
    """What `text` costs, in `alphabet` or the cheapest.

    That is the number of submit_sm that `segments` gives, except for `PAYLOAD`: there it is the
    number of short messages that the carrier makes of the one. Raises `TextError` if `alphabet`
    does not carry it.
    """
    alphabet, octets = _encoded(text, alphabet)
    if len(octets) <= _ALONE[alphabet]:
        return Count(alphabet, 1)
    return Count(alphabet, _fewest(octets, 0, alphabet, _IN_PARTS[alphabet, concatenation]))


def split(
    text: str,
    alphabet: Alphabet | None = None,
    concatenation: Concatenation = Concatenation.UDH8,
) -> Segments:
    """`text` in as few parts as its alphabet allows; `PAYLOAD` is split as the carrier must.

    No escape or surrogate pair is cut, a grapheme cluster only where keeping it whole would cost
    another part. Raises `TextError` if `alphabet` does not carry the text.
    """
    alphabet, octets = _encoded(text, alphabet)
    if len(octets) <= _ALONE[alphabet]:
        return Segments(alphabet=alphabet, parts=(octets,))
    room = _IN_PARTS[alphabet, concatenation]
    if alphabet is Alphabet.UCS2:
        text = octets.decode("utf-16-be")
    return Segments(alphabet=alphabet, parts=_parts(text, octets, alphabet, room))


def _hard_end(octets: bytes, start: int, alphabet: Alphabet, room: int) -> int:
    """Where a part that begins at `start` ends at the latest."""
    end = start + room
    if end >= len(octets):
        return len(octets)
    if alphabet is Alphabet.GSM7:
        return end - 1 if octets[end - 1] == gsm.ESCAPE else end
    if alphabet is Alphabet.UCS2 and octets[end - 2] & 0xFC == 0xD8:
        return end - 2
    return end


def _fewest(octets: bytes, start: int, alphabet: Alphabet, room: int) -> int:
    """How many parts the octets from `start` need at least."""
    parts = 1
    end = _hard_end(octets, start, alphabet, room)
    while end < len(octets):
        parts += 1
        end = _hard_end(octets, end, alphabet, room)
    return parts


def _parts(text: str, octets: bytes, alphabet: Alphabet, room: int) -> tuple[bytes, ...]:
    parts: list[bytes] = []
    allowed = _fewest(octets, 0, alphabet, room)
    start = index = border = 0  # index: of `text`, where octet `start` stands
    while True:
        end = _hard_end(octets, start, alphabet, room)
        if end == len(octets):
            parts.append(octets[start:])
            return tuple(parts)
        allowed -= 1
        end_index = index + _characters(octets[start:end], alphabet)
        kept = end_index
        while kept > index and not is_border(text, kept, border):
            kept -= 1
        if index < kept:
            border = kept
            earlier = end - len(_octets(text[kept:end_index], alphabet) or b"")
            if kept < end_index and _fewest(octets, earlier, alphabet, room) <= allowed:
                end, end_index = earlier, kept
        parts.append(octets[start:end])
        start, index = end, end_index


def _characters(octets: bytes, alphabet: Alphabet) -> int:
    if alphabet is Alphabet.GSM7:
        return len(octets) - octets.count(gsm.ESCAPE)
    if alphabet is Alphabet.UCS2:
        return len(octets.decode("utf-16-be"))
    return len(octets)


def segments(
    text: str,
    alphabet: Alphabet | None = None,
    concatenation: Concatenation = Concatenation.UDH8,
    reference: int = 0,
) -> tuple[Segment, ...]:
    """What goes on the wire for `text`, one value for each submit_sm.

    `reference` ties the parts together and counts only if there are several. Raises `TextError`
    if `alphabet` does not carry the text or if it needs more than 255 parts.
    """
    alphabet, octets = _encoded(text, alphabet)
    data_coding = _DATA_CODING[alphabet]
    if len(octets) <= _ALONE[alphabet]:
        return (_whole(octets, data_coding),)
    if concatenation is Concatenation.PAYLOAD:
        return (_payload(octets, data_coding),)
    parts = split(text, alphabet, concatenation).parts
    total = len(parts)
    if total > MAX_PARTS:
        raise TextError(f"the text needs {total} parts; at most {MAX_PARTS} can be counted")
    make = _with_tlvs if concatenation is Concatenation.SAR else _with_header
    return tuple(
        make(
            octets,
            data_coding,
            Part(
                reference=reference,
                width=concatenation.reference_bits,
                total=total,
                number=number,
            ),
        )
        for number, octets in enumerate(parts, 1)
    )


def _whole(octets: bytes, data_coding: int) -> Segment:
    return Segment(number=1, total=1, short_message=octets, esm_class=0, data_coding=data_coding)


def _payload(octets: bytes, data_coding: int) -> Segment:
    if len(octets) > 0xFFFF:
        raise TextError(f"message_payload holds 65535 octets; the text has {len(octets)}")
    return Segment(
        number=1,
        total=1,
        short_message=b"",
        esm_class=0,
        data_coding=data_coding,
        tlvs=((int(Tag.MESSAGE_PAYLOAD), octets),),
    )


def _with_header(octets: bytes, data_coding: int, part: Part) -> Segment:
    return Segment(
        number=part.number,
        total=part.total,
        short_message=render_part(part) + octets,
        esm_class=int(EsmClass.UDHI),
        data_coding=data_coding,
    )


def _with_tlvs(octets: bytes, data_coding: int, part: Part) -> Segment:
    return Segment(
        number=part.number,
        total=part.total,
        short_message=octets,
        esm_class=0,
        data_coding=data_coding,
        tlvs=(
            (int(Tag.SAR_MSG_REF_NUM), part.reference.to_bytes(2, "big")),
            (int(Tag.SAR_TOTAL_SEGMENTS), bytes((part.total,))),
            (int(Tag.SAR_SEGMENT_SEQNUM), bytes((part.number,))),
        ),
    )


_FOREIGN_SHOWN: Final = 5


def explain(
    text: str,
    alphabet: Alphabet | None = None,
    concatenation: Concatenation = Concatenation.UDH8,
) -> Explanation:
    """Which alphabet carries `text` and why, and where it is split. Raises like `split`."""
    cut = split(text, alphabet, concatenation)
    width = 2 if cut.alphabet is Alphabet.UCS2 else 1
    shown: list[ExplainedSegment] = []
    start = 0
    for number, (octets, said) in enumerate(zip(cut.parts, cut.texts(), strict=True), 1):
        end = start + len(said)
        units = len(octets) // width
        shown.append(ExplainedSegment(number=number, text=said, units=units, start=start, end=end))
        start = end
    alone = len(cut.parts) == 1
    room = _ALONE[cut.alphabet] if alone else _IN_PARTS[cut.alphabet, concatenation]
    return Explanation(
        alphabet=cut.alphabet,
        data_coding=cut.alphabet.data_coding,
        why=_why(text, cut.alphabet, alphabet),
        foreign=_foreign(text) if cut.alphabet is Alphabet.UCS2 else (),
        unit=_UNIT_NAMES[cut.alphabet],
        units=sum(segment.units for segment in shown),
        units_per_segment=room // width,
        characters=start,
        segments=tuple(shown),
    )


def _foreign(text: str) -> tuple[Foreign, ...]:
    return tuple(
        Foreign(
            character=text[index] if not 0xD800 <= ord(text[index]) < 0xE000 else "\ufffd",
            code_point=f"U+{ord(text[index]):04X}",
            index=index,
        )
        for index in gsm.foreign(text, _FOREIGN_SHOWN)
    )


def _why(text: str, alphabet: Alphabet, asked: Alphabet | None) -> str:
    if asked is not None:
        return f"{alphabet} was asked for"
    if alphabet is Alphabet.GSM7:
        return "GSM-7 has every character of the text"
    first = _foreign(text)[0]
    return f"GSM-7 lacks {first.character!r} ({first.code_point}) at character {first.index + 1}"


# None is the GSM default alphabet.
_SMPP_CODECS: Final[dict[int, str | None]] = {
    DataCoding.DEFAULT: None,
    DataCoding.IA5: "latin-1",  # what is above 0x7F can only be meant as Latin-1
    DataCoding.OCTET_UNSPECIFIED_1: "latin-1",
    DataCoding.LATIN_1: "latin-1",
    DataCoding.OCTET_UNSPECIFIED_2: "latin-1",
    DataCoding.JIS: "shift_jis",
    DataCoding.CYRILLIC: "iso8859_5",
    DataCoding.HEBREW: "iso8859_8",
    DataCoding.UCS2: "utf-16-be",
    DataCoding.PICTOGRAM: "shift_jis",
    DataCoding.ISO_2022_JP: "iso2022_jp",
    DataCoding.EXTENDED_KANJI: "euc_jp",
    DataCoding.KS_C_5601: "euc_kr",
}
_GSM_CODECS: Final = (None, "latin-1", "utf-16-be", None)  # by bits 3-2 of a GSM coding group


def _codec(data_coding: int) -> str | None:
    """The codec of a data_coding; above 0x0F they are those of TS 23.038 §4."""
    if data_coding < 0x10:
        return _SMPP_CODECS.get(data_coding)
    group = data_coding >> 4
    if group < 0x8:  # general, and marked for deletion
        return _GSM_CODECS[data_coding >> 2 & 3]
    if group == 0xE:  # message waiting, UCS2
        return "utf-16-be"
    if group == 0xF:  # data coding and message class
        return "latin-1" if data_coding & 0x04 else None
    return None


_CODECS: Final = tuple(_codec(data_coding) for data_coding in range(256))

# No text in IA5 has these: clients that call the GSM alphabet "ASCII" write them (node's smpp).
_NOT_IN_IA5: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")


def decode(payload: bytes, data_coding: int) -> str:
    """What `payload` (without header) says; never fails.

    What no alphabet explains becomes U+FFFD, an unknown data_coding is read as GSM-7.
    """
    codec = _CODECS[data_coding & 0xFF]
    if codec is None or (data_coding == DataCoding.IA5 and _NOT_IN_IA5.search(payload)):
        return gsm.decode(payload)
    return payload.decode(codec, "replace")
