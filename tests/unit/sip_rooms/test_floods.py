"""Places that prove nothing run out of requests; those that do never do."""

import pytest

from gateway.sip.floods import FloodLimits, Floods

NOW = 100.0


def admitted(floods: Floods, address: str, count: int, now: float = NOW) -> int:
    return sum(floods.admits(address, now) for _ in range(count))


def test_a_burst_and_then_a_rate() -> None:
    floods = Floods(FloodLimits(rate=2.0, burst=5.0))
    assert admitted(floods, "192.0.2.1", 9) == 5
    assert admitted(floods, "192.0.2.1", 9, NOW + 1.5) == 3
    assert admitted(floods, "192.0.2.1", 9, NOW + 1000.0) == 5
    assert admitted(floods, "192.0.2.1", 9, NOW) == 0  # a clock that goes back fills nothing


def test_what_proves_itself_costs_nothing() -> None:
    floods = Floods(FloodLimits(rate=0.0, burst=2.0))
    for _ in range(20):
        assert admitted(floods, "192.0.2.1", 2) == 2  # a request, and one with a password
        floods.proved("192.0.2.1")
    assert admitted(floods, "192.0.2.1", 9) == 2


def test_proofs_save_nothing_up() -> None:
    floods = Floods(FloodLimits(rate=0.0, burst=3.0))
    floods.admits("192.0.2.1", NOW)
    for _ in range(9):
        floods.proved("192.0.2.1")
    floods.proved("192.0.2.2")
    assert admitted(floods, "192.0.2.1", 9) == 3
    assert len(floods) == 1


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_what_a_place_is(one: str, other: str, shared: bool) -> None:
    floods = Floods(FloodLimits(rate=0.0, burst=1.0))
    assert floods.admits(one, NOW)
    assert floods.admits(other, NOW) is not shared


def test_places_are_bounded_and_the_busiest_are_kept() -> None:
    floods = Floods(FloodLimits(rate=0.0, burst=1.0, places=3))
    for number in range(50):
        floods.admits("192.0.2.1", NOW)
        floods.admits(f"198.51.100.{number}", NOW)
    assert len(floods) == 3
    assert not floods.admits("192.0.2.1", NOW)
