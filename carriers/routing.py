"""Which carriers may take a text or a call, in which order, and why: a pure function.

The longest prefix wins, a route of the account goes before those for everybody, and the route's
strategy orders its carriers. Every carrier that was considered keeps its verdict, so that
`route explain` and the message itself can say why. Without any route, every carrier serves all
numbers in the order of the file.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

from carriers.call_limits import Admission
from carriers.emergency import CallForHelp
from carriers.health import Health, HealthState
from carriers.model import Carrier, CarrierKind, MediaPolicy, Route, Strategy
from carriers.rates import CostTable


class Medium(StrEnum):
    """What is to be carried; a text with media is an MMS."""

    SMS = "sms"
    MMS = "mms"
    CALL = "call"


class RouteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What looks for a way. `fraction` (0 to below 1, random) picks among weighted carriers."""

    medium: Medium
    account_sid: str
    to: str
    from_: str
    fraction: float = 0.0


class Verdict(StrEnum):
    """What was found of one carrier. The first three are candidates, the best first."""

    READY = "ready"
    WAITS = "waits"  # it takes the traffic when it is back
    PAUSED = "paused"
    DRAINING = "draining"
    WRONG_KIND = "wrong kind"
    NO_MEDIA = "no media"
    NO_WEIGHT = "no weight"
    UNKNOWN = "unknown"


_CANDIDATES: Final = frozenset({Verdict.READY, Verdict.WAITS})

_BY_HEALTH: Final[dict[HealthState, Verdict]] = {
    HealthState.BOUND: Verdict.READY,
    HealthState.DEGRADED: Verdict.READY,
    HealthState.DOWN: Verdict.WAITS,
    HealthState.PAUSED: Verdict.PAUSED,
    HealthState.DRAINING: Verdict.DRAINING,
}

_SENTENCES: Final[dict[Verdict, str]] = {
    Verdict.READY: "ready",
    Verdict.WAITS: "no bind is up; traffic waits for it",
    Verdict.PAUSED: "paused by the operator",
    Verdict.DRAINING: "draining, takes nothing new",
    Verdict.WRONG_KIND: "carries no texts",
    Verdict.NO_MEDIA: 'carries no media (media = "refuse")',
    Verdict.NO_WEIGHT: "has weight 0",
    Verdict.UNKNOWN: "is not configured",
}
# A call does not wait: a trunk that is down is asked when nobody else is left.
_SENTENCES_OF_CALLS: Final[dict[Verdict, str]] = {
    **_SENTENCES,
    Verdict.WAITS: "no gateway is up; calls try it last",
    Verdict.DRAINING: "draining, takes no new calls",
    Verdict.WRONG_KIND: "carries no calls",
}
_PRICED: Final[dict[Medium, str]] = {Medium.CALL: "a minute"}

