"""The trunks under test on a station of their own, and carriers that answer them.

Carriers are stations too, with a registrar behind a digest. DNS is a table.
"""

import asyncio
import random
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from carriers.model import Carrier, CarrierKind
from carriers.trunk import Trunks
from carriers.trunk_events import TrunkEvent
from carriers.trunks import Gateway, Trunk
from protocols.sip import agent_events as events
from protocols.sip import ledger
from protocols.sip.agent_commands import Reply
from protocols.sip.challenge import SERVER, Side
from protocols.sip.challenger import Accepted, Challenger, Demand
from protocols.sip.digest import ha1
from protocols.sip.locating import Abilities, Answer, Found, Kind, Question, Silent, Srv
from protocols.sip.message import Headers, Request
from protocols.sip.registrar import Limits, Registrar
from protocols.sip.registration_events import Patience
from protocols.sip.resolver import Resolver
from protocols.sip.station import Event, Station, Terms, open_station
from protocols.sip.transport import Transport
from protocols.sip.uri import SipUri, format_uri
from protocols.sip.wire import Closed, Failed, Listen, Opened, Tls

E = TypeVar("E", bound=Any)
EPOCH = 1_700_000_000.0
LONG = 100_000.0  # seconds that leap by


def token() -> str:
    return secrets.token_hex(8)


async def eventually(held: Callable[[], bool], within: float = LONG) -> None:
    """Let time pass until `held` is so."""
    async with asyncio.timeout(within):
        while not held():  # noqa: ASYNC110  # there are no events of others, and time leaps
            await asyncio.sleep(0.5)


class Far:
    """A carrier; `says` has an answer by method in place of its own, None for silence."""

    def __init__(self, *, algorithms: tuple[str, ...] = (), side: Side = SERVER) -> None:
        self.says: dict[str, tuple[int, tuple[tuple[str, str], ...]] | None] = {}
        self.asked: list[Request] = []
        self.asked_at: list[float] = []
        self.granted: tuple[tuple[str, str], ...] = ()
        self.registrar = Registrar(Limits(min_expires=60, max_expires=60))
        self.password = "secret"
        self.side = side
        self._challenger = Challenger(b"x" * 32, algorithms=algorithms) if algorithms else None
        self._algorithms = algorithms
        self.station: Station
        self._transport = Transport.UDP

    async def open(
        self, transport: Transport = Transport.UDP, port: int = 0, files: Tls | None = None
    ) -> "Far":
        self._transport = transport
        listen = Listen(transport=transport, host="127.0.0.1", port=port)
        self.station = await open_station(
            Terms(listens=(listen,), files=files),
            self._take,
            token=token,
            chance=random.random,
        )
        return self

    @property
    def port(self) -> int:
        return self.station.endpoint.addresses()[0][1][1]

    @property
    def uri(self) -> str:
        said = "" if self._transport is Transport.UDP else f";transport={self._transport.lower()}"
        return f"sip:127.0.0.1:{self.port}{said}"

    def of(self, method: str) -> list[Request]:
        return [each for each in self.asked if each.method == method]

    def bindings(self) -> list[str]:
        found = self.registrar.bindings("us", self.station.now())
        return [format_uri(each.uri) for each in found]

    def _take(self, event: Event) -> None:
        match event:
            case events.RegisterReceived():
                self._answer(event, self._register(event))
            case events.OptionsReceived():
                self._answer(event, Reply(status=200))
            case Closed(flow=flow):
                self.registrar.flow_closed(flow.id)

    def _answer(
        self, event: events.RegisterReceived | events.OptionsReceived, reply: Reply
    ) -> None:
        self.asked.append(event.request)
        self.asked_at.append(self.station.now())
        said = self.says.get(event.request.method, (0, ()))
        if said is None:
            return
        if said[0]:
            reply = Reply(status=said[0], headers=Headers(said[1]))
        self.station.agent.respond(event.key, reply, self.station.now())

    def _register(self, event: events.RegisterReceived) -> Reply:
        request, now = event.request, self.station.now()
        if self.says.get("REGISTER", (0, ())) != (0, ()):
            return Reply(status=500)  # it is another answer that goes out
        if self._challenger is not None:
            uri = format_uri(request.uri)
            demand = Demand(realm="carrier", method="REGISTER", uri=uri, side=self.side)
            result = self._challenger.check(request.headers, demand, self._account, now=now)
            if not isinstance(result, Accepted):
                return Reply(status=result.status, headers=Headers(result.headers))
        answer, _ = self.registrar.register("us", request, event.flow, now)
        headers = Headers((*answer.headers, *self.granted))
        return Reply(
            status=answer.status, reason=answer.reason, contacts=answer.contacts, headers=headers
        )

    def _account(self, realm: str, username: str) -> dict[str, str]:
        return {name: ha1(name, username, realm, self.password) for name in self._algorithms}


