"""The vectors of tests/vectors/smpp, and PDUs made at random."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from protocols.smpp import codec, pdu
from protocols.smpp.fields import COctetString, Integer, ShortMessage, Time
from protocols.smpp.tlv import TLVS, TlvType

FOLDER = Path(__file__).parents[2] / "vectors" / "smpp"


def octets_of(text: str) -> bytes:
    """Hex with blanks in it."""
    return bytes.fromhex("".join(text.split()))


def vectors(file: str) -> list[dict[str, Any]]:
    return tomllib.loads((FOLDER / file).read_text())["pdu"]


def value_of(vector: dict[str, Any]) -> pdu.Pdu:
    """The PDU that a good vector says."""
    fields = {
        name: octets_of(value[4:]) if isinstance(value, str) and value[:4] == "hex:" else value
        for name, value in vector.get("fields", {}).items()
    }
    tlvs = tuple((tag, octets_of(value)) for tag, value in vector.get("tlvs", []))
    declared: type[pdu.Pdu] = getattr(pdu, vector["pdu"])
    return declared(tlvs=tlvs, **fields)


def _field(field: object) -> st.SearchStrategy[Any]:
    latin_1 = st.characters(min_codepoint=1, max_codepoint=255)
    match field:
        case Integer():
            return st.integers(0, 256**field.size - 1)
        case Time():
            return st.one_of(st.just(""), st.text(latin_1, min_size=16, max_size=16))
        case COctetString():
            return st.text(latin_1, max_size=field.maximum - 1)
        case ShortMessage():
            return st.binary(max_size=254)
    raise AssertionError(f"{field} has no strategy")


def _tlv(tag: int) -> st.SearchStrategy[tuple[int, bytes]]:
    row = TLVS.get(tag)
    if row is None:
        values = st.binary(max_size=20)
    elif row.type is TlvType.C_OCTET_STRING:
        octet = st.integers(1, 255)
        shortest, longest = row.minimum - 1, row.maximum - 1
        values = st.lists(octet, min_size=shortest, max_size=longest).map(lambda v: bytes([*v, 0]))
    else:
        values = st.binary(min_size=row.minimum, max_size=min(row.maximum, 300))
    return values.map(lambda value: (tag, value))


_TLVS = st.lists(
    st.one_of(st.sampled_from(sorted(TLVS)), st.integers(0, 0xFFFF)).flatmap(_tlv), max_size=4
).map(tuple)


def _one(declared: type[pdu.Pdu]) -> st.SearchStrategy[pdu.Pdu]:
    fields = {name: _field(field) for name, field in codec.fields_of(declared).items()}
    return st.builds(declared, tlvs=_TLVS, **fields).filter(_has_one_text)


def _has_one_text(value: pdu.Pdu) -> bool:
    return not getattr(value, "short_message", b"") or pdu.tlv(value, 0x0424) is None


EACH_PDU: dict[str, st.SearchStrategy[pdu.Pdu]] = {
    declared.__name__: _one(declared) for declared in pdu.PDUS.values()
}


def changed(value: pdu.Pdu, **fields: Any) -> pdu.Pdu:
    return msgspec.structs.replace(value, **fields)
