"""The scheduler with its time held in the hand."""

import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.jobs import (
    Counts,
    Entry,
    Expired,
    QueuePolicy,
    RetryAt,
    RetryPolicy,
    Scheduler,
    policies,
)

WIDE = QueuePolicy(concurrency=10**6)
RETRY = RetryPolicy(base=1.0, cap=60.0, jitter=0.0)
FAR = 10**9


def scheduler(default: QueuePolicy = WIDE, **special: QueuePolicy) -> Scheduler[Any]:
    return Scheduler(policies(default, special), RETRY)


def entry(key: str, endpoint: str = "e", account: str = "a", **more: Any) -> Entry[Any]:
    return Entry(
        key=key, account=account, endpoint=endpoint, **{"expire_at": FAR, "item": None, **more}
    )


def keys(entries: list[Entry[Any]]) -> list[str]:
    return [each.key for each in entries]


def test_jobs_of_a_queue_are_taken_in_their_order_and_once() -> None:
    jobs = scheduler()
    for at in range(5):
        assert jobs.offer(entry(f"j{at}"), now=0.0)
    assert not jobs.offer(entry("j3"), now=0.0), "a key that is here already"
    assert keys(jobs.take(0.0, 3)) == ["j0", "j1", "j2"]
    assert keys(jobs.take(0.0, 3)) == ["j3", "j4"]
    assert jobs.take(0.0, 3) == []
    assert len(jobs) == 5 and "j0" in jobs
    for at in range(5):
        jobs.release(f"j{at}")
    assert len(jobs) == 0 and "j0" not in jobs
    assert jobs.offer(entry("j3"), now=0.0), "a job that is done may come again"


def test_accounts_of_an_endpoint_take_turns() -> None:
    jobs = scheduler()
    for at in range(100):
        jobs.offer(entry(f"many{at}", account="greedy"), now=0.0)
    for at in range(3):
        jobs.offer(entry(f"few{at}", account="modest"), now=0.0)
    assert keys(jobs.take(0.0, 8)) == [
        "many0",
        "few0",
        "many1",
        "few1",
        "many2",
        "few2",
        "many3",
        "many4",
    ]


def test_endpoints_take_turns() -> None:
    jobs = scheduler()
    for endpoint in ("x", "y", "z"):
        for at in range(10):
            jobs.offer(entry(f"{endpoint}{at}", endpoint), now=0.0)
    taken = Counter(each.endpoint for each in jobs.take(0.0, 15))
    assert taken == {"x": 5, "y": 5, "z": 5}


def test_a_dear_job_takes_as_many_turns_as_it_costs() -> None:
    jobs = scheduler()
    for at in range(40):
        jobs.offer(entry(f"dear{at}", account="a", cost=4), now=0.0)
        jobs.offer(entry(f"cheap{at}", account="b", cost=1), now=0.0)
    taken = Counter(each.account for each in jobs.take(0.0, 25))
    assert taken["b"] == pytest.approx(20, abs=2)
    assert taken["a"] == pytest.approx(5, abs=2)


def test_one_endpoint_may_be_asked_alone() -> None:
    jobs = scheduler()
    jobs.offer(entry("x1", "x"), now=0.0)
    jobs.offer(entry("y1", "y"), now=0.0)
    assert keys(jobs.take(0.0, 10, endpoint="y")) == ["y1"]
    assert jobs.take(0.0, 10, endpoint="unknown") == []
    assert keys(jobs.take(0.0, 10)) == ["x1"]


def test_an_endpoint_has_a_limit_of_tries_at_once() -> None:
    jobs = scheduler(x=QueuePolicy(concurrency=2))
    for at in range(5):
        jobs.offer(entry(f"x{at}", "x"), now=0.0)
        jobs.offer(entry(f"y{at}", "y"), now=0.0)
    assert sorted(keys(jobs.take(0.0, 100))) == ["x0", "x1", "y0", "y1", "y2", "y3", "y4"]
    assert jobs.take(0.0, 100) == []
    jobs.release("x0")
    assert keys(jobs.take(0.0, 100)) == ["x2"]
    jobs.retry("x1", 0.0, 0.0)
    assert keys(jobs.take(0.5, 100)) == ["x3"]


