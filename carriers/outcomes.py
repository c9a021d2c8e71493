"""What a carrier's answer means: command_status and receipt states as the gateway's own words.

A refusal is a value. `Outcome` says what to do with a submission that was answered; `Fate` says
what a receipt made of a message that was sent. Error codes are Twilio's (30xxx), statuses are
SMPP's. Two tables hold every judgement, and what stands in neither is 30008, unknown error.
"""

from enum import StrEnum
from typing import Final

import msgspec

from protocols.smpp.constants import CommandStatus, MessageState, describe_status
from protocols.smpp.receipt import Receipt


class OutcomeKind(StrEnum):
    """What the sender does next: each kind is one behaviour of dispatch."""

    ACCEPTED = "accepted"
    THROTTLED = "throttled"  # pause the bind, then the same submission again
    QUEUE_FULL = "queue_full"  # the carrier's queue for this destination or account is full
    RETRY = "retry"  # another temporary failure: again later, here or at the next carrier
    REFUSED = "refused"  # permanent: never again at this carrier
    BIND_FATAL = "bind_fatal"  # the account itself is refused: back off for long and tell somebody


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, judged. `error_code` is 0 or Twilio's; `status` is the command_status."""

    kind: OutcomeKind
    error_code: int
    status: int
    reason: str


class DeliveryStatus(StrEnum):
    """How far a receipt moves a message; `PENDING` moves it nowhere."""

    PENDING = "pending"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt, judged. `error_code` is Twilio's, 0 unless undelivered."""

    status: DeliveryStatus
    error_code: int
    reason: str


UNREACHABLE_HANDSET: Final = 30003
BLOCKED: Final = 30004
UNKNOWN_HANDSET: Final = 30005
UNREACHABLE_CARRIER: Final = 30006
FILTERED: Final = 30007
UNKNOWN_ERROR: Final = 30008
CONGESTION: Final = 30017

_K = OutcomeKind
_C = CommandStatus

# Every command_status that can answer a submit_sm or data_sm. Codes of temporary kinds are what a
# message fails with if it runs out of tries, never what one answer makes of it.
_BY_STATUS: Final[dict[CommandStatus, tuple[OutcomeKind, int]]] = {
    _C.ESME_ROK: (_K.ACCEPTED, 0),
    _C.ESME_RINVMSGLEN: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVCMDLEN: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVCMDID: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVBNDSTS: (_K.RETRY, UNKNOWN_ERROR),
    _C.ESME_RALYBND: (_K.BIND_FATAL, UNKNOWN_ERROR),
    _C.ESME_RINVPRTFLG: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVREGDLVFLG: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RSYSERR: (_K.RETRY, UNKNOWN_ERROR),
    _C.ESME_RINVSRCADR: (_K.REFUSED, FILTERED),
    _C.ESME_RINVDSTADR: (_K.REFUSED, UNKNOWN_HANDSET),
    _C.ESME_RINVMSGID: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RBINDFAIL: (_K.BIND_FATAL, UNKNOWN_ERROR),
    _C.ESME_RINVPASWD: (_K.BIND_FATAL, UNKNOWN_ERROR),
    _C.ESME_RINVSYSID: (_K.BIND_FATAL, UNKNOWN_ERROR),
    _C.ESME_RMSGQFUL: (_K.QUEUE_FULL, CONGESTION),
    _C.ESME_RINVSERTYP: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVNUMDESTS: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVDLNAME: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVDESTFLAG: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVSUBREP: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVESMCLASS: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RCNTSUBDL: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RSUBMITFAIL: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVSRCTON: (_K.REFUSED, FILTERED),
    _C.ESME_RINVSRCNPI: (_K.REFUSED, FILTERED),
    _C.ESME_RINVDSTTON: (_K.REFUSED, UNKNOWN_HANDSET),
    _C.ESME_RINVDSTNPI: (_K.REFUSED, UNKNOWN_HANDSET),
    _C.ESME_RINVSYSTYP: (_K.BIND_FATAL, UNKNOWN_ERROR),
    _C.ESME_RINVREPFLAG: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RTHROTTLED: (_K.THROTTLED, CONGESTION),
    _C.ESME_RINVSCHED: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVEXPIRY: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVDFTMSGID: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RX_T_APPN: (_K.RETRY, UNKNOWN_ERROR),
    _C.ESME_RX_P_APPN: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RX_R_APPN: (_K.REFUSED, FILTERED),
    _C.ESME_RINVTLVSTREAM: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RTLVNOTALLWD: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVTLVLEN: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RMISSINGTLV: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVTLVVAL: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RDELIVERYFAILURE: (_K.REFUSED, UNREACHABLE_HANDSET),
    _C.ESME_RUNKNOWNERR: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RSERTYPUNAUTH: (_K.REFUSED, FILTERED),
    _C.ESME_RPROHIBITED: (_K.REFUSED, FILTERED),
    _C.ESME_RSERTYPUNAVAIL: (_K.RETRY, UNKNOWN_ERROR),
    _C.ESME_RSERTYPDENIED: (_K.REFUSED, FILTERED),
    _C.ESME_RINVDCS: (_K.REFUSED, UNKNOWN_ERROR),
    _C.ESME_RINVSRCADDRSUBUNIT: (_K.REFUSED, FILTERED),
    _C.ESME_RINVDSTADDRSUBUNIT: (_K.REFUSED, UNKNOWN_HANDSET),
    _C.ESME_RINVNUMMSGS: (_K.REFUSED, UNKNOWN_ERROR),
}

