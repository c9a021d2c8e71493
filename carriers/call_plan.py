"""By which carriers a call goes: those that take calls for help if it is one, else by its route.

A pure function, as `routing.plan`. Nothing keeps a call for help from being tried: a carrier that
is down or that the operator paused comes after the others, and no limit holds (`Plan.admission`).
"""

from collections.abc import Mapping
from typing import Final

from carriers.emergency import CallForHelp, call_for_help
from carriers.health import Health
from carriers.model import Carrier
from carriers.routing import Considered, Plan, RouteRequest, RoutingTable, Verdict, consider, plan

_TRIED: Final = (Verdict.READY, Verdict.WAITS, Verdict.DRAINING, Verdict.PAUSED)


def call_plan(
    request: RouteRequest,
    table: RoutingTable,
    carriers: Mapping[str, Carrier],
    health: Mapping[str, Health],
    now: float,
) -> Plan:
    """The way of a call to what was dialled, `request.to`.

    `carriers` are all by their names, `request.from_` tells the caller's country. A call for help
    that no carrier takes has no candidates: it is refused, and `why` says what is missing.
    """
    trunks = {name: each.trunk for name, each in carriers.items() if each.trunk is not None}
    found = call_for_help(request.to, request.from_, trunks)
    if found is None:
        return plan(request, table, health, now)
    return _plan_of_help(found, request, table, carriers, health, now)


def _plan_of_help(
    found: CallForHelp,
    request: RouteRequest,
    table: RoutingTable,
    carriers: Mapping[str, Carrier],
    health: Mapping[str, Health],
    now: float,
) -> Plan:
    considered: list[Considered] = [
        consider(name, carriers[name], request.medium, health.get(name), now)
        for name in found.carriers
    ]
    tried = [one for verdict in _TRIED for one in considered if one.verdict is verdict]
    return Plan(
        to=request.to,
        medium=request.medium,
        route=None,
        routes=table.count,
        candidates=tuple(tried),
        considered=tuple(considered),
        help=found,
    )
