"""What became of traffic at a carrier: the second of the three vocabularies of events.

`carriers/network` yields these in batches; `gateway/messages` turns them into state and facts.
Times are seconds since the epoch. `octets` are PDUs as they were on the wire, for the trace.
"""

import msgspec

from carriers.outcomes import Outcome
from protocols.smpp.pdu import SubmitSm
from protocols.smpp.receipt import Receipt


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One submit_sm to be sent: part `part` of the message `sid`, in its attempt `attempt`."""

    account_sid: str
    sid: str
    part: int
    attempt: int
    pdu: SubmitSm


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The carrier answered a submit_sm; `late` if that came after its response timeout."""

    carrier: str
    submission: Submission
    outcome: Outcome
    carrier_id: str
    late: bool
    sent_at: float
    at: float
    octets: tuple[bytes, ...]


class Uncertain(msgspec.Struct, frozen=True, kw_only=True):
    """A submit_sm left and no answer came: response timeout, or the bind was lost."""

    carrier: str
    submission: Submission
    reason: str
    sent_at: float
    at: float
    octets: tuple[bytes, ...]


class Unsent(msgspec.Struct, frozen=True, kw_only=True):
    """A submission that was handed over and never written to the wire: send it again freely."""

    carrier: str
    submission: Submission
    reason: str
    at: float


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Names a deliver_sm or data_sm that waits for our answer: `Network.answer` takes it."""

    bind: int
    sequence_number: int


class Receipted(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery receipt: `receipt` says for which message and what became of it."""

    carrier: str
    delivery: Delivery
    receipt: Receipt
    from_address: str
    to_address: str
    at: float
    octets: tuple[bytes, ...]


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A text, or one part of it, from a handset.

    `digest` is a hash of the PDU but for its sequence_number: equal for octet-equal ones alone.
    """

    carrier: str
    delivery: Delivery
    from_address: str
    to_address: str
    esm_class: int
    data_coding: int
    payload: bytes
    tlvs: tuple[tuple[int, bytes], ...]
    at: float
    octets: tuple[bytes, ...]
    digest: str = ""


class BindUp(msgspec.Struct, frozen=True, kw_only=True):
    """A bind of the carrier is ready for traffic."""

    carrier: str
    bind: int
    at: float


class BindDown(msgspec.Struct, frozen=True, kw_only=True):
    """A bind of the carrier is gone; what it had in flight was reported `Uncertain` before.

    `unread` names the texts, by sequence_number, that we may have taken without the carrier
    having read so: it may deliver them again.
    """

    carrier: str
    bind: int
    reason: str
    at: float
    unread: tuple[int, ...] = ()


class CarrierLeft(msgspec.Struct, frozen=True, kw_only=True):
    """A carrier that is served no more has lost its last bind: nothing follows from it."""

    carrier: str
    at: float


CarrierEvent = (
    Submitted | Uncertain | Unsent | Receipted | Received | BindUp | BindDown | CarrierLeft
)
