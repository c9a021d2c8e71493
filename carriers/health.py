"""Whether a carrier can take traffic: one small machine per carrier, read as a value.

`routing.plan` reads the value to order its candidates, `carriers show` to tell a person why.
Nothing here waits or measures: binds and answers are reported in, with the time they happened.
"""

import math
from enum import StrEnum
from typing import Final

import msgspec

# So many refusals or lost answers in a row, with nothing accepted between, are the carrier's
# fault and not a message's.
FAILURES_TO_DEGRADE: Final = 20


class HealthState(StrEnum):
    """What a carrier is good for; `BOUND` and `DEGRADED` take traffic."""

    BOUND = "bound"
    DEGRADED = "degraded"
    DOWN = "down"
    PAUSED = "paused"
    DRAINING = "draining"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The health of `carrier` at one moment; times are seconds since the epoch.

    `since` is when `state` began, `reason` says why it is not `BOUND` (empty if it is).
    `throttled_until` is 0 unless the carrier asked for a pause that still runs. Of `binds_up`,
    `transmitters_up` can submit. `failures` counts refusals and lost answers in a row,
    `failed_binds` attempts to bind since the last that succeeded; `next_bind_at` is when the next
    one is made, 0 while none waits.
    """

    carrier: str
    state: HealthState
    binds_up: int
    binds_wanted: int
    transmitters_up: int
    since: float
    reason: str = ""
    throttled_until: float = 0.0
    failures: int = 0
    failed_binds: int = 0
    next_bind_at: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether a message may be handed to it."""
        return self.state in _USABLE


_USABLE: Final = frozenset({HealthState.BOUND, HealthState.DEGRADED})


class Intake(StrEnum):
    """What an operator said about new traffic."""

    OPEN = "open"
    PAUSED = "paused"
    DRAINING = "draining"


_CLOSED_INTAKE: Final = {
    Intake.PAUSED: (HealthState.PAUSED, "paused by the operator"),
    Intake.DRAINING: (HealthState.DRAINING, "draining: takes nothing new, then unbinds"),
}


class CarrierHealth:
    """The machine behind `Health`: commands report what happened, `value` reads the state."""

    def __init__(self, carrier: str, binds_wanted: int, now: float) -> None:
        """Start `DOWN` at `now`, with `binds_wanted` binds to come."""
        self._carrier = carrier
        self._binds_wanted = binds_wanted
        self._binds_up = 0
        self._transmitters_up = 0
        self._failures = 0
        self._failed_binds = 0
        self._next_bind_at = 0.0
        self._throttled_until = -math.inf
        self._intake = Intake.OPEN
        self._trouble = "not bound yet"
        self._state = HealthState.DOWN
        self._since = now

    @property
    def intake(self) -> Intake:
        """What the operator said last."""
        return self._intake

    def want(self, binds: int, now: float) -> None:
        """The configuration asks for `binds` binds now."""
        self._lapse(now)
        self._binds_wanted = binds
        self._settle(now)

    def bind_up(self, now: float, transmitters: int) -> None:
        """A bind is up; `transmitters` is 1 if it can submit, else 0."""
        self._lapse(now)
        self._binds_up += 1
        self._failed_binds = 0
        self._next_bind_at = 0.0
        self._transmitters_up += transmitters
        self._settle(now)

    def bind_down(self, now: float, transmitters: int, reason: str) -> None:
        """A bind that was reported up is gone."""
        self._lapse(now)
        self._binds_up -= 1
        self._transmitters_up -= transmitters
        self._trouble = reason
        self._settle(now)

    def bind_failed(self, now: float, reason: str, next_at: float) -> None:
        """An attempt to bind failed; the next one is made at `next_at`."""
        self._lapse(now)
        self._failed_binds += 1
        self._next_bind_at = next_at
        self._trouble = reason
        self._settle(now)

    def answered(self, failures: int, successes: int, now: float) -> None:
        """A batch of answers: `failures` of the carrier's own making, `successes` beside them."""
        if not failures and not self._failures:
            return
        self._lapse(now)
        self._failures = failures if successes else self._failures + failures
        self._settle(now)

    def throttled(self, until: float, now: float) -> None:
        """The carrier asked for less; nothing leaves before `until`."""
        self._lapse(now)
        self._throttled_until = max(self._throttled_until, until)
        self._settle(now)

    def intake_changed(self, intake: Intake, now: float) -> None:
        """The operator paused, drained or resumed the carrier."""
        self._lapse(now)
        self._intake = intake
        self._settle(now)

    def value(self, now: float) -> Health:
        """The health as it is at `now`."""
        self._lapse(now)
        return Health(
            carrier=self._carrier,
            state=self._state,
            binds_up=self._binds_up,
            binds_wanted=self._binds_wanted,
            transmitters_up=self._transmitters_up,
            since=self._since,
            reason=self._judge(now)[1],
            throttled_until=self._throttled_until if now < self._throttled_until else 0.0,
            failures=self._failures,
            failed_binds=self._failed_binds,
            next_bind_at=self._next_bind_at if now < self._next_bind_at else 0.0,
        )

    def _lapse(self, now: float) -> None:
        # A throttle ends by itself: the better state began then, not when somebody looked.
        if now >= self._throttled_until:
            self._enter(self._throttled_until, now)

    def _settle(self, now: float) -> None:
        self._enter(now, now)

    def _enter(self, at: float, now: float) -> None:
        state, _ = self._judge(now)
        if state is not self._state:
            self._state, self._since = state, at

    def _judge(self, now: float) -> tuple[HealthState, str]:
        closed = _CLOSED_INTAKE.get(self._intake)
        if closed is not None:
            return closed
        if not self._transmitters_up:
            return HealthState.DOWN, self._trouble
        if self._binds_up < self._binds_wanted:
            up = f"{self._binds_up} of {self._binds_wanted} binds up"
            return HealthState.DEGRADED, f"{up}: {self._trouble}"
        if now < self._throttled_until:
            return HealthState.DEGRADED, "throttled by the carrier"
        if self._failures >= FAILURES_TO_DEGRADE:
            return HealthState.DEGRADED, f"{self._failures} submissions in a row failed"
        return HealthState.BOUND, ""
