"""The optional parameters of SMPP: one table of what v3.4 and v5.0 define, and how values look.

A PDU carries TLVs raw and in wire order, known or not, once or often; `encode_tlv` and
`decode_tlv` turn one into a value and back by its row in `TLVS`.
"""

from enum import Enum, IntEnum
from typing import Final

import msgspec

from protocols.smpp.errors import LocalProtocolError

MAX_TLV_LENGTH: Final = 0xFFFF


class Tag(IntEnum):
    """Tags of the TLVs (v5.0 §4.8.1)."""

    DEST_ADDR_SUBUNIT = 0x0005
    DEST_NETWORK_TYPE = 0x0006
    DEST_BEARER_TYPE = 0x0007
    DEST_TELEMATICS_ID = 0x0008
    SOURCE_ADDR_SUBUNIT = 0x000D
    SOURCE_NETWORK_TYPE = 0x000E
    SOURCE_BEARER_TYPE = 0x000F
    SOURCE_TELEMATICS_ID = 0x0010
    QOS_TIME_TO_LIVE = 0x0017
    PAYLOAD_TYPE = 0x0019
    ADDITIONAL_STATUS_INFO_TEXT = 0x001D
    RECEIPTED_MESSAGE_ID = 0x001E
    MS_MSG_WAIT_FACILITIES = 0x0030
    PRIVACY_INDICATOR = 0x0201
    SOURCE_SUBADDRESS = 0x0202
    DEST_SUBADDRESS = 0x0203
    USER_MESSAGE_REFERENCE = 0x0204
    USER_RESPONSE_CODE = 0x0205
    SOURCE_PORT = 0x020A
    DESTINATION_PORT = 0x020B
    SAR_MSG_REF_NUM = 0x020C
    LANGUAGE_INDICATOR = 0x020D
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    SC_INTERFACE_VERSION = 0x0210
    CALLBACK_NUM_PRES_IND = 0x0302
    CALLBACK_NUM_ATAG = 0x0303
    NUMBER_OF_MESSAGES = 0x0304
    CALLBACK_NUM = 0x0381
    DPF_RESULT = 0x0420
    SET_DPF = 0x0421
    MS_AVAILABILITY_STATUS = 0x0422
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    DELIVERY_FAILURE_REASON = 0x0425
    MORE_MESSAGES_TO_SEND = 0x0426
    MESSAGE_STATE = 0x0427
    CONGESTION_STATE = 0x0428
    USSD_SERVICE_OP = 0x0501
    BROADCAST_CHANNEL_INDICATOR = 0x0600
    BROADCAST_CONTENT_TYPE = 0x0601
    BROADCAST_CONTENT_TYPE_INFO = 0x0602
    BROADCAST_MESSAGE_CLASS = 0x0603
    BROADCAST_REP_NUM = 0x0604
    BROADCAST_FREQUENCY_INTERVAL = 0x0605
    BROADCAST_AREA_IDENTIFIER = 0x0606
    BROADCAST_ERROR_STATUS = 0x0607
    BROADCAST_AREA_SUCCESS = 0x0608
    BROADCAST_END_TIME = 0x0609
    BROADCAST_SERVICE_GROUP = 0x060A
    BILLING_IDENTIFICATION = 0x060B
    SOURCE_NETWORK_ID = 0x060D
    DEST_NETWORK_ID = 0x060E
    SOURCE_NODE_ID = 0x060F
    DEST_NODE_ID = 0x0610
    DEST_ADDR_NP_RESOLUTION = 0x0611
    DEST_ADDR_NP_INFORMATION = 0x0612
    DEST_ADDR_NP_COUNTRY = 0x0613
    DISPLAY_TIME = 0x1201
    SMS_SIGNAL = 0x1203
    MS_VALIDITY = 0x1204
    ALERT_ON_MESSAGE_DELIVERY = 0x130C
    ITS_REPLY_TYPE = 0x1380
    ITS_SESSION_INFO = 0x1383


class TlvType(Enum):
    """How the octets of a TLV are read (v5.0 §3.1)."""

    INTEGER = "integer"
    C_OCTET_STRING = "C-octet string"
    OCTET_STRING = "octet string"


class TlvDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `TLVS`; lengths are octets of the value, a C-octet string's NUL included."""

    name: str
    type: TlvType
    minimum: int
    maximum: int


def _row(tag: Tag, kind: TlvType, minimum: int, maximum: int) -> tuple[int, TlvDefinition]:
    row = TlvDefinition(name=tag.name.lower(), type=kind, minimum=minimum, maximum=maximum)
    return int(tag), row


