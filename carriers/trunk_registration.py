"""The registration of one SIP trunk at work: what `registration` wants sent, over the station.

Each server of it is a gateway; of its hops the next is tried when one is silent. What we are
reached at depends on the hop, so that the Contact is known when it is.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from carriers import trunk_events
from carriers.trunk_desk import Desk
from carriers.trunk_events import TrunkEvent
from carriers.trunks import Gateway, TransportChoice, Trunk, gateway_uri
from protocols.sip.agent_commands import Ask
from protocols.sip.agent_events import Responded, Source
from protocols.sip.digest import Credentials, Sessions
from protocols.sip.locating import Unlocated
from protocols.sip.message import NameAddr
from protocols.sip.registration import Registration
from protocols.sip.registration_events import (
    Event,
    Expired,
    Failed,
    GaveUp,
    Registered,
    Sending,
    Standing,
    Terms,
    Unregistered,
)
from protocols.sip.transport import Hop
from protocols.sip.uri import SipUri, format_uri

MAX_HOPS: Final = 4
"""Hops of one gateway that a request is tried at."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What of a trunk a registration hangs on: while it is the same, the registration stays."""

    doors: tuple[Gateway, ...]
    transport: TransportChoice
    domain: str
    expires: float
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Account(username={self.username!r}, domain={self.domain!r})"


def account_of(trunk: Trunk) -> Account | None:
    """What to register; None for nothing."""
    if not trunk.register or not trunk.doors():
        return None
    return Account(
        doors=trunk.doors(),
        transport=trunk.transport,
        domain=trunk.domain,
        expires=trunk.expires,
        username=trunk.username,
        password=trunk.password,
    )


def sessions_of(username: str, password: str, cnonce: Callable[[], str]) -> Sessions:
    """What answers the challenges of a carrier, whatever its realm is."""
    return Sessions((Credentials(username=username, password=password),), cnonce=cnonce)


def identity(username: str, domain: str, doors: Sequence[Gateway]) -> SipUri:
    """Who we are at a carrier: the address of From and To."""
    first = gateway_uri(doors[0])
    return SipUri(scheme=first.scheme, user=username, host=domain or first.host)


