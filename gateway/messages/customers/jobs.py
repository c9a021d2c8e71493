"""What a customer is told over its bind, as jobs: receipts of its texts, texts to its numbers.

They wait, durably, while the customer is not bound. Where a message came from a customer, its
`status_callback` is a `smpp:` URI that names the customer and the ids it was given, one for each
submit_sm of a long text.
"""

from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from gateway.core.runner import Job
from gateway.model import Message, MessageStatus
from gateway.sids import JOB, new_sid
from protocols.smpp.constants import MessageState
from protocols.smpp.receipt import Receipt, date_text

KIND: Final = "customer_delivery"
SCHEME: Final = "smpp:"
_EXPIRES_AFTER: Final = 72 * 3600.0
_EXPIRED: Final = 30036
_STATES: Final = {
    MessageStatus.DELIVERED: MessageState.DELIVERED,
    MessageStatus.UNDELIVERED: MessageState.UNDELIVERABLE,
    MessageStatus.FAILED: MessageState.REJECTED,
    MessageStatus.CANCELED: MessageState.DELETED,
}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of a message's end, as its `status_callback` says.

    `ids` are the message_ids that the customer was given; `reference` its own
    user_message_reference, which a receipt repeats.
    """

    system_id: str
    ids: tuple[str, ...] = ()
    reference: int | None = None

    def uri(self) -> str:
        """The `smpp:` URI."""
        query = [("id", each) for each in self.ids]
        if self.reference is not None:
            query.append(("reference", str(self.reference)))
        return f"{SCHEME}{quote(self.system_id)}" + (f"?{urlencode(query)}" if query else "")

    @classmethod
    def of_uri(cls, uri: str) -> "Told":
        """The value of a URI that `uri` made."""
        system_id, _, query = uri.removeprefix(SCHEME).partition("?")
        pairs = parse_qsl(query)
        references = [int(value) for name, value in pairs if name == "reference"]
        return cls(
            system_id=system_id,
            ids=tuple(value for name, value in pairs if name == "id"),
            reference=references[0] if references else None,
        )


class ReceiptDelivery(msgspec.Struct, frozen=True, kw_only=True, tag="receipt"):
    """A receipt to be delivered: what the deliver_sm says and between whom."""

    system_id: str
    from_address: str
    to_address: str
    message_id: str
    state: int
    err: str
    submit_date: str
    done_date: str
    reference: int | None
    text: str = ""

    def receipt(self) -> Receipt:
        """As the wire has it."""
        delivered = self.state == MessageState.DELIVERED
        return Receipt(
            message_id=self.message_id,
            state=MessageState(self.state),
            err=self.err,
            sub="001",
            dlvrd="001" if delivered else "000",
            submit_date=self.submit_date,
            done_date=self.done_date,
            user_message_reference=self.reference,
            text=self.text,
        )


class TextDelivery(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """Part `part` of an inbound text to be delivered; its body is read when it leaves."""

    system_id: str
    part: int


Delivery = ReceiptDelivery | TextDelivery

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Delivery] = msgspec.json.Decoder(Delivery)


def delivery_of(job: Job) -> Delivery:
    """What `job` carries."""
    return _decoder.decode(job.payload)


def endpoint_of(system_id: str) -> str:
    """The queue of a customer's deliveries; closed while it is not bound."""
    return f"{SCHEME}{system_id}"


def for_status(message: Message, now: float) -> list[Job]:
    """The receipts that the state of `message` makes due: none unless it is final."""
    state = _STATES.get(message.status)
    if state is None:
        return []
    if message.error_code == _EXPIRED:
        state = MessageState.EXPIRED
    told = Told.of_uri(message.status_callback)
    return [
        _job(
            message,
            ReceiptDelivery(
                system_id=told.system_id,
                from_address=message.to_address,
                to_address=message.from_address,
                message_id=message_id,
                state=int(state),
                err=f"{message.error_code % 1000:03d}",
                submit_date=date_text(message.date_created),
                done_date=date_text(now),
                reference=told.reference,
            ),
            now,
        )
        for message_id in told.ids or (message.sid,)
    ]


def for_inbound(message: Message, system_id: str, parts: int, now: float) -> list[Job]:
    """The jobs that bring an inbound text to the customer whose number it was sent to."""
    return [
        _job(message, TextDelivery(system_id=system_id, part=part), now)
        for part in range(1, parts + 1)
    ]


def _job(message: Message, delivery: Delivery, now: float) -> Job:
    return Job(
        id=new_sid(JOB, now),
        kind=KIND,
        account_sid=message.account_sid,
        endpoint=endpoint_of(delivery.system_id),
        sequence="",
        sid=message.sid,
        payload=_encode(delivery).decode(),
        created_at=now,
        expire_at=now + _EXPIRES_AFTER,
    )