_INT = TlvType.INTEGER
_STR = TlvType.C_OCTET_STRING
_OCT = TlvType.OCTET_STRING

TLVS: Final[dict[int, TlvDefinition]] = dict(
    (
        _row(Tag.DEST_ADDR_SUBUNIT, _INT, 1, 1),
        _row(Tag.DEST_NETWORK_TYPE, _INT, 1, 1),
        _row(Tag.DEST_BEARER_TYPE, _INT, 1, 1),
        _row(Tag.DEST_TELEMATICS_ID, _INT, 2, 2),
        _row(Tag.SOURCE_ADDR_SUBUNIT, _INT, 1, 1),
        _row(Tag.SOURCE_NETWORK_TYPE, _INT, 1, 1),
        _row(Tag.SOURCE_BEARER_TYPE, _INT, 1, 1),
        _row(Tag.SOURCE_TELEMATICS_ID, _INT, 1, 1),
        _row(Tag.QOS_TIME_TO_LIVE, _INT, 4, 4),
        _row(Tag.PAYLOAD_TYPE, _INT, 1, 1),
        _row(Tag.ADDITIONAL_STATUS_INFO_TEXT, _STR, 1, 256),
        _row(Tag.RECEIPTED_MESSAGE_ID, _STR, 1, 65),
        _row(Tag.MS_MSG_WAIT_FACILITIES, _INT, 1, 1),
        _row(Tag.PRIVACY_INDICATOR, _INT, 1, 1),
        _row(Tag.SOURCE_SUBADDRESS, _OCT, 2, 23),
        _row(Tag.DEST_SUBADDRESS, _OCT, 2, 23),
        _row(Tag.USER_MESSAGE_REFERENCE, _INT, 2, 2),
        _row(Tag.USER_RESPONSE_CODE, _INT, 1, 1),
        _row(Tag.SOURCE_PORT, _INT, 2, 2),
        _row(Tag.DESTINATION_PORT, _INT, 2, 2),
        _row(Tag.SAR_MSG_REF_NUM, _INT, 2, 2),
        _row(Tag.LANGUAGE_INDICATOR, _INT, 1, 1),
        _row(Tag.SAR_TOTAL_SEGMENTS, _INT, 1, 1),
        _row(Tag.SAR_SEGMENT_SEQNUM, _INT, 1, 1),
        _row(Tag.SC_INTERFACE_VERSION, _INT, 1, 1),
        _row(Tag.CALLBACK_NUM_PRES_IND, _INT, 1, 1),
        _row(Tag.CALLBACK_NUM_ATAG, _OCT, 0, 65),
        _row(Tag.NUMBER_OF_MESSAGES, _INT, 1, 1),
        _row(Tag.CALLBACK_NUM, _OCT, 4, 19),
        _row(Tag.DPF_RESULT, _INT, 1, 1),
        _row(Tag.SET_DPF, _INT, 1, 1),
        _row(Tag.MS_AVAILABILITY_STATUS, _INT, 1, 1),
        _row(Tag.NETWORK_ERROR_CODE, _OCT, 3, 3),
        _row(Tag.MESSAGE_PAYLOAD, _OCT, 0, MAX_TLV_LENGTH),
        _row(Tag.DELIVERY_FAILURE_REASON, _INT, 1, 1),
        _row(Tag.MORE_MESSAGES_TO_SEND, _INT, 1, 1),
        _row(Tag.MESSAGE_STATE, _INT, 1, 1),
        _row(Tag.CONGESTION_STATE, _INT, 1, 1),
        _row(Tag.USSD_SERVICE_OP, _OCT, 1, 1),
        _row(Tag.BROADCAST_CHANNEL_INDICATOR, _INT, 1, 1),
        _row(Tag.BROADCAST_CONTENT_TYPE, _OCT, 3, 3),
        _row(Tag.BROADCAST_CONTENT_TYPE_INFO, _OCT, 0, 255),
        _row(Tag.BROADCAST_MESSAGE_CLASS, _INT, 1, 1),
        _row(Tag.BROADCAST_REP_NUM, _INT, 2, 2),
        _row(Tag.BROADCAST_FREQUENCY_INTERVAL, _OCT, 3, 3),
        _row(Tag.BROADCAST_AREA_IDENTIFIER, _OCT, 0, 255),
        _row(Tag.BROADCAST_ERROR_STATUS, _INT, 4, 4),
        _row(Tag.BROADCAST_AREA_SUCCESS, _INT, 1, 1),
        _row(Tag.BROADCAST_END_TIME, _STR, 17, 17),
        _row(Tag.BROADCAST_SERVICE_GROUP, _OCT, 1, 255),
        _row(Tag.BILLING_IDENTIFICATION, _OCT, 1, 1024),
        _row(Tag.SOURCE_NETWORK_ID, _STR, 7, 65),
        _row(Tag.DEST_NETWORK_ID, _STR, 7, 65),
        _row(Tag.SOURCE_NODE_ID, _OCT, 6, 6),
        _row(Tag.DEST_NODE_ID, _OCT, 6, 6),
        _row(Tag.DEST_ADDR_NP_RESOLUTION, _INT, 1, 1),
        _row(Tag.DEST_ADDR_NP_INFORMATION, _OCT, 10, 10),
        _row(Tag.DEST_ADDR_NP_COUNTRY, _OCT, 1, 5),
        _row(Tag.DISPLAY_TIME, _INT, 1, 1),
        _row(Tag.SMS_SIGNAL, _INT, 2, 2),
        _row(Tag.MS_VALIDITY, _INT, 1, 4),  # one octet in v3.4, up to four in v5.0
        _row(Tag.ALERT_ON_MESSAGE_DELIVERY, _INT, 0, 1),  # empty in v3.4
        _row(Tag.ITS_REPLY_TYPE, _INT, 1, 1),
        _row(Tag.ITS_SESSION_INFO, _INT, 2, 2),
    )
)


