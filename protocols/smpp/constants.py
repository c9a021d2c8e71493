"""The numbers of SMPP under the specification's names: commands, statuses and field values.

Everything a peer may send is an `int` on the wire and stays one (vendors use values of their own);
these enums name the ones that SMPP v3.4 and v5.0 define.
"""

from enum import IntEnum
from typing import Final

RESPONSE: Final = 0x8000_0000
"""The bit of command_id that tells a response from a request."""

MAX_SEQUENCE_NUMBER: Final = 0x7FFF_FFFF


class CommandId(IntEnum):
    """command_id (v5.0 §4.7.5), for the PDUs that have a declaration in `pdu`."""

    BIND_RECEIVER = 0x0000_0001
    BIND_TRANSMITTER = 0x0000_0002
    QUERY_SM = 0x0000_0003
    SUBMIT_SM = 0x0000_0004
    DELIVER_SM = 0x0000_0005
    UNBIND = 0x0000_0006
    BIND_TRANSCEIVER = 0x0000_0009
    OUTBIND = 0x0000_000B
    ENQUIRE_LINK = 0x0000_0015
    ALERT_NOTIFICATION = 0x0000_0102
    DATA_SM = 0x0000_0103
    GENERIC_NACK = 0x8000_0000
    BIND_RECEIVER_RESP = 0x8000_0001
    BIND_TRANSMITTER_RESP = 0x8000_0002
    QUERY_SM_RESP = 0x8000_0003
    SUBMIT_SM_RESP = 0x8000_0004
    DELIVER_SM_RESP = 0x8000_0005
    UNBIND_RESP = 0x8000_0006
    BIND_TRANSCEIVER_RESP = 0x8000_0009
    ENQUIRE_LINK_RESP = 0x8000_0015
    DATA_SM_RESP = 0x8000_0103


class CommandStatus(IntEnum):
    """command_status (v5.0 §4.7.6)."""

    ESME_ROK = 0x00
    ESME_RINVMSGLEN = 0x01
    ESME_RINVCMDLEN = 0x02
    ESME_RINVCMDID = 0x03
    ESME_RINVBNDSTS = 0x04
    ESME_RALYBND = 0x05
    ESME_RINVPRTFLG = 0x06
    ESME_RINVREGDLVFLG = 0x07
    ESME_RSYSERR = 0x08
    ESME_RINVSRCADR = 0x0A
    ESME_RINVDSTADR = 0x0B
    ESME_RINVMSGID = 0x0C
    ESME_RBINDFAIL = 0x0D
    ESME_RINVPASWD = 0x0E
    ESME_RINVSYSID = 0x0F
    ESME_RCANCELFAIL = 0x11
    ESME_RREPLACEFAIL = 0x13
    ESME_RMSGQFUL = 0x14
    ESME_RINVSERTYP = 0x15
    ESME_RINVNUMDESTS = 0x33
    ESME_RINVDLNAME = 0x34
    ESME_RINVDESTFLAG = 0x40
    ESME_RINVSUBREP = 0x42
    ESME_RINVESMCLASS = 0x43
    ESME_RCNTSUBDL = 0x44
    ESME_RSUBMITFAIL = 0x45
    ESME_RINVSRCTON = 0x48
    ESME_RINVSRCNPI = 0x49
    ESME_RINVDSTTON = 0x50
    ESME_RINVDSTNPI = 0x51
    ESME_RINVSYSTYP = 0x53
    ESME_RINVREPFLAG = 0x54
    ESME_RINVNUMMSGS = 0x55
    ESME_RTHROTTLED = 0x58
    ESME_RINVSCHED = 0x61
    ESME_RINVEXPIRY = 0x62
    ESME_RINVDFTMSGID = 0x63
    ESME_RX_T_APPN = 0x64
    ESME_RX_P_APPN = 0x65
    ESME_RX_R_APPN = 0x66
    ESME_RQUERYFAIL = 0x67
    ESME_RINVTLVSTREAM = 0xC0
    ESME_RTLVNOTALLWD = 0xC1
    ESME_RINVTLVLEN = 0xC2
    ESME_RMISSINGTLV = 0xC3
    ESME_RINVTLVVAL = 0xC4
    ESME_RDELIVERYFAILURE = 0xFE
    ESME_RUNKNOWNERR = 0xFF
    ESME_RSERTYPUNAUTH = 0x100
    ESME_RPROHIBITED = 0x101
    ESME_RSERTYPUNAVAIL = 0x102
    ESME_RSERTYPDENIED = 0x103
    ESME_RINVDCS = 0x104
    ESME_RINVSRCADDRSUBUNIT = 0x105
    ESME_RINVDSTADDRSUBUNIT = 0x106
    ESME_RINVBCASTFREQINT = 0x107
    ESME_RINVBCASTALIAS_NAME = 0x108
    ESME_RINVBCASTAREAFMT = 0x109
    ESME_RINVNUMBCAST_AREAS = 0x10A
    ESME_RINVBCASTCNTTYPE = 0x10B
    ESME_RINVBCASTMSGCLASS = 0x10C
    ESME_RBCASTFAIL = 0x10D
    ESME_RBCASTQUERYFAIL = 0x10E
    ESME_RBCASTCANCELFAIL = 0x10F
    ESME_RINVBCAST_REP = 0x110
    ESME_RINVBCASTSRVGRP = 0x111
    ESME_RINVBCASTCHANIND = 0x112


