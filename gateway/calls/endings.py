"""What a call comes to that ends unanswered: its status, and the code for its caller."""

from typing import Final

import msgspec

from carriers.call_outcomes import relayed
from gateway.calls.model import CallStatus
from twiml.call import DialEnded, DialStatus, Ending

UNAVAILABLE: Final = 480
FAULT: Final = 500
_NO_DOCUMENT: Final = 11200


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
