"""The plan: which route, which carriers in which order, and what is said of each."""

import json
from collections import Counter
from decimal import Decimal

import pytest

from carriers.call_limits import Admission
from carriers.health import Health, HealthState
from carriers.model import Carrier, CarrierKind, MediaPolicy, Route, Strategy
from carriers.routing import Medium, Plan, RouteRequest, RoutingTable, Verdict, plan

V = Verdict


def carrier(name: str, **fields: object) -> Carrier:
    return Carrier(**{"name": name, "kind": CarrierKind.SMPP, **fields})


def health(state: HealthState, reason: str = "", since: float = 0.0) -> Health:
    return Health(
        carrier="",
        state=state,
        binds_up=0,
        binds_wanted=1,
        transmitters_up=0,
        since=since,
        reason=reason,
    )


CARRIERS = (
    carrier("acme", prices={"+44": Decimal("0.03")}, price=Decimal("0.01")),
    carrier("beta", price=Decimal("0.02")),
    carrier("text", media=MediaPolicy.REFUSE),
    carrier("trunk", kind=CarrierKind.SIP),
    carrier("sim", kind=CarrierKind.SIMULATED),
)


def planned(
    *routes: Route,
    to: str = "+442071838750",
    account: str = "AC1",
    medium: Medium = Medium.SMS,
    fraction: float = 0.0,
    now: float = 100.0,
    **states: Health,
) -> Plan:
    request = RouteRequest(
        medium=medium, account_sid=account, to=to, from_="+15550001000", fraction=fraction
    )
    return plan(request, RoutingTable(routes, CARRIERS), states, now)


def names(found: Plan) -> list[str]:
    return [one.carrier for one in found.candidates]


def verdicts(found: Plan) -> dict[str, Verdict]:
    return {one.carrier: one.verdict for one in found.considered}


@pytest.mark.parametrize(
    ("to", "account", "expected"),
    [
        ("+447700900000", "AC1", "+447"),
        ("+442071838750", "AC1", "+44"),
        ("+15550001000", "AC1", ""),
        ("12345", "AC1", ""),
        ("+447700900000", "AC2", "+4"),  # the account's own before a longer one for everybody
        ("+15550001000", "AC2", ""),
    ],
)
def test_the_longest_prefix_and_the_accounts_own_first(
    to: str, account: str, expected: str
) -> None:
    routes = (
        Route(carriers=("acme",)),
        Route(prefix="+44", carriers=("acme",)),
        Route(prefix="+447", carriers=("acme",)),
        Route(prefix="+4", carriers=("beta",), account="AC2"),
    )
    found = planned(*routes, to=to, account=account)
    assert found.route is not None
    assert found.route.prefix == expected
    assert found.route.account == ("AC2" if expected == "+4" else "")


def test_a_star_is_every_number_and_the_first_of_two_counts() -> None:
    assert names(planned(Route(prefix="*", carriers=("beta",)))) == ["beta"]
    twice = (Route(carriers=("acme",)), Route(prefix="*", carriers=("beta",)))
    assert names(planned(*twice)) == ["acme"]


def test_no_route_no_candidate_and_a_reason() -> None:
    found = planned(Route(prefix="+1", carriers=("acme",)))
    assert (found.candidates, found.considered, found.route) == ((), (), None)
    assert found.why() == found.rule() == "the only route does not serve +442071838750"
    assert found.as_json()["rule"] == found.rule()
    several = planned(*(Route(prefix=f"+{n}", carriers=("acme",)) for n in range(1, 4)))
    assert several.rule() == "none of the 3 routes serves +442071838750"


def test_without_routes_every_carrier_serves_in_the_order_of_the_file() -> None:
    found = planned()
    assert names(found) == ["acme", "beta", "text", "sim"]
    assert verdicts(found)["trunk"] is V.WRONG_KIND
    assert names(planned(medium=Medium.CALL)) == ["trunk", "sim"]
    assert "no routes are configured" in found.why()


def test_media_goes_where_it_is_carried() -> None:
    found = planned(medium=Medium.MMS)
    assert names(found) == ["acme", "beta", "sim"]
    assert verdicts(found)["text"] is V.NO_MEDIA
    assert 'media = "refuse"' in found.why()


@pytest.mark.parametrize(
    ("state", "verdict", "candidates"),
    [
        (HealthState.BOUND, V.READY, ["acme", "beta"]),
        (HealthState.DEGRADED, V.READY, ["acme", "beta"]),
        (HealthState.DOWN, V.WAITS, ["beta", "acme"]),
        (HealthState.PAUSED, V.PAUSED, ["beta"]),
        (HealthState.DRAINING, V.DRAINING, ["beta"]),
    ],
)
def test_health_decides(state: HealthState, verdict: Verdict, candidates: list[str]) -> None:
    found = planned(Route(carriers=("acme", "beta")), acme=health(state, "why"))
    assert names(found) == candidates
    assert verdicts(found) == {"acme": verdict, "beta": V.READY}


def test_a_carrier_that_is_down_says_why_and_for_how_long() -> None:
    down = health(HealthState.DOWN, "connection refused", since=88.0)
    found = planned(Route(carriers=("acme",)), acme=down)
    assert names(found) == ["acme"]
    assert found.why() == (
        "route *, failover; acme: no bind is up; traffic waits for it:"
        " connection refused (for 12 s)"
    )