def test_an_endpoint_has_a_rate_and_saves_up_to_its_burst() -> None:
    jobs = scheduler(QueuePolicy(concurrency=100, rate=10.0, burst=3.0))
    for at in range(20):
        jobs.offer(entry(f"j{at}"), now=100.0)
    assert len(jobs.take(100.0, 100)) == 3
    assert jobs.timer() == pytest.approx(100.1)
    assert jobs.take(100.05, 100) == []
    assert len(jobs.take(100.1001, 100)) == 1
    assert len(jobs.take(100.5, 100)) == 3, "the burst bounds what is saved up"


def test_what_costs_more_than_the_burst_borrows_from_later() -> None:
    jobs = scheduler(QueuePolicy(concurrency=100, rate=1.0, burst=2.0))
    jobs.offer(entry("dear", cost=10), now=0.0)
    jobs.offer(entry("next", cost=1), now=0.0)
    assert keys(jobs.take(0.0, 10)) == ["dear"]
    assert jobs.take(8.0, 10) == []
    assert keys(jobs.take(9.1, 10)) == ["next"]


def test_an_idle_endpoint_keeps_its_rate_until_it_is_full_again() -> None:
    jobs = scheduler(QueuePolicy(concurrency=100, rate=1.0, burst=2.0))
    for at in range(2):
        jobs.offer(entry(f"a{at}"), now=0.0)
    for key in keys(jobs.take(0.0, 10)):
        jobs.release(key)
    for at in range(3):
        jobs.offer(entry(f"b{at}"), now=1.0)
    assert keys(jobs.take(1.0, 10)) == ["b0"], "a second burst would break the rate"
    assert keys(jobs.take(2.0, 10)) == ["b1"]


@given(
    offers=st.lists(st.floats(0, 20), min_size=1, max_size=60),
    rate=st.sampled_from([0.5, 1.0, 7.0]),
    burst=st.sampled_from([1.0, 4.0]),
)
def test_no_window_sees_more_than_burst_and_rate(
    offers: list[float], rate: float, burst: float
) -> None:
    jobs = scheduler(QueuePolicy(concurrency=1000, rate=rate, burst=burst))
    starts: list[float] = []
    for at, now in enumerate(sorted(offers)):
        jobs.offer(entry(f"j{at}"), now)
        for key in keys(jobs.take(now, 100)):
            starts.append(now)
            jobs.release(key)
    for first, begin in enumerate(starts):
        for last in range(first, len(starts)):
            allowed = burst + rate * (starts[last] - begin)
            assert last - first + 1 <= allowed + 1e-6


def test_retries_double_up_to_the_cap_less_a_part_by_lot() -> None:
    policy = RetryPolicy(base=2.0, cap=30.0, jitter=0.5)
    assert [policy.delay(attempt, 0.0) for attempt in range(1, 7)] == [2, 4, 8, 16, 30, 30]
    assert policy.delay(3, 0.999999) == pytest.approx(4.0, abs=0.001)
    assert policy.delay(10_000, 0.0) == 30.0


def test_a_retry_comes_when_it_is_due_with_the_number_of_its_try() -> None:
    jobs = scheduler()
    jobs.offer(entry("j"), now=100.0)
    (first,) = jobs.take(100.0, 10)
    assert first.attempt == 1
    assert jobs.retry("j", 100.0, 0.0) == RetryAt(101.0)
    assert jobs.timer() == 101.0
    assert jobs.take(100.9, 10) == []
    (second,) = jobs.take(101.0, 10)
    assert second.attempt == 2
    assert jobs.timer() is None
    assert jobs.retry("j", 101.0, 0.0) == RetryAt(103.0)
    assert jobs.take(103.0, 10)[0].attempt == 3
    assert jobs.retry("j", 103.0, 0.0, after=0.25) == RetryAt(103.25)


