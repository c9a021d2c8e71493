"""What a simulated carrier writes into its ledger: a line per submit_sm, and per whole text."""

import msgspec

from protocols.smpp.pdu import SubmitSm, tlv
from protocols.smpp.tlv import Tag
from sims.addresses import shown
from sims.handset import Text
from sims.script import Submit


class SubmitLine(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A submit_sm, written down before it is answered.

    `payload` is hexadecimal and has the header of a part, `command_status` is what the script
    answers with, None if not at all.
    """

    event: str = "submit_sm"
    at: float
    system_id: str
    sequence_number: int
    from_: str
    to: str
    message_id: str
    command_status: int | None
    part: int
    parts: int
    esm_class: int
    data_coding: int
    payload: str
    user_message_reference: int | None


class TextLine(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A copy of a text that arrived whole on a handset."""

    event: str = "text"
    at: float
    from_: str
    to: str
    body: str


Line = SubmitLine | TextLine


def submit_line(
    pdu: SubmitSm,
    submit: Submit,
    *,
    at: float,
    system_id: str,
    sequence_number: int,
    message_id: str,
    command_status: int | None,
) -> SubmitLine:
    """The line for `pdu`, which came at `at` (seconds since the epoch)."""
    return SubmitLine(
        at=at,
        system_id=system_id,
        sequence_number=sequence_number,
        from_=shown(pdu.source_addr_ton, pdu.source_addr),
        to=shown(pdu.dest_addr_ton, pdu.destination_addr),
        message_id=message_id,
        command_status=command_status,
        part=submit.part,
        parts=submit.parts,
        esm_class=pdu.esm_class,
        data_coding=pdu.data_coding,
        payload=submit.payload.hex(),
        user_message_reference=message_reference(pdu),
    )


def text_line(text: Text) -> TextLine:
    """The line for `text`."""
    return TextLine(
        at=text.received_at, from_=text.from_address, to=text.to_address, body=text.body
    )


def message_reference(pdu: SubmitSm) -> int | None:
    """Its user_message_reference, if it has one."""
    value = tlv(pdu, Tag.USER_MESSAGE_REFERENCE)
    return None if value is None else int.from_bytes(value, "big")
