"""The handler of a customer's deliveries: one deliver_sm, and what its answer means."""

from collections.abc import Callable
from typing import Final

from carriers.numbers import wire_address
from gateway.core.runner import Discard, Done, Job, JobOutcome, Retry
from gateway.messages import records
from gateway.messages.customers import jobs
from gateway.messages.customers.binds import BindLost, Binds
from gateway.model import Message
from gateway.store.base import Store
from protocols.smpp import text
from protocols.smpp.constants import CommandStatus, EsmClass
from protocols.smpp.errors import LocalProtocolError
from protocols.smpp.pdu import DeliverSm, Tag
from protocols.smpp.receipt import render

_AGAIN_SOON: Final = 0.2  # seconds, when every window is full
_TEMPORARY: Final = frozenset(
    {
        CommandStatus.ESME_RSYSERR,
        CommandStatus.ESME_RMSGQFUL,
        CommandStatus.ESME_RTHROTTLED,
        CommandStatus.ESME_RX_T_APPN,
    }
)


class Deliveries:
    """Brings receipts and texts to whoever is bound; `close` lets a queue wait for a bind."""

    def __init__(
        self, store: Store, binds: Binds, close: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._binds = binds
        self._close = close
        self._clock = clock

    async def __call__(self, job: Job, attempt: int) -> JobOutcome:
        delivery = jobs.delivery_of(job)
        pdu = await self._pdu(job, delivery)
        if pdu is None:
            return Discard(note="the message was deleted or redacted")
        bind = self._binds.receiver(delivery.system_id)
        if bind is None:
            self._close(job.endpoint)
            return Retry(after=_AGAIN_SOON, note="the customer is not bound")
        try:
            status = await bind.deliver(pdu, self._clock())
        except LocalProtocolError as error:
            return Retry(after=_AGAIN_SOON, note=str(error))
        except BindLost:
            return Retry(after=_AGAIN_SOON, note="the bind was lost before the answer")
        if status == CommandStatus.ESME_ROK:
            return Done()
        note = f"the customer answered 0x{status:08x}"
        return Retry(after=None, note=note) if status in _TEMPORARY else Discard(note=note)

    async def _pdu(self, job: Job, delivery: jobs.Delivery) -> DeliverSm | None:
        if isinstance(delivery, jobs.ReceiptDelivery):
            return _receipt(delivery)
        rows = await self._store.fetch(records.GET, job.account_sid, job.sid)
        return _text(records.message_of(rows[0]), delivery.part) if rows else None


def _receipt(delivery: jobs.ReceiptDelivery) -> DeliverSm:
    source, destination = wire_address(delivery.from_address), wire_address(delivery.to_address)
    tlvs: list[tuple[int, bytes]] = [
        (Tag.RECEIPTED_MESSAGE_ID, delivery.message_id.encode() + b"\0"),
        (Tag.MESSAGE_STATE, bytes((delivery.state,))),
    ]
    if delivery.reference is not None:
        tlvs.append((Tag.USER_MESSAGE_REFERENCE, delivery.reference.to_bytes(2, "big")))
    return DeliverSm(
        source_addr_ton=source.ton,
        source_addr_npi=source.npi,
        source_addr=source.wire,
        dest_addr_ton=destination.ton,
        dest_addr_npi=destination.npi,
        destination_addr=destination.wire,
        esm_class=EsmClass.DELIVERY_RECEIPT,
        short_message=render(delivery.receipt()),
        tlvs=tuple(tlvs),
    )


def _text(message: Message, part: int) -> DeliverSm | None:
    if not message.body and message.version > 1:
        return None  # redacted
    # The reference follows from the SID: the same in every try, another for the next text.
    segments = text.segments(message.body, reference=int(message.sid[-2:], 16))
    segment = segments[part - 1]
    source, destination = wire_address(message.from_address), wire_address(message.to_address)
    return DeliverSm(
        source_addr_ton=source.ton,
        source_addr_npi=source.npi,
        source_addr=source.wire,
        dest_addr_ton=destination.ton,
        dest_addr_npi=destination.npi,
        destination_addr=destination.wire,
        esm_class=segment.esm_class,
        data_coding=segment.data_coding,
        short_message=segment.short_message,
        tlvs=segment.tlvs,
    )
