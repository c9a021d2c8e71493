"""What became of one attempt to call: SIP status codes as what is done next and what is told.

One table holds every judgement. `outcome_of_call` says whether the next gateway or carrier is
asked, and as what the call ends if it is not: Twilio's CallStatus and error code. What the
caller's own leg is told, `relayed` says: a carrier's trouble is not ours to repeat.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Final

import msgspec

from protocols.sip.status import phrase


class Next(StrEnum):
    """Who is asked after this attempt."""

    NOBODY = "nobody"
    GATEWAY = "gateway"  # another one of the same carrier, after them the next carrier
    CARRIER = "carrier"  # this carrier's gateways would all say the same


class CallEnd(StrEnum):
    """Twilio's CallStatus of a call that is over."""

    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


class CallOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt, judged. `error_code` is 0 or Twilio's; `sip_code` 0 if nobody answered."""

    next: Next
    end: CallEnd
    error_code: int
    sip_code: int
    reason: str


INVALID_NUMBER: Final = 13224  # nobody can reach it
UNREACHABLE: Final = 32011  # what speaks SIP there has a fault

_N = Next
_E = CallEnd

# What is asked next where the trunk's `stop_codes` do not end it, and as what it ends.
_BY_CODE: Final[dict[int, tuple[Next, CallEnd, int]]] = {
    0: (_N.GATEWAY, _E.FAILED, UNREACHABLE),
    404: (_N.CARRIER, _E.FAILED, INVALID_NUMBER),
    408: (_N.GATEWAY, _E.NO_ANSWER, 0),
    410: (_N.CARRIER, _E.FAILED, INVALID_NUMBER),
    413: (_N.GATEWAY, _E.FAILED, UNREACHABLE),
    430: (_N.GATEWAY, _E.FAILED, UNREACHABLE),
    480: (_N.CARRIER, _E.NO_ANSWER, 0),
    484: (_N.CARRIER, _E.FAILED, INVALID_NUMBER),
    486: (_N.CARRIER, _E.BUSY, 0),
    487: (_N.CARRIER, _E.NO_ANSWER, 0),
    501: (_N.CARRIER, _E.FAILED, UNREACHABLE),
    505: (_N.CARRIER, _E.FAILED, UNREACHABLE),
    513: (_N.CARRIER, _E.FAILED, UNREACHABLE),
    580: (_N.CARRIER, _E.FAILED, UNREACHABLE),
    600: (_N.CARRIER, _E.BUSY, 0),
    603: (_N.CARRIER, _E.BUSY, 0),
    604: (_N.CARRIER, _E.FAILED, INVALID_NUMBER),
}
_BY_CLASS: Final[dict[int, tuple[Next, CallEnd, int]]] = {
    3: (_N.CARRIER, _E.FAILED, UNREACHABLE),
    4: (_N.CARRIER, _E.FAILED, UNREACHABLE),
    5: (_N.GATEWAY, _E.FAILED, UNREACHABLE),
    6: (_N.CARRIER, _E.FAILED, UNREACHABLE),
}

STOP_CODES: Final = (410, 480, 486, 487, 600, 603, 604, 607, 608)
"""The callee, or the network for it, has spoken: whoever is asked next would ring it again."""

_RINGING: Final = 180


def outcome_of_call(
    status: int, *, progress: int = 0, stop_codes: Collection[int] = STOP_CODES
) -> CallOutcome:
    """What an attempt that ended with `status` means; 0 is for no answer at all.

    `progress` is the highest provisional code that came before: who was rung once is not rung by
    another way, whatever went wrong then. A 2xx is a call that stood.
    """
    if 200 <= status < 300:
        return CallOutcome(
            next=Next.NOBODY, end=CallEnd.COMPLETED, error_code=0, sip_code=status, reason=""
        )
    following, end, error_code = _BY_CODE.get(status) or _BY_CLASS[max(3, min(6, status // 100))]
    if status in stop_codes or _RINGING <= progress <= 182:
        following = Next.NOBODY
    return CallOutcome(
        next=following,
        end=end,
        error_code=error_code,
        sip_code=status,
        reason=f"{status} {phrase(status)}" if status else "no answer from the carrier",
    )


# What the caller's leg may hear as it is: it is about the callee or the offer, and nobody's fault.
_RELAYED: Final = frozenset(
    {404, 408, 410, 415, 480, 484, 485, 486, 487, 488, 600, 603, 604, 606, 607, 608}
)
# What says the same about our side of the call.
_INSTEAD: Final[dict[int, int]] = {0: 480, 403: 403, 402: 403, 504: 480, 422: 500}
_FAULT: Final = 500


def relayed(status: int) -> int:
    """The code for the caller's leg after the last attempt ended with `status`.

    A 503 would have the caller's side rest all of us (RFC 3261 §16.7, 6), a 401 ask its user for
    the carrier's password: both are 500, as is all else that lies between us and the carrier.
    """
    if status in _RELAYED:
        return status
    return _INSTEAD.get(status, _FAULT)
