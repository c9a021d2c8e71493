"""The circuit breaker of one endpoint: while it does not answer, its jobs wait and cost nothing.

Pure, its time is an argument. Closed, tries go on as they like; after some failures in a row that
are the endpoint's own it opens, and nothing is tried until a pause has passed. Then one try at a
time finds out: a failure opens it again for twice as long, an answer closes it.
"""

from enum import Enum, StrEnum, auto

import msgspec


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Opens after `failures` in a row; pauses are `pause` seconds, doubled up to `longest`."""

    failures: int = 10
    pause: float = 1.0
    longest: float = 60.0


class Circuit(StrEnum):
    """Whether tries may start: all, none, or one that finds out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Sign(Enum):
    """What a try told about its endpoint: it answered, it did not, or nothing was learnt."""

    ANSWERED = auto()
    FAILED = auto()
    NOTHING = auto()


class Breaker:
    """Made with the first failure; an answer, whoever gets it, is the end of it."""

    __slots__ = ("_failures", "_pause", "_policy", "_probe", "circuit", "probe_at")

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._pause = policy.pause
        self._probe = ""
        self.circuit = Circuit.CLOSED
        self.probe_at = 0.0  # while it is open

    def allows(self, now: float) -> bool:
        """Whether a try may start now."""
        if self.circuit is Circuit.OPEN and now >= self.probe_at:
            self.circuit = Circuit.HALF_OPEN
        match self.circuit:
            case Circuit.CLOSED:
                return True
            case Circuit.OPEN:
                return False
            case Circuit.HALF_OPEN:
                return not self._probe

    def started(self, key: str) -> None:
        """The try `key` begins; the one that was allowed half-open finds out."""
        if self.circuit is Circuit.HALF_OPEN:
            self._probe = key

    def failed(self, key: str, now: float) -> None:
        """The try `key` failed. Those that were under way when it opened tell nothing new."""
        match self.circuit:
            case Circuit.CLOSED:
                self._failures += 1
                if self._failures >= self._policy.failures:
                    self._open(now)
            case Circuit.HALF_OPEN if key == self._probe:
                self._pause = min(self._pause * 2, self._policy.longest)
                self._open(now)
            case _:
                pass

    def ended(self, key: str) -> None:
        """The try `key` ended without telling anything: another one may find out."""
        if key == self._probe:
            self._probe = ""

    def _open(self, now: float) -> None:
        self.circuit = Circuit.OPEN
        self.probe_at = now + self._pause
        self._probe = ""
