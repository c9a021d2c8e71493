"""What the backends do that several members may have open at once: two stores on the same data."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.base import Conflict, Fenced, Horizon, Query, Stale, Store
from tests.contract.backends import SHARED, SharedBackend
from tests.contract.rows import (
    ACCOUNT_NAME,
    META,
    META_SET,
    account,
    fact,
    facts_of,
    job,
    job_ids,
    message,
    meta,
    outcomes,
)

LONG = 600.0  # seconds: nobody's time is over in a test
PATIENCE = 60.0  # seconds until a test that waits for the other member fails
NOW = 495_000

ARRIVED = {
    "jobs": "SELECT r.id FROM jobs_495000 r WHERE r.endpoint = $1 AND {arrived}",
    "messages": "SELECT r.sid FROM messages r WHERE r.carrier = $1 AND {arrived}",
}


@pytest.fixture(params=SHARED)
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SharedBackend]:
    backend = SHARED[request.param](tmp_path)
    yield backend
    await backend.close_all()


@pytest.fixture
async def first(shared: SharedBackend) -> Store:
    return await shared.open()


@pytest.fixture
async def second(shared: SharedBackend, first: Store) -> Store:
    return await shared.open()


async def test_each_sees_what_the_other_committed(first: Store, second: Store) -> None:
    await first.commit([(META, ("a", "1"))])
    assert await meta(second) == {"a": "1"}
    await second.commit([(META_SET, ("a", "2"))])
    assert await meta(first) == {"a": "2"}


async def test_keys_and_versions_are_those_of_all(first: Store, second: Store) -> None:
    both = [store.commit([(META, ("a", "1"))]) for store in (first, second)]
    assert sorted(map(str, await outcomes(both))) == sorted(map(str, [None, Conflict]))
    await first.commit([account("AC1")])
    both = [store.commit([(ACCOUNT_NAME, ("AC1", "new", 2))]) for store in (first, second)]
    assert sorted(map(str, await outcomes(both))) == sorted(map(str, [None, Stale]))


# -- members ----------------------------------------------------------------------------------


async def test_what_one_owns_the_other_does_not_get(first: Store, second: Store) -> None:
    a, b = await first.renew("a", LONG), await second.renew("b", LONG)
    mine = await first.claim(["x", "y"], a)
    assert list(await second.claim(["x", "z"], b)) == ["z"]
    await first.release(["x"], a)
    taken = await second.claim(["x", "y"], b)
    assert set(taken) == {"x"} and taken["x"].epoch > mine["x"].epoch
    assert await first.leases() == await second.leases()


async def test_when_both_reach_for_a_name_one_gets_it(first: Store, second: Store) -> None:
    a, b = await first.renew("a", LONG), await second.renew("b", LONG)
    for turn in range(20):
        names = [f"{turn}-{at}" for at in range(5)]
        hers, his = await asyncio.gather(
            first.claim(names, a), second.claim(list(reversed(names)), b)
        )
        assert sorted([*hers, *his]) == sorted(names)


async def test_the_commits_of_a_buried_member_are_fenced(first: Store, second: Store) -> None:
    a = await first.renew("a", LONG)
    mine = await first.claim(["x"], a)
    await first.commit([(META, ("before", ""))], a)
    assert await second.bury("a") == ["a"]
    futures = [
        first.commit([(META, ("late", ""))], a),
        first.commit([(META, ("later", ""))], mine["x"]),
        first.commit([(META, ("no owner", ""))]),
    ]
    assert await outcomes(futures) == [Fenced, Fenced, None]
    with pytest.raises(Fenced):
        await first.renew("a", LONG)
    assert set(await meta(second)) == {"before", "no owner"}


async def test_a_member_is_buried_while_it_commits_or_was_in_time(
    first: Store, second: Store
) -> None:
    """Nothing of a member's is committed once its burial is done."""
    for turn in range(10):
        member = await first.renew(f"a{turn}", LONG)
        futures = [first.commit([(META, (f"{turn}-{at}", ""))], member) for at in range(50)]
        await second.bury(f"a{turn}")
        names = {name for name in await meta(second) if name.startswith(f"{turn}-")}
        results = await outcomes(futures)
        assert set(results) <= {None, Fenced}
        done = {f"{turn}-{at}" for at, result in enumerate(results) if result is None}
        assert done == names == {n for n in await meta(first) if n.startswith(f"{turn}-")}


# -- facts ------------------------------------------------------------------------------------


async def test_a_fact_of_the_other_ends_the_wait(first: Store, second: Store) -> None:
    waiting = asyncio.create_task(second.facts_after(0, 10, wait=PATIENCE))
    await asyncio.sleep(0)
    await first.commit([fact("SM1")])
    assert [f.sid for f in await waiting] == ["SM1"]


