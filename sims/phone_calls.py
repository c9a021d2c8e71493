"""What became of the calls of simulated phones, step by step, as whoever drives them reads it."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from sims.phone_script import Script, ScriptError, Step

_MOST_STEPS: Final = 1000  # of one call that are written down
_MOST_SCRIPTS: Final = 1000  # that are given in one call


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


class ShownStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step that was taken: whether it came to what it should, when, and what was heard.

    `script` is the id of a script that was given in the call.
    """

    step: dict[str, Any]
    ok: bool
    at: str
    heard: str | None
    script: str = ""


class ShownCall(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A call; `sip_code` is the final status, times are ISO 8601 in UTC, None for not yet.

    `reason` is why the other side refused or ended it, as it says itself.
    """

    id: str
    from_: str
    to: str
    direction: CallDirection
    state: CallState
    sip_code: int | None
    reason: str
    started_at: str
    answered_at: str | None
    ended_at: str | None
    dtmf: str
    steps: list[ShownStep]


class Over(Exception):
    """A call can't be steered any more; the text says so."""


class Steered(Protocol):
    """What whoever drives a phone may do with a call that goes on."""

    def follow_too(self, script: Script) -> None:
        """Follow this beside what is under way, from the answer on."""

    def hang_up(self) -> None:
        """End it, however far it is."""


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
        self.reason = ""
        self.keys: Callable[[], str] = str
        self.steered: Steered | None = None
        self._scripts = 0
        self._clock = clock
        self._started = clock()
        self._answered: float | None = None
        self._ended: float | None = None
        self._steps: list[ShownStep] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens in it."""
        return self.state is CallState.ENDED

    def next_script(self) -> str:
        """The id of a script that is given now. Raises `ScriptError`."""
        if self._scripts >= _MOST_SCRIPTS:
            raise ScriptError(f"a call is given at most {_MOST_SCRIPTS} scripts")
        self._scripts += 1
        return str(self._scripts)

    def party(self) -> Steered:
        """Who can be told what to do. Raises `Over`."""
        if self.is_over or self.state is CallState.DROPPED or self.steered is None:
            raise Over(f"call {self.id} is over")
        return self.steered

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
        self._write(step, heard, ok=True)

    def missed(self, step: Step, heard: str | None = None) -> None:
        """It did not."""
        self._write(step, heard, ok=False)

    def _write(self, step: Step, heard: str | None, *, ok: bool) -> None:
        if len(self._steps) < _MOST_STEPS:
            at = shown_time(self._clock())
            self._steps.append(
                ShownStep(step=dict(step.written), ok=ok, at=at, heard=heard, script=step.script)
            )

    def shown(self) -> ShownCall:
        """As it stands now."""
        return ShownCall(
            id=self.id,
            from_=self.from_address,
            to=self.to_address,
            direction=self.direction,
            state=self.state,
            sip_code=self.sip_code,
            reason=self.reason,
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

    def find(self, phone: str, id: str) -> CallRecord | None:
        """One of them."""
        return next((each for each in self.of(phone) if each.id == id), None)

    def go_on(self) -> list[CallRecord]:
        """Those that can be steered."""
        return [each for each in self._records if not each.is_over and each.steered is not None]

    def forget(self) -> None:
        """Forget all; those that go on are not listed any more."""
        self._records.clear()


def shown_time(at: float) -> str:
    """Seconds since the epoch as text."""
    when = datetime.fromtimestamp(at, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