def test_a_retry_after_the_end_of_its_time_is_given_up() -> None:
    jobs = scheduler()
    jobs.offer(entry("j", expire_at=101.0), now=100.0)
    jobs.take(100.0, 1)
    assert jobs.retry("j", 100.0, 0.0) == Expired()
    assert len(jobs) == 0
    with pytest.raises(KeyError):
        jobs.retry("j", 100.0, 0.0)


def test_only_what_is_being_tried_can_be_retried() -> None:
    jobs = scheduler()
    jobs.offer(entry("j"), now=0.0)
    with pytest.raises(KeyError):
        jobs.retry("j", 0.0, 0.0)
    jobs.release("j")
    assert keys(jobs.take(0.0, 1)) == ["j"], "release passes over what is not being tried"


def test_a_job_may_be_offered_for_later_and_with_tries_behind_it() -> None:
    jobs = scheduler()
    jobs.offer(entry("later"), now=0.0, due=5.0)
    jobs.offer(entry("tried", attempt=4), now=0.0, due=6.0)
    assert jobs.take(4.9, 10) == []
    assert keys(jobs.take(5.0, 10)) == ["later"]
    (tried,) = jobs.take(6.0, 10)
    assert tried.attempt == 4
    assert jobs.retry("tried", 6.0, 0.0) == RetryAt(14.0)


def test_first_tries_of_a_sequence_start_one_after_the_other() -> None:
    jobs = scheduler()
    for at in range(3):
        jobs.offer(entry(f"s{at}", sequence="s"), now=0.0)
    jobs.offer(entry("other"), now=0.0)
    assert keys(jobs.take(0.0, 10)) == ["s0", "other"]
    assert jobs.take(0.0, 10) == []
    jobs.retry("s0", 0.0, 0.0)
    assert keys(jobs.take(0.0, 10)) == ["s1"], "one in retry must not delay the next"
    assert keys(jobs.take(1.0, 10)) == ["s0"]
    jobs.release("s1")
    assert keys(jobs.take(1.0, 10)) == ["s2"]
    jobs.release("s2")
    jobs.offer(entry("s3", sequence="s"), now=1.0)
    assert keys(jobs.take(1.0, 10)) == ["s3"], "what is in retry holds nobody"


def test_a_cancelled_first_try_lets_the_next_one_start() -> None:
    jobs = scheduler()
    for at in range(4):
        jobs.offer(entry(f"s{at}", sequence="s"), now=0.0)
    assert jobs.cancel("s1"), "one behind"
    assert jobs.cancel("s0"), "the one whose turn it was"
    assert keys(jobs.take(0.0, 10)) == ["s2"]
    assert not jobs.cancel("s2"), "it is being tried"
    jobs.release("s2")
    assert keys(jobs.take(0.0, 10)) == ["s3"]


def test_a_first_try_that_is_due_later_keeps_its_place_in_the_sequence() -> None:
    jobs = scheduler()
    jobs.offer(entry("s0", sequence="s"), now=0.0)
    jobs.offer(entry("s1", sequence="s"), now=0.0, due=10.0)
    jobs.offer(entry("s2", sequence="s"), now=0.0)
    assert keys(jobs.take(0.0, 10)) == ["s0"]
    jobs.release("s0")
    assert jobs.take(9.0, 10) == []
    assert keys(jobs.take(10.0, 10)) == ["s1"]
    jobs.release("s1")
    assert keys(jobs.take(10.0, 10)) == ["s2"]


def test_a_job_with_tries_behind_it_is_in_nobodys_way() -> None:
    jobs = scheduler()
    jobs.offer(entry("s0", sequence="s", attempt=2), now=0.0, due=100.0)
    jobs.offer(entry("s1", sequence="s"), now=0.0)
    assert keys(jobs.take(0.0, 10)) == ["s1"]


def test_waiting_jobs_can_be_cancelled_wherever_they_wait() -> None:
    jobs = scheduler()
    jobs.offer(entry("ready"), now=0.0)
    jobs.offer(entry("later"), now=0.0, due=5.0)
    jobs.offer(entry("running", account="b"), now=0.0)
    assert jobs.cancel("ready") and jobs.cancel("later") and not jobs.cancel("nobody")
    assert keys(jobs.take(9.0, 10)) == ["running"]
    assert not jobs.cancel("running")
    assert jobs.timer() is None and len(jobs) == 1
    assert jobs.counts("e") == Counts(waiting=0, running=1, retrying=0)


