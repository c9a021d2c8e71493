"""How long timers run (RFC 3261 table 4, RFC 6026), and the clock that many share."""

import random
from math import inf

import pytest

from protocols.sip.timers import Schedule, Timer, Timers
from protocols.sip.transport import Transport

TABLE_4 = [
    # timer, over UDP, over TCP, with the specification's T1, T2 and T4
    (Timer.A, 0.5, inf),
    (Timer.B, 32.0, 32.0),
    (Timer.D, 32.0, 0.0),
    (Timer.E, 0.5, inf),
    (Timer.F, 32.0, 32.0),
    (Timer.G, 0.5, inf),
    (Timer.H, 32.0, 32.0),
    (Timer.I, 5.0, 0.0),
    (Timer.J, 32.0, 0.0),
    (Timer.K, 5.0, 0.0),
    (Timer.L, 32.0, 32.0),
    (Timer.M, 32.0, 32.0),
    (Timer.TRYING, 0.2, 0.2),
]


@pytest.mark.parametrize(("timer", "unreliable", "reliable"), TABLE_4)
def test_table_4(timer: Timer, unreliable: float, reliable: float) -> None:
    assert Timers().durations(Transport.UDP).of[timer] == unreliable
    for transport in (Transport.TCP, Transport.TLS, Transport.WS, Transport.WSS):
        assert Timers().durations(transport).of[timer] == reliable


def test_the_table_has_each_timer() -> None:
    assert {row[0] for row in TABLE_4} == set(Timer)


def test_timers_follow_t1_but_d_has_a_floor() -> None:
    quick = Timers(t1=0.1, t4=1.0).durations(Transport.UDP).of
    assert quick[Timer.B] == pytest.approx(6.4)
    assert quick[Timer.D] == 32.0
    assert quick[Timer.K] == 1.0
    assert Timers(t1=1.0).durations(Transport.UDP).of[Timer.D] == 64.0
    assert Timers(t2=7.0).durations(Transport.UDP).ceiling == 7.0


def test_the_schedule_wakes_in_order_and_once() -> None:
    schedule = Schedule()
    for id, when in ((1, 30.0), (2, 10.0), (3, 20.0), (4, inf)):
        schedule.arm(id, when)
    assert len(schedule) == 3
    assert schedule.first() == 10.0
    assert schedule.due(9.9) == []
    assert schedule.due(20.0) == [2, 3]
    assert schedule.due(20.0) == []
    assert schedule.first() == 30.0


def test_an_alarm_moves_forward_only() -> None:
    schedule = Schedule()
    schedule.arm(1, 30.0)
    schedule.arm(1, 10.0)
    schedule.arm(1, 20.0)
    assert schedule.first() == 10.0
    assert schedule.due(40.0) == [1]
    assert schedule.first() is None


def test_who_is_forgotten_is_not_woken_and_leaves_no_place() -> None:
    schedule = Schedule()
    chance = random.Random(7)
    for id in range(50_000):
        schedule.arm(id, chance.random())
        if id % 1000:
            schedule.forget(id)
    assert len(schedule) == 50
    assert len(schedule._heap) < 2000
    woken = schedule.due(1.0)
    assert sorted(woken) == list(range(0, 50_000, 1000))
    assert schedule.first() is None
