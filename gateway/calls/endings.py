"""What a call comes to that ends unanswered: its status, and the code for its caller."""

from typing import Final

import msgspec

from carriers.call_outcomes import relayed
from gateway.calls.model import CallStatus
from protocols.sip.agent_commands import Reply
from protocols.sip.headers import Reason, RetryAfter, write_reason, write_retry_after
from protocols.sip.message import Headers
from twiml.call import DialEnded, DialStatus, Ending

TIMEOUT: Final = 408
UNAVAILABLE: Final = 480
FAULT: Final = 500
FULL: Final = 503
_NO_DOCUMENT: Final = 11200
_LATER: Final = 10  # seconds


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What a call that was never answered ends as, and why any ends; "" is what its leg says."""

    status: CallStatus
    reason: str = ""
    error_code: int = 0


ENDINGS: Final = {
    Ending.DONE: (UNAVAILABLE, Ended(status=CallStatus.FAILED, reason="its document is done")),
    Ending.FAILED: (
        FAULT,
        Ended(
            status=CallStatus.FAILED,
            reason="no document said what to do",
            error_code=_NO_DOCUMENT,
        ),
    ),
}


def unanswered(dialled: DialEnded) -> tuple[int, Ended]:
    """What a caller is told whose document says nothing after a dial that nobody answered."""
    reason = f"the dial ended {dialled.status}"
    status = _OF_DIAL.get(dialled.status, CallStatus.FAILED)
    return relayed(dialled.sip_response_code), Ended(status=status, reason=reason)


_OF_DIAL: Final = {
    DialStatus.BUSY: CallStatus.BUSY,
    DialStatus.NO_ANSWER: CallStatus.NO_ANSWER,
}


def refusal(code: int, reason: str) -> Reply:
    """What a caller is refused with; where no worker has room the whole node is full (§21.5.4)."""
    lines = [write_reason(Reason(protocol="SIP", cause=code, text=reason))]
    if code == FULL:
        lines.append(write_retry_after(RetryAfter(seconds=_LATER)))
    return Reply(status=code, headers=Headers(lines))