_C = CommandStatus

MEANINGS: Final[dict[int, str]] = {
    _C.ESME_ROK: "no error",
    _C.ESME_RINVMSGLEN: "message length is invalid",
    _C.ESME_RINVCMDLEN: "command length is invalid",
    _C.ESME_RINVCMDID: "command id is invalid or not supported",
    _C.ESME_RINVBNDSTS: "command is not allowed in this bind state",
    _C.ESME_RALYBND: "already bound",
    _C.ESME_RINVPRTFLG: "priority flag is invalid",
    _C.ESME_RINVREGDLVFLG: "registered delivery flag is invalid",
    _C.ESME_RSYSERR: "system error",
    _C.ESME_RINVSRCADR: "source address is invalid",
    _C.ESME_RINVDSTADR: "destination address is invalid",
    _C.ESME_RINVMSGID: "message id is invalid",
    _C.ESME_RBINDFAIL: "bind failed",
    _C.ESME_RINVPASWD: "password is invalid",
    _C.ESME_RINVSYSID: "system id is invalid",
    _C.ESME_RCANCELFAIL: "cancelling the message failed",
    _C.ESME_RREPLACEFAIL: "replacing the message failed",
    _C.ESME_RMSGQFUL: "message queue is full",
    _C.ESME_RINVSERTYP: "service type is invalid",
    _C.ESME_RINVNUMDESTS: "number of destinations is invalid",
    _C.ESME_RINVDLNAME: "distribution list name is invalid",
    _C.ESME_RINVDESTFLAG: "destination flag is invalid",
    _C.ESME_RINVSUBREP: "submit with replace is not supported or not allowed",
    _C.ESME_RINVESMCLASS: "esm_class is invalid",
    _C.ESME_RCNTSUBDL: "cannot submit to a distribution list",
    _C.ESME_RSUBMITFAIL: "submitting failed",
    _C.ESME_RINVSRCTON: "type of number of the source address is invalid",
    _C.ESME_RINVSRCNPI: "numbering plan of the source address is invalid",
    _C.ESME_RINVDSTTON: "type of number of the destination address is invalid",
    _C.ESME_RINVDSTNPI: "numbering plan of the destination address is invalid",
    _C.ESME_RINVSYSTYP: "system type is invalid",
    _C.ESME_RINVREPFLAG: "replace_if_present flag is invalid",
    _C.ESME_RINVNUMMSGS: "number of messages is invalid",
    _C.ESME_RTHROTTLED: "throttled: the allowed message rate was exceeded",
    _C.ESME_RINVSCHED: "scheduled delivery time is invalid",
    _C.ESME_RINVEXPIRY: "validity period is invalid",
    _C.ESME_RINVDFTMSGID: "predefined message is invalid or was not found",
    _C.ESME_RX_T_APPN: "temporary error of the receiving application",
    _C.ESME_RX_P_APPN: "permanent error of the receiving application",
    _C.ESME_RX_R_APPN: "message was rejected by the receiving application",
    _C.ESME_RQUERYFAIL: "querying the message failed",
    _C.ESME_RINVTLVSTREAM: "optional part of the PDU is malformed",
    _C.ESME_RTLVNOTALLWD: "TLV is not allowed here",
    _C.ESME_RINVTLVLEN: "TLV length is invalid",
    _C.ESME_RMISSINGTLV: "an expected TLV is missing",
    _C.ESME_RINVTLVVAL: "TLV value is invalid",
    _C.ESME_RDELIVERYFAILURE: "delivery failed",
    _C.ESME_RUNKNOWNERR: "unknown error",
    _C.ESME_RSERTYPUNAUTH: "not authorised to use this service type",
    _C.ESME_RPROHIBITED: "operation is prohibited for this ESME",
    _C.ESME_RSERTYPUNAVAIL: "service type is unavailable",
    _C.ESME_RSERTYPDENIED: "service type is denied",
    _C.ESME_RINVDCS: "data coding is invalid",
    _C.ESME_RINVSRCADDRSUBUNIT: "subunit of the source address is invalid",
    _C.ESME_RINVDSTADDRSUBUNIT: "subunit of the destination address is invalid",
    _C.ESME_RINVBCASTFREQINT: "broadcast frequency interval is invalid",
    _C.ESME_RINVBCASTALIAS_NAME: "broadcast alias name is invalid",
    _C.ESME_RINVBCASTAREAFMT: "broadcast area format is invalid",
    _C.ESME_RINVNUMBCAST_AREAS: "number of broadcast areas is invalid",
    _C.ESME_RINVBCASTCNTTYPE: "broadcast content type is invalid",
    _C.ESME_RINVBCASTMSGCLASS: "broadcast message class is invalid",
    _C.ESME_RBCASTFAIL: "broadcast_sm failed",
    _C.ESME_RBCASTQUERYFAIL: "query_broadcast_sm failed",
    _C.ESME_RBCASTCANCELFAIL: "cancel_broadcast_sm failed",
    _C.ESME_RINVBCAST_REP: "number of repeated broadcasts is invalid",
    _C.ESME_RINVBCASTSRVGRP: "broadcast service group is invalid",
    _C.ESME_RINVBCASTCHANIND: "broadcast channel indicator is invalid",
}


