"""What the handlers need, in one value: the daemon builds it and gives it to `build_app`.

The services that other rooms own are named here by what REST asks of them, so that a test can
stand in for them.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from prometheus_client.registry import Collector

from carriers.health import Health
from carriers.routing import Plan, RouteRequest
from gateway.accounts import Accounts
from gateway.bus.base import Bus
from gateway.messages.draft import Draft, Refusal
from gateway.metrics import HttpCounters
from gateway.model import Message
from gateway.phone_numbers import PhoneNumbers
from gateway.store.base import Store
from gateway.tries import Tries


class MessageService(Protocol):
    """The message path, as `gateway/messages/service.py` offers it."""

    async def accept(self, draft: Draft) -> Message | Refusal:
        """Take a text; the value returned is durable."""
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
    """The carriers, as `carriers/network.py` has them."""

    def names(self) -> Sequence[str]:
        """Every configured carrier."""
        ...

    def health(self, carrier: str, now: float) -> Health:
        """How `carrier` stands."""
        ...

    def pause(self, carrier: str, now: float) -> None:
        """Hand it nothing more; binds stay."""
        ...

    def resume(self, carrier: str, now: float) -> None:
        """Use it again."""
        ...

    def drain(self, carrier: str, now: float) -> None:
        """Let it finish, then unbind."""
        ...


class ApiLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the REST face: code points of a text, event streams open at once."""

    max_body: int = 1600
    max_event_streams: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a handler may touch.

    `price` is what a text that was sent is charged, None where the config does not say.
    `unready` gives "" when traffic may come, else why not. `simulators` gives the URLs of the
    control ports of simulated carriers. `collectors` are read at `/metrics`.
    """

    store: Store
    accounts: Accounts
    phone_numbers: PhoneNumbers
    messages: MessageService
    carriers: CarrierService
    bus: Bus
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