_OUTCOMES: Final[dict[int, Outcome]] = {
    int(status): Outcome(
        kind=kind, error_code=code, status=int(status), reason=describe_status(status)
    )
    for status, (kind, code) in _BY_STATUS.items()
}

ACCEPTED: Final = _OUTCOMES[0]


def outcome_of(status: int) -> Outcome:
    """What `status`, the command_status of a *_resp or generic_nack, means for a submission."""
    known = _OUTCOMES.get(status)
    if known is not None:
        return known
    return Outcome(
        kind=OutcomeKind.REFUSED,
        error_code=UNKNOWN_ERROR,
        status=status,
        reason=describe_status(status),
    )


_D = DeliveryStatus

# EXPIRED is 30003: the carrier tried until its time was up, so the handset could not be reached;
# 30036 stays for what was never submitted. ACCEPTD is final in SMPP v3.4 §5.2.28 (read by an
# operator), but carriers send it for "the next hop has it", so it moves nothing.
_BY_STATE: Final[dict[MessageState, tuple[DeliveryStatus, int, str]]] = {
    MessageState.SCHEDULED: (_D.PENDING, 0, "scheduled at the carrier"),
    MessageState.ENROUTE: (_D.PENDING, 0, "on its way"),
    MessageState.ACCEPTED: (_D.PENDING, 0, "accepted by the next hop"),
    MessageState.DELIVERED: (_D.DELIVERED, 0, "delivered to the handset"),
    MessageState.EXPIRED: (_D.UNDELIVERED, UNREACHABLE_HANDSET, "expired at the carrier"),
    MessageState.DELETED: (_D.UNDELIVERED, UNKNOWN_ERROR, "deleted by the carrier"),
    MessageState.UNDELIVERABLE: (_D.UNDELIVERED, UNREACHABLE_HANDSET, "undeliverable"),
    MessageState.UNKNOWN: (_D.UNDELIVERED, UNKNOWN_ERROR, "lost track of by the carrier"),
    MessageState.REJECTED: (_D.UNDELIVERED, FILTERED, "rejected by the carrier"),
    MessageState.SKIPPED: (_D.UNDELIVERED, UNKNOWN_ERROR, "skipped by the carrier"),
}

_GSM_NETWORK: Final = 3  # network_error_code, first octet (SMPP v3.4 §5.3.2.31)

# MAP user errors (3GPP TS 29.002 §17.6.6) that say more than "undeliverable".
_BY_GSM_ERROR: Final[dict[int, tuple[int, str]]] = {
    1: (UNKNOWN_HANDSET, "unknown subscriber"),
    5: (UNKNOWN_HANDSET, "unidentified subscriber"),
    6: (UNREACHABLE_HANDSET, "absent subscriber"),
    9: (BLOCKED, "illegal subscriber"),
    11: (UNREACHABLE_CARRIER, "texts are not provisioned for this subscriber"),
    12: (BLOCKED, "illegal equipment"),
    13: (BLOCKED, "barred"),
    21: (UNREACHABLE_CARRIER, "not supported by the network"),
    27: (UNREACHABLE_HANDSET, "absent subscriber"),
}


def fate_of(receipt: Receipt) -> Fate:
    """What `receipt` makes of its message; an intermediate notification is never final."""
    status, error_code, reason = _BY_STATE[receipt.state]
    if status is _D.UNDELIVERED and receipt.network_type == _GSM_NETWORK:
        more = _BY_GSM_ERROR.get(receipt.network_error_code)
        if more is not None:
            error_code, reason = more
    if receipt.intermediate:
        status, error_code = _D.PENDING, 0
    if receipt.err and status is _D.UNDELIVERED:
        reason = f"{reason} (err {receipt.err})"
    return Fate(status=status, error_code=error_code, reason=reason)
