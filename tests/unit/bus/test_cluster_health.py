"""When a cluster counts as failed and as well again; the clock is held."""

import pytest

from gateway.bus.cluster_health import (
    ClusterHealth,
    ClusterState,
    Failover,
    Limits,
    Switch,
)

LIMITS = Limits()
WELL, FAILED = ClusterState.HEALTHY, ClusterState.FAILED


class Clock:
    """Writes to one cluster, ten a second."""

    def __init__(self, health: ClusterHealth, now: float = 0.0) -> None:
        self.health = health
        self.now = now
        self.writes = 0

    def run(self, seconds: float, reason: str = "", took: float = 0.01) -> ClusterState:
        """Writes that all end alike; the state at the end."""
        state = self.health.verdict(self.now).state
        for _ in range(round(seconds * 10)):
            self.writes += 1
            self.health.began(self.writes, self.now - took)
            if reason:
                self.health.failed(self.writes, self.now, reason)
            else:
                self.health.acknowledged(self.writes, self.now)
            state = self.health.verdict(self.now).state
            self.now += 0.1
        return state


@pytest.fixture
def clock() -> Clock:
    return Clock(ClusterHealth(LIMITS, 0.0))


def test_a_cluster_whose_writes_are_good_is_healthy(clock: Clock) -> None:
    assert clock.run(100) is WELL
    assert clock.health.verdict(clock.now).reason == ""


def test_errors_count_when_they_go_on_for_five_seconds(clock: Clock) -> None:
    clock.run(20)
    assert clock.run(4, "no route") is WELL  # the window has to fill first
    assert clock.run(5, "no route") is FAILED
    assert "no route" in clock.health.verdict(clock.now).reason


def test_a_short_trouble_does_not_count(clock: Clock) -> None:
    for _ in range(10):
        assert clock.run(3, "no route") is WELL
        assert clock.run(10) is WELL


def test_a_few_errors_among_many_writes_do_not_count(clock: Clock) -> None:
    for _ in range(100):
        clock.run(0.2, "no leader")
        assert clock.run(0.8) is WELL


def test_slow_writes_count_as_errors_do(clock: Clock) -> None:
    clock.run(20)
    assert clock.run(4.9, took=2.5) is WELL
    assert clock.run(5, took=2.5) is FAILED
    assert "2.5 s" in clock.health.verdict(clock.now).reason


def test_a_write_that_never_ends_counts_while_it_is_under_way(clock: Clock) -> None:
    clock.run(20)
    clock.health.began(0, clock.now)
    quiet = [clock.health.verdict(clock.now + each / 10).state for each in range(80)]
    assert quiet[:69] == [WELL] * 69
    assert quiet[-1] is FAILED


def test_a_write_that_is_given_up_says_nothing(clock: Clock) -> None:
    clock.health.began(0, clock.now)
    clock.health.given_up(0)
    assert all(clock.health.verdict(each / 10).state is WELL for each in range(1000))


def test_a_cluster_that_cannot_be_reached_fails_within_ten_seconds() -> None:
    """By the first write on: it waits 3 s, and so does each try after it."""
    health = ClusterHealth(LIMITS, 0.0)
    states = []
    for tenth in range(100):
        if tenth % 35 == 0:
            health.began(tenth, tenth / 10)
        if tenth % 35 == 30:
            health.failed(tenth - 30, tenth / 10, "timeout")
        states.append(health.verdict(tenth / 10).state)
    assert states[-1] is FAILED


def test_it_is_well_again_after_sixty_seconds_without_a_failure(clock: Clock) -> None:
    clock.run(15, "no route")
    assert clock.run(59) is FAILED
    assert clock.run(7) is WELL


def test_one_that_comes_and_goes_stays_failed(clock: Clock) -> None:
    clock.run(15, "no route")
    for _ in range(5):
        assert clock.run(40) is FAILED
        assert clock.run(6, "no route") is FAILED


def test_without_any_write_nothing_is_known_and_nothing_changes(clock: Clock) -> None:
    assert all(clock.health.verdict(each).state is WELL for each in range(100))
    clock.now = 100.0
    clock.run(15, "no route")
    assert clock.health.verdict(1000.0).state is FAILED


def both(now: float = 0.0) -> tuple[Failover, Clock, Clock]:
    failover = Failover(("primary", "secondary"), LIMITS, now)
    return failover, Clock(failover["primary"], now), Clock(failover["secondary"], now)


def steps(
    failover: Failover, primary: Clock, secondary: Clock, seconds: int, bad: tuple[str, str]
) -> list[Switch]:
    switches = []
    for _ in range(seconds):
        primary.run(1, bad[0])
        secondary.run(1, bad[1])
        if (switch := failover.judge(primary.now)) is not None:
            switches.append(switch)
    return switches


def test_the_second_takes_over_and_gives_back() -> None:
    failover, primary, secondary = both()
    assert steps(failover, primary, secondary, 20, ("", "")) == []
    (over,) = steps(failover, primary, secondary, 10, ("no route", ""))
    assert (over.from_, over.to) == ("primary", "secondary")
    assert "no route" in over.reason and failover.reason == over.reason
    assert steps(failover, primary, secondary, 58, ("", "")) == []
    (back,) = steps(failover, primary, secondary, 10, ("", ""))
    assert (back.from_, back.to) == ("secondary", "primary")
    assert "well again" in back.reason


def test_a_second_that_failed_too_is_no_way_out() -> None:
    failover, primary, secondary = both()
    steps(failover, primary, secondary, 20, ("", "no route"))
    assert steps(failover, primary, secondary, 20, ("no route", "no route")) == []
    assert failover.active == "primary"


@pytest.mark.parametrize(("first", "expected"), [("primary", []), ("secondary", ["secondary"])])
def test_when_none_is_well_the_one_that_answers_first_is_taken(
    first: str, expected: list[str]
) -> None:
    failover, primary, secondary = both()
    steps(failover, primary, secondary, 30, ("no route", "no route"))
    bad = ("", "no route") if first == "primary" else ("no route", "")
    switches = steps(failover, primary, secondary, 3, bad)
    assert [switch.to for switch in switches] == expected


def test_a_second_that_fails_gives_back_to_a_first_that_answers() -> None:
    failover, primary, secondary = both()
    steps(failover, primary, secondary, 20, ("no route", ""))
    assert failover.active == "secondary"
    (back,) = steps(failover, primary, secondary, 12, ("", "no route"))
    assert back.to == "primary" and failover.active == "primary"


def test_one_cluster_alone_stays_whatever_it_does() -> None:
    failover = Failover(("primary",), LIMITS, 0.0)
    clock = Clock(failover["primary"])
    assert clock.run(30, "no route") is FAILED
    assert failover.judge(clock.now) is None and failover.active == "primary"
