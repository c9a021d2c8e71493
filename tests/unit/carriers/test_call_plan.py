"""By which carriers a call goes: calls for help by those that take them, others by their route."""

from collections.abc import Mapping

import pytest

from carriers.call_limits import Admission
from carriers.call_plan import call_plan
from carriers.health import Health, HealthState
from carriers.model import Carrier, CarrierKind, Route
from carriers.routing import Medium, Plan, RouteRequest, RoutingTable
from carriers.trunks import Trunk

LONDON = "+442071838750"
BERLIN = "+4930123456"


def trunk(name: str, *emergency: str) -> Carrier:
    return Carrier(
        name=name,
        kind=CarrierKind.SIP,
        trunk=Trunk(uri=f"sip:{name}.example", emergency=emergency or None),
    )


CARRIERS = {
    each.name: each
    for each in (
        trunk("all", "*"),
        trunk("british", "GB"),
        trunk("second", "GB"),
        trunk("plain"),
        Carrier(name="texts", kind=CarrierKind.SMPP),
    )
}
TABLE = RoutingTable((Route(carriers=("plain",)),), tuple(CARRIERS.values()))


def planned(
    to: str,
    from_: str = LONDON,
    carriers: Mapping[str, Carrier] = CARRIERS,
    **states: HealthState,
) -> Plan:
    health = {
        name: Health(
            carrier=name, state=state, binds_up=0, binds_wanted=1, transmitters_up=0, since=0.0
        )
        for name, state in states.items()
    }
    request = RouteRequest(medium=Medium.CALL, account_sid="AC1", to=to, from_=from_)
    return call_plan(request, TABLE, carriers, health, 10.0)


def names(plan: Plan) -> list[str]:
    return [one.carrier for one in plan.candidates]


def test_an_ordinary_call_goes_by_its_route() -> None:
    found = planned(BERLIN)
    assert names(found) == ["plain"]
    assert (found.help, found.admission) == (None, Admission.ORDINARY)
    assert found.rule() == "route *, failover"


@pytest.mark.parametrize(
    ("to", "from_", "expected"),
    [
        ("999", LONDON, ["british", "second", "all"]),
        ("112", BERLIN, ["all"]),
        ("+112", "", ["all", "british", "second"]),
    ],
)
def test_a_call_for_help_goes_by_those_that_take_it(
    to: str, from_: str, expected: list[str]
) -> None:
    found = planned(to, from_)
    assert names(found) == expected
    assert found.admission is Admission.EMERGENCY
    assert found.rule() == f"emergency call to {to.strip('+')}, by {', '.join(expected)}"
    told = found.as_json()
    assert (told["candidates"], told["help"]) == (expected, True)
    assert (found.route, found.routes, found.medium) == (None, 1, Medium.CALL)


def test_nothing_keeps_a_call_for_help_from_being_tried() -> None:
    found = planned("999", british=HealthState.PAUSED, second=HealthState.DOWN)
    assert names(found) == ["all", "second", "british"]
    assert planned("999", british=HealthState.PAUSED).why().startswith("emergency call to 999, by")
    assert names(planned("999", all=HealthState.DRAINING, british=HealthState.PAUSED)) == [
        "second",
        "all",
        "british",
    ]


def test_without_a_trunk_for_it_it_is_refused_and_says_what_is_missing() -> None:
    found = planned("112", carriers={"plain": CARRIERS["plain"]})
    assert (found.candidates, found.considered) == ((), ())
    assert found.admission is Admission.EMERGENCY
    assert "refused: no carrier takes it; name the country" in found.why()
