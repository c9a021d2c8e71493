"""What a call by SIP is that was let in: its row, who calls, what runs for it, its leg."""

from collections.abc import Callable
from typing import Final

from carriers.caller_id import Caller, wants_to_hide
from carriers.trunk import Trunks
from gateway.calls.apps import App, app_of_domain, app_of_number
from gateway.calls.house import House
from gateway.calls.leg import Tell
from gateway.calls.live import Arrival
from gateway.calls.media import CallMedia
from gateway.calls.model import Call, CallDirection, CallLeg, CallStatus
from gateway.calls.parameters import DOMAIN, sip_address, sip_parameters
from gateway.calls.reach import phone_policy, policy_of, srtp_of
from gateway.calls.sip_leg import SipLeg
from gateway.forms import Address
from gateway.sip.admission import Admitted, FromAddress, FromTrunk, FromUser
from protocols.rtp.latch import LatchPolicy
from protocols.sdp.media import MediaPolicy
from protocols.sip import agent_events as events

NUMBER: Final = "number:"
"""How the `origin` of a call begins that came in for a number; the number's SID follows."""


class Arrivals:
    """Makes arrivals and their legs; `parted` is told when a caller is gone."""

    def __init__(self, house: House, trunks: Trunks, parted: Callable[[Call], None]) -> None:
        self._house = house
        self._trunks = trunks
        self._parted = parted

    def arrival(
        self, event: events.Invited, admitted: Admitted, refused: Callable[[str], None]
    ) -> Arrival:
        """What a call is that was let in; `refused` keeps in the log why it came to nothing."""
        request = event.request
        match admitted:
            case FromTrunk():
                trunk = self._trunks.get(admitted.carrier)
                app = app_of_number(admitted.number)
                caller = admitted.caller
                from_, to = caller.number or "anonymous", admitted.number.phone_number
                origin = NUMBER + admitted.number.sid
                latch = LatchPolicy.SIGNALLED if trunk is None else trunk.latch
                extra = sip_parameters(request, event.flow)
            case FromUser() | FromAddress():
                app = app_of_domain(admitted.domain)
                from_, to = sip_address(request.from_.uri), sip_address(request.uri)
                caller = Caller(
                    number=from_,
                    display=request.from_.display,
                    anonymous=wants_to_hide(request),
                )
                origin = DOMAIN + admitted.domain.sid
                latch = LatchPolicy.SIGNALLED
                username = admitted.username if isinstance(admitted, FromUser) else ""
                extra = sip_parameters(request, event.flow, username=username)
        call = self._call(admitted, app, from_, to, origin, caller)
        return Arrival(
            call=call,
            caller=caller,
            app=app,
            refused=refused,
            parted=lambda: self._parted(call),
            latch=latch,
            signalling=event.flow.remote[0],
            max_forwards=max(0, request.max_forwards - 1),
            extra=extra,
        )

    def _call(
        self, admitted: Admitted, app: App, from_: str, to: str, origin: str, caller: Caller
    ) -> Call:
        now = self._house.clock()
        number_sid = carrier = domain = ""
        if isinstance(admitted, FromTrunk):
            number_sid, carrier = admitted.number.sid, admitted.carrier
        else:
            domain = admitted.domain.domain_name
        return Call(
            account_sid=admitted.account_sid,
            sid=self._house.sid(),
            direction=CallDirection.INBOUND,
            status=CallStatus.RINGING,
            from_address=from_,
            to_address=to,
            caller_name=caller.display,
            phone_number_sid=number_sid,
            carrier=carrier,
            domain=domain,
            origin=origin,
            owner=self._house.owner,
            status_callback=app.status_callback,
            status_callback_method=app.status_callback_method,
            date_created=now,
            date_updated=now,
        )

    def leg(
        self,
        event: events.Invited,
        arrival: Arrival,
        policy: MediaPolicy,
        media: CallMedia,
        tell: Tell,
    ) -> SipLeg:
        """The leg of one."""
        call, flow = arrival.call, event.flow
        record = CallLeg(
            account_sid=call.account_sid,
            sid=call.sid,
            direction=CallDirection.INBOUND,
            carrier=call.carrier,
            peer=str(Address(*flow.remote)),
            transport=flow.transport,
            call_id=event.request.call_id,
            began=self._house.clock(),
        )
        return SipLeg(
            self._house.tools, media, tell, id=f"{call.sid}.1", record=record, policy=policy
        )

    def policy(self, admitted: Admitted) -> MediaPolicy:
        """What is spoken with who was let in."""
        if not isinstance(admitted, FromTrunk):
            return phone_policy(srtp_of(admitted.domain))
        trunk = self._trunks.get(admitted.carrier)
        return phone_policy() if trunk is None else policy_of(trunk)
