"""Circuit breakers, alone and in the scheduler, with the time held in the hand."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.breaker import Breaker, BreakerPolicy, Circuit, Sign
from gateway.core.jobs import Entry, QueuePolicy, RetryPolicy, Scheduler, Standing, policies

POLICY = BreakerPolicy(failures=3, pause=1.0, longest=4.0)
RETRY = RetryPolicy(base=1.0, cap=600.0, jitter=0.0)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(POLICY)
    for at in range(3):
        breaker.failed(f"j{at}", now)
    return breaker


def test_it_opens_after_some_failures_in_a_row() -> None:
    breaker = Breaker(POLICY)
    for at in range(2):
        breaker.failed(f"j{at}", 0.0)
        assert breaker.allows(0.0) and breaker.circuit is Circuit.CLOSED
    breaker.failed("j2", 5.0)
    assert breaker.circuit is Circuit.OPEN and breaker.probe_at == 6.0
    assert not breaker.allows(5.9)


def test_one_try_at_a_time_finds_out_and_pauses_grow_up_to_the_longest() -> None:
    breaker, now = opened(), 0.0
    for pause in (1.0, 2.0, 4.0, 4.0):
        assert breaker.probe_at == now + pause
        now += pause
        assert breaker.allows(now)
        breaker.started("probe")
        assert breaker.circuit is Circuit.HALF_OPEN and not breaker.allows(now)
        breaker.failed("probe", now)
        assert breaker.circuit is Circuit.OPEN


def test_what_was_under_way_when_it_opened_tells_nothing_new() -> None:
    breaker = opened()
    breaker.failed("straggler", 0.5)
    assert breaker.probe_at == 1.0
    assert breaker.allows(1.0)
    breaker.started("probe")
    breaker.failed("straggler", 1.1)
    assert breaker.circuit is Circuit.HALF_OPEN and not breaker.allows(1.1)


def test_a_try_that_told_nothing_is_followed_by_another() -> None:
    breaker = opened()
    assert breaker.allows(1.0)
    breaker.started("probe")
    breaker.ended("straggler")
    assert not breaker.allows(1.0)
    breaker.ended("probe")
    assert breaker.allows(1.0)


# -- in the scheduler ------------------------------------------------------------------------


def scheduler(concurrency: int = 16, rate: float = float("inf")) -> Scheduler[Any]:
    policy = QueuePolicy(concurrency=concurrency, rate=rate, burst=2.0, breaker=POLICY)
    return Scheduler(policies(policy, {}), RETRY)


def offer(jobs: Scheduler[Any], *keys: str, endpoint: str = "dead", now: float = 0.0) -> None:
    for key in keys:
        entry = Entry(key=key, account="a", endpoint=endpoint, expire_at=1e9, item=None)
        jobs.offer(entry, now)


def keys(entries: list[Entry[Any]]) -> list[str]:
    return [each.key for each in entries]


def broken(now: float = 0.0) -> Scheduler[Any]:
    """Three jobs failed, five wait."""
    jobs = scheduler(concurrency=3)
    offer(jobs, *(f"j{at}" for at in range(8)), now=now)
    for key in keys(jobs.take(now, 100)):
        jobs.retry(key, now, 0.0, after=500.0, sign=Sign.FAILED)
    return jobs


def test_jobs_of_an_endpoint_that_does_not_answer_wait_without_a_try() -> None:
    jobs = broken()
    offer(jobs, "other", endpoint="alive")
    assert keys(jobs.take(0.0, 100)) == ["other"]
    assert jobs.standing("dead") == Standing(circuit=Circuit.OPEN, probe_at=1.0)
    assert jobs.standing("alive") == jobs.standing("unknown") == Standing()
    assert jobs.timer() == 1.0
    assert keys(jobs.take(1.0, 100)) == ["j3"], "one finds out"
    assert jobs.take(1.0, 100) == []
    jobs.retry("j3", 1.0, 0.0, after=500.0, sign=Sign.FAILED)
    assert jobs.take(2.9, 100) == []
    assert keys(jobs.take(3.0, 100)) == ["j4"]
    jobs.release("j4", 3.0, Sign.ANSWERED)
    assert keys(jobs.take(3.0, 100)) == ["j5", "j6", "j7"]
    assert jobs.standing("dead") == Standing()


def test_an_answer_to_what_was_under_way_closes_it_at_once() -> None:
    jobs = scheduler()
    offer(jobs, *(f"j{at}" for at in range(20)))
    first = keys(jobs.take(0.0, 16))
    for key in first[:3]:
        jobs.retry(key, 0.0, 0.0, after=500.0, sign=Sign.FAILED)
    assert jobs.take(0.0, 100) == []
    jobs.release(first[3], 0.0, Sign.ANSWERED)
    assert len(jobs.take(0.0, 100)) == 4


def test_failures_that_are_not_in_a_row_open_nothing() -> None:
    jobs = scheduler()
    for at in range(50):
        offer(jobs, f"j{at}")
        jobs.take(0.0, 1)
        jobs.release(f"j{at}", 0.0, Sign.FAILED if at % 3 else Sign.ANSWERED)
        assert jobs.standing("dead").circuit is Circuit.CLOSED


def test_a_fault_that_is_not_the_endpoints_is_not_counted() -> None:
    jobs = scheduler()
    for at in range(50):
        offer(jobs, f"j{at}")
        jobs.take(0.0, 1)
        jobs.retry(f"j{at}", 0.0, 0.0, after=500.0)
    assert jobs.standing("dead") == Standing()


def test_the_rate_does_not_call_an_endpoint_before_its_pause_is_over() -> None:
    jobs = scheduler(concurrency=3, rate=10.0)
    offer(jobs, *(f"j{at}" for at in range(8)))
    now = 0.0
    for _ in range(3):
        (taken,) = jobs.take(now, 1)
        jobs.retry(taken.key, now, 0.0, after=500.0, sign=Sign.FAILED)
        now += 0.2
    opened_at = 0.4
    while now < opened_at + 0.99:
        assert jobs.take(now, 100) == []
        now += 0.05
    assert len(jobs.take(opened_at + 1.0, 100)) == 1


def test_a_broken_endpoint_without_jobs_is_forgotten_after_its_pause() -> None:
    jobs = scheduler()
    offer(jobs, "j0", "j1", "j2")
    for key in keys(jobs.take(0.0, 100)):
        jobs.release(key, 0.0, Sign.FAILED)
    assert jobs.endpoints() == ["dead"]
    offer(jobs, "new")
    assert jobs.take(0.5, 100) == []
    jobs.cancel("new")
    assert jobs.take(1.0, 100) == [] and jobs.endpoints() == []


def test_an_endpoint_is_cleared_of_what_waits() -> None:
    jobs = scheduler(concurrency=1)
    for at in range(4):
        entry = Entry(
            key=f"s{at}", account="a", endpoint="e", sequence="s", expire_at=1e9, item=None
        )
        jobs.offer(entry, 0.0)
    offer(jobs, "other", endpoint="f")
    assert keys(jobs.take(0.0, 100)) == ["s0", "other"]
    assert jobs.clear("e") == 3 and jobs.clear("unknown") == 0
    assert jobs.count("e") == 1
    jobs.release("s0")
    assert jobs.endpoints() == ["f"] and jobs.take(0.0, 100) == []


STEPS = st.lists(
    st.tuples(st.sampled_from(["offer", "take", "answer", "fail", "nothing", "wait"])), max_size=80
)


@given(steps=STEPS)
def test_whatever_happens_every_job_is_tried_in_the_end(steps: list[tuple[str]]) -> None:
    jobs, now, made = scheduler(concurrency=2), 0.0, 0
    running: list[str] = []
    waiting: set[str] = set()
    signs = {"answer": Sign.ANSWERED, "fail": Sign.FAILED, "nothing": Sign.NOTHING}
    for (step,) in steps:
        match step:
            case "offer":
                offer(jobs, f"j{made}", now=now)
                waiting.add(f"j{made}")
                made += 1
            case "take":
                taken = keys(jobs.take(now, 1))
                running += taken
                waiting -= set(taken)
            case "wait":
                now += 0.7
            case _ if running:
                jobs.release(running.pop(0), now, signs[step])
            case _:
                pass
    for key in running:
        jobs.release(key, now, Sign.NOTHING)
    for _ in range(200):
        now += 1.0
        for key in keys(jobs.take(now, 100)):
            waiting.discard(key)
            jobs.release(key, now, Sign.ANSWERED)
    assert waiting == set() and jobs.endpoints() == [] and len(jobs) == 0
