"""Who gets the slots that all endpoints share, with the time held in the hand."""

import heapq
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.jobs import Entry, QueuePolicy, RetryPolicy, Scheduler, policies

SLOTS = 64
RETRY = RetryPolicy(base=1.0, cap=600.0, jitter=0.0)


def scheduler(slots: int = SLOTS, concurrency: int = 16) -> Scheduler[Any]:
    return Scheduler(policies(QueuePolicy(concurrency=concurrency), {}), RETRY, slots=slots)


def entry(key: str, endpoint: str) -> Entry[Any]:
    return Entry(key=key, account="a", endpoint=endpoint, expire_at=1e9, item=None)


class Workers:
    """As many as there are slots; `lasts` says for how long a try holds one, and if it fails."""

    def __init__(self, jobs: Scheduler[Any], lasts: Callable[[str], tuple[float, bool]]) -> None:
        self.jobs = jobs
        self.lasts = lasts
        self.now = 0.0
        self.running: list[tuple[float, str, str, bool]] = []
        self.started: dict[str, float] = {}
        self.ended: Counter[str] = Counter()

    def offer(self, count: int, *endpoints: str) -> None:
        for endpoint in endpoints:
            for at in range(count):
                self.jobs.offer(entry(f"{endpoint} {at}", endpoint), self.now)

    def at_work(self) -> Counter[str]:
        return Counter(endpoint for _, _, endpoint, _ in self.running)

    def until(self, then: float) -> None:
        """Let the time pass, in steps from one end of a try to the next."""
        while True:
            for each in self.jobs.take(self.now, SLOTS - len(self.running)):
                self.started.setdefault(each.key, self.now)
                duration, fails = self.lasts(each.endpoint)
                end = (self.now + duration, each.key, each.endpoint, fails)
                heapq.heappush(self.running, end)
            times = [self.running[0][0]] if self.running else []
            timer = self.jobs.timer()
            if timer is not None and len(self.running) < SLOTS:
                times.append(max(timer, self.now))
            if not times or min(times) > then:
                self.now = then
                return
            self.now = min(times)
            while self.running and self.running[0][0] <= self.now:
                _, key, endpoint, fails = heapq.heappop(self.running)
                self.ended[endpoint] += 1
                if fails:
                    self.jobs.retry(key, self.now, 0.0)
                else:
                    self.jobs.release(key, self.now)


def hosts(endpoint: str) -> tuple[float, bool]:
    kind = endpoint.rstrip("0123456789")
    return {"hangs": (15.0, True), "dead": (5.0, True), "refuses": (0.01, True)}.get(
        kind, (0.02, False)
    )


@pytest.mark.parametrize("after", [0.0, 3.0, 14.0, 40.0, 300.0])
def test_a_dead_and_four_hanging_hosts_do_not_hold_up_another_accounts_first_try(
    after: float,
) -> None:
    workers = Workers(scheduler(), hosts)
    workers.offer(10_000, "dead")
    workers.offer(1_000, *(f"hangs{at}" for at in range(4)))
    workers.until(after)
    for at in range(20):
        workers.offer(1, f"new{at}")
        workers.until(workers.now + 1.0)
        assert workers.started[f"new{at} 0"] <= workers.now


def test_sixty_hosts_that_hang_leave_room_before_anybody_knows_it() -> None:
    workers = Workers(scheduler(), hosts)
    workers.offer(100, *(f"hangs{at}" for at in range(60)))
    workers.until(1.0)
    assert all(workers.at_work()[f"hangs{at}"] for at in range(60))
    workers.offer(1, "new")
    workers.until(1.5)
    assert workers.ended["new"] == 1


def test_those_that_were_slow_share_one_half_and_are_all_tried() -> None:
    workers = Workers(scheduler(), hosts)
    names = [f"hangs{at}" for at in range(200)]
    workers.offer(50, *names)
    workers.until(100.0)
    workers.offer(400_000 // 100, *(f"good{at}" for at in range(4)))
    before = workers.ended.copy()
    workers.until(100.5)
    slow = sum(count for name, count in workers.at_work().items() if name in names)
    assert 0 < slow <= SLOTS // 2
    workers.until(300.0)
    assert all(workers.ended[name] > 0 for name in names)
    assert sum(workers.ended[name] - before[name] for name in names) > 200, "half is theirs"
    assert sum(workers.ended[f"good{at}"] for at in range(4)) == 16_000


def test_one_that_recovers_is_prompt_again() -> None:
    state = {"host": (15.0, True)}
    workers = Workers(scheduler(slots=8), lambda endpoint: state.get(endpoint, (15.0, True)))
    workers.offer(100, "host", *(f"hangs{at}" for at in range(20)))
    workers.until(60.0)
    state["host"] = (0.001, False)
    workers.until(300.0)
    assert workers.ended["host"] >= 100


def test_an_endpoint_alone_holds_no_more_than_it_leaves_free() -> None:
    workers = Workers(scheduler(concurrency=1000), hosts)
    workers.offer(100, "hangs1")
    workers.until(1.0)
    assert workers.at_work() == {"hangs1": SLOTS // 2}
    workers.offer(100, "hangs2", "hangs3")
    workers.until(2.0)
    held = workers.at_work()
    assert held["hangs2"] == held["hangs3"] == 11


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_few_slots_are_used_to_the_end(slots: int) -> None:
    workers = Workers(scheduler(slots=slots), lambda endpoint: (2.0, False))
    workers.offer(10, "a", "b", "c")
    workers.until(1000.0)
    assert workers.ended == {"a": 10, "b": 10, "c": 10}
    assert len(workers.jobs) == 0


def test_policies_go_by_endpoint_by_scheme_and_by_default() -> None:
    default, own, scheme = (QueuePolicy(concurrency=at) for at in (1, 2, 3))
    policy_of = policies(default, {"smpp:acme": own, "smpp:": scheme})
    assert policy_of("smpp:acme") is own
    assert policy_of("smpp:other") is scheme
    assert policy_of("http://smpp.example") is default
    assert policy_of("smpp") is default
    assert policies(default, {})("smpp:acme") is default
