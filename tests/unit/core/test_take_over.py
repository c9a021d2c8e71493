"""Queues that change hands between runners: nothing is missed and nothing is tried twice."""

import asyncio
import random
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from job_bench import Bench, Log, id_at, on_store, processes

from gateway.core.owned import EVERYTHING, NOTHING, Queues
from gateway.core.records import SHARDS, generation_at, generation_of, shard_of, tables
from gateway.core.runner import Bounds, Done, Job, JobOutcome, JobRunner, Retry
from gateway.sids import JOB, first_sid, new_sid
from gateway.store.base import Horizon, Insert, Query, Row, Store, StoreError
from tests.contract.backends import SHARED, STORES

ALL = Queues(shards=frozenset(range(SHARDS)))


def queue(endpoint: str) -> Queues:
    """The shard of an endpoint, or the customer."""
    if endpoint.startswith("smpp:"):
        return Queues(customers=frozenset({endpoint}))
    return Queues(shards=frozenset({shard_of(endpoint)}))


@pytest.fixture(params=STORES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with on_store(STORES[request.param](tmp_path)) as bench:
        yield bench


@pytest.fixture(params=SHARED)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Bench]]:
    """Two processes over the same data."""
    async with processes(SHARED[request.param](tmp_path), 2) as benches:
        yield benches


# -- which queues are whose --------------------------------------------------------------------


def test_a_shard_is_the_hash_of_its_endpoint_and_customers_have_their_own() -> None:
    assert shard_of("https://app.example") == zlib.crc32(b"https://app.example") % 16
    assert shard_of("smpp:bank") == -1 - zlib.crc32(b"smpp:bank") % 2**31
    assert {shard_of(f"https://{at}.example") for at in range(500)} == set(range(16))
    assert shard_of("https://\udcff") in range(16)


def test_queues_are_sets() -> None:
    some = Queues(shards=frozenset({3}), customers=frozenset({"smpp:bank"}))
    mine = queue("https://app.example") | some
    assert "https://app.example" in mine and "smpp:bank" in mine and "smpp:clinic" not in mine
    assert "https://app.example" not in mine - queue("https://app.example")
    assert not mine - mine and mine - mine == NOTHING
    assert some.numbers() == [shard_of("smpp:bank"), 3]
    assert some.marks() == f"|{shard_of('smpp:bank')}|3|"
    assert "anything" in EVERYTHING and EVERYTHING | some is EVERYTHING
    with pytest.raises(ValueError, match="everything"):
        EVERYTHING - some


# -- in one process ----------------------------------------------------------------------------


async def test_only_what_is_its_own_is_tried(bench: Bench) -> None:
    log = Log()
    runner = bench.runner(log, own=queue("https://mine"))
    runner.start()
    names = ["https://mine", "https://other", "smpp:bank"]
    assert len({shard_of(name) for name in names}) == 3
    old = [bench.job(f"old {name}", endpoint=name) for name in names]
    new = [bench.job(f"new {name}", endpoint=name) for name in names]
    await bench.insert(*old, *new)
    assert await runner.recover() == 2
    for job in new:
        runner.offer(job)
    await bench.until_stored(2)
    assert [name for name, _ in log.seen] == ["old https://mine", "new https://mine"]
    await runner.take_over(queue("smpp:bank"))
    await bench.until_stored(4)
    assert [name for name, _ in log.seen[2:]] == ["old smpp:bank", "new smpp:bank"]
    assert runner.own == queue("https://mine") | queue("smpp:bank")


