"""The scheduler: which job may be tried now, of all that wait, in memory and without a clock.

Queues are virtual, one for each (account, endpoint) that has something ready, and cost nothing
while they are empty. They share by deficit round robin: endpoints take turns, and within an
endpoint its accounts do. An endpoint has a limit of tries at once and a rate; while it is at one
of them, or closed, or does not answer, its jobs wait without being looked at.

Where all share a pool of slots, who hangs may not fill it: `Pool` says how.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final, Generic

import msgspec

from gateway.core.breaker import Breaker, Circuit, Sign
from gateway.core.pool import Pool
from gateway.core.queues import (
    MIN_GONE,
    Deadlines,
    Endpoint,
    Entry,
    Job,
    Queue,
    QueuePolicy,
    RetryPolicy,
    Sizes,
    State,
    T,
)

__all__ = [
    "Counts",
    "Entry",
    "Expired",
    "QueuePolicy",
    "RetryAt",
    "RetryPolicy",
    "Scheduler",
    "Sign",
    "Standing",
    "policies",
]

_QUANTUM: Final = 1.0  # of cost, that a queue gains with each turn


class RetryAt(msgspec.Struct, frozen=True):
    """The job will be tried again, not before `at`."""

    at: float


class Expired(msgspec.Struct, frozen=True):
    """The next try would come after the job's time; the scheduler has forgotten it."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of an endpoint wait for their turn, are being tried, wait for a retry."""

    waiting: int
    running: int
    retrying: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How the breaker of an endpoint stands; the next try that finds out is due at `probe_at`."""

    circuit: Circuit = Circuit.CLOSED
    probe_at: float = 0.0


Policies = Callable[[str], QueuePolicy]


def policies(default: QueuePolicy, special: Mapping[str, QueuePolicy]) -> Policies:
    """The policies of a table, by endpoint or by scheme ("smpp:"), and a default for the rest."""

    def policy_of(endpoint: str) -> QueuePolicy:
        scheme = endpoint[: endpoint.find(":") + 1]
        return special.get(endpoint) or special.get(scheme, default)

    return policy_of if special else lambda _: default


class Scheduler(Generic[T]):
    """Holds jobs until they may be tried. Times are seconds since any fixed moment.

    The life of a job: `offer`, `take`, then `release` when it needs no other try or `retry`
    when it does. `cancel` forgets one that waits.
    """

    def __init__(
        self, policy_of: Policies, retry_policy: RetryPolicy, *, slots: int | None = None
    ) -> None:
        """`slots` are the tries that may run at once over all endpoints; None for any number."""
        self._policy_of = policy_of
        self._retry_policy = retry_policy
        self._jobs: dict[str, Job[T]] = {}
        self._endpoints: dict[str, Endpoint[T]] = {}
        self._pool: Pool[T] = Pool(slots)
        self._lines: dict[str, deque[Job[T]]] = {}  # first tries, by sequence
        self._due: list[tuple[float, int, Job[T]]] = []
        self._due_gone = 0
        self._wakings: list[tuple[float, int, Endpoint[T]]] = []
        self._ticket = 0  # keeps heaps from comparing jobs
        self._deadlines = Deadlines()
        self._sizes = Sizes()
        self._broken: set[str] = set()  # endpoints whose circuit is not closed

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, key: str) -> bool:
        return key in self._jobs

    def offer(self, entry: Entry[T], now: float, due: float | None = None) -> bool:
        """Take `entry` in, to be tried not before `due`; False if its key is here already."""
        key = entry.key
        if key in self._jobs:
            return False
        endpoint = self._endpoints.get(entry.endpoint) or self._admit(entry.endpoint)
        job = Job(entry, endpoint, now, now if due is None else due)
        self._jobs[key] = endpoint.jobs[key] = job
        self._sizes.grew_to(len(endpoint.jobs))
        self._deadlines.add(key, entry.expire_at)
        if entry.sequence and entry.attempt == 1:
            line = self._lines.setdefault(entry.sequence, deque())
            line.append(job)
            if line[0] is not job:
                return True
        self._start_waiting(job)
        return True

    def take(self, now: float, limit: int, endpoint: str | None = None) -> list[Entry[T]]:
        """At most `limit` jobs that may be tried now, of one endpoint or of all, in fair turns.

        `attempt` of each is the number of this try. They count as running until `release` or
        `retry`. A job whose time has ended may be among them: `expire` takes those out.
        """
        self._wake(now)
        taken: list[Entry[T]] = []
        if endpoint is not None:
            only = self._endpoints.get(endpoint)
            while only is not None and len(taken) < limit and self._serve(only, now, taken):
                pass
            return taken
        pool = self._pool
        pool.let_in()
        while len(taken) < limit and (ring := pool.next_ring()):
            first = ring[0]
            if self._serve(first, now, taken):
                ring.rotate(-1)
            else:
                ring.popleft()
                first.in_ring = False
        return taken

    def release(self, key: str, now: float | None = None, sign: Sign = Sign.NOTHING) -> None:
        """A try of `key` has ended and there will be no other, whatever came of it.

        `now` lets the endpoint be judged by how long it took, and by `sign`. Passed over for a
        job that is not being tried.
        """
        job = self._jobs.get(key)
        if job is None or job.state is not State.RUNNING:
            return
        endpoint = job.endpoint
        self._pool.leave(endpoint, None if now is None else now - job.due)
        if endpoint.breaker is not None or sign is Sign.FAILED:
            self._judge(endpoint, key, sign, job.due if now is None else now)
        self._forget(job)
        if not endpoint.jobs:
            self._dismiss(endpoint)
        elif endpoint.ring:
            self._ring_in(endpoint)

    def retry(
        self,
        key: str,
        now: float,
        fraction: float,
        after: float | None = None,
        sign: Sign = Sign.NOTHING,
    ) -> RetryAt | Expired:
        """A try of `key` has ended and another is due: in `after` seconds, else by the policy.

        `fraction` is a random number in [0, 1). Raises `KeyError` for a job that is not being
        tried.
        """
        job = self._jobs[key]
        if job.state is not State.RUNNING:
            raise KeyError(key)
        entry = job.entry
        wait = self._retry_policy.delay(entry.attempt, fraction) if after is None else after
        at = now + wait
        if at >= entry.expire_at:
            self.release(key, now, sign)
            return Expired()
        endpoint = job.endpoint
        self._pool.leave(endpoint, now - job.due)
        if endpoint.breaker is not None or sign is Sign.FAILED:
            self._judge(endpoint, key, sign, now)
        if entry.attempt == 1 and entry.sequence:
            self._advance(entry.sequence, job)
        job.entry = msgspec.structs.replace(entry, attempt=entry.attempt + 1)
        job.due = at
        self._postpone(job)
        if endpoint.ring:
            self._ring_in(endpoint)
        return RetryAt(at)

    def cancel(self, key: str) -> bool:
        """Forget a job that waits; False if it is being tried or not known."""
        job = self._jobs.get(key)
        if job is None or job.state is State.RUNNING:
            return False
        endpoint = job.endpoint
        match job.state:
            case State.READY:
                endpoint.queues[job.entry.account].count_gone()
            case State.DUE_LATER:
                endpoint.retrying -= 1
                self._count_due_gone()
        self._forget(job)
        if not endpoint.jobs:
            self._dismiss(endpoint)
        return True

    def clear(self, endpoint: str) -> int:
        """Forget the jobs of `endpoint` that wait; how many. Those being tried stay."""
        found = self._endpoints.get(endpoint)
        return sum(map(self.cancel, list(found.jobs))) if found is not None else 0

    def expire(self, now: float) -> list[Entry[T]]:
        """Forget the jobs that wait and whose time has ended, at most a second late."""
        ended: list[Entry[T]] = []
        for key in self._deadlines.pop(now):
            job = self._jobs[key]
            if self.cancel(key):
                ended.append(job.entry)
        return ended

    def timer(self) -> float | None:
        """When `take` may yield more than what is ready already: a retry, a rate's next token."""
        times = []
        while self._due and self._due[0][2].state is not State.DUE_LATER:
            heapq.heappop(self._due)
            self._due_gone -= 1
        if self._due:
            times.append(self._due[0][0])
        if self._wakings:
            times.append(self._wakings[0][0])
        return min(times, default=None)

    def expiry(self) -> float | None:
        """When `expire` may have something to give."""
        return self._deadlines.next()

    def close_endpoint(self, endpoint: str) -> None:
        """Let the jobs of `endpoint` wait until `open_endpoint`; those being tried go on."""
        (self._endpoints.get(endpoint) or self._admit(endpoint)).closed = True

    def open_endpoint(self, endpoint: str) -> None:
        """Let the jobs of `endpoint` be tried again."""
        found = self._endpoints.get(endpoint)
        if found is not None and found.closed:
            found.closed = False
            self._ring_in(found)
            if not found.jobs:
                self._dismiss(found)

    def endpoints(self) -> list[str]:
        """The endpoints that have jobs, are closed or have used their rate."""
        return list(self._endpoints)

    @property
    def fullest(self) -> int:
        """How many jobs the endpoint has that has most."""
        return self._sizes.most

    @property
    def broken(self) -> int:
        """How many endpoints do not answer."""
        return len(self._broken)

    def count(self, endpoint: str) -> int:
        """How many jobs of `endpoint` there are, waiting or being tried."""
        found = self._endpoints.get(endpoint)
        return len(found.jobs) if found is not None else 0

    def counts(self, endpoint: str) -> Counts:
        """The same by what they wait for."""
        found = self._endpoints.get(endpoint)
        if found is None:
            return Counts(waiting=0, running=0, retrying=0)
        waiting = len(found.jobs) - found.running - found.retrying
        return Counts(waiting=waiting, running=found.running, retrying=found.retrying)

    def counts_by_account(self, endpoint: str) -> dict[str, Counts]:
        """The same for each account that has jobs there."""
        found = self._endpoints.get(endpoint)
        if found is None:
            return {}
        told = Counter((job.entry.account, job.state) for job in found.jobs.values())
        return {
            account: Counts(
                waiting=told[account, State.READY] + told[account, State.LINED],
                running=told[account, State.RUNNING],
                retrying=told[account, State.DUE_LATER],
            )
            for account in dict.fromkeys(account for account, _ in told)
        }

    def standing(self, endpoint: str) -> Standing:
        """How the breaker of `endpoint` stands."""
        found = self._endpoints.get(endpoint)
        if found is None or found.breaker is None:
            return Standing()
        return Standing(circuit=found.breaker.circuit, probe_at=found.breaker.probe_at)

    def oldest(self, endpoint: str) -> float | None:
        """When the job of `endpoint` that has been here longest was offered."""
        found = self._endpoints.get(endpoint)
        if found is None or not found.jobs:
            return None
        return next(iter(found.jobs.values())).since

    def _admit(self, name: str) -> Endpoint[T]:
        endpoint = self._endpoints[name] = Endpoint(name, self._policy_of(name))
        return endpoint

    def _dismiss(self, endpoint: Endpoint[T]) -> None:
        """Forget an endpoint without jobs, if it is as a new one would be."""
        if endpoint.closed or endpoint.jobs or endpoint.held or endpoint.fading or endpoint.broken:
            return
        if endpoint.limited and endpoint.tokens < endpoint.policy.burst:
            endpoint.fading = True
            full = endpoint.missing(endpoint.policy.burst, endpoint.filled_at)
            self._call_at(endpoint.filled_at + full, endpoint)
            return
        endpoint.ring.clear()
        endpoint.queues.clear()
        self._endpoints.pop(endpoint.name, None)
        self._broken.discard(endpoint.name)

    def _serve(self, endpoint: Endpoint[T], now: float, taken: list[Entry[T]]) -> bool:
        """One step of a queue's turn; False when the endpoint can give nothing now."""
        ring = endpoint.ring
        if not ring or not endpoint.has_slot() or not self._pool.has_room(endpoint):
            return False
        queue = ring[0]
        job = queue.head()
        if job is None:
            ring.popleft()
            del endpoint.queues[queue.account]
            if not endpoint.jobs:
                self._dismiss(endpoint)
            return True
        entry = job.entry
        cost = entry.cost
        if queue.deficit < cost:
            queue.deficit += _QUANTUM
            if queue.deficit < cost:
                ring.rotate(-1)
                return True
        if endpoint.limited:
            missing = endpoint.missing(cost, now)
            if missing > 0:
                endpoint.held = True
                self._call_at(now + missing, endpoint)
                return False
            endpoint.tokens -= cost
        queue.deficit -= cost
        queue.ready.popleft()
        job.state = State.RUNNING
        job.due = now
        if endpoint.breaker is not None:
            endpoint.breaker.started(entry.key)
            endpoint.broken = not endpoint.breaker.allows(now)
        self._pool.enter(endpoint)
        taken.append(entry)
        if not queue.ready:
            ring.popleft()
            del endpoint.queues[queue.account]
        elif queue.deficit < cost:
            ring.rotate(-1)
        return True

    def _judge(self, endpoint: Endpoint[T], key: str, sign: Sign, now: float) -> None:
        """Let the breaker of `endpoint` know what the try `key` told."""
        if sign is Sign.ANSWERED:
            endpoint.breaker, endpoint.broken = None, False
            self._broken.discard(endpoint.name)
            return
        breaker = endpoint.breaker
        if breaker is None:
            breaker = endpoint.breaker = Breaker(endpoint.policy.breaker)
        was_open = breaker.circuit is Circuit.OPEN
        if sign is Sign.FAILED:
            breaker.failed(key, now)
        else:
            breaker.ended(key)
        endpoint.broken = not breaker.allows(now)
        if breaker.circuit is Circuit.OPEN and not was_open:
            self._broken.add(endpoint.name)
            self._call_at(breaker.probe_at, endpoint)

    def _wake(self, now: float) -> None:
        """Make ready what is due."""
        due = self._due
        while due and due[0][0] <= now:
            job = heapq.heappop(due)[2]
            if job.state is State.DUE_LATER:
                job.endpoint.retrying -= 1
                self._enqueue(job)
            else:
                self._due_gone -= 1
        wakings = self._wakings
        while wakings and wakings[0][0] <= now:
            endpoint = heapq.heappop(wakings)[2]
            endpoint.held = endpoint.fading = False
            endpoint.broken = endpoint.breaker is not None and not endpoint.breaker.allows(now)
            endpoint.missing(0.0, now)
            if endpoint.jobs:
                self._ring_in(endpoint)
            else:
                self._dismiss(endpoint)

    def _call_at(self, at: float, endpoint: Endpoint[T]) -> None:
        self._ticket += 1
        heapq.heappush(self._wakings, (at, self._ticket, endpoint))

    def _start_waiting(self, job: Job[T]) -> None:
        if job.due > job.since:
            self._postpone(job)
        else:
            self._enqueue(job)

    def _postpone(self, job: Job[T]) -> None:
        job.state = State.DUE_LATER
        job.endpoint.retrying += 1
        self._ticket += 1
        heapq.heappush(self._due, (job.due, self._ticket, job))

    def _enqueue(self, job: Job[T]) -> None:
        job.state = State.READY
        endpoint = job.endpoint
        account = job.entry.account
        queue = endpoint.queues.get(account)
        if queue is None:
            queue = endpoint.queues[account] = Queue(account)
            endpoint.ring.append(queue)
        queue.ready.append(job)
        if not endpoint.in_ring:
            self._ring_in(endpoint)

    def _ring_in(self, endpoint: Endpoint[T]) -> None:
        """Let the endpoint take turns, if it could give something."""
        if not endpoint.in_ring and endpoint.ring and endpoint.has_slot():
            self._pool.ring_in(endpoint)

    def _forget(self, job: Job[T]) -> None:
        entry = job.entry
        job.state = State.GONE
        del self._jobs[entry.key]
        del job.endpoint.jobs[entry.key]
        self._sizes.shrank_to(len(job.endpoint.jobs))
        self._deadlines.discard(entry.key, entry.expire_at)
        if entry.attempt == 1 and entry.sequence:
            self._advance(entry.sequence, job)

    def _advance(self, sequence: str, ended: Job[T]) -> None:
        """Let the next first try of `sequence` start, if `ended` was the one before it."""
        line = self._lines[sequence]
        if line[0] is not ended:
            return
        line.popleft()
        while line and line[0].state is State.GONE:
            line.popleft()
        if line:
            self._start_waiting(line[0])
        else:
            del self._lines[sequence]

    def _count_due_gone(self) -> None:
        self._due_gone += 1
        if self._due_gone > MIN_GONE and self._due_gone * 2 > len(self._due):
            self._due = [item for item in self._due if item[2].state is State.DUE_LATER]
            heapq.heapify(self._due)
            self._due_gone = 0
