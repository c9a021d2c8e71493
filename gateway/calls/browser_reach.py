"""The ways to a noun, whoever that is: a client of the Voice SDK by its devices, others by SIP."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.calls.browser import CLIENT, BrowserArm
from gateway.calls.model import CallStatus
from gateway.calls.reach import Arm, Asked, NoArm
from protocols.voicesdk.codec import write_parameters
from twiml.nouns import Client, Noun

if TYPE_CHECKING:
    from gateway.calls.house import House

_API_VERSION: Final = "2010-04-01"
_NOBODY: Final = "anonymous"


def arms_of(house: "House", noun: Noun | Client, asked: Asked) -> Sequence[Arm]:
    """At least one, which may have no way."""
    if not isinstance(noun, Client):
        return house.reach.arms(noun, asked)
    devices = house.browsers.of(asked.call.account_sid, noun.identity)
    if not devices:
        # Twilio's word for it, as where a client is there and nobody takes the call.
        reason = f"{CLIENT}{noun.identity} is not registered"
        return (NoArm(reason, CallStatus.NO_ANSWER),)
    caller = asked.caller
    known = {
        "From": _NOBODY if caller.anonymous else caller.number or _NOBODY,
        "To": CLIENT + noun.identity,
        "ApiVersion": _API_VERSION,
    }
    if noun.parameters:
        known["Params"] = write_parameters(noun.parameters)
    return tuple(BrowserArm(device, known, asked.codecs) for device in devices)
