"""A PDU of a trace as JSON that says what its octets mean: fields, TLVs by name, the text."""

from typing import Any, Final

import msgspec

from protocols.smpp.codec import Decoder, Frame, name_of
from protocols.smpp.constants import EsmClass, describe_status
from protocols.smpp.pdu import DataSm, DeliverSm, SubmitSm, tlv
from protocols.smpp.text import decode
from protocols.smpp.tlv import TLVS, Tag, decode_tlv
from protocols.smpp.udh import parse_udh

_SAR: Final = (Tag.SAR_SEGMENT_SEQNUM, Tag.SAR_TOTAL_SEGMENTS, Tag.SAR_MSG_REF_NUM)


def decoded(octets: bytes) -> dict[str, Any]:
    """What is known of a PDU; empty if `octets` are none.

    `{"name", "sequence_number", "command_status", "fields": {…, "tlvs": [{"tag", "name",
    "value"}]}}`, octets as hex. A status other than ESME_ROK comes with its `meaning`; a PDU that
    carries a text with its `text`, and with `part` {"number", "total", "reference"} if it is one.
    """
    decoder = Decoder()
    decoder.feed(octets)
    frame = decoder.next_frame()
    if not isinstance(frame, Frame):
        return {}
    shown: dict[str, Any] = {
        "name": name_of(frame.command_id),
        "sequence_number": frame.sequence_number,
        "command_status": frame.command_status,
        "fields": _fields(frame.pdu),
    }
    if frame.command_status:
        shown["meaning"] = describe_status(frame.command_status)
    if isinstance(frame.pdu, SubmitSm | DeliverSm | DataSm):
        shown.update(_text(frame.pdu))
    return shown


def _fields(pdu: Any) -> dict[str, Any]:
    if pdu is None:
        return {}
    fields = msgspec.structs.asdict(pdu)
    tlvs = fields.pop("tlvs", ())
    shown = {name: _plain(value) for name, value in fields.items()}
    if tlvs:
        shown["tlvs"] = [_tlv(tag, value) for tag, value in tlvs]
    return shown


def _tlv(tag: int, value: bytes) -> dict[str, Any]:
    row = TLVS.get(tag)
    name = row.name if row is not None else ""
    return {"tag": f"0x{tag:04x}", "name": name, "value": _plain(decode_tlv(tag, value))}


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _text(pdu: SubmitSm | DeliverSm | DataSm) -> dict[str, Any]:
    """What it says without its user data header, and which part of a longer text that is."""
    payload = b"" if isinstance(pdu, DataSm) else pdu.short_message
    payload = payload or tlv(pdu, Tag.MESSAGE_PAYLOAD) or b""
    part = _sar(pdu)
    if pdu.esm_class & EsmClass.UDHI:
        header = parse_udh(payload)
        payload = payload[header.octets :]
        if header.part is not None:
            part = {
                "number": header.part.number,
                "total": header.part.total,
                "reference": header.part.reference,
            }
    shown: dict[str, Any] = {"text": decode(payload, pdu.data_coding)} if payload else {}
    return {**shown, "part": part} if part else shown


def _sar(pdu: SubmitSm | DeliverSm | DataSm) -> dict[str, int]:
    """The part that SAR TLVs name (SMPP v3.4 §5.3.2.22-24); nothing unless all three are there."""
    values = [tlv(pdu, tag) for tag in _SAR]
    found = [int.from_bytes(value, "big") for value in values if value is not None]
    if len(found) < len(_SAR):
        return {}
    return dict(zip(("number", "total", "reference"), found, strict=True))
