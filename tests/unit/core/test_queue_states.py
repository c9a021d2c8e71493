"""How the queues stand: told without keeping anybody waiting, however many there are."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from job_bench import Bench, Log, on_store

from gateway.core import queue_states
from gateway.core.breaker import BreakerPolicy, Circuit, Sign
from gateway.core.jobs import Entry, QueuePolicy, RetryPolicy, Scheduler, policies
from gateway.core.owned import EVERYTHING, NOTHING, Queues
from gateway.core.queue_states import QueueReports, of_account
from gateway.core.records import SHARDS, shard_of
from tests.contract.backends import STORES


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with on_store(STORES["sqlite"](tmp_path)) as bench:
        yield bench


def scheduler() -> Scheduler[Any]:
    breaker = BreakerPolicy(failures=1, pause=10.0, longest=10.0)
    return Scheduler(
        policies(QueuePolicy(concurrency=2, breaker=breaker), {}), RetryPolicy(base=1.0, cap=1.0)
    )


def entry(key: str, endpoint: str, account: str = "AC1") -> Entry[Any]:
    return Entry(key=key, account=account, endpoint=endpoint, expire_at=1e9, item=key)


def reports(bench: Bench, jobs: Scheduler[Any], own: list[Queues]) -> QueueReports:
    return QueueReports(
        bench.store, None, jobs, lambda: own[0], lambda endpoint: False, bench.clock
    )


class Watched:
    """A scheduler that counts what it is asked in one turn of the loop."""

    def __init__(self, jobs: Scheduler[Any]) -> None:
        self._jobs = jobs
        self.in_this_turn = 0
        self.most = 0
        self.jobs_counted = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jobs, name)

    def count(self, endpoint: str) -> int:
        self._ask(1)
        return self._jobs.count(endpoint)

    def counts_by_account(self, endpoint: str) -> Any:
        jobs = self._jobs.count(endpoint)
        self.jobs_counted += jobs
        self._ask(jobs)
        return self._jobs.counts_by_account(endpoint)

    def _ask(self, weight: int) -> None:
        self.in_this_turn += weight
        self.most = max(self.most, self.in_this_turn)


async def test_many_queues_are_looked_at_in_slices(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_states, "_MOST", 5)
    monkeypatch.setattr(queue_states, "_SLICE", 50)
    jobs = scheduler()
    for at in range(2_000):
        for copy in range(1 + at % 7):
            jobs.offer(entry(f"{at} {copy}", f"https://{at}.example"), 0.0)
    watched: Any = Watched(jobs)
    telling = asyncio.create_task(reports(bench, watched, [EVERYTHING]).tell())
    while not telling.done():
        watched.in_this_turn = 0
        await asyncio.sleep(0)
    await telling
    assert watched.most <= 2 * 50
    assert watched.jobs_counted <= SHARDS * 5 * 7, "only what is told is counted by accounts"
    told = await of_account(bench.store, "AC1")
    assert len(told) == SHARDS * 5 and {each.waiting for each in told} == {7}


async def test_those_that_do_not_answer_come_first_then_the_longest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_states, "_MOST", 3)
    names = [name for at in range(100) if shard_of(name := f"https://{at}.example") == 3]
    jobs = scheduler()
    for size, name in enumerate(names, 1):
        for copy in range(size):
            jobs.offer(entry(f"{name} {copy}", name), 0.0)
    (taken,) = jobs.take(0.0, 1, names[0])
    jobs.retry(taken.key, 0.0, 0.0, 1.0, Sign.FAILED)
    await reports(bench, jobs, [EVERYTHING]).tell()
    told = {each.endpoint: each for each in await of_account(bench.store, "AC1")}
    assert told.keys() == {names[0], names[-1], names[-2]}
    assert told[names[0]].circuit is Circuit.OPEN and told[names[-1]].waiting == len(names)


async def test_what_is_another_s_by_the_end_of_a_look_is_left_to_it(bench: Bench) -> None:
    jobs = scheduler()
    jobs.offer(entry("a", "e"), 0.0)
    own: list[Queues] = [Queues(shards=frozenset({shard_of("e")}))]
    teller = reports(bench, jobs, own)
    await teller.tell()
    jobs.offer(entry("b", "e"), 0.0)
    telling = asyncio.create_task(teller.tell())
    await asyncio.sleep(0)
    own[0] = NOTHING
    await telling
    assert [each.waiting for each in await of_account(bench.store, "AC1")] == [1]


async def test_what_a_look_for_metrics_shows_is_counted_beforehand(bench: Bench) -> None:
    """It walks over nothing; and says what a walk would."""
    runner = bench.runner(Log())
    jobs: Any = bench.scheduler

    def walk() -> Any:
        raise AssertionError("metrics walk over all endpoints")

    chance = random.Random(5)
    known: dict[str, str] = {}
    walked = jobs.endpoints
    most_broken = 0
    for turn in range(3_000):
        if chance.random() < 0.5 or not known:
            endpoint = f"e{min(chance.randrange(12), chance.randrange(12))}"
            key = str(turn)
            if jobs.offer(entry(key, endpoint), float(turn)):
                known[key] = endpoint
        elif chance.random() < 0.5:
            for taken in jobs.take(float(turn), 1):
                (sign,) = chance.choices([Sign.ANSWERED, Sign.FAILED, Sign.NOTHING], [1, 20, 2])
                if chance.random() < 0.5:
                    jobs.retry(taken.key, float(turn), 0.0, 1.0, sign)
                else:
                    jobs.release(taken.key, float(turn), sign)
                    del known[taken.key]
        else:
            key = chance.choice(list(known))
            if jobs.cancel(key):
                del known[key]
        held = [jobs.count(each) for each in walked()]
        broken = [each for each in walked() if jobs.standing(each).circuit is not Circuit.CLOSED]
        jobs.endpoints = walk
        stats = runner.stats()
        jobs.endpoints = walked
        assert (stats.in_memory, stats.fullest) == (sum(held), max(held, default=0))
        assert stats.broken == len(broken)
        most_broken = max(most_broken, stats.broken)
    assert most_broken > 2
