"""A simulated phone with an account: it registers, answers by its script, and calls when told to.

Like the phones of a carrier it is steered over HTTP, under the name of its user.
"""

import secrets

import msgspec

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.digest import Credentials, Sessions
from protocols.sip.message import NameAddr, Request
from protocols.sip.registration_events import Event, Terms
from protocols.sip.transport import SECURE, Hop
from protocols.sip.uri import SipUri
from protocols.sip.wire import Closed
from sims.carrier import Dialling, Gateway, Nowhere
from sims.phone_calls import CallLog, CallRecord
from sims.phone_registration import Registering
from sims.phone_script import Manner
from sims.sip_exchange import Exchange, Order, Stand, user_of

_NOT_HERE = Reply(status=404)


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """Whose phone it is: a user of a domain, and the server that speaks for that."""

    user: str
    password: str
    domain: str
    server: Hop
    expires: int = 600

    def __repr__(self) -> str:
        return f"Subscriber({self.user}@{self.domain})"


class Phone:
    """The phone; `open` begins to register it."""

    def __init__(self, stand: Stand, subscriber: Subscriber, manner: Manner) -> None:
        self.exchange = Exchange(stand, self)
        self._subscriber = subscriber
        self._manner = manner
        self._credentials = Credentials(username=subscriber.user, password=subscriber.password)
        self._registering: Registering | None = None

    async def open(self) -> int:
        """Listen, and begin to register; returns the port. Raises `OSError`."""
        port = await self.exchange.open()
        who, station = self._subscriber, self.exchange.station
        host, contact_port = station.advertised(who.server)
        transport = who.server.transport
        params = (("transport", "tls" if transport in SECURE else transport.lower()),)
        contact = SipUri(user=who.user, host=host, port=contact_port, params=params)
        server = SipUri(host=who.server.host, port=who.server.port, params=params)
        self._registering = Registering(
            self.exchange,
            Terms(
                aor=NameAddr(uri=SipUri(user=who.user, host=who.domain)),
                registrar=SipUri(host=who.domain),
                contact=NameAddr(uri=contact),
                servers=(server,),
                expires=who.expires,
            ),
            Sessions((self._credentials,), cnonce=lambda: secrets.token_hex(8)),
            who.server,
        )
        self._registering.start()
        return port

    async def registered(self) -> Event:
        """What the registrar said first."""
        assert self._registering is not None
        return await self._registering.until_known()

    async def close(self) -> None:
        """Hang up, take the registration back and stop."""
        if self._registering is not None:
            await self._registering.close()
        await self.exchange.close()

    # From outside

    @property
    def calls(self) -> CallLog:
        """Its calls."""
        return self.exchange.log

    def phone_of(self, text: str) -> str:
        """All calls are its own, whatever it is called by."""
        return self._subscriber.user

    def set_gateway(self, gateway: Gateway) -> None:
        """A phone knows its server."""
        raise Nowhere("a phone has the server that it was started with")

    def set_phone(self, phone: str, manner: Manner) -> None:
        """Say how it answers from here on."""
        self._manner = manner

    def call(self, phone: str, dialling: Dialling) -> CallRecord:
        """Call a number, or a user of its domain. Raises `NoPorts`."""
        who = self._subscriber
        uri = SipUri(user=dialling.to, host=who.domain)
        order = Order(
            phone=who.user,
            dialled=dialling.to,
            uri=uri,
            from_=NameAddr(uri=SipUri(user=who.user, host=who.domain)),
            to=NameAddr(uri=uri),
            destination=who.server,
            manner=dialling.manner,
            credentials=self._credentials,
            late_offer=dialling.late_offer,
            give_up_after=dialling.give_up_after,
        )
        return self.exchange.call(order)

    def forget(self) -> None:
        """Forget what it heard."""
        self.calls.forget()

    # `House`

    def judge(self, invited: events.Invited) -> Reply | None:
        """`House.judge`: who calls another user has the wrong phone."""
        user = user_of(invited.request.uri)
        return None if user in ("", self._subscriber.user) else _NOT_HERE

    def called(self, request: Request) -> tuple[str, str]:
        """`House.called`."""
        return self._subscriber.user, user_of(request.to.uri) or self._subscriber.user

    def manner(self, phone: str) -> Manner:
        """`House.manner`."""
        return self._manner

    def register(self, event: events.RegisterReceived) -> Reply:
        """`House.register`: nobody registers at a phone."""
        return Reply(status=405)

    def responded(self, event: events.Responded) -> None:
        """`House.responded`."""
        if self._registering is not None:
            self._registering.responded(event)

    def closed(self, event: Closed) -> None:
        """`House.closed`."""
        if self._registering is not None:
            self._registering.closed(event)
