"""A customer's submit_sm as a draft, or the command_status that refuses it.

Pure. The same judgement of addresses as REST has, and the same draft; what SMPP can ask and we
can't do (a delivery at a later time) is refused and never passed over.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from carriers.numbers import Invalid, check_from, check_to, text_of_wire
from gateway.messages.draft import Refusal
from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import DataSm, SubmitSm, Tag, tlv
from protocols.smpp.reassembly import Part, part_of, text_of

DEFAULT_VALIDITY: Final = 14400.0
MAX_VALIDITY: Final = 36000.0
_RELATIVE: Final = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)000R")
_ABSOLUTE: Final = re.compile(r"(\d{12})(\d)(\d\d)([+-])")
_QUARTER_HOUR: Final = timedelta(minutes=15)
_RECEIPT_BITS: Final = 0x03  # of registered_delivery
_UNITS: Final = (365 * 86400, 30 * 86400, 86400, 3600, 60, 1)

STATUS_OF_REFUSAL: Final[Mapping[int, CommandStatus]] = {
    20429: CommandStatus.ESME_RMSGQFUL,
    20503: CommandStatus.ESME_RSYSERR,
    21211: CommandStatus.ESME_RINVDSTADR,
    21212: CommandStatus.ESME_RINVSRCADR,
    21602: CommandStatus.ESME_RINVMSGLEN,
    21606: CommandStatus.ESME_RINVSRCADR,
    21612: CommandStatus.ESME_RINVDSTADR,
    21617: CommandStatus.ESME_RINVMSGLEN,
}


def status_of(refusal: Refusal) -> CommandStatus:
    """What a refusal of the message path is on a bind."""
    return STATUS_OF_REFUSAL.get(refusal.error_code, CommandStatus.ESME_RSUBMITFAIL)


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer's request asks for. `part` is set if it is one part of a longer text.

    `receipt` is when it wants to be told: the lower two bits of registered_delivery.
    """

    from_address: str
    to_address: str
    body: str
    part: Part | None
    receipt: int
    validity_period: float
    reference: int | None


def read(
    pdu: SubmitSm | DataSm, system_id: str, senders: tuple[str, ...], now: float
) -> Submitted | CommandStatus:
    """What `pdu` asks for, or the status that refuses it."""
    source = check_from(text_of_wire(pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr))
    destination = check_to(_international(pdu.dest_addr_ton, pdu.destination_addr))
    if isinstance(source, Invalid) or (senders and source.text not in senders):
        return CommandStatus.ESME_RINVSRCADR
    if isinstance(destination, Invalid):
        return CommandStatus.ESME_RINVDSTADR
    validity = DEFAULT_VALIDITY
    payload = tlv(pdu, Tag.MESSAGE_PAYLOAD) or b""
    if isinstance(pdu, SubmitSm):
        if pdu.schedule_delivery_time:
            return CommandStatus.ESME_RINVSCHED
        payload = pdu.short_message or payload
        seconds = _validity(pdu.validity_period, now)
        if seconds is None:
            return CommandStatus.ESME_RINVEXPIRY
        validity = seconds
    part = part_of(
        esm_class=pdu.esm_class,
        data_coding=pdu.data_coding,
        payload=payload,
        tlvs=pdu.tlvs,
        from_address=source.text,
        to_address=destination.text,
        carrier=f"customer:{system_id}",
    )
    reference = tlv(pdu, Tag.USER_MESSAGE_REFERENCE)
    return Submitted(
        from_address=source.text,
        to_address=destination.text,
        body=text_of(
            esm_class=pdu.esm_class, data_coding=pdu.data_coding, payload=payload, tlvs=pdu.tlvs
        ),
        part=part,
        receipt=pdu.registered_delivery & _RECEIPT_BITS,
        validity_period=validity,
        reference=int.from_bytes(reference, "big") if reference else None,
    )


def _international(ton: int, address: str) -> str:
    """A destination is a whole number, whatever type the customer's software writes."""
    shown = text_of_wire(ton, 0, address)
    return shown if shown.startswith("+") else f"+{shown}"


def _validity(period: str, now: float) -> float | None:
    """Seconds that `period` gives (v3.4 §7.1.1); None if it can't be read or is over."""
    if not period:
        return DEFAULT_VALIDITY
    seconds = _relative(period)
    if seconds is None:
        ends_at = _absolute(period)
        if ends_at is None:
            return None
        seconds = ends_at - now
    return min(seconds, MAX_VALIDITY) if seconds > 0 else None


def _relative(period: str) -> float | None:
    found = _RELATIVE.fullmatch(period)
    if found is None:
        return None
    return float(sum(int(value) * unit for value, unit in zip(found.groups(), _UNITS, strict=True)))


def _absolute(period: str) -> float | None:
    """`YYMMDDhhmmsstnnp`: local time, tenths, and by how many quarters of an hour it is ahead."""
    found = _ABSOLUTE.fullmatch(period)
    if found is None:
        return None
    written, tenths, quarters, sign = found.groups()
    try:
        local = datetime.strptime(f"20{written}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    ahead = int(quarters) * _QUARTER_HOUR
    at = local - ahead if sign == "+" else local + ahead
    return at.timestamp() + int(tenths) / 10


def time_text(at: float) -> str:
    """`at` (seconds since the epoch) as SMPP writes an absolute time, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%y%m%d%H%M%S") + "000+"
