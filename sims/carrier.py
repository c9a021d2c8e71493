"""A simulated SIP carrier: numbers that answer by their last digits, and phones that one can steer.

What the gateway dials rings here: at a phone whose way to answer was set, else as the number's last
four digits say. A phone calls in to where the gateway said that it is, or where it is registered.
"""

from typing import Final

import msgspec

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.digest import Credentials
from protocols.sip.message import NameAddr, Request
from protocols.sip.transport import Destination, Hop, Transport
from protocols.sip.uri import SipUri
from protocols.sip.wire import Closed
from sims.carrier_registrar import Account, Doorman, contact_of
from sims.phone_calls import CallLog, CallRecord
from sims.phone_manners import Manners
from sims.phone_script import Manner
from sims.sip_exchange import Exchange, Order, Stand, shown_number, user_of

_PHONES: Final = 10_000  # whose way to answer is set


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """Where the gateway takes calls, and what proves there that they are ours."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    transport: Transport = Transport.UDP

    def __repr__(self) -> str:
        return f"Gateway({self.host}:{self.port}, username={self.username!r})"


class Nowhere(Exception):
    """Nobody said where the gateway is, and it is not registered; the text says what to do."""


class TooMany(Exception):
    """There are as many phones as there may be."""


class Dialling(msgspec.Struct, frozen=True, kw_only=True):
    """What a phone dials, and what it does then; the last two are as in `Order`."""

    to: str
    manner: Manner
    late_offer: bool = False
    give_up_after: float | None = None


class Carrier:
    """The carrier; `challenges_calls` in its `Habits` asks the gateway's calls for a password."""

    def __init__(self, stand: Stand, manners: Manners, habits: "Habits") -> None:
        self.exchange = Exchange(stand, self)
        self._manners = manners
        self._habits = habits
        self._doorman = Doorman(habits.account)
        self._phones: dict[str, Manner] = {}
        self._gateway: Gateway | None = habits.gateway
        self.port = 0

    async def open(self) -> int:
        """Listen; returns the port. Raises `OSError`."""
        self.port = await self.exchange.open()
        return self.port

    async def close(self) -> None:
        """Hang up and stop."""
        await self.exchange.close()

    # From outside

    @property
    def calls(self) -> CallLog:
        """The calls of all phones."""
        return self.exchange.log

    def phone_of(self, text: str) -> str:
        """A phone's number as it is written here."""
        return shown_number(text)

    def set_gateway(self, gateway: Gateway) -> None:
        """Say where calls go in."""
        self._gateway = gateway

    def set_phone(self, phone: str, manner: Manner) -> None:
        """Say how a phone answers. Raises `TooMany`."""
        if phone not in self._phones and len(self._phones) >= _PHONES:
            raise TooMany(f"{_PHONES} phones are set; forget them: DELETE /sim")
        self._phones[phone] = manner

    def call(self, phone: str, dialling: Dialling) -> CallRecord:
        """Call the gateway from a phone. Raises `Nowhere` and `NoPorts`."""
        dialled = shown_number(dialling.to)
        binding, gateway = self._doorman.binding(), self._gateway
        destination: Destination
        credentials = None
        if gateway is not None:
            uri = SipUri(user=dialled, host=gateway.host, port=gateway.port)
            destination = Hop(transport=gateway.transport, host=gateway.host, port=gateway.port)
            if gateway.username:
                credentials = Credentials(username=gateway.username, password=gateway.password)
        elif binding is not None:
            uri, destination = contact_of(binding, dialled), binding.flow
        else:
            raise Nowhere("nobody said where the gateway is: PUT /sim/gateway, or let it register")
        order = Order(
            phone=phone,
            dialled=dialled,
            uri=uri,
            from_=NameAddr(uri=SipUri(user=phone, host=self._habits.account.realm)),
            to=NameAddr(uri=SipUri(user=dialled, host=uri.host)),
            destination=destination,
            manner=dialling.manner,
            credentials=credentials,
            late_offer=dialling.late_offer,
            give_up_after=dialling.give_up_after,
        )
        return self.exchange.call(order)

    def forget(self) -> None:
        """Forget how phones answer and what they heard; calls that stand go on."""
        self._phones.clear()
        self.calls.forget()

    # `House`

    def judge(self, invited: events.Invited) -> Reply | None:
        """`House.judge`."""
        if not self._habits.challenges_calls:
            return None
        return self._doorman.judge(invited.request)

    def called(self, request: Request) -> tuple[str, str]:
        """`House.called`."""
        number = shown_number(user_of(request.uri) or user_of(request.to.uri))
        return number, number

    def manner(self, phone: str) -> Manner:
        """`House.manner`."""
        return self._phones.get(phone) or self._manners.of(phone)

    def register(self, event: events.RegisterReceived) -> Reply:
        """`House.register`."""
        return self._doorman.register(event)

    def responded(self, event: events.Responded) -> None:
        """`House.responded`: a carrier asks nothing."""

    def closed(self, event: Closed) -> None:
        """`House.closed`."""
        self._doorman.closed(event)


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How a carrier treats the gateway.

    `account` is what the gateway registers as; with `challenges_calls` its calls have to prove
    that, too. `gateway` is where it is, None until somebody says so.
    """

    account: Account = Account()
    challenges_calls: bool = False
    gateway: Gateway | None = None
