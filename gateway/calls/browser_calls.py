"""Calls that clients of the Voice SDK make: the application of their token says what they run."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from carriers.caller_id import Caller
from gateway.calls.apps import APPLICATION, App
from gateway.calls.browser import CLIENT, Dialogue, Hearer
from gateway.calls.description import objection
from gateway.calls.house import House
from gateway.calls.leg import Tell
from gateway.calls.live import Arrival, Live
from gateway.calls.media import CallMedia
from gateway.calls.model import Call, CallDirection, CallLeg, CallStatus
from gateway.calls.places import Find
from gateway.calls.reserved import is_reserved
from gateway.calls.scoped import Scoped
from gateway.calls.way import CLIENTS
from gateway.calls.webrtc_leg import WebRtcLeg
from gateway.forms import Address
from protocols.sip.session_offers import Body
from protocols.sip.transport import Flow
from protocols.voicesdk.errors import Code, Fault
from protocols.voicesdk.events import Invited

_TO: Final = "To"
_LONGEST_ADDRESS: Final = 256
_SAID: Final = "ApplicationSid"


class Asking(Protocol):
    """What the client has to say of its call, and the way back to it."""

    @property
    def account_sid(self) -> str:
        """Whose it is."""
        ...

    @property
    def identity(self) -> str:
        """Who calls."""
        ...

    @property
    def application_sid(self) -> str:
        """What runs."""
        ...

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """What its app says."""
        ...

    @property
    def event(self) -> Invited:
        """How it began."""
        ...

    @property
    def flow(self) -> Flow:
        """How it is connected."""
        ...

    def open(self, sid: str, name: str, hearer: Hearer) -> Dialogue:
        """Take the call for one that begins."""
        ...


class BrowserCalls:
    """Begins them; `full`, `begin` and `find` are what `Placing` is given."""

    def __init__(
        self,
        house: House,
        *,
        full: Callable[[], str],
        begin: Callable[[Scoped, Awaitable[None] | None], None],
        find: Find,
    ) -> None:
        self._house = house
        self._full = full
        self._begin = begin
        self._find = find

    def call(self, asking: Asking) -> Fault | None:
        """Begin one; what is wrong with it if it can't be."""
        if why := self._full():
            return Fault(code=Code.OVERLOADED, message=why)
        tools = self._house.tools
        offer = Body(octets=asking.event.sdp.encode())
        refused = objection(offer, CLIENTS, tools.advertised or tools.host)
        if refused is not None:
            return Fault(code=Code.NOT_ACCEPTABLE, message=str(refused))
        arrival = self._arrival(asking)

        def make_leg(media: CallMedia, tell: Tell) -> WebRtcLeg:
            return self._leg(asking, arrival.call, media, tell)

        live = Live(self._house, arrival, make_leg, self._find)
        live.start(asking.event)
        self._begin(live, None)
        return None

    def _arrival(self, asking: Asking) -> Arrival:
        now, house = self._house.clock(), self._house
        said = dict(asking.parameters)
        from_ = CLIENT + asking.identity
        call = Call(
            account_sid=asking.account_sid,
            sid=house.sid(),
            direction=CallDirection.INBOUND,
            status=CallStatus.RINGING,
            from_address=from_,
            to_address=said.get(_TO, "")[:_LONGEST_ADDRESS],
            origin=APPLICATION + asking.application_sid,
            owner=house.owner,
            date_created=now,
            date_updated=now,
        )
        custom = [(name, value) for name, value in said.items() if name and not is_reserved(name)]
        return Arrival(
            call=call,
            caller=Caller(number=from_),
            app=App(application_sid=asking.application_sid),
            refused=lambda reason: None,
            parted=lambda: None,
            extra=((_SAID, asking.application_sid), *custom),
        )

    def _leg(self, asking: Asking, call: Call, media: CallMedia, tell: Tell) -> WebRtcLeg:
        name = f"{call.sid}.1"
        record = CallLeg(
            account_sid=call.account_sid,
            sid=call.sid,
            direction=CallDirection.INBOUND,
            peer=str(Address(*asking.flow.remote)),
            transport=asking.flow.transport,
            call_id=name,
            began=self._house.clock(),
        )
        leg = WebRtcLeg(self._house.tools, media, tell, id=name, record=record, policy=CLIENTS)
        leg.talk(asking.open(call.sid, name, leg))
        return leg
