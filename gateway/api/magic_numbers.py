"""Test credentials: the numbers that answer as at Twilio, so that an app can test its own errors.

Twilio's rule: requests are judged as real ones, nothing is stored, sent or called back, and only
creating messages, calls and numbers is offered.
"""

from typing import Final

from gateway.api.http import refuse
from gateway.api.resources import Call
from gateway.messages.draft import Refusal

MAGIC_NUMBER: Final = "+15005550006"

_SENDERS: Final = {
    "+15005550001": (21212, "is invalid"),
    "+15005550007": (21606, "is not owned by your account or is not SMS-capable"),
    "+15005550008": (21611, "has an SMS message queue that is full"),
}
_RECIPIENTS: Final = {
    "+15005550001": (21211, "is invalid"),
    "+15005550002": (21612, "cannot be routed to"),
    "+15005550003": (21408, "is in a region that your account may not send to"),
    "+15005550004": (21610, "is on the block list of your account"),
    "+15005550009": (21614, "cannot receive SMS messages"),
}
_NUMBERS: Final = {
    "+15005550000": (21422, "is not available"),
    "+15005550001": (21421, "is invalid"),
}
_CALLEES: Final = {
    "+15005550001": (21217, "does not appear to be valid"),
    "+15005550002": (21214, "cannot be reached"),
    "+15005550003": (21215, "is in a region that your account may not call"),
    "+15005550004": (21216, "is on the block list of your account"),
}
_OTHER_CALLER: Final = (21210, "is not a number of test credentials")
_OTHER_SENDER: Final = (21606, "is not a number of test credentials")
_AVAILABLE_AREA: Final = "500"


def refuse_test_sender(address: str) -> Refusal | None:
    """What Twilio says to this `From` under test credentials; only the magic sender is taken."""
    if address == MAGIC_NUMBER:
        return None
    code, why = _SENDERS.get(address, _OTHER_SENDER)
    return refuse(code, f"The 'From' number {address} {why}; {MAGIC_NUMBER} is taken")


def refuse_test_recipient(address: str) -> Refusal | None:
    """What Twilio says to this `To` under test credentials; numbers without magic are taken."""
    if address not in _RECIPIENTS:
        return None
    code, why = _RECIPIENTS[address]
    return refuse(code, f"The 'To' number {address} {why}")


def refuse_test_caller(address: str) -> Refusal | None:
    """What Twilio says to this `From` of a call under test credentials."""
    if address == MAGIC_NUMBER:
        return None
    code, why = (21212, "is invalid") if address in _SENDERS else _OTHER_CALLER
    return refuse(code, f"The 'From' number {address[:40]} {why}; {MAGIC_NUMBER} is taken")


def refuse_test_callee(address: str) -> Refusal | None:
    """What Twilio says to this `To` of a call under test credentials; others are taken."""
    if address not in _CALLEES:
        return None
    code, why = _CALLEES[address]
    return refuse(code, f"The 'To' number {address} {why}")


def refuse_test_number(call: Call) -> Refusal | None:
    """What Twilio says when test credentials buy this number or area code."""
    wanted, area = call.text("PhoneNumber"), call.text("AreaCode")
    if wanted:
        if wanted == MAGIC_NUMBER:
            return None
        code, why = _NUMBERS.get(wanted, (21422, "is not available"))
        return refuse(code, f"{wanted} {why}")
    if area == _AVAILABLE_AREA:
        return None
    return refuse(21452, f"No phone numbers found in area code {area}") if area else refuse(21421)
