"""What a customer is told over its bind, as jobs: receipts of its texts, texts to its numbers.

They wait, durably, while the customer is not bound. Where a message came from a customer, its
`status_callback` is a `smpp:` URI that names the customer and, for each submit_sm that asked for
a receipt, the id that it was given, its own reference and when it wants to be told.
"""

from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import msgspec

from gateway.core.runner import Job
from gateway.model import Message, MessageStatus
from gateway.sids import JOB, made_at, new_sid
from protocols.smpp.constants import MessageState, RegisteredDelivery
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


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What one submit_sm asked to be told.

    `message_id` is the one it was given, "" for the message's SID; `reference` its own
    user_message_reference, which the receipt repeats; `when` the lower two bits of its
    registered_delivery.
    """

    message_id: str = ""
    reference: int | None = None
    when: int = RegisteredDelivery.ALWAYS

    def is_due(self, state: MessageState) -> bool:
        """Whether a message that ended in `state` is told (v5.0 §4.7.21)."""
        match self.when:
            case RegisteredDelivery.ON_FAILURE:
                return state is not MessageState.DELIVERED
            case RegisteredDelivery.ON_SUCCESS:
                return state is MessageState.DELIVERED
            case _:
                return self.when == RegisteredDelivery.ALWAYS

    def written(self) -> str:
        """In one word."""
        reference = "" if self.reference is None else self.reference
        return f"{self.message_id}~{reference}~{self.when}"

    @classmethod
    def read(cls, word: str) -> "Asked":
        """The value of what `written` gave."""
        message_id, reference, when = word.split("~")
        known = int(reference) if reference else None
        return cls(message_id=message_id, reference=known, when=int(when))


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of a message's end, as its `status_callback` says."""

    system_id: str
    asked: tuple[Asked, ...] = (Asked(),)

    def uri(self) -> str:
        """The `smpp:` URI."""
        query = [("id", each.written()) for each in self.asked]
        return f"{SCHEME}{quote(self.system_id, safe='')}?{urlencode(query)}"

    @classmethod
    def of_uri(cls, uri: str) -> "Told":
        """The value of a URI that `uri` made."""
        system_id, _, query = uri.removeprefix(SCHEME).partition("?")
        asked = tuple(Asked.read(value) for _, value in parse_qsl(query))
        return cls(system_id=unquote(system_id), asked=asked)


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
    if not message.status_callback:
        return []
    told = Told.of_uri(message.status_callback)
    return [
        _job(
            message.account_sid,
            message.sid,
            ReceiptDelivery(
                system_id=told.system_id,
                from_address=message.to_address,
                to_address=message.from_address,
                message_id=asked.message_id or message.sid,
                state=int(state),
                err=f"{message.error_code % 1000:03d}",
                submit_date=date_text(message.date_created),
                done_date=date_text(now),
                reference=asked.reference,
            ),
            now,
        )
        for asked in told.asked
        if asked.is_due(state)
    ]


def for_unfinished(
    account_sid: str, sid: str, system_id: str, between: tuple[str, str], asked: Asked, now: float
) -> list[Job]:
    """The receipt of a part whose text never became whole; `between` are its sender and handset."""
    if not asked.is_due(MessageState.EXPIRED):
        return []
    delivery = ReceiptDelivery(
        system_id=system_id,
        from_address=between[1],
        to_address=between[0],
        message_id=asked.message_id,
        state=int(MessageState.EXPIRED),
        err=f"{_EXPIRED % 1000:03d}",
        submit_date=date_text(made_at(sid)),
        done_date=date_text(now),
        reference=asked.reference,
    )
    return [_job(account_sid, sid, delivery, now)]


def for_inbound(message: Message, system_id: str, parts: int, now: float) -> list[Job]:
    """The jobs that bring an inbound text to the customer whose number it was sent to."""
    return [
        _job(message.account_sid, message.sid, TextDelivery(system_id=system_id, part=part), now)
        for part in range(1, parts + 1)
    ]


def _job(account_sid: str, sid: str, delivery: Delivery, now: float) -> Job:
    return Job(
        id=new_sid(JOB, now),
        kind=KIND,
        account_sid=account_sid,
        endpoint=endpoint_of(delivery.system_id),
        sequence="",
        sid=sid,
        payload=_encode(delivery).decode(),
        created_at=now,
        expire_at=now + _EXPIRES_AFTER,
    )