class World:
    """Us: `trunks` over `station`, and what they told."""

    def __init__(self) -> None:
        self.told: list[TrunkEvent] = []
        self.passed: list[events.Responded] = []
        self.names: dict[Question, Answer] = {}
        self.fars: list[Far] = []
        self.station: Station
        self.trunks: Trunks
        self.resolver: Resolver

    async def open(self, files: Tls | None = None) -> "World":
        loop = asyncio.get_running_loop()
        self.station = await self._station(ledger.Limits(), files)
        self.resolver = Resolver(
            self._dns,
            clock=loop.time,
            chance=random.random,
            abilities=Abilities(
                transports=(Transport.UDP, Transport.TCP, Transport.TLS), families=(Kind.A,)
            ),
        )
        self.began = loop.time()
        self.trunks = self.another()
        return self

    async def reopen(self, limits: ledger.Limits) -> None:
        """Another station with these limits, and trunks over it."""
        await self.station.close()
        self.station = await self._station(limits)
        self.another()

    async def _station(self, limits: ledger.Limits, files: Tls | None = None) -> Station:
        listens = tuple(
            Listen(transport=each, host="127.0.0.1") for each in (Transport.UDP, Transport.TCP)
        )
        return await open_station(
            Terms(listens=listens, limits=limits, files=files),
            self._take,
            token=token,
            chance=random.random,
        )

    def another(self, patience: Patience | None = None) -> Trunks:
        """Trunks with other patience, in the place of those that there are."""
        self.trunks = Trunks(
            self.station,
            self.resolver,
            clock=self.clock,
            chance=random.random,
            token=token,
            report=self.told.append,
            **({} if patience is None else {"patience": patience}),
        )
        return self.trunks

    def clock(self) -> float:
        return EPOCH + asyncio.get_running_loop().time() - self.began

    async def far(self, **given: Any) -> Far:
        place = {name: given.pop(name) for name in ("transport", "port", "files") if name in given}
        self.fars.append(await Far(**given).open(**place))
        return self.fars[-1]

    async def close(self) -> None:
        await self.trunks.close(0.0)
        await self.resolver.close()
        for each in (self.station, *(far.station for far in self.fars)):
            await each.close()

    def serve(self, **trunks: Trunk) -> None:
        self.trunks.reload(
            Carrier(name=name, kind=CarrierKind.SIP, trunk=trunk) for name, trunk in trunks.items()
        )

    def of(self, kind: type[E]) -> list[E]:
        return [each for each in self.told if isinstance(each, kind)]

    async def until(self, kind: type[E], count: int = 1) -> E:
        """The event of this kind that is the `count`th."""
        await eventually(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    def name(self, name: str, *servers: tuple[str, int], ttl: float = 30.0) -> None:
        """Let `name` have SRV records of UDP: (address, port), the first preferred."""
        targets = [f"{at}.{name}" for at in range(len(servers))]
        records = tuple(
            Srv(priority=at, weight=0, port=port, target=targets[at])
            for at, (_, port) in enumerate(servers)
        )
        self.names[Question(kind=Kind.SRV, name=f"_sip._udp.{name}")] = Found(
            records=records, ttl=ttl
        )
        for target, (address, _) in zip(targets, servers, strict=True):
            self.names[Question(kind=Kind.A, name=target)] = Found(records=(address,), ttl=ttl)

    async def _dns(self, question: Question) -> Answer:
        if self.names.get(Question(kind=Kind.A, name="away")):
            return Silent(reason="the name server is away")
        return self.names.get(question, Found(records=(), ttl=5.0))

    def dns_goes_away(self) -> None:
        self.names[Question(kind=Kind.A, name="away")] = Found(records=("0.0.0.0",), ttl=0.0)

    def _take(self, event: Event) -> None:
        if isinstance(event, events.Responded | Opened | Closed | Failed):
            taken = self.trunks.take(event)
            if isinstance(event, events.Responded) and not taken:
                self.passed.append(event)


def registering(far: Far, *others: Far, **given: Any) -> Trunk:
    """A trunk that registers at `far`, else at the others."""
    return Trunk(
        gateways=tuple(
            Gateway(uri=each.uri, priority=at) for at, each in enumerate((far, *others))
        ),
        **{
            "domain": "carrier.example",
            "register": True,
            "username": "alice",
            "password": "secret",
            "options_interval": 0.0,
            **given,
        },
    )


def contact_of(request: Request) -> SipUri:
    uri = request.contacts[0].uri
    assert isinstance(uri, SipUri)
    return uri
