"""A customer that submits texts, and a message path that takes them or not."""

from typing import Any

import msgspec

from gateway.core.runner import Job
from gateway.messages import records
from gateway.messages.accept import Accepted
from gateway.messages.customers import jobs
from gateway.messages.customers.jobs import ReceiptDelivery
from gateway.messages.customers.model import Customer
from gateway.messages.draft import Draft, Refusal
from gateway.model import Direction, Message, MessageStatus
from gateway.sids import SMS, new_sid
from protocols.smpp import text
from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import SubmitSm, Tag

NOW = 1_795_000_000.0  # 2026-11-18 11:06:40 UTC
OK = CommandStatus.ESME_ROK
SHOP = Customer(
    system_id="shop/1",
    password="secret",
    account_sid="AC1",
    binds=2,
    tps=0.0,
    senders=("+15550001000", "SHOP"),
)
LONG = "x" * 400


def submit(**changed: Any) -> SubmitSm:
    """A submit_sm from the shop to a handset."""
    given = SubmitSm(
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr="15550001000",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="15551230009",
        registered_delivery=1,
        short_message=b"Hello",
    )
    return msgspec.structs.replace(given, **changed)


def parts(reference: int = 7, body: str = LONG, **changed: Any) -> list[SubmitSm]:
    """The submit_sm of a long text."""
    return [
        submit(
            short_message=each.short_message,
            esm_class=each.esm_class,
            data_coding=each.data_coding,
            tlvs=((Tag.USER_MESSAGE_REFERENCE, each.number.to_bytes(2, "big")),),
            **changed,
        )
        for each in text.segments(body, reference=reference)
    ]


class Plan:
    """A message path that accepts, or refuses with `code`."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.code = 0

    def __call__(self, draft: Draft) -> Accepted | Refusal:
        if self.code:
            return Refusal(error_code=self.code, message="no")
        self.drafts.append(draft)
        message = Message(
            account_sid=draft.account_sid,
            sid=draft.sid or new_sid(SMS, NOW),
            direction=Direction.OUTBOUND_API,
            status=MessageStatus.QUEUED,
            from_address=draft.from_address,
            to_address=draft.to_address,
            body=draft.body,
            num_segments=1,
            parts=1,
            encoding="GSM-7",
            status_callback=draft.status_callback,
            origin=draft.origin,
            valid_until=NOW + draft.validity_period,
            date_created=NOW,
            date_updated=NOW,
        )
        return Accepted(message=message, writes=(records.inserted(message),))


def receipts(due: list[Job]) -> list[ReceiptDelivery]:
    """What the jobs deliver."""
    found = [jobs.delivery_of(job) for job in due]
    assert all(isinstance(each, ReceiptDelivery) for each in found)
    return [each for each in found if isinstance(each, ReceiptDelivery)]