def test_a_closed_endpoint_waits_and_goes_on_where_it_was() -> None:
    jobs = scheduler()
    jobs.offer(entry("x0", "x"), now=0.0)
    jobs.take(0.0, 1)
    jobs.close_endpoint("x")
    jobs.offer(entry("x1", "x"), now=0.0)
    jobs.offer(entry("y1", "y"), now=0.0)
    jobs.retry("x0", 0.0, 0.0)
    assert keys(jobs.take(5.0, 10)) == ["y1"]
    assert jobs.take(5.0, 10, endpoint="x") == []
    jobs.open_endpoint("x")
    assert keys(jobs.take(5.0, 10)) == ["x1", "x0"]


def test_an_endpoint_may_be_closed_before_it_is_known() -> None:
    jobs = scheduler()
    jobs.close_endpoint("x")
    jobs.offer(entry("x1", "x"), now=0.0)
    assert jobs.take(0.0, 10) == []
    jobs.open_endpoint("x")
    assert keys(jobs.take(0.0, 10)) == ["x1"]
    jobs.open_endpoint("never seen")
    assert jobs.endpoints() == ["x"]


def test_jobs_whose_time_ends_while_they_wait_are_told() -> None:
    jobs = scheduler()
    jobs.close_endpoint("shut")
    jobs.offer(entry("shut", "shut", expire_at=10.0), now=0.0)
    jobs.offer(entry("retrying", expire_at=12.0), now=0.0, due=11.0)
    jobs.offer(entry("running", expire_at=10.0), now=0.0)
    jobs.offer(entry("long", "shut", expire_at=50.0), now=0.0)
    assert keys(jobs.take(0.0, 10)) == ["running"]
    assert jobs.expire(9.0) == []
    assert jobs.expiry() == 11.0
    assert keys(jobs.expire(11.0)) == ["shut"]
    assert keys(jobs.expire(13.0)) == ["retrying"]
    assert jobs.retry("running", 13.0, 0.0) == Expired()
    assert len(jobs) == 1 and jobs.expiry() == 51.0


def test_a_job_may_never_expire() -> None:
    jobs = scheduler()
    jobs.offer(entry("j", expire_at=float("inf")), now=0.0)
    assert jobs.expire(10**10) == []
    jobs.take(0.0, 1)
    jobs.release("j")
    assert jobs.expiry() is None


def test_the_oldest_job_and_the_counts_of_an_endpoint() -> None:
    jobs = scheduler()
    assert jobs.oldest("e") is None and jobs.count("e") == 0
    for at in range(4):
        jobs.offer(entry(f"j{at}"), now=float(at))
    jobs.take(4.0, 2)
    jobs.retry("j1", 4.0, 0.0)
    assert jobs.oldest("e") == 0.0
    assert jobs.count("e") == 4
    assert jobs.counts("e") == Counts(waiting=2, running=1, retrying=1)
    jobs.release("j0")
    assert jobs.oldest("e") == 1.0


def test_what_is_done_leaves_nothing_behind() -> None:
    jobs = scheduler(limited=QueuePolicy(concurrency=5, rate=100.0, burst=5.0))
    for endpoint in ("plain", "limited"):
        for at in range(5):
            key = f"{endpoint}{at}"
            jobs.offer(entry(key, endpoint, sequence=key), now=0.0)
    for key in keys(jobs.take(0.0, 100)):
        jobs.release(key)
    assert jobs.endpoints() == ["limited"], "until its tokens are full"
    assert jobs.timer() == pytest.approx(0.05)
    jobs.take(0.06, 1)
    assert jobs.endpoints() == [] and jobs.timer() is None and jobs.expiry() is None