def test_a_longer_route_whose_carriers_are_paused_keeps_the_number() -> None:
    routes = (Route(carriers=("beta",)), Route(prefix="+44", carriers=("acme",)))
    found = planned(*routes, acme=health(HealthState.PAUSED))
    assert names(found) == []
    assert found.why() == "route +44, failover; acme: paused by the operator"


def test_an_unknown_carrier_is_named() -> None:
    found = planned(Route(carriers=("gone", "acme")))
    assert names(found) == ["acme"]
    assert verdicts(found)["gone"] is V.UNKNOWN


WEIGHTED = Route(carriers=("acme", "beta"), strategy=Strategy.WEIGHTED, weights=(3, 1))


@pytest.mark.parametrize(
    ("fraction", "candidates"),
    [
        (0.0, ["acme", "beta"]),
        (0.7499, ["acme", "beta"]),
        (0.75, ["beta", "acme"]),
        (0.9999, ["beta", "acme"]),
    ],
)
def test_weights(fraction: float, candidates: list[str]) -> None:
    assert names(planned(WEIGHTED, fraction=fraction)) == candidates


def test_weights_share_as_they_say_and_equal_ones_equally() -> None:
    def shares(route: Route) -> Counter[str]:
        return Counter(names(planned(route, fraction=step / 100))[0] for step in range(100))

    assert shares(WEIGHTED) == {"acme": 75, "beta": 25}
    equal = Route(carriers=("acme", "beta"), strategy=Strategy.WEIGHTED)
    assert shares(equal) == {"acme": 50, "beta": 50}


def test_weights_count_among_those_that_are_ready() -> None:
    found = planned(WEIGHTED, fraction=0.1, acme=health(HealthState.DOWN))
    assert names(found) == ["beta", "acme"]
    nobody = planned(
        WEIGHTED, acme=health(HealthState.DOWN), beta=health(HealthState.DOWN), fraction=0.9
    )
    assert names(nobody) == ["acme", "beta"]


def test_weight_0_takes_nothing() -> None:
    route = Route(carriers=("acme", "beta"), strategy=Strategy.WEIGHTED, weights=(0, 1))
    found = planned(route, fraction=0.0)
    assert names(found) == ["beta"]
    assert verdicts(found)["acme"] is V.NO_WEIGHT


def test_the_cheapest_first_and_the_unknown_last() -> None:
    route = Route(carriers=("sim", "acme", "beta"), strategy=Strategy.CHEAPEST)
    assert names(planned(route, to="+442071838750")) == ["beta", "acme", "sim"]
    assert names(planned(route, to="+15550001000")) == ["acme", "beta", "sim"]
    assert "acme: ready, 0.01 a segment" in planned(route, to="+15550001000").why()
    down = planned(route, to="+15550001000", acme=health(HealthState.DOWN))
    assert names(down) == ["beta", "sim", "acme"]


def test_reasons_are_kept_as_json() -> None:
    found = planned(Route(carriers=("acme", "beta")), acme=health(HealthState.PAUSED))
    assert json.loads(found.reasons_json()) == [
        {"carrier": "acme", "verdict": "paused", "reason": "paused by the operator"},
        {"carrier": "beta", "verdict": "ready", "reason": "ready"},
    ]
    told = found.as_json()
    assert told["candidates"] == ["beta"]
    assert told["rule"] == "route *, failover"
    assert json.dumps(told)


def test_what_an_account_is_charged_is_what_its_route_says_else_the_cost() -> None:
    routes = (
        Route(prefix="+44", carriers=("acme",), price=Decimal("0.05")),
        Route(prefix="+44", carriers=("acme",), price=Decimal("0.04"), account="AC1"),
        Route(carriers=("acme", "sim")),
    )
    table = RoutingTable(routes, CARRIERS)
    assert table.price("AC2", "acme", "+442071838750", 2) == Decimal("0.10")
    assert table.price("AC1", "acme", "+442071838750", 2) == Decimal("0.08")
    assert table.price("AC1", "acme", "+15550001000", 3) == Decimal("0.03")
    assert table.price("AC1", "sim", "+15550001000", 3) is None
    assert RoutingTable((), CARRIERS).price("AC1", "beta", "+4", 1) == Decimal("0.02")


def test_of_a_call_it_is_said_what_holds_for_trunks() -> None:
    down = health(HealthState.DOWN, "sip:a.example is silent (no answer)", since=88.0)
    route = Route(carriers=("trunk", "acme", "sim"), strategy=Strategy.CHEAPEST)
    found = planned(route, medium=Medium.CALL, trunk=down, sim=health(HealthState.DRAINING))
    assert names(found) == ["trunk"]
    assert [one.reason() for one in found.considered] == [
        "carries no calls, 0.03 a minute",
        "no gateway is up; calls try it last: sip:a.example is silent (no answer) (for 12 s)",
        "draining, takes no new calls",
    ]
    assert found.admission is Admission.ORDINARY
    assert found.as_json()["help"] is False
