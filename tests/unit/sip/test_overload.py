"""Who is turned away when timers are late, and who is not."""

import pytest

from protocols.sip.overload import Lag, Overload
from protocols.sip.pace import Rate

MOST = 0.05
NONE_FREE = Rate(per_second=0.0, at_once=0.0)
LATE = 4 * MOST


def looks(overload: Overload, late: float, seconds: float, since: float) -> float:
    """Looks of `seconds`, each `late` and so long after the one before; when the last one was."""
    now = since
    while now < since + seconds:
        now += max(late, 0.01)
        overload.looked(late, now)
    return now


def turned_away(overload: Overload, of: int = 100) -> int:
    return sum(overload.turns_away(0.0) for _ in range(of))


def test_whoever_comes_is_let_in_while_timers_are_in_time() -> None:
    overload = Overload(Lag(most=MOST, free=NONE_FREE), 0.0)
    looks(overload, MOST, 60.0, 0.0)
    assert turned_away(overload) == 0


def test_the_share_grows_while_timers_are_late_until_hardly_anybody_is_let_in() -> None:
    overload = Overload(Lag(most=MOST, free=NONE_FREE), 0.0)
    shares = []
    now = 0.0
    for _ in range(10):
        now = looks(overload, LATE, 0.25, now)
        shares.append(overload.share)
    assert shares == sorted(shares)
    assert 0.2 < shares[0] < 0.5
    assert 94 <= turned_away(overload) <= 96


def test_room_that_is_there_again_is_found() -> None:
    overload = Overload(Lag(most=MOST, free=NONE_FREE), 0.0)
    now = looks(overload, LATE, 5.0, 0.0)
    assert turned_away(overload) > 90
    looks(overload, 0.0, 2.0, now)
    assert turned_away(overload) == 0


def test_a_machine_that_stood_still_for_once_turns_nobody_away() -> None:
    overload = Overload(Lag(most=MOST, free=NONE_FREE), 0.0)
    now = looks(overload, 0.0, 1.0, 0.0)
    overload.looked(8.0, now + 8.0)
    assert overload.late == 8.0
    assert turned_away(overload) == 0
    overload.looked(LATE, now + 8.0 + LATE)  # what had come meanwhile was worked off in one go
    assert turned_away(overload) == 0


def test_late_looks_that_lie_far_apart_do_not_add_up() -> None:
    overload = Overload(Lag(most=MOST, free=NONE_FREE), 0.0)
    for now in range(100, 1000, 100):
        overload.looked(LATE, float(now))
        assert turned_away(overload) == 0


def test_a_pause_without_anything_due_is_time_in_which_nothing_was_late() -> None:
    overload = Overload(Lag(most=MOST, free=NONE_FREE), 0.0)
    now = looks(overload, LATE, 5.0, 0.0)
    overload.looked(0.0, now + 30.0)
    assert overload.share == 0.0


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_those_that_are_turned_away_come_evenly(share: float) -> None:
    overload = Overload(Lag(most=MOST, free=NONE_FREE), 0.0)
    overload.share = share
    for _ in range(20):
        assert abs(turned_away(overload, 20) - 20 * share) <= 1


def test_zero_is_however_late() -> None:
    overload = Overload(Lag(most=0.0, free=NONE_FREE), 0.0)
    looks(overload, 9.0, 90.0, 0.0)
    assert turned_away(overload) == 0


def test_a_few_come_in_however_late_timers_are() -> None:
    overload = Overload(Lag(most=MOST, free=Rate(per_second=10.0, at_once=20.0)), 0.0)
    overload.share = 0.95
    assert [overload.turns_away(0.0) for _ in range(20)] == [False] * 20
    assert sum(overload.turns_away(0.0) for _ in range(100)) > 90
    assert [overload.turns_away(1.0) for _ in range(10)] == [False] * 10
    assert sum(overload.turns_away(1.0) for _ in range(100)) > 90
