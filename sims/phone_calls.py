"""What became of the calls of simulated phones, step by step, as whoever drives them reads it."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from sims.phone_script import Step

_MOST_STEPS: Final = 1000  # of one call that are written down


class CallDirection(StrEnum):
    """In the eyes of the phone."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CallState(StrEnum):
    """How far a call is; `DROPPED` is one that its phone plays dead in."""

    CALLING = "calling"
    RINGING = "ringing"
    ANSWERED = "answered"
    DROPPED = "dropped"
    ENDED = "ended"


class ShownStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was taken: whether it came to what it should, when, and what was heard."""

    step: dict[str, Any]
    ok: bool
    at: str
    heard: str | None


class ShownCall(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A call; `sip_code` is the final status, times are ISO 8601 in UTC, None for not yet."""

    id: str
    from_: str
    to: str
    direction: CallDirection
    state: CallState
    sip_code: int | None
    started_at: str
    answered_at: str | None
    ended_at: str | None
    dtmf: str
    steps: list[ShownStep]


class CallRecord:
    """One call of a phone; `clock` gives seconds since the epoch."""

    def __init__(
        self,
        *,
        id: str,
        phone: str,
        from_address: str,
        to_address: str,
        direction: CallDirection,
        clock: Callable[[], float],
    ) -> None:
        self.id = id
        self.phone = phone
        self.from_address = from_address
        self.to_address = to_address
        self.direction = direction
        self.state = CallState.CALLING
        self.sip_code: int | None = None
        self.keys: Callable[[], str] = str
        self._clock = clock
        self._started = clock()
        self._answered: float | None = None
        self._ended: float | None = None
        self._steps: list[ShownStep] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens in it."""
        return self.state is CallState.ENDED

    def ringing(self) -> None:
        """The phone that is called rings."""
        if self.state is CallState.CALLING:
            self.state = CallState.RINGING

    def answered(self) -> None:
        """It stands."""
        if self._answered is None:
            self.state, self.sip_code, self._answered = CallState.ANSWERED, 200, self._clock()

    def dropped(self) -> None:
        """The phone is dead from here on."""
        if not self.is_over:
            self.state = CallState.DROPPED

    def ended(self, sip_code: int | None = None) -> None:
        """It is over; `sip_code` if it was never answered."""
        if not self.is_over:
            self.state, self._ended = CallState.ENDED, self._clock()
            self.sip_code = self.sip_code or sip_code

    def took(self, step: Step, heard: str | None = None) -> None:
        """A step came to what it should."""
        self._write(ShownStep(step=dict(step.written), ok=True, at=self._now(), heard=heard))

    def missed(self, step: Step, heard: str | None = None) -> None:
        """It did not."""
        self._write(ShownStep(step=dict(step.written), ok=False, at=self._now(), heard=heard))

    def _write(self, step: ShownStep) -> None:
        if len(self._steps) < _MOST_STEPS:
            self._steps.append(step)

    def _now(self) -> str:
        return shown_time(self._clock())

    def shown(self) -> ShownCall:
        """As it stands now."""
        return ShownCall(
            id=self.id,
            from_=self.from_address,
            to=self.to_address,
            direction=self.direction,
            state=self.state,
            sip_code=self.sip_code,
            started_at=shown_time(self._started),
            answered_at=None if self._answered is None else shown_time(self._answered),
            ended_at=None if self._ended is None else shown_time(self._ended),
            dtmf=self.keys(),
            steps=list(self._steps),
        )


class CallLog:
    """The calls of all phones, oldest first; beyond `limit` the oldest are forgotten."""

    def __init__(self, limit: int) -> None:
        self._records: deque[CallRecord] = deque(maxlen=limit)

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: CallRecord) -> None:
        """A call begins."""
        self._records.append(record)

    def of(self, phone: str) -> list[CallRecord]:
        """The calls of a phone."""
        return [each for each in self._records if each.phone == phone]

    def forget(self) -> None:
        """Forget all; those that go on are not listed any more."""
        self._records.clear()


def shown_time(at: float) -> str:
    """Seconds since the epoch as text."""
    when = datetime.fromtimestamp(at, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
