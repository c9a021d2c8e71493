"""Which cluster is written to: how each does, judged with a clock as an argument.

A cluster fails when for `bad_for` seconds on end too many of its writes failed, or took too long
(one that is still under way counts with the time it took so far). It is well again when each
write was good for `good_for` seconds; while another cluster is in use these are probes. The
distance between the two is what keeps a cluster that comes and goes from taking us with it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

_P99: Final = 0.99


class ClusterState(StrEnum):
    """Whether a cluster may be relied on."""

    HEALTHY = "healthy"
    FAILED = "failed"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When a cluster is bad, and for how long until that counts; seconds."""

    errors: float = 0.5  # share of writes
    p99: float = 2.0
    window: float = 2.0  # over which both are taken
    bad_for: float = 5.0
    good_for: float = 60.0


LIMITS: Final = Limits()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a cluster does at one moment; `reason` is "" while nothing is wrong with it."""

    state: ClusterState
    since: float
    reason: str
    errors: float
    p99: float


class ClusterHealth:
    """One cluster. Tell it of each write; ask `verdict`."""

    __slots__ = ("_bad_since", "_ended", "_good_since", "_limits", "_since", "_state", "_under_way")

    def __init__(self, limits: Limits, now: float) -> None:
        """Healthy until it shows otherwise."""
        self._limits = limits
        self._state = ClusterState.HEALTHY
        self._since = now
        self._bad_since = 0.0
        self._good_since = 0.0
        self._ended: deque[tuple[float, float, str]] = deque()
        self._under_way: dict[int, float] = {}

    def began(self, write: int, now: float) -> None:
        """A write that the caller knows by this number is under way."""
        self._under_way[write] = now

    def acknowledged(self, write: int, now: float) -> None:
        """It is durable."""
        self._end(write, now, "")

    def failed(self, write: int, now: float, reason: str) -> None:
        """It is not, or nobody knows; `reason` is not empty."""
        self._end(write, now, reason)

    def given_up(self, write: int) -> None:
        """Nobody waits for it any more, so it says nothing."""
        self._under_way.pop(write, None)

    @property
    def answers(self) -> bool:
        """Whether the last write that ended was good; true before the first."""
        return not self._ended or not self._ended[-1][2]

    def verdict(self, now: float) -> Verdict:
        """How it does now. To be asked several times a second."""
        self._forget(now)
        errors, p99 = self._errors(), self._p99(now)
        reason = self._reason(errors, p99)
        if reason:
            self._good_since = 0.0
            self._bad_since = self._bad_since or now
            if now - self._bad_since >= self._limits.bad_for:
                self._become(ClusterState.FAILED, now)
        else:
            self._bad_since = 0.0
            self._good_since = self._good_since or (now if self._ended else 0.0)
            if self._good_since and now - self._good_since >= self._limits.good_for:
                self._become(ClusterState.HEALTHY, now)
        return Verdict(state=self._state, since=self._since, reason=reason, errors=errors, p99=p99)

    def _end(self, write: int, now: float, reason: str) -> None:
        began = self._under_way.pop(write, now)
        self._ended.append((now, now - began, reason))

    def _become(self, state: ClusterState, now: float) -> None:
        if state is not self._state:
            self._state, self._since = state, now

    def _forget(self, now: float) -> None:
        """Writes that ended before the window; the last one is kept, to say how it ended."""
        oldest = now - self._limits.window
        while len(self._ended) > 1 and self._ended[0][0] < oldest:
            self._ended.popleft()

    def _errors(self) -> float:
        if not self._ended:
            return 0.0
        return sum(1 for _, _, reason in self._ended if reason) / len(self._ended)

    def _p99(self, now: float) -> float:
        taken = sorted(
            [
                *(seconds for _, seconds, reason in self._ended if not reason),
                *(now - began for began in self._under_way.values()),
            ]
        )
        return taken[min(len(taken) - 1, int(len(taken) * _P99))] if taken else 0.0

    def _reason(self, errors: float, p99: float) -> str:
        if errors and errors >= self._limits.errors:
            last = next(reason for _, _, reason in reversed(self._ended) if reason)
            return f"{errors:.0%} of the writes fail: {last}"
        if p99 > self._limits.p99:
            return f"writes take {p99:.1f} s"
        return ""


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """Another cluster is written to from now on."""

    from_: str
    to: str
    reason: str


class Failover:
    """Which of the clusters is written to: the first that is well, in the order of preference."""

    def __init__(self, names: Sequence[str], limits: Limits, now: float) -> None:
        self._health = {name: ClusterHealth(limits, now) for name in names}
        self._reason = ""
        self.active = names[0]
        self.since = now

    def __getitem__(self, name: str) -> ClusterHealth:
        return self._health[name]

    @property
    def reason(self) -> str:
        """Why the active one is; "" for the preferred one that never failed."""
        return self._reason

    def verdicts(self, now: float) -> Mapping[str, Verdict]:
        """How each does."""
        return {name: health.verdict(now) for name, health in self._health.items()}

    def judge(self, now: float) -> Switch | None:
        """Whether to write to another one from now on. To be asked several times a second."""
        verdicts = self.verdicts(now)
        to, reason = self._best(verdicts)
        if to == self.active:
            return None
        switch = Switch(from_=self.active, to=to, reason=reason)
        self.active, self.since, self._reason = to, now, reason
        return switch

    def _best(self, verdicts: Mapping[str, Verdict]) -> tuple[str, str]:
        current = verdicts[self.active]
        for name, verdict in verdicts.items():
            if verdict.state is ClusterState.HEALTHY:
                if name == self.active:
                    return name, ""
                if current.state is ClusterState.HEALTHY:
                    return name, f"{name} is well again"
                return name, f"{self.active} failed: {current.reason or 'it was not well again'}"
        # None is well. One that answers at all is better than one that does not.
        if not self._health[self.active].answers:
            for name, health in self._health.items():
                if health.answers:
                    return name, f"{self.active} failed: {current.reason}"
        return self.active, ""
