"""A process that stood still for too long starts nothing: its queues may be another's."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from job_bench import Bench, Log, on_store

from gateway.core.owned import Queues
from gateway.core.records import SHARDS, shard_of
from gateway.core.runner import Done, Job, JobOutcome
from tests.contract.backends import STORES

ALL = Queues(shards=frozenset(range(SHARDS)))


class Member:
    """Whether it is alive is asked like this; the answer may change from question to question."""

    def __init__(self) -> None:
        self.answers: list[bool] = []
        self.alive = True
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.answers.pop(0) if self.answers else self.alive


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("gateway.core.runner._UNSURE", 0.02)
    async with on_store(STORES["sqlite"](tmp_path)) as bench:
        yield bench


async def asked(member: Member, times: int) -> None:
    before = member.asked
    async with asyncio.timeout(30):
        while True:
            if member.asked >= before + times:
                return
            await asyncio.sleep(0.005)


async def test_nothing_starts_while_it_is_not_alive_and_everything_after(bench: Bench) -> None:
    """What waits, what comes, and what follows a try that was under way."""
    gate, started = asyncio.Event(), asyncio.Event()
    tried: list[str] = []

    async def handler(job: Job, attempt: int) -> JobOutcome:
        tried.append(job.payload)
        started.set()
        await gate.wait()
        return Done()

    member = Member()
    runner = bench.runner(handler, workers=2, concurrency=1, alive=member)
    runner.start()
    jobs = [bench.job(str(at)) for at in range(4)]
    late = bench.job("late", expire_at=bench.clock() - 1)
    await bench.insert(*jobs, late)
    for job in jobs[:2]:
        runner.offer(job)
    await asyncio.wait_for(started.wait(), 30)
    member.alive = False
    for job in (*jobs[2:], late):
        runner.offer(job)
    gate.set()
    await asked(member, 5)
    assert tried == ["0"]
    assert [job for job, *_ in await bench.states()] in ([], [jobs[0].id])
    member.alive = True
    await bench.until_stored(5)
    assert tried == ["0", "1", "2", "3"]


async def test_it_does_not_ask_all_the_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.core.runner._UNSURE", 30.0)
    member = Member()
    runner = bench.runner(Log(), workers=8, alive=member)
    runner.start()
    member.alive = False
    job = bench.job()
    await bench.insert(job)
    runner.offer(job)
    for _ in range(200):
        await asyncio.sleep(0)
    assert 0 < member.asked < 40


@pytest.mark.parametrize("given_up", [[], [shard_of("e")]])
async def test_what_was_handed_out_before_it_stood_still_waits_too(
    bench: Bench, given_up: list[int]
) -> None:
    """And does not start at all if the queue is another's when it goes on."""
    member = Member()
    log = Log()
    runner = bench.runner(log, workers=1, own=ALL, alive=member)
    runner.start()
    await asyncio.sleep(0)
    job, other = bench.job("a"), bench.job("b", endpoint="f")
    assert shard_of("e") != shard_of("f")
    await bench.insert(job, other)
    member.answers = [True]  # when it is handed out
    member.alive = False
    runner.offer(job)
    await asked(member, 4)
    assert runner.stats().in_memory == 1 and not log.seen
    await runner.give_up(Queues(shards=frozenset(given_up)), 0.01)
    member.alive = True
    runner.offer(other)
    await log.until(1 if given_up else 2)
    assert [name for name, _ in log.seen] == (["b"] if given_up else ["a", "b"])


async def test_it_closes_at_once_while_it_is_not_alive(bench: Bench) -> None:
    member = Member()
    log = Log()
    runner = bench.runner(log, workers=2, alive=member)
    runner.start()
    await asyncio.sleep(0)
    job = bench.job("a")
    await bench.insert(job)
    member.answers = [True]
    member.alive = False
    runner.offer(job)
    await asked(member, 4)
    await asyncio.wait_for(runner.close(600.0), 60)
    assert not log.seen and await bench.states() == []