def describe_status(command_status: int) -> str:
    """A command_status for a person: `ESME_RTHROTTLED (0x58): throttled: …`, or its number."""
    meaning = MEANINGS.get(command_status)
    if meaning is None:
        return f"0x{command_status:x}: not defined by SMPP, ask the peer what it means"
    return f"{CommandStatus(command_status).name} (0x{command_status:x}): {meaning}"


class InterfaceVersion(IntEnum):
    """interface_version and sc_interface_version (v5.0 §4.7.13)."""

    V3_3 = 0x33
    V3_4 = 0x34
    V5_0 = 0x50


class Ton(IntEnum):
    """Type of number (v5.0 §4.7.1)."""

    UNKNOWN = 0
    INTERNATIONAL = 1
    NATIONAL = 2
    NETWORK_SPECIFIC = 3
    SUBSCRIBER_NUMBER = 4
    ALPHANUMERIC = 5
    ABBREVIATED = 6


class Npi(IntEnum):
    """Numbering plan indicator (v5.0 §4.7.2)."""

    UNKNOWN = 0
    ISDN = 1
    DATA = 3
    TELEX = 4
    LAND_MOBILE = 6
    NATIONAL = 8
    PRIVATE = 9
    ERMES = 10
    INTERNET = 14
    WAP_CLIENT_ID = 18


class EsmClass(IntEnum):
    """Bits of esm_class (v5.0 §4.7.12): a mode, a type (mask with `TYPE_MASK`), features."""

    DEFAULT = 0x00
    DATAGRAM = 0x01
    FORWARD = 0x02
    STORE_AND_FORWARD = 0x03
    DELIVERY_RECEIPT = 0x04
    DELIVERY_ACKNOWLEDGEMENT = 0x08
    USER_ACKNOWLEDGEMENT = 0x10
    CONVERSATION_ABORT = 0x18
    INTERMEDIATE_NOTIFICATION = 0x20
    TYPE_MASK = 0x3C
    UDHI = 0x40
    REPLY_PATH = 0x80


class RegisteredDelivery(IntEnum):
    """Bits of registered_delivery (v5.0 §4.7.21)."""

    NONE = 0x00
    ALWAYS = 0x01
    ON_FAILURE = 0x02
    ON_SUCCESS = 0x03
    DELIVERY_ACKNOWLEDGEMENT = 0x04
    USER_ACKNOWLEDGEMENT = 0x08
    INTERMEDIATE = 0x10


class MessageState(IntEnum):
    """message_state (v5.0 §4.7.15); 0 and 9 are new in v5.0."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


class DataCoding(IntEnum):
    """data_coding (v5.0 §4.7.7)."""

    DEFAULT = 0x00
    IA5 = 0x01
    OCTET_UNSPECIFIED_1 = 0x02
    LATIN_1 = 0x03
    OCTET_UNSPECIFIED_2 = 0x04
    JIS = 0x05
    CYRILLIC = 0x06
    HEBREW = 0x07
    UCS2 = 0x08
    PICTOGRAM = 0x09
    ISO_2022_JP = 0x0A
    EXTENDED_KANJI = 0x0D
    KS_C_5601 = 0x0E
