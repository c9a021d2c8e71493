"""When sockets are read at once, and when they are given a rest."""

import pytest

from protocols.sip.sockets.cadence import MUCH, TOGETHER, Cadence


def rests(cadence: Cadence, each_second: float, since: float, seconds: float = 1.0) -> list[float]:
    """What follows readings of so many messages a second, one reading each 10 ms."""
    readings = int(seconds * 100)
    came = each_second / 100
    return [
        cadence.rest(int(came * (index + 1)) - int(came * index), since + (index + 1) / 100)
        for index in range(readings)
    ]


def test_a_few_messages_wait_for_nothing() -> None:
    assert set(rests(Cadence(0.0), 0.9 * MUCH, 0.0)) == {0.0}


def test_many_wait_for_each_other_after_a_tenth_of_a_second() -> None:
    found = rests(Cadence(0.0), MUCH + 100, 0.0)
    assert set(found[:9]) == {0.0}
    assert found[15:] == [pytest.approx(TOGETHER / (MUCH + 100), rel=0.1)] * 85


def test_the_more_come_the_shorter_they_wait() -> None:
    rate = 5 * MUCH
    assert rests(Cadence(0.0), rate, 0.0)[-1] == pytest.approx(TOGETHER / rate, rel=0.1)


def test_the_first_one_after_many_is_read_at_once() -> None:
    cadence = Cadence(0.0)
    rests(cadence, 2 * MUCH, 0.0)
    assert cadence.rest(0, 1.01) == 0.0  # a reading that brings nothing ends the rests
    assert cadence.rest(1, 5.0) == 0.0
