"""What the scheduler keeps in its hands: jobs, their queues, endpoints and deadlines.

None of these decides anything beyond itself; who may be tried next is up to `jobs`.
"""

import heapq
from collections import deque
from enum import Enum, auto
from math import isfinite
from typing import Final, Generic, TypeVar

import msgspec

from gateway.core.breaker import Breaker, BreakerPolicy

T = TypeVar("T")

_FAR: Final = 1e12  # stands for never, in seconds
MIN_GONE: Final = 64  # cancelled jobs in a queue or heap that are not worth a clean-up


class Entry(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A job as the scheduler sees it; `item` is the caller's own and never looked at.

    First tries of one `sequence` start in the order of the offers, "" is no sequence. `cost` is
    what a try takes from the rate and from the queue's turn. `attempt` is the number of the next
    try, from 1: higher for a job that was tried before it was read from the store.
    """

    key: str
    account: str
    endpoint: str
    sequence: str = ""
    cost: float = 1
    expire_at: float
    item: T
    attempt: int = 1


class QueuePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint's limits: tries at once, cost per second and cost saved up while it is idle."""

    concurrency: int
    rate: float = float("inf")
    burst: float = 1.0
    breaker: BreakerPolicy = BreakerPolicy()


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds until the next try: `base * 2^(tries - 1)` up to `cap`, less a part by lot.

    `jitter` is the greatest part that the lot may take off, from 0 (none) to 1.
    """

    base: float
    cap: float
    jitter: float = 0.5

    def delay(self, attempt: int, fraction: float) -> float:
        """The wait after try number `attempt`; `fraction` is a random number in [0, 1)."""
        doublings = min(attempt - 1, 62)
        return min(self.cap, self.base * 2.0**doublings) * (1.0 - self.jitter * fraction)


class State(Enum):
    LINED = auto()  # behind another first try of its sequence
    READY = auto()
    DUE_LATER = auto()
    RUNNING = auto()
    GONE = auto()


class Job(Generic[T]):
    """`due` is when the next try may start or, while it runs, when it did."""

    __slots__ = ("due", "endpoint", "entry", "since", "state")

    def __init__(self, entry: Entry[T], endpoint: "Endpoint[T]", since: float, due: float) -> None:
        self.entry = entry
        self.endpoint = endpoint
        self.since = since
        self.due = due
        self.state = State.LINED


class Queue(Generic[T]):
    """What one account has ready at one endpoint; `gone` of the jobs in it were cancelled."""

    __slots__ = ("account", "deficit", "gone", "ready")

    def __init__(self, account: str) -> None:
        self.account = account
        self.deficit = 0.0
        self.gone = 0
        self.ready: deque[Job[T]] = deque()

    def head(self) -> Job[T] | None:
        """The first job that was not cancelled."""
        ready = self.ready
        while ready:
            job = ready[0]
            if job.state is State.READY:
                return job
            ready.popleft()
            self.gone -= 1
        return None

    def count_gone(self) -> None:
        """One of the jobs was cancelled: clean up when most are."""
        self.gone += 1
        if self.gone > MIN_GONE and self.gone * 2 > len(self.ready):
            self.ready = deque(job for job in self.ready if job.state is State.READY)
            self.gone = 0


class Endpoint(Generic[T]):
    __slots__ = (
        "breaker",
        "broken",
        "closed",
        "fading",
        "filled_at",
        "held",
        "in_ring",
        "jobs",
        "limited",
        "name",
        "policy",
        "queues",
        "retrying",
        "ring",
        "running",
        "slow",
        "tokens",
    )

    def __init__(self, name: str, policy: QueuePolicy) -> None:
        self.name = name
        self.policy = policy
        self.limited = isfinite(policy.rate)
        self.breaker: Breaker | None = None  # none while the last try was answered
        self.broken = False  # by its breaker, until it is called or the try that finds out ends
        self.closed = False
        self.held = False  # by its rate, until it is called
        self.fading = False  # idle, and will be called when its tokens are full
        self.in_ring = False
        self.slow = False  # its last try held its slot for long
        self.jobs: dict[str, Job[T]] = {}
        self.queues: dict[str, Queue[T]] = {}
        self.ring: deque[Queue[T]] = deque()
        self.running = 0
        self.retrying = 0
        self.tokens = policy.burst
        self.filled_at = 0.0

    def missing(self, cost: float, now: float) -> float:
        """Seconds until the rate allows a try of `cost`; one above the burst may borrow."""
        policy = self.policy
        if now > self.filled_at:
            gained = (now - self.filled_at) * policy.rate
            self.tokens = min(policy.burst, self.tokens + gained)
            self.filled_at = now
        return max(0.0, (min(cost, policy.burst) - self.tokens) / policy.rate)

    def has_slot(self) -> bool:
        """Whether it is open, below its limit of tries at once and held by nothing else."""
        return (
            not (self.closed or self.held or self.broken) and self.running < self.policy.concurrency
        )


def _second_after(at: float) -> int:
    return int(min(at, _FAR)) + 1


class Deadlines:
    """Keys by the second in which their time ends: no trace of a job is left when it is done."""

    __slots__ = ("_keys", "_seconds")

    def __init__(self) -> None:
        self._keys: dict[int, set[str]] = {}
        self._seconds: list[int] = []

    def add(self, key: str, at: float) -> None:
        second = _second_after(at)
        keys = self._keys.get(second)
        if keys is None:
            self._keys[second] = {key}
            heapq.heappush(self._seconds, second)
        else:
            keys.add(key)

    def discard(self, key: str, at: float) -> None:
        keys = self._keys.get(_second_after(at))
        if keys is not None:
            keys.discard(key)

    def next(self) -> float | None:
        """When the next second with keys in it has passed."""
        while self._seconds and not self._keys[self._seconds[0]]:
            del self._keys[heapq.heappop(self._seconds)]
        return float(self._seconds[0]) if self._seconds else None

    def pop(self, now: float) -> list[str]:
        """The keys whose second has passed."""
        passed: list[str] = []
        while self._seconds and self._seconds[0] <= now:
            passed += self._keys.pop(heapq.heappop(self._seconds))
        return passed


class Sizes:
    """How many endpoints have so many jobs, so that `most`, the highest number, is always known."""

    __slots__ = ("_endpoints", "most")

    def __init__(self) -> None:
        self._endpoints = [0]  # by their number of jobs; the first is of no use
        self.most = 0

    def grew_to(self, size: int) -> None:
        """An endpoint has one job more."""
        endpoints = self._endpoints
        if size == len(endpoints):
            endpoints.append(0)
        endpoints[size] += 1
        endpoints[size - 1] -= 1
        if size > self.most:
            self.most = size

    def shrank_to(self, size: int) -> None:
        """An endpoint has one job less."""
        endpoints = self._endpoints
        endpoints[size + 1] -= 1
        endpoints[size] += 1
        if not endpoints[self.most]:
            self.most = size
