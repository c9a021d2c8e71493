"""Which gateway of a trunk is asked, and which are left alone."""

import itertools
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from carriers.gateways import (
    ANSWERS_TO_RETURN,
    FAILURES_TO_LEAVE,
    LONGEST_REST,
    Gateways,
    GatewayState,
)
from carriers.trunks import Gateway

A, B, C = (Gateway(uri=f"sip:{name}.example") for name in "abc")
LAST = Gateway(uri="sip:last.example", priority=9)


def gateways(*each: Gateway, random: Random | None = None, interval: float = 30.0) -> Gateways:
    return Gateways(each, interval=interval, random=(random or Random(1)).random, now=0.0)


def test_lower_priority_comes_first() -> None:
    given = gateways(LAST, A)
    assert given.order(0.0) == (A, LAST)


def test_among_equals_weight_decides_and_each_is_tried_once() -> None:
    heavy, light = Gateway(uri="sip:h", weight=3), Gateway(uri="sip:l", weight=1)
    never = Gateway(uri="sip:n", weight=0)
    given = gateways(never, heavy, light, random=Random(7))
    orders = [given.order(0.0) for _ in range(4000)]
    assert all(len(set(order)) == 3 and order[-1] == never for order in orders)
    first = Counter(order[0] for order in orders)
    assert first[heavy] / len(orders) == pytest.approx(0.75, abs=0.03)


def test_a_fraction_at_its_edges_draws_somebody() -> None:
    edges: Iterator[float] = iter([0.0, 0.0, 0.999999999999, 0.999999999999] * 3)
    given = Gateways((A, B), interval=0.0, random=lambda: next(edges), now=0.0)
    assert given.order(0.0) == (B, A)


def test_retry_after_rests_one_gateway_alone() -> None:
    given = gateways(A, LAST)
    changed = given.answered(A.uri, 503, 10.0, retry_after=30)
    assert changed is not None
    assert (changed.health.state, changed.health.until) == (GatewayState.RESTING, 40.0)
    assert changed.health.reason == "503 with Retry-After: 30"
    assert given.order(10.0) == given.order(39.9) == (LAST,)
    assert given.order(40.0) == (A, LAST)


def test_where_all_rest_nobody_is_asked() -> None:
    given = gateways(A)
    given.answered(A.uri, 500, 0.0, retry_after=10)
    assert given.order(5.0) == ()


def test_a_shorter_retry_after_does_not_wake_it_and_a_long_one_is_bounded() -> None:
    given = gateways(A)
    given.answered(A.uri, 503, 0.0, retry_after=100)
    given.answered(A.uri, 503, 1.0, retry_after=1)
    assert given.order(99.0) == ()
    given.answered(A.uri, 503, 100.0, retry_after=4_000_000_000)
    assert given.health(100.0)[0].until == 100.0 + LONGEST_REST


def test_a_call_that_was_taken_rests_nobody() -> None:
    given = gateways(A)
    assert given.answered(A.uri, 200, 0.0, retry_after=100) is None
    assert given.order(0.0) == (A,)


def test_silence_takes_it_out_and_answers_bring_it_back() -> None:
    given = gateways(A, LAST)
    for number in range(1, FAILURES_TO_LEAVE):
        assert given.answered(A.uri, 0, 0.0) is None, number
        assert given.order(0.0) == (A, LAST)
    changed = given.answered(A.uri, 0, 0.0)
    assert changed is not None and changed.health.state is GatewayState.SILENT
    assert changed.health.reason == "no answer"
    assert given.order(0.0) == (LAST,)
    for _ in range(1, ANSWERS_TO_RETURN):
        assert given.answered(A.uri, 200, 0.0) is None
        assert given.order(0.0) == (LAST,)
    changed = given.answered(A.uri, 200, 0.0)
    assert changed is not None and changed.health.state is GatewayState.UP
    assert given.order(0.0) == (A, LAST)


def test_a_lost_answer_between_good_ones_takes_nobody_out() -> None:
    given = gateways(A, LAST)
    for _ in range(10):
        given.answered(A.uri, 0, 0.0)
        given.answered(A.uri, 408, 0.0)
        given.answered(A.uri, 200, 0.0)
    assert given.order(0.0) == (A, LAST)


def test_a_good_answer_between_lost_ones_brings_nobody_back() -> None:
    given = gateways(A, LAST)
    for _ in range(FAILURES_TO_LEAVE):
        given.answered(A.uri, 503, 0.0)
    for _ in range(5):
        given.answered(A.uri, 200, 0.0)
        given.answered(A.uri, 503, 0.0)
    assert given.order(0.0) == (LAST,)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 405, 486, 501])
def test_who_answers_lives(status: int) -> None:
    given = gateways(A, LAST)
    for _ in range(10):
        given.answered(A.uri, status, 0.0)
    assert given.order(0.0) == (A, LAST)


def test_where_all_are_silent_they_are_tried() -> None:
    given = gateways(A, LAST)
    for _ in range(FAILURES_TO_LEAVE):
        given.answered(A.uri, 0, 0.0)
        given.answered(LAST.uri, 0, 0.0)
    assert given.order(0.0) == (A, LAST)


def test_a_gateway_that_nobody_knows_changes_nothing() -> None:
    assert gateways(A).answered("sip:gone.example", 503, 0.0, retry_after=9) is None


def test_options_are_due_at_their_interval_from_a_random_moment_on() -> None:
    given = gateways(A, B, random=Random(3))
    first = given.timer()
    assert first is not None and 0.0 <= first <= 30.0
    assert given.due(first - 0.01) == ()
    asked = [(first, given.due(first))]
    while asked[-1][0] < 300.0:
        at = given.timer()
        assert at is not None
        asked.append((at, given.due(at)))
    times = [at for at, who in asked if A in who]
    assert len(times) >= 9
    assert all(later - sooner == pytest.approx(30.0) for sooner, later in itertools.pairwise(times))


def test_who_rests_gets_no_options() -> None:
    given = gateways(A)
    given.answered(A.uri, 503, 0.0, retry_after=100)
    assert given.due(60.0) == ()
    assert given.due(130.0) == (A,)


def test_without_an_interval_none_are_due() -> None:
    given = gateways(A, interval=0.0)
    assert given.timer() is None
    assert given.due(1e9) == ()


def test_a_reload_keeps_what_is_known_of_those_that_stay() -> None:
    given = gateways(A, B)
    given.answered(A.uri, 503, 0.0, retry_after=100)
    moved = Gateway(uri=A.uri, priority=5)
    given.change((moved, C), 10.0, 0.0)
    assert given.order(0.0) == (C,)
    assert given.order(100.0) == (C, moved)
    assert given.answered(B.uri, 503, 0.0, retry_after=9) is None
    assert [each.gateway for each in given.health(0.0)] == [moved, C]


def test_a_gateway_that_is_new_is_asked_within_an_interval() -> None:
    given = gateways(interval=30.0)
    given.change((A,), 30.0, 100.0)
    at = given.timer()
    assert at is not None and 100.0 <= at <= 130.0