async def test_customers_that_share_a_number_by_accident_are_told_apart(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("records", "owned"):
        monkeypatch.setattr(f"gateway.core.{module}.shard_of", lambda endpoint: -7)
    log = Log()
    runner = bench.runner(log, own=NOTHING)
    runner.start()
    await bench.insert(*(bench.job(name, endpoint=f"smpp:{name}") for name in ("bank", "clinic")))
    await runner.take_over(queue("smpp:clinic"))
    await bench.until_stored(1)
    await runner.recovered()
    assert log.seen == [("clinic", 1)]


async def test_what_is_given_up_is_forgotten_when_its_tries_have_ended(bench: Bench) -> None:
    gate, started = asyncio.Event(), asyncio.Event()
    outcomes: dict[str, JobOutcome] = {"retries": Retry(note="busy", after=0.0)}

    async def handler(job: Job, attempt: int) -> JobOutcome:
        tried.append(job.payload)
        if len(tried) == 2:
            started.set()
        await gate.wait()
        return outcomes.get(job.payload, Done())

    tried: list[str] = []
    first = bench.runner(handler, workers=2, own=ALL)
    first.start()
    jobs = [bench.job(name) for name in ("runs", "retries", "waits")]
    await bench.insert(*jobs)
    for job in jobs:
        first.offer(job)
    await asyncio.wait_for(started.wait(), 30)
    giving = asyncio.create_task(first.give_up(queue("e"), 30.0))
    await asyncio.sleep(0)
    assert not giving.done() and first.stats().in_memory == 2
    gate.set()
    await giving
    assert await bench.states() == [
        (jobs[0].id, 1, "succeeded"),
        (jobs[1].id, 1, "awaiting_retry"),
    ]
    assert first.stats().in_memory == 0 and tried == ["runs", "retries"]
    second = bench.runner(log := Log(), own=NOTHING)
    second.start()
    await second.take_over(queue("e"))
    await log.until(2)
    assert sorted(log.seen) == [("retries", 2), ("waits", 1)]


async def test_a_try_that_takes_too_long_is_not_waited_for(bench: Bench) -> None:
    async def handler(job: Job, attempt: int) -> JobOutcome:
        started.set()
        await asyncio.Event().wait()
        return Done()

    started = asyncio.Event()
    runner = bench.runner(handler, own=ALL)
    runner.start()
    job = bench.job()
    await bench.insert(job)
    runner.offer(job)
    await asyncio.wait_for(started.wait(), 30)
    await asyncio.wait_for(runner.give_up(queue("e"), 0.01), 30)


async def test_first_tries_of_a_sequence_keep_their_order_over_a_take_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next state may be told before the one that a dead process left has been read."""
    monkeypatch.setattr("gateway.core.intake._TOGETHER", 1.0)
    log = Log()
    runner = bench.runner(log, own=NOTHING)
    runner.start()
    hour_ago = bench.clock() - 3600.0
    sent = [
        bench.job(f"{at} sent", id=id_at(hour_ago + at), sequence=f"SM{at}") for at in range(20)
    ]
    await bench.insert(*sent)
    await runner.take_over(queue("e"))
    delivered = [bench.job(f"{at} delivered", sequence=f"SM{at}") for at in range(20)]
    await bench.insert(*delivered)
    for job in delivered:
        runner.offer(job)
    alone = bench.job("alone")
    await bench.insert(alone)
    runner.offer(alone)
    await bench.until_stored(41)
    names = [name for name, _ in log.seen]
    assert len(names) == 41 and names[0] == "alone", "who has no sequence waits for nobody"
    for at in range(20):
        assert names.index(f"{at} sent") < names.index(f"{at} delivered")


async def test_jobs_from_before_there_were_generations_end_where_they_stand(bench: Bench) -> None:
    """Their ids say the hour of a newer generation."""
    jobs = [bench.job(f"old{at}") for at in range(60)]
    columns = (*Job.__struct_fields__[:-1], "shard")
    old = Insert(table="jobs_0", columns=columns)
    await bench.store.commit(
        [(old, (*(getattr(job, name) for name in columns[:-1]), shard_of("e"))) for job in jobs]
    )
    new = [bench.job(f"new{at}") for at in range(60)]
    await bench.insert(*new)
    log = Log(Retry(note="busy", after=0.0))
    runner = bench.runner(log, bounds=Bounds(per_endpoint=20, total=30))
    await runner.recover()
    runner.start()
    await bench.until_stored(121)
    assert len(log.seen) == 121
    count = Query("count", f"SELECT count(*) FROM {tables(0).transitions}")
    assert await bench.store.fetch(count) == [(61,)]


# -- between processes -------------------------------------------------------------------------


async def test_what_another_process_makes_is_taken_in(pair: list[Bench]) -> None:
    maker, owner = pair
    log = Log()
    making = maker.runner(Log(RuntimeError("not mine")), own=NOTHING)
    owning = owner.runner(log, own=NOTHING)
    making.start()
    owning.start()
    await owning.take_over(ALL)
    jobs = [maker.job(f"a{at}", sequence="one") for at in range(50)]
    for job in jobs:
        await maker.insert(job)
        making.offer(job)
    await log.until(50)
    assert [name for name, _ in log.seen] == [job.payload for job in jobs]


async def test_what_nobody_hinted_at_is_found_and_so_is_what_comes_late(
    pair: list[Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late: a generation that is long past, looked at only now and then."""
    monkeypatch.setattr("gateway.core.intake._LOOK", 0.01)
    monkeypatch.setattr("gateway.core.intake._SWEEP", 0.3)
    maker, owner = pair
    log = Log()
    owning = owner.runner(log, own=ALL)
    owning.start()
    await owning.recover()
    now = maker.clock()
    hours = [0, 1, 2, 3, 4, 5, 9]
    for hour in hours:
        job = maker.job(f"{hour}", id=id_at(now - 3600.0 * hour))
        await maker.insert(job)
    await log.until(len(hours))
    await maker.insert(maker.job("late", id=id_at(now - 3600.0 * 9)))
    await log.until(len(hours) + 1)
    assert sorted(name for name, _ in log.seen) == sorted([*map(str, hours), "late"])


async def test_a_job_that_ended_is_not_taken_in_again_by_the_look_that_shows_it(
    pair: list[Bench],
) -> None:
    """A recovery reads it before the followers' horizon shows it."""
    maker, owner = pair
    log = Log()
    owning = owner.runner(log, own=NOTHING)
    await owning.take_over(ALL)  # from here on others are followed
    await maker.insert(*(maker.job(str(at)) for at in range(200)))
    assert await owning.recover() == 200
    owning.start()
    await owner.until_stored(200)
    last = maker.job("last")
    await maker.insert(last)
    await log.until(201)
    assert Counter(log.seen) == Counter({(str(at), 1): 1 for at in range(200)} | {("last", 1): 1})


class Held:
    """A store whose next look can be held at any of its steps, or fail at what arrived."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.hold = ""
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self.fails_at = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def stands_at(self, step: str) -> None:
        """Let it go on from where it stands, and wait until it stands at the next such step."""
        self.go_on.set()
        self.hold, self.reached, self.go_on = step, asyncio.Event(), asyncio.Event()
        await asyncio.wait_for(self.reached.wait(), 30)

    async def _stand(self, step: str) -> None:
        if step == self.hold:
            self.hold = ""
            self.reached.set()
            await self.go_on.wait()

    async def horizon(self) -> Horizon:
        await self._stand("horizon")
        return await self._store.horizon()

    async def generations(self, family: str) -> list[int]:
        await self._stand("generations")
        return await self._store.generations(family)

    async def fetch(self, query: Query, *parameters: Any) -> list[Row]:
        rows = await self._store.fetch(query, *parameters)
        await self._stand(query.name)  # with what it read
        return rows

    async def arrived(
        self, query: Query, since: Horizon, until: Horizon, *parameters: Any
    ) -> tuple[list[Row], Horizon]:
        await self._stand(query.name)
        if query.name == self.fails_at:
            self.fails_at = ""
            raise StoreError("could not open relation")
        return await self._store.arrived(query, since, until, *parameters)


@pytest.mark.parametrize("step", ["horizon", "generations"])
async def test_a_queue_that_comes_in_the_middle_of_a_look_misses_nothing(
    pair: list[Bench], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is stored after the queue was read, and before the look ends."""
    monkeypatch.setattr("gateway.core.intake._LOOK", 0.01)
    maker, owner = pair
    await maker.insert(maker.job("there", endpoint="f"))
    log, store = Log(), Held(owner.store)
    owning = owner.runner(log, own=NOTHING, store=store)
    owning.start()
    await owning.take_over(queue("f"))
    await log.until(1)
    await store.stands_at(step)
    await owning.take_over(queue("e"))
    await asyncio.wait_for(owning.recovered(), 30)
    await maker.insert(maker.job("late"))
    store.go_on.set()
    await log.until(2)
    assert log.seen == [("there", 1), ("late", 1)]


async def old_and_new(bench: Bench) -> tuple[str, str]:
    """Jobs of another queue in two generations: an older id, and the step of the newer one."""
    now = bench.clock()
    old, new = id_at(now - 3600.0), id_at(now)
    await bench.insert(*(bench.job("there", endpoint="f", id=each) for each in (old, new)))
    return id_at(now - 3600.0), tables(generation_of(new)).arrived.name


async def test_what_ends_in_the_middle_of_a_look_is_not_tried_again(
    pair: list[Bench],
) -> None:
    """The look saw it when it was still to be tried."""
    maker, owner = pair
    job_id, newest = await old_and_new(maker)
    log, store = Log(), Held(owner.store)
    owning = owner.runner(log, own=NOTHING, store=store)
    await owning.take_over(queue("e"))  # from here on others are followed
    await maker.insert(maker.job("a", id=job_id))
    assert await owning.recover() == 1
    owning.close_endpoint("e")
    owning.start()
    await store.stands_at(newest)
    owning.open_endpoint("e")
    await owner.until_stored(1)
    store.go_on.set()
    await maker.insert(maker.job("last"))
    await log.until(2)
    assert log.seen == [("a", 1), ("last", 1)]


async def test_what_another_tried_in_the_middle_of_a_look_is_not_tried_again(
    pair: list[Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue was its, for a while, and then ours again."""
    monkeypatch.setattr("gateway.core.intake._LOOK", 0.01)
    maker, owner = pair
    job_id, newest = await old_and_new(maker)
    log, other_log, store = Log(), Log(), Held(owner.store)
    owning = owner.runner(log, own=NOTHING, store=store)
    other = maker.runner(other_log, own=NOTHING)
    owning.start()
    other.start()
    await owning.take_over(queue("e"))
    await owning.recovered()
    await store.stands_at("horizon")
    await maker.insert(maker.job("a", id=job_id))
    await store.stands_at(newest)
    await owning.give_up(queue("e"), 30.0)
    await other.take_over(queue("e"))
    await other_log.until(1)
    await other.give_up(queue("e"), 30.0)
    await owning.take_over(queue("e"))
    store.go_on.set()
    await maker.insert(maker.job("last"))
    await log.until(1)
    assert (other_log.seen, log.seen) == ([("a", 1)], [("last", 1)])


async def test_what_another_tried_while_a_page_was_read_is_not_tried_again(
    pair: list[Bench],
) -> None:
    """The page is of a queue that was given up before, and is ours again after it."""
    maker, owner = pair
    await maker.insert(job := maker.job("a"))
    of = tables(generation_of(job.id))
    log, other_log, store = Log(), Log(), Held(owner.store)
    owning = owner.runner(log, own=NOTHING, store=store)
    other = maker.runner(other_log, own=NOTHING)
    owning.start()
    other.start()
    await owning.take_over(queue("e"))
    await store.stands_at(of.count.name)
    await owning.give_up(queue("e"), 30.0)
    await store.stands_at(of.pending.name)
    await other.take_over(queue("e"))
    await other_log.until(1)
    await other.give_up(queue("e"), 30.0)
    await owning.take_over(queue("e"))
    store.go_on.set()
    await owning.recovered()
    await maker.insert(maker.job("last"))
    await log.until(1)
    assert (other_log.seen, log.seen) == ([("a", 1)], [("last", 1)])


async def test_what_was_tried_before_its_maker_was_told_is_not_tried_again(
    pair: list[Bench],
) -> None:
    """Stored by one, tried by another, and then the queue is the first one's."""
    maker, owner = pair
    log, other_log = Log(), Log()
    making = maker.runner(log, own=NOTHING)
    owning = owner.runner(other_log, own=NOTHING)
    making.start()
    owning.start()
    await owning.take_over(queue("e"))
    ended, open_still = maker.job("ended"), maker.job("open still")
    await maker.insert(ended)
    await other_log.until(1)
    await owning.give_up(queue("e"), 30.0)
    await making.take_over(queue("e"))
    await making.recovered()
    await maker.insert(open_still)
    for job in (ended, open_still):
        making.offer(job)
    await log.until(1)
    await maker.insert(last := maker.job("last"))
    making.offer(last)
    await log.until(2)
    assert other_log.seen == [("ended", 1)]
    assert log.seen == [("open still", 1), ("last", 1)]


async def test_a_clock_that_is_set_back_sends_nothing_by_way_of_the_store(bench: Bench) -> None:
    """What is made after a queue was taken over seems to be older then, but only the first."""
    log = Log()
    runner = bench.runner(log, own=NOTHING)
    await runner.take_over(queue("e"))
    runner.start()
    await runner.recovered()
    bench.clock.ahead = -3600.0
    for count, name in enumerate(("a", "b"), 1):
        await bench.insert(job := bench.job(name))
        runner.offer(job)
        assert count == 1 or not runner.stats().behind
        async with asyncio.timeout(30):
            while runner.stats().behind:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.005)
        await log.until(count)
    assert log.seen == [("a", 1), ("b", 1)]


async def test_a_look_that_fails_half_way_is_made_again(
    pair: list[Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.intake._LOOK", 0.01)
    monkeypatch.setattr("gateway.core.rounds._BROKEN", 0.01)
    maker, owner = pair
    now = maker.clock()
    ids = [id_at(now - 3600.0 * hours) for hours in (2, 1, 0)]
    await maker.insert(*(maker.job(f"old {at}", id=each) for at, each in enumerate(ids)))
    log, store = Log(), Held(owner.store)
    owning = owner.runner(log, own=ALL, store=store)
    owning.start()
    await owning.recover()
    await log.until(3)
    for at in range(3):
        store.fails_at = tables(generation_of(ids[at])).arrived.name
        await maker.insert(*(maker.job(f"{at} in {each}", id=id_at(now)) for each in range(2)))
        more = [maker.job(f"{at} at {each}", id=f"{ids[each][:-2]}{at:02x}") for each in range(3)]
        await maker.insert(*more)
        await log.until(3 + 5 * (at + 1))
        assert not store.fails_at
    assert len(set(log.seen)) == len(log.seen) == 18


async def test_jobs_are_tried_once_while_queues_go_to_and_fro(
    pair: list[Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.reading._WINDOW", 40)
    monkeypatch.setattr("gateway.core.reading._RECENT", 200)
    monkeypatch.setattr("gateway.core.intake._OLDER_PAUSE", 0.001)
    monkeypatch.setattr("gateway.core.intake._TOGETHER", 0.001)
    monkeypatch.setattr("gateway.core.intake._SWEEP", 0.5)
    chance = random.Random(7)
    tried: Counter[tuple[str, int]] = Counter()

    async def handler(job: Job, attempt: int) -> JobOutcome:
        tried[job.id, attempt] += 1
        await asyncio.sleep(chance.random() / 200)
        return Retry(note="busy", after=0.01) if hash(job.id) % 5 == attempt else Done()

    runners = [
        bench.runner(handler, workers=8, own=NOTHING, bounds=Bounds(per_endpoint=40, total=200))
        for bench in pair
    ]
    endpoints = [*(f"https://{at}.example" for at in range(12)), "smpp:bank", "smpp:clinic"]
    queues = list({(each.shards, each.customers): each for each in map(queue, endpoints)}.values())
    owner: dict[Any, JobRunner] = {}
    for runner in runners:
        runner.start()
    for each in queues:
        owner[each.marks()] = chance.choice(runners)
        await owner[each.marks()].take_over(each)
    jobs: list[Job] = []

    async def make() -> None:
        for turn in range(150):
            bench, runner = chance.choice(list(zip(pair, runners, strict=True)))
            made = [
                bench.job(endpoint=chance.choice(endpoints), id=id_at(bench.clock() - 3600 * hours))
                for hours in chance.choices([0, 0, 0, 1, 4], k=5)
            ]
            await bench.insert(*made)
            for job in made:
                runner.offer(job)
            jobs.extend(made)
            await asyncio.sleep(0.002 * (turn % 5))

    async def move() -> None:
        while len(jobs) < 750:
            each = chance.choice(queues)
            await asyncio.wait_for(owner[each.marks()].give_up(each, 60.0), 30)
            others = [one for one in runners if one is not owner[each.marks()]]
            owner[each.marks()] = others[0]
            await others[0].take_over(each)
            await asyncio.sleep(0.01)

    await asyncio.gather(make(), move())
    async with asyncio.timeout(60):
        while True:
            states = await pair[0].states()
            if len({job for job, _, to in states if to == "succeeded"}) == 750:
                break
            await asyncio.sleep(0.05)
    assert len({job for job, _ in tried}) == 750
    assert set(tried.values()) == {1}


def test_a_job_stands_in_the_generation_of_the_hour_in_which_it_was_made() -> None:
    for made in (0.0, 3599.999, 3600.0, 1_795_262_399.999, 1_795_262_400.0):
        assert generation_of(new_sid(JOB, made)) >= generation_at(made)
        assert generation_of(f"{first_sid(JOB, made)}{'0' * 16}") == generation_at(made)