def test_cancelled_jobs_do_not_pile_up_in_a_closed_endpoint() -> None:
    jobs = scheduler()
    jobs.close_endpoint("x")
    jobs.offer(entry("stays", "x"), now=0.0)
    for at in range(10_000):
        jobs.offer(entry(f"j{at}", "x"), now=0.0)
        jobs.cancel(f"j{at}")
        jobs.offer(entry(f"k{at}", "y"), now=0.0, due=1e6)
        jobs.cancel(f"k{at}")
    assert len(jobs._endpoints["x"].queues["a"].ready) < 200
    assert len(jobs._due) < 200


def test_idle_endpoints_cost_nothing_and_busy_ones_the_same_however_many_there_are() -> None:
    def seconds(endpoints: int) -> float:
        jobs = scheduler()
        for at in range(endpoints):
            jobs.close_endpoint(f"closed{at}")
            jobs.offer(entry(f"closed{at}", f"closed{at}"), now=0.0)
        best = float("inf")
        for turn in range(5):
            offered = [entry(f"{turn}-{at}", f"open{at % 7}") for at in range(1000)]
            begin = time.process_time()
            for each in offered:
                jobs.offer(each, now=0.0)
                jobs.take(0.0, 1)
                jobs.release(each.key)
            best = min(best, time.process_time() - begin)
        return best

    assert seconds(20_000) < 5 * seconds(10) + 0.005


# -- anything may happen, in any order --------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "take", "release", "retry", "cancel", "close", "open", "wait"]),
        st.integers(0, 11),
    ),
    max_size=120,
)


@given(steps=STEPS, rate=st.sampled_from([float("inf"), 2.0]))
def test_every_job_is_tried_by_one_at_a_time_and_none_is_lost(
    steps: list[tuple[str, int]], rate: float
) -> None:
    policy = QueuePolicy(concurrency=2, rate=rate, burst=2.0)
    jobs = scheduler(policy)
    now = 0.0
    alive: set[str] = set()
    running: dict[str, Entry[Any]] = {}
    started: list[str] = []
    order: list[str] = []

    def take(limit: int) -> None:
        for each in jobs.take(now, limit):
            assert each.key in alive and each.key not in running
            running[each.key] = each
            per_endpoint = Counter(one.endpoint for one in running.values())
            assert per_endpoint[each.endpoint] <= 2
            if each.attempt == 1:
                assert not any(
                    one.sequence == each.sequence and one.attempt == 1 and one is not each
                    for one in running.values()
                ), "two first tries of a sequence at once"
                started.append(each.key)

    for step, number in steps:
        key, endpoint = f"j{number}", f"e{number % 3}"
        match step:
            case "offer" if key not in alive and key not in order:
                sequence = f"s{number % 4}"
                account = f"a{number % 2}"
                jobs.offer(entry(key, endpoint, account, sequence=sequence), now)
                alive.add(key)
                order.append(key)
            case "take":
                take(number)
            case "release" if key in running:
                jobs.release(key)
                del running[key]
                alive.discard(key)
            case "retry" if key in running:
                del running[key]
                assert isinstance(jobs.retry(key, now, 0.0), RetryAt)
            case "cancel":
                assert jobs.cancel(key) == (key in alive and key not in running)
                if key not in running:
                    alive.discard(key)
            case "close":
                jobs.close_endpoint(endpoint)
            case "open":
                jobs.open_endpoint(endpoint)
            case "wait":
                now += number / 4
        assert len(jobs) == len(alive)
        totals = [jobs.counts(f"e{at}") for at in range(3)]
        assert sum(each.running for each in totals) == len(running)
        assert sum(each.waiting + each.running + each.retrying for each in totals) == len(alive)

    for at in range(3):
        jobs.open_endpoint(f"e{at}")
    for _ in range(200):
        take(100)
        for key in list(running):
            jobs.release(key)
            del running[key]
            alive.discard(key)
        timer = jobs.timer()
        now = now if timer is None else max(now, timer)
    assert not alive and len(jobs) == 0, "a job was lost"
    for sequence in range(4):
        offered = [key for key in order if int(key[1:]) % 4 == sequence and key in started]
        assert [key for key in started if key in offered] == offered
