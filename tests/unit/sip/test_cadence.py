"""When sockets are read at once, and when they are given a rest."""

import pytest

from protocols.sip.sockets.cadence import MUCH, PERIOD, Cadence

DONE = 0.002  # seconds after which what a reading brought is done


def rests(cadence: Cadence, each_second: float) -> list[float]:
    """What follows readings of so many messages a second, one reading each 10 ms, for a second."""
    came = each_second / 100
    return [
        cadence.rest(
            int(came * (index + 1)) - int(came * index),
            (index + 1) / 100 - DONE,
            (index + 1) / 100,
        )
        for index in range(100)
    ]


def test_a_few_messages_wait_for_nothing() -> None:
    assert set(rests(Cadence(0.0), 0.9 * MUCH)) == {0.0}


@pytest.mark.parametrize("rate", [MUCH + 100, 5 * MUCH])
def test_many_wait_for_each_other_after_a_tenth_of_a_second(rate: float) -> None:
    found = rests(Cadence(0.0), rate)
    assert set(found[:9]) == {0.0}
    assert found[15:] == [pytest.approx(PERIOD - DONE)] * 85


def test_what_takes_longer_than_a_period_is_followed_at_once() -> None:
    cadence = Cadence(0.0)
    rests(cadence, 2 * MUCH)
    assert cadence.rest(10, 1.01, 1.01 + 0.5 * PERIOD) == pytest.approx(0.5 * PERIOD)
    assert cadence.rest(10, 1.02, 1.02 + PERIOD) == 0.0
    assert cadence.rest(10, 1.03, 1.03 + 2 * PERIOD) == 0.0


def test_the_first_one_after_many_is_read_at_once() -> None:
    cadence = Cadence(0.0)
    rests(cadence, 2 * MUCH)
    assert cadence.rest(0, 1.01, 1.01) == 0.0  # a reading that brings nothing ends the rests
    assert cadence.rest(1, 5.0, 5.0) == 0.0