async def test_no_fact_comes_before_one_that_was_given(
    first: Store, second: Store, shared: SharedBackend
) -> None:
    await first.commit([fact("SM0")])
    (known,) = await facts_of(first, 1)
    async with shared.hold_open(fact("SM1")):
        await first.commit([fact("SM2")])
        await second.commit([fact("SM3"), fact("SM4")])
        given = {store: await store.facts_after(known.id, 10) for store in (first, second)}
        assert given == {first: [], second: []}
        assert [f.sid for f in await first.facts_after(0, 10)] == ["SM0"]
        waiting = asyncio.create_task(second.facts_after(known.id, 10, wait=PATIENCE))
        await asyncio.wait([waiting], timeout=0.2)
        assert not waiting.done()
    facts = await waiting
    if len(facts) < 4:
        facts += await facts_of(second, 4 - len(facts), facts[-1].id)
    assert [f.sid for f in facts] == ["SM1", "SM2", "SM3", "SM4"]
    assert [f.id for f in facts] == sorted(f.id for f in facts)
    assert await facts_of(first, 4, known.id) == facts


async def test_a_reader_misses_none_of_many_writers(first: Store, second: Store) -> None:
    async def write(store: Store, name: str) -> None:
        for at in range(100):
            await asyncio.gather(*(store.commit([fact(f"{name}-{at}-{n}")]) for n in range(3)))

    writing = [
        asyncio.create_task(write(store, f"{at}"))
        for at, store in enumerate((first, second, first, second))
    ]
    seen: list[str] = []
    cursor = 0
    async with asyncio.timeout(PATIENCE):
        while len(seen) < 1200:
            facts = await first.facts_after(cursor, 50, wait=1.0)
            assert [f.id for f in facts] == sorted(f.id for f in facts)
            seen += [f.sid for f in facts]
            cursor = facts[-1].id if facts else cursor
        await asyncio.gather(*writing)
    assert len(set(seen)) == len(seen) == 1200
    assert await first.facts_after(cursor, 10) == []


# -- hints and what arrived -------------------------------------------------------------------


async def test_a_hint_is_heard_by_the_others_only(first: Store, second: Store) -> None:
    jobs, owners, own = second.watch("jobs"), second.watch("owners"), first.watch("jobs")
    async with asyncio.timeout(PATIENCE):
        for _ in range(3):
            for _ in range(100):
                first.hint("jobs")
            await jobs.wait()
            jobs.clear()
            while True:  # hints are told soon, maybe not all of them at once
                try:
                    await asyncio.wait_for(jobs.wait(), 0.2)
                    jobs.clear()
                except TimeoutError:
                    break
    assert not owners.is_set() and not own.is_set()
    second.hint("owners")
    second.hint("jobs")
    async with asyncio.timeout(PATIENCE):
        await own.wait()
    assert not owners.is_set()


async def look(
    store: Store, query: Query, since: Horizon, parameter: str
) -> tuple[list[str], Horizon]:
    """What one look gives."""
    rows, since = await store.arrived(query, since, await store.horizon(), parameter)
    return sorted(key for (key,) in rows), since


async def seen_from(
    store: Store, query: Query, since: Horizon, parameter: str, count: int
) -> tuple[list[str], Horizon]:
    """What arrives until it is `count` rows."""
    keys: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while len(keys) < count:
            more, since = await look(store, query, since, parameter)
            keys += more
            await asyncio.sleep(0.005)
    return sorted(keys), since


@pytest.mark.parametrize("table", ARRIVED)
async def test_what_others_inserted_arrives_once(first: Store, second: Store, table: str) -> None:
    make = {"jobs": lambda key: job(NOW, key, "acme"), "messages": message}[table]
    query = Query("arrived", ARRIVED[table])
    await first.commit([make("SM0")])
    since = await second.horizon()
    await first.commit([make("SM1"), make("SM2")])
    await second.commit([make("SM3")])
    seen, since = await look(second, query, since, "acme")
    assert seen == ["SM1", "SM2"]
    assert (await look(second, query, since, "acme"))[0] == []
    futures = [first.commit([make(f"SN{at:02}")]) for at in range(50)]
    seen, since = await seen_from(second, query, since, "acme", 50)
    await asyncio.gather(*futures)
    assert seen == [f"SN{at:02}" for at in range(50)]
    assert (await look(second, query, since, "elsewhere"))[0] == []


@pytest.mark.parametrize("table", ARRIVED)
async def test_nobodys_long_transaction_delays_what_arrives(
    first: Store, second: Store, shared: SharedBackend, table: str
) -> None:
    make = {"jobs": lambda key: job(NOW, key, "acme"), "messages": message}[table]
    query = Query("arrived", ARRIVED[table])
    await first.commit([make("SM0")])
    since = await second.horizon()
    async with shared.hold_open():
        for turn in range(3):
            await first.commit([make(f"SM1{turn}")])
            seen, since = await look(second, query, since, "acme")
            assert seen == [f"SM1{turn}"], "at once, and only once"
            assert (await look(second, query, since, "acme"))[0] == []
    assert (await look(second, query, since, "acme"))[0] == []


