"""The token bucket and its pauses, with the clock in the hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carriers.throttle import BURST, LONGEST_PAUSE, Throttle


def test_grants_the_burst_and_then_the_rate() -> None:
    throttle = Throttle(100, 0.0)
    assert throttle.take(50, 0.0) == 10  # a tenth of a second's worth
    assert throttle.take(50, 0.0) == 0
    assert throttle.take(50, 0.05) == 5
    assert throttle.take(3, 0.10) == 3
    assert throttle.take(50, 0.10) == 2


def test_zero_is_unlimited() -> None:
    throttle = Throttle(0, 0.0)
    assert throttle.take(1_000_000, 0.0) == 1_000_000
    assert throttle.available(0.0) == math.inf
    assert throttle.ready_at(3.0) == 3.0


def test_a_rate_below_one_per_burst_still_grants_single_pdus() -> None:
    throttle = Throttle(0.5, 0.0)
    assert throttle.take(1, 0.0) == 1
    assert throttle.take(1, 1.9) == 0
    assert throttle.ready_at(1.9) == pytest.approx(2.0)
    assert throttle.take(1, 2.0) == 1


def test_ready_at_is_when_the_next_pdu_is_granted() -> None:
    throttle = Throttle(10, 100.0)
    assert throttle.ready_at(100.0) == 100.0
    throttle.take(1, 100.0)
    ready = throttle.ready_at(100.0)
    assert ready == pytest.approx(100.1)
    assert throttle.take(1, ready - 0.001) == 0
    assert throttle.take(1, ready) == 1


@given(
    tps=st.floats(1, 2000),
    steps=st.lists(st.tuples(st.floats(0, 0.3), st.integers(0, 300)), max_size=80),
)
def test_never_more_than_the_rate_and_one_burst(tps: float, steps: list[tuple[float, int]]) -> None:
    throttle = Throttle(tps, 0.0)
    now, granted = 0.0, 0
    for wait, n in steps:
        now += wait
        granted += throttle.take(n, now)
        assert granted <= now * tps + max(1.0, tps * BURST) + 1e-6


def test_a_pause_stops_even_the_unlimited_and_keeps_the_longer_end() -> None:
    throttle = Throttle(0, 0.0)
    throttle.pause(5.0)
    throttle.pause(2.0)
    assert throttle.take(1, 4.9) == 0
    assert throttle.ready_at(1.0) == 5.0
    assert throttle.take(1, 5.0) == 1


def test_refusals_double_the_pause_once_per_pause_up_to_the_longest() -> None:
    throttle = Throttle(0, 0.0)
    now, pauses = 10.0, []
    for _ in range(7):
        sent_at = now
        for _ in range(100):  # a whole window is refused at once
            throttle.refused(sent_at, now + 0.01)
        pauses.append(throttle.paused_until - (now + 0.01))
        now = throttle.paused_until
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_PAUSE])


def test_an_accepted_pdu_sent_after_the_pause_began_resets_it() -> None:
    throttle = Throttle(0, 0.0)
    throttle.refused(1.0, 1.0)
    throttle.refused(2.0, 2.0)
    throttle.accepted(1.5)  # sent before the last refusal: says nothing
    throttle.refused(3.0, 3.0)
    assert throttle.paused_until == pytest.approx(3.4)
    throttle.accepted(3.5)
    throttle.refused(4.0, 4.0)
    assert throttle.paused_until == pytest.approx(4.1)


def test_congestion_lowers_the_rate_until_it_is_lifted_or_forgotten() -> None:
    throttle = Throttle(100, 0.0)
    throttle.take(10, 0.0)
    throttle.congested(85, 0.0)
    assert throttle.share(0.0) == 0.5
    assert throttle.take(50, 0.1) == 5
    throttle.congested(95, 0.1)
    assert throttle.take(50, 0.2) == 1
    throttle.congested(60, 0.2)
    assert throttle.take(50, 0.3) == 10
    throttle.congested(100, 0.3)
    assert throttle.share(5.2) == 0.1
    assert throttle.share(5.3) == 1.0


def test_a_changed_rate_keeps_the_pause_and_no_surplus_of_tokens() -> None:
    throttle = Throttle(1000, 0.0)
    throttle.pause(1.0)
    throttle.change(10, 0.5)
    assert throttle.take(5, 0.9) == 0
    assert throttle.take(5, 1.0) == 1
    throttle.change(0, 1.0)
    assert throttle.take(5, 1.0) == 5


def test_a_clock_set_back_costs_nothing() -> None:
    throttle = Throttle(10, 100.0)
    assert throttle.take(1, 100.0) == 1
    assert throttle.take(1, 50.0) == 0
    assert throttle.take(1, 50.1) == 1
