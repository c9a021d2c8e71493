"""The PDUs of SMPP v3.4 and v5.0, declared as data: an annotation per field, in wire order.

The annotations are the declaration: `codec` compiles them at import, so a further PDU is a class
here and nothing anywhere else. C-octet strings are `str` (Latin-1, without the NUL), TLVs are
pairs of tag and raw value in wire order, unknown and repeated ones included. The numbers and
names that fields take are imported here for those who build PDUs.
"""

from typing import Annotated, ClassVar, Final

import msgspec

from protocols.smpp.constants import (
    CommandId,
    CommandStatus,
    DataCoding,
    EsmClass,
    InterfaceVersion,
    MessageState,
    Npi,
    RegisteredDelivery,
    Ton,
    describe_status,
)
from protocols.smpp.fields import COctetString, Integer, Password, ShortMessage, Time
from protocols.smpp.tlv import TLVS, Tag, TlvDefinition, TlvType, decode_tlv, encode_tlv

__all__ = [
    "BIND_RESPONSES",
    "PDUS",
    "TLVS",
    "AlertNotification",
    "Bind",
    "BindReceiver",
    "BindReceiverResp",
    "BindResp",
    "BindTransceiver",
    "BindTransceiverResp",
    "BindTransmitter",
    "BindTransmitterResp",
    "CommandId",
    "CommandStatus",
    "DataCoding",
    "DataSm",
    "DataSmResp",
    "DeliverSm",
    "DeliverSmResp",
    "EnquireLink",
    "EnquireLinkResp",
    "EsmClass",
    "GenericNack",
    "InterfaceVersion",
    "MessageState",
    "Npi",
    "Outbind",
    "Pdu",
    "QuerySm",
    "QuerySmResp",
    "RegisteredDelivery",
    "SubmitSm",
    "SubmitSmResp",
    "Tag",
    "TlvDefinition",
    "TlvType",
    "Ton",
    "Unbind",
    "UnbindResp",
    "decode_tlv",
    "describe_status",
    "encode_tlv",
    "tlv",
]

Int1 = Annotated[int, Integer(size=1)]
CStr6 = Annotated[str, COctetString(maximum=6)]
CStr13 = Annotated[str, COctetString(maximum=13)]
CStr16 = Annotated[str, COctetString(maximum=16)]
CStr21 = Annotated[str, COctetString(maximum=21)]
CStr41 = Annotated[str, COctetString(maximum=41)]
CStr65 = Annotated[str, COctetString(maximum=65)]
Password9 = Annotated[str, Password(maximum=9)]
Time17 = Annotated[str, Time()]
Message254 = Annotated[bytes, ShortMessage()]


