"""Delivery receipts as a simulated carrier sends them: SMPP 3.4 appendix B, and TLVs beside it."""

from typing import Final

from protocols.smpp.constants import EsmClass, MessageState, RegisteredDelivery
from protocols.smpp.pdu import DeliverSm, SubmitSm, tlv
from protocols.smpp.receipt import STAT, Receipt, date_text, render
from protocols.smpp.tlv import Tag
from sims.faults import SendReceipt
from sims.message_ids import IdPlace

_STATES: Final = {stat: state for state, stat in STAT.items()}
_ASKED: Final = 0x03  # bits of registered_delivery (SMPP 5.0, 4.7.21)


def is_asked_for(registered_delivery: int, step: SendReceipt) -> bool:
    """Whether a submit_sm with `registered_delivery` gets this receipt."""
    match registered_delivery & _ASKED:
        case RegisteredDelivery.ALWAYS:
            return True
        case RegisteredDelivery.ON_FAILURE:
            return step.stat != "DELIVRD"
        case RegisteredDelivery.ON_SUCCESS:
            return step.stat == "DELIVRD"
    return False


def receipt(
    submit: SubmitSm,
    message_id: str,
    step: SendReceipt,
    place: IdPlace,
    submitted_at: float,
    done_at: float,
) -> DeliverSm:
    """The receipt for `submit`; times in seconds since the epoch.

    It repeats user_message_reference, which SMPP 3.4, 5.3.2.17 lets a message centre do.
    """
    state = _STATES[step.stat]
    delivered = state is MessageState.DELIVERED
    text = Receipt(
        message_id="0" if place is IdPlace.TLV else message_id,
        state=state,
        err=step.err,
        sub="001",
        dlvrd="001" if delivered else "000",
        submit_date=date_text(submitted_at),
        done_date=date_text(done_at),
    )
    tlvs: list[tuple[int, bytes]] = []
    if place is not IdPlace.TEXT:
        tlvs.append((Tag.RECEIPTED_MESSAGE_ID, message_id.encode("ascii") + b"\0"))
    tlvs.append((Tag.MESSAGE_STATE, bytes((state,))))
    reference = tlv(submit, Tag.USER_MESSAGE_REFERENCE)
    if reference is not None:
        tlvs.append((Tag.USER_MESSAGE_REFERENCE, reference))
    return DeliverSm(
        source_addr_ton=submit.dest_addr_ton,
        source_addr_npi=submit.dest_addr_npi,
        source_addr=submit.destination_addr,
        dest_addr_ton=submit.source_addr_ton,
        dest_addr_npi=submit.source_addr_npi,
        destination_addr=submit.source_addr,
        esm_class=EsmClass.DELIVERY_RECEIPT,
        short_message=render(text),
        tlvs=tuple(tlvs),
    )