_CARRIES: Final[dict[CarrierKind, frozenset[Medium]]] = {
    CarrierKind.SMPP: frozenset({Medium.SMS, Medium.MMS}),
    CarrierKind.SIP: frozenset({Medium.CALL}),
    CarrierKind.SIMULATED: frozenset(Medium),
}


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """One carrier and what was found of it for a `medium`.

    `cost` is that of a segment, or of a minute, where it decided.
    """

    carrier: str
    verdict: Verdict
    medium: Medium = Medium.SMS
    health: Health | None = None
    at: float = 0.0
    cost: Decimal | None = None

    def reason(self) -> str:
        """The verdict in words, with what the carrier's health says."""
        call = self.medium is Medium.CALL
        words = (_SENTENCES_OF_CALLS if call else _SENTENCES)[self.verdict]
        health = self.health
        if health is not None and health.reason and self.verdict in _CANDIDATES:
            words = f"{words}: {health.reason}"
        if health is not None and self.verdict is Verdict.WAITS:
            words = f"{words} (for {max(0.0, self.at - health.since):.0f} s)"
        if self.cost is not None:
            words = f"{words}, {self.cost} {_PRICED.get(self.medium, 'a segment')}"
        return words


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`candidates` in the order in which they are to be tried, and everything considered.

    `route` is None if none of the `routes` that there are serves the number (`considered` is
    empty then) or if there are none at all (then the carriers of the file are considered). A call
    for `help` goes by none of them.
    """

    to: str
    medium: Medium
    route: Route | None
    routes: int
    candidates: tuple[Considered, ...]
    considered: tuple[Considered, ...]
    help: CallForHelp | None = None

    @property
    def admission(self) -> Admission:
        """Whether the limits of trunks hold for it."""
        return Admission.ORDINARY if self.help is None else Admission.EMERGENCY

    def why(self) -> str:
        """The plan in one sentence, for a log, a refusal or a person."""
        if not self.considered:
            return self.rule()
        verdicts = "; ".join(f"{one.carrier}: {one.reason()}" for one in self.considered)
        return f"{self.rule()}; {verdicts}"

    def rule(self) -> str:
        """Which route was taken and how it orders its carriers."""
        if self.help is not None:
            return self.help.reason()
        if self.route is None and self.routes:
            which = "the only route does not serve"
            if self.routes > 1:
                which = f"none of the {self.routes} routes serves"
            return f"{which} {self.to}"
        if self.route is None:
            return "no routes are configured, every carrier serves all numbers"
        whose = f" of account {self.route.account}" if self.route.account else ""
        return f"route {self.route.prefix or '*'}{whose}, {self.route.strategy}"

    def reasons_json(self) -> str:
        """The carriers and their reasons as they are kept with a message: a JSON list."""
        return msgspec.json.encode(
            [
                {"carrier": one.carrier, "verdict": one.verdict, "reason": one.reason()}
                for one in self.considered
            ]
        ).decode()

    def as_json(self) -> dict[str, Any]:
        """All of it, for `GET /v1/route` and `route explain`."""
        return {
            "to": self.to,
            "medium": self.medium,
            "rule": self.rule(),
            "help": self.help is not None,
            "candidates": [one.carrier for one in self.candidates],
            "considered": [
                {"carrier": one.carrier, "verdict": one.verdict, "reason": one.reason()}
                for one in self.considered
            ],
        }


class CompiledRoute:
    """A route with its carriers looked up."""

    __slots__ = ("carriers", "route", "weights")

    def __init__(self, route: Route | None, names: Sequence[str], all_: Mapping[str, Carrier]):
        self.route = route
        self.carriers = tuple((name, all_.get(name)) for name in names)
        given = route.weights if route is not None else ()
        self.weights = dict(zip(names, given or (1,) * len(names), strict=True))


class RoutingTable:
    """Routes and carriers, compiled: finding the route takes a look-up per length of a prefix."""

    def __init__(self, routes: Sequence[Route], carriers: Sequence[Carrier]) -> None:
        self.count = len(routes)
        self.costs = CostTable(carriers)
        by_name = {carrier.name: carrier for carrier in carriers}
        self._default = None if routes else CompiledRoute(None, tuple(by_name), by_name)
        self._routes: dict[str, dict[str, CompiledRoute]] = {}
        for route in routes:
            prefix = "" if route.prefix == "*" else route.prefix
            known = self._routes.setdefault(route.account, {})
            known.setdefault(prefix, CompiledRoute(route, route.carriers, by_name))
        self._lengths = {
            account: sorted({len(prefix) for prefix in known}, reverse=True)
            for account, known in self._routes.items()
        }

    def find(self, account_sid: str, to: str) -> CompiledRoute | None:
        """The route of the account with the longest prefix of `to`, else the one for everybody."""
        if self._default is not None:
            return self._default
        for account in (account_sid, ""):
            known = self._routes.get(account)
            if known is not None:
                for length in self._lengths[account]:
                    found = known.get(to[:length])
                    if found is not None:
                        return found
        return None

    def price(self, account_sid: str, carrier: str, to: str, segments: int) -> Decimal | None:
        """What the account pays for `segments` that `carrier` took; None where nobody says it."""
        compiled = self.find(account_sid, to)
        route = compiled.route if compiled is not None else None
        return self.costs.price(route, carrier, to, segments)


def plan(
    request: RouteRequest, table: RoutingTable, health: Mapping[str, Health], now: float
) -> Plan:
    """The way of `request`: candidates that are ready, then those that it would wait for.

    A carrier without a health is taken as ready: nothing is known against it. Reasons are put
    into words only when they are asked for.
    """
    compiled = table.find(request.account_sid, request.to)
    if compiled is None:
        return Plan(
            to=request.to,
            medium=request.medium,
            route=None,
            routes=table.count,
            candidates=(),
            considered=(),
        )
    route = compiled.route
    considered = [
        consider(name, carrier, request.medium, health.get(name), now)
        for name, carrier in compiled.carriers
    ]
    if route is not None and route.strategy is not Strategy.FAILOVER:
        considered = _ORDERS[route.strategy](considered, compiled, table, request)
    ready = [one for one in considered if one.verdict is Verdict.READY]
    if len(ready) < len(considered):
        ready += [one for one in considered if one.verdict is Verdict.WAITS]
    return Plan(
        to=request.to,
        medium=request.medium,
        route=route,
        routes=table.count,
        candidates=tuple(ready),
        considered=tuple(considered),
    )


def consider(
    name: str, carrier: Carrier | None, medium: Medium, health: Health | None, now: float
) -> Considered:
    """What is to be said of one carrier, whatever routes say; None for one that there is not."""
    if carrier is None:
        verdict = Verdict.UNKNOWN
    elif medium not in _CARRIES[carrier.kind]:
        verdict = Verdict.WRONG_KIND
    elif medium is Medium.MMS and carrier.media is MediaPolicy.REFUSE:
        verdict = Verdict.NO_MEDIA
    else:
        verdict = Verdict.READY if health is None else _BY_HEALTH[health.state]
    return Considered(carrier=name, verdict=verdict, medium=medium, health=health, at=now)


_Order = Callable[[list[Considered], CompiledRoute, RoutingTable, RouteRequest], list[Considered]]


def _weighted(
    considered: list[Considered],
    compiled: CompiledRoute,
    table: RoutingTable,
    request: RouteRequest,
) -> list[Considered]:
    """The one that `fraction` falls on first, among those that are ready; the others after it."""
    del table
    weights = compiled.weights
    judged = [
        msgspec.structs.replace(one, verdict=Verdict.NO_WEIGHT)
        if one.verdict in _CANDIDATES and not weights[one.carrier]
        else one
        for one in considered
    ]
    pool = [one for one in judged if one.verdict is Verdict.READY]
    mark = request.fraction * sum(weights[one.carrier] for one in pool)
    for one in pool:
        mark -= weights[one.carrier]
        if mark < 0:
            return [one, *(other for other in judged if other is not one)]
    return judged


def _cheapest(
    considered: list[Considered],
    compiled: CompiledRoute,
    table: RoutingTable,
    request: RouteRequest,
) -> list[Considered]:
    """By cost, the unknown last, in the order of the file where it is equal."""
    del compiled
    priced = [
        msgspec.structs.replace(one, cost=table.costs.cost(one.carrier, request.to))
        for one in considered
    ]
    return sorted(priced, key=lambda one: (one.cost is None, one.cost or 0))


_ORDERS: Final[dict[Strategy, _Order]] = {
    Strategy.WEIGHTED: _weighted,
    Strategy.CHEAPEST: _cheapest,
}