class Pdu(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The body of a PDU; the header's other fields belong to the moment it is sent."""

    command_id: ClassVar[CommandId]
    tlvs: tuple[tuple[int, bytes], ...] = ()


class Bind(Pdu, frozen=True, kw_only=True):
    """What the three bind requests share (v5.0 §4.1.1)."""

    system_id: CStr16 = ""
    password: Password9 = ""
    system_type: CStr13 = ""
    interface_version: Int1 = InterfaceVersion.V3_4
    addr_ton: Int1 = 0
    addr_npi: Int1 = 0
    address_range: CStr41 = ""

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(system_id={self.system_id!r}, password=(not shown),"
            f" system_type={self.system_type!r}, interface_version={self.interface_version:#x},"
            f" addr_ton={self.addr_ton}, addr_npi={self.addr_npi},"
            f" address_range={self.address_range!r}, tlvs={self.tlvs!r})"
        )


class BindReceiver(Bind, frozen=True, kw_only=True):
    """bind_receiver (v5.0 §4.1.1.3)."""

    command_id: ClassVar[CommandId] = CommandId.BIND_RECEIVER


class BindTransmitter(Bind, frozen=True, kw_only=True):
    """bind_transmitter (v5.0 §4.1.1.1)."""

    command_id: ClassVar[CommandId] = CommandId.BIND_TRANSMITTER


class BindTransceiver(Bind, frozen=True, kw_only=True):
    """bind_transceiver (v5.0 §4.1.1.5)."""

    command_id: ClassVar[CommandId] = CommandId.BIND_TRANSCEIVER


class BindResp(Pdu, frozen=True, kw_only=True):
    """What the three bind responses share (v5.0 §4.1.1.2)."""

    system_id: CStr16 = ""


class BindReceiverResp(BindResp, frozen=True, kw_only=True):
    """bind_receiver_resp (v5.0 §4.1.1.4)."""

    command_id: ClassVar[CommandId] = CommandId.BIND_RECEIVER_RESP


class BindTransmitterResp(BindResp, frozen=True, kw_only=True):
    """bind_transmitter_resp (v5.0 §4.1.1.2)."""

    command_id: ClassVar[CommandId] = CommandId.BIND_TRANSMITTER_RESP


class BindTransceiverResp(BindResp, frozen=True, kw_only=True):
    """bind_transceiver_resp (v5.0 §4.1.1.6)."""

    command_id: ClassVar[CommandId] = CommandId.BIND_TRANSCEIVER_RESP


class Outbind(Pdu, frozen=True, kw_only=True):
    """outbind (v5.0 §4.1.1.7)."""

    command_id: ClassVar[CommandId] = CommandId.OUTBIND
    system_id: CStr16 = ""
    password: Password9 = ""

    def __repr__(self) -> str:
        return f"Outbind(system_id={self.system_id!r}, password=(not shown), tlvs={self.tlvs!r})"


class Unbind(Pdu, frozen=True, kw_only=True):
    """unbind (v5.0 §4.1.1.8)."""

    command_id: ClassVar[CommandId] = CommandId.UNBIND


class UnbindResp(Pdu, frozen=True, kw_only=True):
    """unbind_resp (v5.0 §4.1.1.9)."""

    command_id: ClassVar[CommandId] = CommandId.UNBIND_RESP


class EnquireLink(Pdu, frozen=True, kw_only=True):
    """enquire_link (v5.0 §4.1.2.1)."""

    command_id: ClassVar[CommandId] = CommandId.ENQUIRE_LINK


class EnquireLinkResp(Pdu, frozen=True, kw_only=True):
    """enquire_link_resp (v5.0 §4.1.2.2)."""

    command_id: ClassVar[CommandId] = CommandId.ENQUIRE_LINK_RESP


class AlertNotification(Pdu, frozen=True, kw_only=True):
    """alert_notification (v5.0 §4.1.3.1); it has no response."""

    command_id: ClassVar[CommandId] = CommandId.ALERT_NOTIFICATION
    source_addr_ton: Int1 = 0
    source_addr_npi: Int1 = 0
    source_addr: CStr65 = ""
    esme_addr_ton: Int1 = 0
    esme_addr_npi: Int1 = 0
    esme_addr: CStr65 = ""


class GenericNack(Pdu, frozen=True, kw_only=True):
    """generic_nack (v5.0 §4.1.4.1)."""

    command_id: ClassVar[CommandId] = CommandId.GENERIC_NACK


class _ShortMessagePdu(Pdu, frozen=True, kw_only=True):
    """What submit_sm and deliver_sm share; sm_length is the length of `short_message`."""

    service_type: CStr6 = ""
    source_addr_ton: Int1 = 0
    source_addr_npi: Int1 = 0
    source_addr: CStr21 = ""
    dest_addr_ton: Int1 = 0
    dest_addr_npi: Int1 = 0
    destination_addr: CStr21 = ""
    esm_class: Int1 = 0
    protocol_id: Int1 = 0
    priority_flag: Int1 = 0
    schedule_delivery_time: Time17 = ""
    validity_period: Time17 = ""
    registered_delivery: Int1 = 0
    replace_if_present_flag: Int1 = 0
    data_coding: Int1 = 0
    sm_default_msg_id: Int1 = 0
    short_message: Message254 = b""


class SubmitSm(_ShortMessagePdu, frozen=True, kw_only=True):
    """submit_sm (v5.0 §4.2.1.1)."""

    command_id: ClassVar[CommandId] = CommandId.SUBMIT_SM


class SubmitSmResp(Pdu, frozen=True, kw_only=True):
    """submit_sm_resp (v5.0 §4.2.1.2)."""

    command_id: ClassVar[CommandId] = CommandId.SUBMIT_SM_RESP
    message_id: CStr65 = ""


class DeliverSm(_ShortMessagePdu, frozen=True, kw_only=True):
    """deliver_sm (v5.0 §4.3.1.1)."""

    command_id: ClassVar[CommandId] = CommandId.DELIVER_SM


class DeliverSmResp(Pdu, frozen=True, kw_only=True):
    """deliver_sm_resp (v5.0 §4.3.1.2); message_id is unused and left empty."""

    command_id: ClassVar[CommandId] = CommandId.DELIVER_SM_RESP
    message_id: CStr65 = ""


class DataSm(Pdu, frozen=True, kw_only=True):
    """data_sm (v5.0 §4.2.2.1); the text is in TLV message_payload."""

    command_id: ClassVar[CommandId] = CommandId.DATA_SM
    service_type: CStr6 = ""
    source_addr_ton: Int1 = 0
    source_addr_npi: Int1 = 0
    source_addr: CStr65 = ""
    dest_addr_ton: Int1 = 0
    dest_addr_npi: Int1 = 0
    destination_addr: CStr65 = ""
    esm_class: Int1 = 0
    registered_delivery: Int1 = 0
    data_coding: Int1 = 0


class DataSmResp(Pdu, frozen=True, kw_only=True):
    """data_sm_resp (v5.0 §4.2.2.2)."""

    command_id: ClassVar[CommandId] = CommandId.DATA_SM_RESP
    message_id: CStr65 = ""


class QuerySm(Pdu, frozen=True, kw_only=True):
    """query_sm (v5.0 §4.5.2.1)."""

    command_id: ClassVar[CommandId] = CommandId.QUERY_SM
    message_id: CStr65 = ""
    source_addr_ton: Int1 = 0
    source_addr_npi: Int1 = 0
    source_addr: CStr21 = ""


class QuerySmResp(Pdu, frozen=True, kw_only=True):
    """query_sm_resp (v5.0 §4.5.2.2)."""

    command_id: ClassVar[CommandId] = CommandId.QUERY_SM_RESP
    message_id: CStr65 = ""
    final_date: Time17 = ""
    message_state: Int1 = 0
    error_code: Int1 = 0


PDUS: Final[dict[int, type[Pdu]]] = {
    int(declared.command_id): declared
    for declared in (
        BindReceiver,
        BindReceiverResp,
        BindTransmitter,
        BindTransmitterResp,
        QuerySm,
        QuerySmResp,
        SubmitSm,
        SubmitSmResp,
        DeliverSm,
        DeliverSmResp,
        Unbind,
        UnbindResp,
        BindTransceiver,
        BindTransceiverResp,
        Outbind,
        EnquireLink,
        EnquireLinkResp,
        AlertNotification,
        DataSm,
        DataSmResp,
        GenericNack,
    )
}

BIND_RESPONSES: Final[dict[int, type[BindResp]]] = {
    CommandId.BIND_RECEIVER: BindReceiverResp,
    CommandId.BIND_TRANSMITTER: BindTransmitterResp,
    CommandId.BIND_TRANSCEIVER: BindTransceiverResp,
}


def tlv(pdu: Pdu, tag: int) -> bytes | None:
    """The raw value of the first TLV `tag`, None without one."""
    for found, value in pdu.tlvs:
        if found == tag:
            return value
    return None
