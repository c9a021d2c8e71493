"""What the handlers need, in one value: the daemon builds it and gives it to `build_app`.

The services that other rooms own are named here by what REST asks of them, so that a test can
stand in for them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from aiohttp import web
from prometheus_client.registry import Collector

from carriers.health import Health, Intake
from carriers.model import CarrierKind
from carriers.routing import Plan, RouteRequest
from gateway.access.keys import Keys
from gateway.access.turn import IceServers
from gateway.accounts import Accounts
from gateway.api.gate import Gate
from gateway.browsers.roster import Place, Present
from gateway.bus.base import Bus
from gateway.calls.orders import NoCalls, Orders
from gateway.core.replay import Replay
from gateway.messages.draft import Draft, Refusal
from gateway.messages.idempotency import Replayed
from gateway.metrics import HttpCounters
from gateway.model import Message
from gateway.phone_numbers import PhoneNumbers
from gateway.proxies import NONE as NO_PROXIES
from gateway.proxies import Proxies
from gateway.recordings.book import Book as Recordings
from gateway.sip.directory import SipDirectory
from gateway.sources import Sources
from gateway.store.base import Store
from gateway.tries import Tries
from gateway.trunk_report import TrunkReport

Face = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MessageService(Protocol):
    """The message path, as `gateway/messages/service.py` offers it."""

    async def accept(self, draft: Draft) -> Message | Refusal:
        """Take a text; the value returned is durable."""
        ...

    async def accept_once(self, draft: Draft, key: str) -> Message | Replayed | Refusal:
        """Take a text unless one was taken under `key`: then what that one is now."""
        ...

    async def cancel(self, account_sid: str, sid: str) -> Message | Refusal:
        """Stop a text that has not left."""
        ...

    async def redact(self, account_sid: str, sid: str) -> Message | Refusal:
        """Empty the body and forget the trace."""
        ...

    async def delete(self, account_sid: str, sid: str) -> Refusal | None:
        """Remove a text and what is known of it."""
        ...


class CarrierService(Protocol):
    """The carriers, as `gateway/fleet.py` sees them."""

    def names(self) -> Sequence[str]:
        """Every configured carrier."""
        ...

    def kind(self, carrier: str) -> CarrierKind:
        """What is spoken with `carrier`, which is configured."""
        ...

    def health(self, carrier: str, now: float) -> Health:
        """How `carrier` stands."""
        ...

    def trunk(self, carrier: str) -> TrunkReport | None:
        """How its SIP side stands; None if it has none, or nobody tells."""
        ...

    async def steer(self, carrier: str, intake: Intake) -> None:
        """Let its owner hand it traffic, nothing more, or nothing more and then unbind."""
        ...


class Clients(Protocol):
    """The devices of the Voice SDK that are connected to this process."""

    def page(self, account_sid: str, limit: int, after: Place = ("", 0)) -> Sequence[Present]:
        """The first `limit` of an account behind `after`."""
        ...


class ApiLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the REST face: code points of a text, event streams open at once, events of
    sources that wait for their commit, calls of an account that wait for another process.
    """

    max_body: int = 1600
    max_event_streams: int = 100
    max_ingest_in_flight: int = 10_000
    max_queued: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a handler may touch.

    `price` is what a text that was sent is charged, None where the config does not say.
    `unready` gives "" when traffic may come, else why not. `simulators` gives the URLs of the
    control ports of simulated carriers. `live` gives facts as they are committed, whatever `bus`
    is. `collectors` are read at `/metrics`. While `overloaded`
    too many facts wait to be told elsewhere: events of sources are not taken. `replay` makes jobs
    again from old ones. `calls` are those that this process carries. `faces` are served as they
    are at paths of their own, such as WebSockets. `ice_servers` are what browsers are told of.
    `is_local` is whether HTTP is listened at for this machine alone, `proxies` are those that are
    believed of who asks. `clients` are None where no browser can connect.
    """

    store: Store
    accounts: Accounts
    keys: Keys
    phone_numbers: PhoneNumbers
    sip: SipDirectory
    messages: MessageService
    carriers: CarrierService
    recordings: Recordings
    bus: Bus
    live: Bus
    timeline: Callable[[Store, str, str], Awaitable[dict[str, Any] | None]]
    plan: Callable[[RouteRequest, float], Plan]
    price: Callable[[Message], Decimal | None]
    unready: Callable[[], str]
    clock: Callable[[], float]
    simulators: Callable[[], Sequence[str]] = tuple
    limits: ApiLimits = field(default_factory=ApiLimits)
    tries: Tries = field(default_factory=Tries)
    http: HttpCounters = field(default_factory=HttpCounters)
    collectors: Sequence[Collector] = ()
    sources: Sources = field(default_factory=Sources)
    overloaded: Callable[[], bool] = lambda: False
    replay: Replay | None = None
    ice_servers: Callable[[], IceServers] = IceServers
    is_local: bool = False
    proxies: Proxies = NO_PROXIES
    clients: Clients | None = None
    calls: Orders = field(default_factory=NoCalls)
    faces: Mapping[str, Face] = field(default_factory=dict)
    ingest: Gate = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ingest", Gate(self.limits.max_ingest_in_flight))
