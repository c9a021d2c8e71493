"""How many calls a trunk takes at once and a second."""

import pytest

from carriers.call_limits import CallLimits, Limit


def test_without_limits_every_call_is_taken() -> None:
    limits = CallLimits(cps=0.0, channels=0)
    assert all(limits.admit(f"CA{number}", 0.0) is None for number in range(10_000))
    assert len(limits) == 10_000


def test_a_channel_is_free_again_when_its_call_is_over() -> None:
    limits = CallLimits(cps=0.0, channels=2)
    assert limits.admit("CA1", 0.0) is None
    assert limits.admit("CA2", 0.0) is None
    full = limits.admit("CA3", 0.0)
    assert full is not None
    assert (full.limit, full.retry_at) == (Limit.CHANNELS, None)
    assert full.reason() == "all channels = 2 are taken"
    limits.end("CA1")
    limits.end("CA1")
    assert limits.admit("CA3", 0.0) is None
    assert limits.admit("CA4", 0.0) is not None, "one end frees one channel"


def test_a_call_that_is_counted_is_not_counted_twice() -> None:
    limits = CallLimits(cps=1.0, channels=1)
    assert limits.admit("CA1", 0.0) is None
    assert limits.admit("CA1", 0.0) is None
    assert len(limits) == 1


def test_calls_a_second() -> None:
    limits = CallLimits(cps=2.0, channels=0)
    taken = sum(limits.admit(f"CA{ms}", ms / 1000) is None for ms in range(10_000))
    assert taken == 20
    full = limits.admit("CA", 9.5)
    assert full is not None and full.limit is Limit.CPS
    assert full.reason() == "more than cps = 2 calls a second"
    assert full.retry_at is not None and 9.5 < full.retry_at <= 10.0
    assert limits.admit("CA later", full.retry_at) is None


def test_calls_of_one_second_may_come_at_once() -> None:
    limits = CallLimits(cps=5.0, channels=0)
    taken = [limits.admit(f"CA{number}", 0.0) is None for number in range(7)]
    assert taken == [True] * 5 + [False] * 2
    assert limits.admit("CA in the same second", 0.999) is not None
    assert limits.admit("CA in the next", 1.0) is None


@pytest.mark.parametrize(
    ("cps", "at", "taken"),
    [(0.5, 1.9, False), (0.5, 2.0, True), (2.5, 0.7, False), (2.5, 0.8, True)],
)
def test_parts_of_a_call_a_second_take_longer(cps: float, at: float, taken: bool) -> None:
    limits = CallLimits(cps=cps, channels=0)
    for number in range(max(1, int(cps))):
        assert limits.admit(f"CA{number}", 0.0) is None
    assert (limits.admit("CA", at) is None) == taken


def test_calls_that_have_begun_count_for_another_limit() -> None:
    limits = CallLimits(cps=3.0, channels=0)
    for number in range(3):
        assert limits.admit(f"CA{number}", 0.0) is None
    limits.change(cps=1.0, channels=0)
    assert limits.admit("CA soon", 0.9) is not None
    assert limits.admit("CA later", 1.0) is None


def test_a_call_that_found_no_channel_costs_no_rate() -> None:
    limits = CallLimits(cps=1.0, channels=1)
    assert limits.admit("CA1", 0.0) is None
    for _ in range(5):
        assert limits.admit("CA2", 1.0) is not None
    limits.end("CA1")
    assert limits.admit("CA2", 1.0) is None


def test_emergency_calls_are_never_refused_and_count() -> None:
    limits = CallLimits(cps=1.0, channels=1)
    assert limits.admit("CA1", 0.0) is None
    for number in range(50):
        limits.admit_emergency(f"CA112-{number}", 0.0)
    assert len(limits) == 51
    full = limits.admit("CA2", 1.0)
    assert full is not None and full.limit is Limit.CHANNELS


def test_other_limits_hold_from_now_on() -> None:
    limits = CallLimits(cps=0.0, channels=0)
    for number in range(3):
        limits.admit(f"CA{number}", 0.0)
    limits.change(cps=0.0, channels=2)
    assert limits.admit("CA9", 0.0) is not None
    limits.end("CA0")
    limits.end("CA1")
    assert limits.admit("CA9", 0.0) is None
