"""Costs and prices of a segment."""

from decimal import Decimal

import pytest

from carriers.model import Carrier, CarrierKind, Route
from carriers.rates import CostTable

ACME = Carrier(
    name="acme",
    kind=CarrierKind.SMPP,
    price=Decimal("0.01"),
    prices={"+44": Decimal("0.03"), "+447": Decimal("0.04"), "+1": Decimal(0)},
)
TABLE = CostTable([ACME, Carrier(name="free", kind=CarrierKind.SMPP)])


@pytest.mark.parametrize(
    ("carrier", "to", "cost"),
    [
        ("acme", "+447700900000", "0.04"),
        ("acme", "+442071838750", "0.03"),
        ("acme", "+4915112345678", "0.01"),
        ("acme", "+15550001000", "0"),
        ("acme", "+4", "0.01"),
    ],
)
def test_the_longest_prefix_counts(carrier: str, to: str, cost: str) -> None:
    assert TABLE.cost(carrier, to) == Decimal(cost)


def test_what_the_file_does_not_say_is_unknown() -> None:
    assert TABLE.cost("free", "+15550001000") is None
    assert TABLE.cost("nobody", "+15550001000") is None
    assert TABLE.price(None, "free", "+15550001000", 3) is None


def test_a_route_sets_the_price() -> None:
    route = Route(carriers=("acme",), price=Decimal("0.0079"))
    assert TABLE.price(route, "acme", "+447700900000", 3) == Decimal("0.0237")
    assert TABLE.price(Route(carriers=("acme",)), "acme", "+447700900000", 3) == Decimal("0.12")
    assert TABLE.price(None, "acme", "+4915112345678", 2) == Decimal("0.02")
    free = Route(carriers=("acme",), price=Decimal(0))
    assert TABLE.price(free, "acme", "+447700900000", 3) == 0
