"""What a carrier's answer means: command_status and receipt states as the gateway's own words.

A refusal is a value. `Outcome` says what to do with a submission that was answered; `Fate` says
what a receipt made of a message that was sent. Error codes are Twilio's (30xxx), statuses are
SMPP's. Two tables hold every judgement, and what stands in neither is 30008, unknown error.
"""

from enum import StrEnum
from typing import Final

import msgspec

from protocols.smpp.receipt import MessageState, Receipt


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

# SMPP v3.4 §5.1.3 and v5.0 §4.7.6. Codes of temporary kinds are what a message fails with if it
# runs out of tries, never what one answer makes of it.
_BY_STATUS: Final[dict[int, tuple[OutcomeKind, int, str]]] = {
    0x0000: (_K.ACCEPTED, 0, "ESME_ROK: accepted"),
    0x0001: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVMSGLEN: message length is invalid"),
    0x0002: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVCMDLEN: command length is invalid"),
    0x0003: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVCMDID: command is not known to the carrier"),
    0x0004: (_K.RETRY, UNKNOWN_ERROR, "ESME_RINVBNDSTS: not allowed on this bind"),
    0x0005: (_K.BIND_FATAL, UNKNOWN_ERROR, "ESME_RALYBND: already bound"),
    0x0006: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVPRTFLG: priority flag is invalid"),
    0x0007: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVREGDLVFLG: registered_delivery is invalid"),
    0x0008: (_K.RETRY, UNKNOWN_ERROR, "ESME_RSYSERR: system error at the carrier"),
    0x000A: (_K.REFUSED, FILTERED, "ESME_RINVSRCADR: the sender is not allowed"),
    0x000B: (_K.REFUSED, UNKNOWN_HANDSET, "ESME_RINVDSTADR: the destination is invalid"),
    0x000C: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVMSGID: message_id is invalid"),
    0x000D: (_K.BIND_FATAL, UNKNOWN_ERROR, "ESME_RBINDFAIL: bind failed"),
    0x000E: (_K.BIND_FATAL, UNKNOWN_ERROR, "ESME_RINVPASWD: password is wrong"),
    0x000F: (_K.BIND_FATAL, UNKNOWN_ERROR, "ESME_RINVSYSID: system_id is not known"),
    0x0014: (_K.QUEUE_FULL, CONGESTION, "ESME_RMSGQFUL: the carrier's queue is full"),
    0x0015: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVSERTYP: service_type is invalid"),
    0x0033: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVNUMDESTS: number of destinations is invalid"),
    0x0034: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVDLNAME: distribution list is not known"),
    0x0040: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVDESTFLAG: destination flag is invalid"),
    0x0042: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVSUBREP: submit with replace is invalid"),
    0x0043: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVESMCLASS: esm_class is invalid"),
    0x0044: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RCNTSUBDL: cannot submit to a distribution list"),
    0x0045: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RSUBMITFAIL: the carrier could not take it"),
    0x0048: (_K.REFUSED, FILTERED, "ESME_RINVSRCTON: type of number of the sender is invalid"),
    0x0049: (_K.REFUSED, FILTERED, "ESME_RINVSRCNPI: numbering plan of the sender is invalid"),
    0x0050: (_K.REFUSED, UNKNOWN_HANDSET, "ESME_RINVDSTTON: type of the destination is invalid"),
    0x0051: (_K.REFUSED, UNKNOWN_HANDSET, "ESME_RINVDSTNPI: plan of the destination is invalid"),
    0x0053: (_K.BIND_FATAL, UNKNOWN_ERROR, "ESME_RINVSYSTYP: system_type is invalid"),
    0x0054: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVREPFLAG: replace_if_present is invalid"),
    0x0058: (_K.THROTTLED, CONGESTION, "ESME_RTHROTTLED: faster than the carrier allows"),
    0x0061: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVSCHED: schedule_delivery_time is invalid"),
    0x0062: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVEXPIRY: validity_period is invalid"),
    0x0063: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVDFTMSGID: predefined message is not known"),
    0x0064: (_K.RETRY, UNKNOWN_ERROR, "ESME_RX_T_APPN: temporary failure at the carrier"),
    0x0065: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RX_P_APPN: permanent failure at the carrier"),
    0x0066: (_K.REFUSED, FILTERED, "ESME_RX_R_APPN: rejected by the carrier"),
    0x00C0: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVTLVSTREAM: optional parameters are invalid"),
    0x00C1: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RTLVNOTALLWD: an optional parameter is refused"),
    0x00C2: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVTLVLEN: length of an optional parameter"),
    0x00C3: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RMISSINGTLV: an optional parameter is missing"),
    0x00C4: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVTLVVAL: value of an optional parameter"),
    0x00FE: (_K.REFUSED, UNREACHABLE_HANDSET, "ESME_RDELIVERYFAILURE: could not be delivered"),
    0x00FF: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RUNKNOWNERR: unknown error at the carrier"),
    0x0100: (_K.REFUSED, FILTERED, "ESME_RSERTYPUNAUTH: service_type is not authorised"),
    0x0101: (_K.REFUSED, FILTERED, "ESME_RPROHIBITED: the carrier prohibits this"),
    0x0102: (_K.RETRY, UNKNOWN_ERROR, "ESME_RSERTYPUNAVAIL: service_type is not available now"),
    0x0103: (_K.REFUSED, FILTERED, "ESME_RSERTYPDENIED: service_type is denied"),
    0x0104: (_K.REFUSED, UNKNOWN_ERROR, "ESME_RINVDCS: data_coding is invalid"),
    0x0105: (_K.REFUSED, FILTERED, "ESME_RINVSRCADDRSUBUNIT: source subunit is invalid"),
    0x0106: (_K.REFUSED, UNKNOWN_HANDSET, "ESME_RINVDSTADDRSUBUNIT: destination subunit"),
}

_OUTCOMES: Final = {
    status: Outcome(kind=kind, error_code=code, status=status, reason=reason)
    for status, (kind, code, reason) in _BY_STATUS.items()
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
        reason=f"command_status 0x{status:08X}: the carrier's own error",
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