class Registering:
    """See the module; `servers` are the account's gateways in the order in which to ask them."""

    def __init__(
        self,
        name: str,
        account: Account,
        servers: Sequence[Gateway],
        desk: Desk,
        report: Callable[[TrunkEvent], None],
    ) -> None:
        self.name = name
        self._account = account
        self._desk = desk
        self._report = report
        self._servers = {gateway_uri(each): each for each in servers}
        self._machine = Registration(
            _terms(account, tuple(self._servers)),
            sessions_of(account.username, account.password, desk.token),
            call_id=desk.token(),
            tag=desk.token,
            random=desk.chance,
            patience=desk.patience,
        )
        self._sending: Sending | None = None
        self._hops: deque[Hop] = deque()
        self._answered: dict[SipUri, Hop] = {}
        self._at: Hop | None = None
        self._stood = False
        self.over = False
        """Nothing of it is left at the carrier, as far as we can tell."""

    def start(self) -> None:
        """Register."""
        self._machine.start(self._now())
        self._go_on()

    def close(self) -> None:
        """Take it back; `over` when that is done."""
        self._machine.close(self._now())
        self._go_on()

    def timer(self) -> float | None:
        """When to call `handle_timer` next."""
        return self._machine.timer()

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`."""
        self._machine.handle_timer(now)
        self._go_on()

    def flow_lost(self, hop: Hop, reason: str) -> bool:
        """The connection to `hop` is gone; whether it is what we registered over."""
        if not self.goes_by(hop):
            return False
        self._machine.flow_lost(reason, self._now())
        self._desk.changed()
        return True

    def goes_by(self, hop: Hop) -> bool:
        """Whether it was made at `hop`."""
        return self._at == hop

    def standing(self) -> Standing:
        """How it is; times are of the station's clock."""
        return self._machine.standing()

    @property
    def service_route(self) -> tuple[NameAddr, ...]:
        """What our requests go by while it stands (RFC 3608)."""
        return self._machine.service_route

    # Inside

    def _now(self) -> float:
        return self._desk.station.now()

    def _go_on(self) -> None:
        """Send what is to be sent, and tell what happened."""
        sending = self._machine.next_request()
        if sending is not None:
            self._sending = sending
            self._desk.do(self._locate(sending), f"register {self.name}")
        while (event := self._machine.next_event()) is not None:
            self._tell(event)
        self._desk.changed()

    async def _locate(self, sending: Sending) -> None:
        server = self._servers[sending.server]
        found = await self._desk.places.find(server, self._account.transport)
        if self._sending is not sending:
            return
        if isinstance(found, Unlocated):
            self._fail(found.reason)
            return
        # A nonce is often known to the one alone that gave it, and so is a registration.
        known = self._answered.get(sending.server)
        hops = sorted(found.hops, key=lambda hop: hop != known)
        self._hops = deque(hops[:MAX_HOPS])
        self._try()

    def _try(self) -> None:
        """Ask at the next hop."""
        hop = self._hops.popleft()
        request = self._machine.reached_at(self._contact(hop))
        if request is None:
            return
        command = Ask(
            method=request.method,
            uri=request.uri,
            from_=request.from_,
            to=request.to,
            contacts=request.contacts,
            headers=request.headers,
            call_id=request.call_id,
            cseq=request.cseq,
        )
        sending = self._sending
        self._desk.ask(command, hop, lambda event: self._take(sending, hop, event))

    def _contact(self, hop: Hop) -> NameAddr:
        """Ours for who is at `hop`; the user in it tells the trunks of one carrier apart."""
        ours = self._desk.station.contact(hop)
        if not isinstance(ours.uri, SipUri):
            return ours
        uri = msgspec.structs.replace(ours.uri, user=self._account.username)
        if gateway_uri(self._account.doors[0]).scheme == "sips":
            # RFC 5630 §5.1.1: who registers with sips is reached by sips.
            uri = msgspec.structs.replace(uri, scheme="sips", params=())
        return msgspec.structs.replace(ours, uri=uri)

    def _take(self, sending: Sending | None, hop: Hop, event: Responded) -> None:
        if sending is None or self._sending is not sending:
            return
        places = self._desk.places
        if event.source is Source.PEER:
            places.reached(hop)
            self._answered[sending.server] = hop
            if event.response.status < 300:
                self._at = hop
            self._machine.responded(event.response, self._now())
            self._go_on()
            return
        places.failed(hop)
        if self._hops:
            self._try()
        else:
            self._fail(trouble_of(event))

    def _fail(self, reason: str) -> None:
        self._machine.failed(reason, self._now())
        self._go_on()

    def _tell(self, event: Event) -> None:
        name, epoch = self.name, self._desk.epoch
        match event:
            case Registered():
                self._stood = True
                told: TrunkEvent = trunk_events.Registered(
                    trunk=name,
                    server=format_uri(event.server),
                    expires_at=epoch(event.expires_at),
                    refreshed=event.refreshed,
                )
            case Failed():
                told = trunk_events.RegistrationFailed(
                    trunk=name,
                    server=format_uri(event.server),
                    status=event.status,
                    reason=event.reason,
                    retry_at=None if event.retry_at is None else epoch(event.retry_at),
                )
            case Expired(reason=reason):
                self._stood = False
                told = trunk_events.RegistrationLost(trunk=name, reason=reason)
            case GaveUp(reason=reason):
                told = trunk_events.RegistrationGivenUp(trunk=name, reason=reason)
            case Unregistered(reason=reason):
                self.over = True
                if not self._stood:
                    return
                told = trunk_events.Unregistered(trunk=name, reason=reason)
        self._report(told)


def trouble_of(event: Responded) -> str:
    """Why there was no answer, where the station made one up."""
    return _TROUBLES.get(event.source) or event.response.reason


_TROUBLES: Final = {Source.TIMEOUT: "no answer", Source.OVERLOAD: "we are overloaded"}


def _terms(account: Account, servers: tuple[SipUri, ...]) -> Terms:
    first = gateway_uri(account.doors[0])
    aor = identity(account.username, account.domain, account.doors)
    # Without a domain of its own the carrier is its first gateway, which may be a port's.
    port = 0 if account.domain else first.port
    return Terms(
        aor=NameAddr(uri=aor),
        registrar=msgspec.structs.replace(aor, user="", port=port),
        contact=NameAddr(uri=msgspec.structs.replace(aor, host="invalid")),
        servers=servers,
        expires=int(account.expires),
    )