def check_tlv(tag: int, value: bytes) -> None:
    """Raise `LocalProtocolError` if `value` is not one that may be written under `tag`."""
    if not 0 <= tag <= 0xFFFF:
        raise LocalProtocolError(f"TLV tag {tag:#x} does not fit into two octets")
    if len(value) > MAX_TLV_LENGTH:
        raise LocalProtocolError(
            f"TLV 0x{tag:04x} has {len(value)} octets; a TLV carries at most {MAX_TLV_LENGTH}"
        )
    row = TLVS.get(tag)
    if row is None:
        return
    if not row.minimum <= len(value) <= row.maximum:
        raise LocalProtocolError(
            f"TLV {row.name} (0x{tag:04x}) takes {row.minimum} to {row.maximum} octets"
            f" and was given {len(value)}: {value[:32]!r}"
        )
    if row.type is TlvType.C_OCTET_STRING and value.find(0) != len(value) - 1:
        raise LocalProtocolError(
            f"TLV {row.name} (0x{tag:04x}) is a C-octet string: one NUL, at its end: {value[:32]!r}"
        )


def encode_tlv(tag: int, value: int | str | bytes) -> tuple[int, bytes]:
    """One entry for a PDU's `tlvs` from a value of the type that `TLVS` names for `tag`.

    A tag that `TLVS` lacks takes `bytes`. Raises `LocalProtocolError` for a value that does not
    fit.
    """
    row = TLVS.get(tag)
    match value, row:
        case int(), TlvDefinition(type=TlvType.INTEGER):
            octets = _integer(value, row)
        case str(), TlvDefinition(type=TlvType.C_OCTET_STRING):
            octets = _c_octet_string(value, row)
        case bytes(), TlvDefinition(type=TlvType.OCTET_STRING) | None:
            octets = value
        case _:
            wanted = (TlvType.OCTET_STRING if row is None else row.type).value
            name = "" if row is None else f"{row.name} "
            raise LocalProtocolError(f"TLV {name}0x{tag:04x} is of type {wanted}, not {value!r}")
    check_tlv(tag, octets)
    return tag, octets


def _integer(value: int, row: TlvDefinition) -> bytes:
    for size in (max(row.minimum, 1), row.maximum):  # the short form where both can carry it
        if 0 <= value < 1 << 8 * size:
            return value.to_bytes(size, "big")
    raise LocalProtocolError(f"TLV {row.name} is an integer of {row.maximum} octets, not {value}")


def _c_octet_string(value: str, row: TlvDefinition) -> bytes:
    try:
        return value.encode("latin-1") + b"\0"
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"TLV {row.name} carries Latin-1 only: {value!r}") from error


def decode_tlv(tag: int, octets: bytes) -> int | str | bytes:
    """The value of a TLV as `TLVS` types it; `bytes` for a tag that it lacks.

    Takes what peers send: an integer of any length, a C-octet string without its NUL or with more
    after it.
    """
    row = TLVS.get(tag)
    if row is None or row.type is TlvType.OCTET_STRING:
        return octets
    if row.type is TlvType.INTEGER:
        return int.from_bytes(octets, "big")
    return octets.split(b"\0", 1)[0].decode("latin-1")
