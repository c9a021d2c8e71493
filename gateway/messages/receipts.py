"""Receipts that find no message: kept, durably, until the answer that names it comes.

A carrier may send the receipt before the response, and the response may be lost with the bind.
A receipt is matched by id, else by user_message_reference, else, while exactly one message to
that number is held, by its addresses; what is left waits here.
"""

from typing import Final

import msgspec

from carriers.events import Receipted
from carriers.outcomes import DeliveryStatus, fate_of
from gateway.sids import new_sid
from gateway.store.base import Delete, Insert, Query, Row, Write

_PREFIX: Final = "PR"


class NotedReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What we need of a receipt, in the form in which it waits: no text, no octets."""

    carrier: str
    carrier_id: str
    state: str  # the carrier's word
    status: DeliveryStatus  # what it means
    error_code: int
    reason: str
    reference: int | None
    from_address: str  # the handset's
    to_address: str


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt in table `parked_receipts`."""

    id: str
    receipt: NotedReceipt
    at: float


INSERT: Final = Insert(
    table="parked_receipts", columns=("id", "carrier", "id_key", "receipt", "at")
)
DELETE: Final = Delete(table="parked_receipts", key=("id",))
OF_CARRIER: Final = Query(
    "parked_receipts_of_carrier",
    "SELECT id, receipt, at FROM parked_receipts WHERE carrier = $1 ORDER BY id",
)

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(NotedReceipt)


def noted(event: Receipted) -> NotedReceipt:
    """The receipt of `event` as we keep it."""
    receipt = event.receipt
    fate = fate_of(receipt)
    return NotedReceipt(
        carrier=event.carrier,
        carrier_id=receipt.message_id,
        state=receipt.state.name,
        status=fate.status,
        error_code=fate.error_code,
        reason=fate.reason,
        reference=receipt.user_message_reference,
        from_address=event.from_address,
        to_address=event.to_address,
    )


def parked(receipt: NotedReceipt, key: str, now: float) -> tuple[Parked, Write]:
    """The receipt as it waits from now on, and the write that makes it so."""
    row = Parked(id=new_sid(_PREFIX, now), receipt=receipt, at=now)
    return row, (INSERT, (row.id, receipt.carrier, key, _encode(receipt).decode(), now))


def unparked(row: Parked) -> Write:
    """The write that forgets a receipt that found its message, or waited too long."""
    return DELETE, (row.id,)


def parked_of(row: Row) -> Parked:
    """The receipt that a row of `OF_CARRIER` holds."""
    return Parked(id=row[0], receipt=_decoder.decode(row[1]), at=row[2])