async def test_what_was_held_open_arrives_when_it_is_committed_and_nothing_twice(
    first: Store, second: Store, shared: SharedBackend
) -> None:
    query = Query("arrived", ARRIVED["jobs"])
    await first.commit([job(NOW, "JB0", "acme")])
    since = await second.horizon()
    async with shared.hold_open(job(NOW, "JB1", "acme")):
        held_since = await second.horizon()
        await first.commit([job(NOW, "JB2", "acme")])
        seen, since = await look(second, query, since, "acme")
        assert seen == ["JB2"]
        async with shared.hold_open(job(NOW, "JB3", "acme")):
            await first.commit([job(NOW, "JB4", "acme")])
            seen, since = await look(second, query, since, "acme")
            assert seen == ["JB4"]
        seen, since = await look(second, query, since, "acme")
        assert seen == ["JB3"]
    seen, since = await look(second, query, since, "acme")
    assert seen == ["JB1"]
    assert (await look(second, query, since, "acme"))[0] == []
    again, _ = await look(second, query, held_since, "acme")
    assert again == ["JB1", "JB2", "JB3", "JB4"], "what was under way at a horizon comes after it"


async def test_what_is_taken_over_during_a_look_is_read_or_arrives(
    first: Store, second: Store, shared: SharedBackend
) -> None:
    """The look was for other queues; the table is read once when the queue is taken over."""
    query = Query("arrived", ARRIVED["jobs"])
    there = Query("there", "SELECT id FROM jobs_495000 WHERE endpoint = $1 ORDER BY id")
    await first.commit([job(NOW, "JB0", "acme")])
    since = await second.horizon()
    async with shared.hold_open(job(NOW, "JB1", "acme")):
        until = await second.horizon()
        await first.commit([job(NOW, "JB2", "acme"), job(NOW, "JB3", "beta")])
        rows, since = await second.arrived(query, since, until, "beta")
        assert rows == [], "it came after the horizon of this look"
        read = [key for (key,) in await second.fetch(there, "acme")]
        assert read == ["JB0", "JB2"]
        await first.commit([job(NOW, "JB4", "acme")])
    seen, _ = await look(second, query, since, "acme")
    assert seen == ["JB1", "JB2", "JB4"], "what was read may arrive too; the rest arrives once"
    assert (await look(second, query, since, "beta"))[0] == ["JB3"]


async def test_many_writers_and_held_ones_arrive_each_once(
    first: Store, second: Store, shared: SharedBackend
) -> None:
    third = await shared.open()
    query = Query("arrived", ARRIVED["jobs"])
    await first.commit([job(NOW, "JB", "elsewhere")])
    since = await second.horizon()

    async def write(store: Store, name: str) -> None:
        for at in range(60):
            await store.commit([job(NOW, f"{name}-{at:02}", "acme")])

    async def hold(name: str) -> None:
        for at in range(10):
            async with shared.hold_open(job(NOW, f"{name}-{at:02}", "acme")):
                await asyncio.sleep(0.005 * (at % 3))

    writing = [
        asyncio.create_task(each)
        for each in (write(first, "a"), write(third, "b"), hold("c"), hold("d"))
    ]
    expected = [f"{name}-{at:02}" for name in "ab" for at in range(60)]
    expected += [f"{name}-{at:02}" for name in "cd" for at in range(10)]
    seen, since = await seen_from(second, query, since, "acme", len(expected))
    await asyncio.gather(*writing)
    assert seen == expected
    assert (await look(second, query, since, "acme"))[0] == []


async def test_nothing_arrives_in_a_generation_that_is_not_there(
    first: Store, second: Store
) -> None:
    query = Query("arrived", ARRIVED["jobs"])
    seen, since = await look(second, query, await second.horizon(), "acme")
    assert seen == []
    await first.commit([job(NOW, "JB1", "acme")])
    assert (await look(second, query, since, "acme"))[0] == ["JB1"]


# -- generations ------------------------------------------------------------------------------


async def test_both_may_begin_a_generation_at_once(first: Store, second: Store) -> None:
    for number in range(1, 11):
        futures = [
            store.commit([job(number, f"JB{at}{name}")])
            for at in range(5)
            for name, store in (("a", first), ("b", second))
        ]
        assert await outcomes(futures) == [None] * 10
        assert len(await second.fetch(job_ids(number))) == 10
    assert [n for n in await first.generations("jobs") if n] == list(range(1, 11))


async def test_what_one_dropped_is_gone_for_the_other_and_may_come_again(
    first: Store, second: Store
) -> None:
    for _ in range(2):
        await first.commit([job(NOW, "JB1")])
        await second.commit([job(NOW, "JB2")])
        assert len(await second.fetch(job_ids(NOW))) == 2
        await first.drop_generation("jobs", NOW)
        assert await second.fetch(job_ids(NOW)) == []
        await second.commit([job(NOW, "JB3")])
        assert await first.fetch(job_ids(NOW)) == [("JB3",)]
        await second.drop_generation("jobs", NOW)
        assert await first.fetch(job_ids(NOW)) == []
