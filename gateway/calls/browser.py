"""What calls ask of browsers and apps that use the Voice SDK, and what these tell a call.

A `Dialogue` is one call at one device: it outlives the socket that it began on, and ends when its
leg says so. Its `Hearer` is that leg. Neither knows the sockets.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from carriers.call_outcomes import STOP_CODES, CallOutcome
from carriers.trunks import EarlyMedia
from gateway.calls.call_messages import Said
from gateway.calls.leg import Gone
from gateway.calls.way import BROWSERS, Way, preferring
from protocols.sdp.media import MediaPolicy
from protocols.sip.transport import Flow
from protocols.voicesdk.errors import Fault

CLIENT: Final = "client:"
MOST_DEVICES: Final = 10
"""Of one identity ring at once; those that registered last, as at Twilio."""


class Dialogue(Protocol):
    """One call at one device, from our side."""

    def invite(self, sdp: str, parameters: Mapping[str, str]) -> None:
        """Let it ring."""
        ...

    def ring(self, sdp: str) -> None:
        """Whom the client calls is being told; with `sdp`, if not "", there may be early media."""
        ...

    def answer(self, sdp: str) -> None:
        """Its call, or its offer, is answered; "" is what was said last."""
        ...

    def cancel(self) -> None:
        """It need not ring any more; that is the last word."""
        ...

    def hang_up(self, fault: Fault | None) -> None:
        """The call is over; that is the last word."""
        ...

    def message(self, said: Said) -> None:
        """An app says something."""
        ...


class Hearer(Protocol):
    """What is told of one call at one device."""

    def on_answered(self, sdp: str) -> None:
        """The client takes the call."""
        ...

    def on_rejected(self) -> None:
        """The client does not."""
        ...

    def on_offered(self, sdp: str) -> None:
        """The client offers anew, or is back with what it has on another socket."""
        ...

    def on_pressed(self, digits: str) -> None:
        """Its user pressed keys."""
        ...

    def on_hung_up(self, message: str) -> None:
        """The client ended it; `message` says why if it was a fault."""
        ...

    def on_fault(self) -> None:
        """Something that it was told could not be coped with."""
        ...

    def on_lost(self, reason: str) -> None:
        """The client did not come back: nobody is there to be told anything."""
        ...


class Device(Protocol):
    """One place where an identity can be reached."""

    @property
    def flow(self) -> Flow:
        """How it is connected."""
        ...

    def open(self, sid: str, name: str, hearer: Hearer) -> Dialogue:
        """Begin a call with it: `sid` is the call's, `name` that of its leg in the ladder."""
        ...


class Devices(Protocol):
    """Who can be reached where."""

    def of(self, account_sid: str, identity: str) -> Sequence[Device]:
        """The devices of an identity that take calls, who registered last first."""
        ...


class Nobody:
    """No device is there: nothing is listened at."""

    def of(self, account_sid: str, identity: str) -> Sequence[Device]:
        """See `Devices`."""
        return ()


class BrowserWay(msgspec.Struct, frozen=True, kw_only=True):
    """One device that may be called, as `way.Way` is one place; `parameters` are what it is told.

    A device is never tried in another way, and belongs to no carrier.
    """

    device: Device
    parameters: Mapping[str, str]
    policy: MediaPolicy = BROWSERS
    carrier: str = ""
    early_media: EarlyMedia = EarlyMedia.PASS
    stop_codes: tuple[int, ...] = STOP_CODES


AnyWay = Way | BrowserWay


class BrowserArm:
    """A device, which is called once."""

    reason: Final = "the device can't be reached"

    def __init__(
        self, device: Device, parameters: Mapping[str, str], codecs: tuple[str, ...]
    ) -> None:
        self._device = device
        self._parameters = parameters
        self._codecs = codecs

    async def next(self, outcome: CallOutcome | None, gone: Gone | None) -> BrowserWay | None:
        """See `reach.Arm`."""
        if outcome is not None:
            return None
        policy = preferring(BROWSERS, self._codecs)
        return BrowserWay(device=self._device, parameters=self._parameters, policy=policy)

    def release(self) -> None:
        """See `reach.Arm`."""
