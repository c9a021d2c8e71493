"""The health machine: which state, since when and why."""

import pytest

from carriers.health import FAILURES_TO_DEGRADE, CarrierHealth, HealthState, Intake


def bound(binds: int = 1, now: float = 10.0) -> CarrierHealth:
    health = CarrierHealth("acme", binds, 0.0)
    for _ in range(binds):
        health.bind_up(now, 1)
    return health


def test_starts_down_and_is_bound_with_its_last_bind() -> None:
    health = CarrierHealth("acme", 2, 1.0)
    value = health.value(5.0)
    assert (value.state, value.since, value.reason) == (HealthState.DOWN, 1.0, "not bound yet")
    assert not value.usable
    health.bind_up(6.0, 1)
    value = health.value(7.0)
    assert (value.state, value.since) == (HealthState.DEGRADED, 6.0)
    assert value.reason.startswith("1 of 2 binds up")
    assert value.usable
    health.bind_up(8.0, 1)
    value = health.value(9.0)
    assert (value.state, value.since, value.reason) == (HealthState.BOUND, 8.0, "")
    assert (value.carrier, value.binds_up, value.binds_wanted) == ("acme", 2, 2)


def test_a_lost_bind_says_why() -> None:
    health = bound(2)
    health.bind_down(20.0, 1, "connection closed by the peer")
    value = health.value(21.0)
    assert value.state is HealthState.DEGRADED
    assert "connection closed by the peer" in value.reason
    health.bind_down(22.0, 1, "no answer to enquire_link")
    value = health.value(23.0)
    assert (value.state, value.since, value.reason) == (
        HealthState.DOWN,
        22.0,
        "no answer to enquire_link",
    )
    health.bind_failed(24.0, "refused: ESME_RINVPASWD", 24.5)
    health.bind_failed(25.0, "refused: ESME_RINVPASWD", 30.0)
    value = health.value(29.0)
    assert (value.failed_binds, value.next_bind_at) == (2, 30.0)
    assert health.value(30.0).next_bind_at == 0.0  # it is being made
    assert health.value(30.0).reason == "refused: ESME_RINVPASWD"
    assert health.value(30.0).since == 22.0
    health.bind_up(31.0, 1)
    assert health.value(31.0).failed_binds == 0


def test_a_receiver_alone_cannot_carry_traffic() -> None:
    health = CarrierHealth("acme", 2, 0.0)
    health.bind_up(1.0, 0)
    assert health.value(2.0).state is HealthState.DOWN
    health.bind_up(3.0, 1)
    assert health.value(4.0).state is HealthState.BOUND
    health.bind_down(5.0, 1, "gone")
    assert health.value(6.0).state is HealthState.DOWN
    assert health.value(6.0).binds_up == 1


def test_failures_in_a_row_degrade_and_one_success_heals() -> None:
    health = bound()
    health.answered(FAILURES_TO_DEGRADE - 1, 0, 11.0)
    assert health.value(11.0).state is HealthState.BOUND
    health.answered(1, 0, 12.0)
    value = health.value(12.0)
    assert (value.state, value.failures) == (HealthState.DEGRADED, FAILURES_TO_DEGRADE)
    assert str(FAILURES_TO_DEGRADE) in value.reason
    health.answered(0, 1, 13.0)
    assert health.value(13.0).state is HealthState.BOUND
    assert health.value(13.0).since == 13.0


def test_a_throttle_degrades_and_ends_by_itself() -> None:
    health = bound()
    health.throttled(12.0, 11.0)
    value = health.value(11.5)
    assert (value.state, value.throttled_until) == (HealthState.DEGRADED, 12.0)
    assert value.reason == "throttled by the carrier"
    value = health.value(30.0)
    assert (value.state, value.since, value.throttled_until) == (HealthState.BOUND, 12.0, 0.0)


def test_since_is_when_the_bind_fell_and_not_when_an_old_throttle_ended() -> None:
    health = bound()
    health.throttled(12.0, 11.0)
    health.bind_down(15.0, 1, "gone")
    assert health.value(16.0).since == 15.0


@pytest.mark.parametrize(
    ("intake", "state"),
    [(Intake.PAUSED, HealthState.PAUSED), (Intake.DRAINING, HealthState.DRAINING)],
)
def test_the_operators_word_goes_before_everything(intake: Intake, state: HealthState) -> None:
    health = bound()
    health.intake_changed(intake, 11.0)
    health.bind_down(12.0, 1, "gone")
    value = health.value(13.0)
    assert (value.state, value.since, value.usable) == (state, 11.0, False)
    assert health.intake is intake
    health.intake_changed(Intake.OPEN, 14.0)
    assert health.value(15.0).state is HealthState.DOWN
    health.bind_up(16.0, 1)
    assert health.value(17.0).state is HealthState.BOUND


def test_wanting_more_binds_degrades_until_they_are_up() -> None:
    health = bound()
    health.want(2, 11.0)
    assert health.value(11.0).state is HealthState.DEGRADED
    health.want(1, 12.0)
    assert health.value(12.0).state is HealthState.BOUND
