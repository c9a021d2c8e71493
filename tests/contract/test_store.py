"""What every backend of the store does with commits, reads and facts."""

import asyncio

import pytest

from gateway.store.base import (
    Conflict,
    Insert,
    Query,
    Stale,
    Store,
    StoreError,
    StoreUnavailable,
    Write,
)
from tests.contract.backends import Backend
from tests.contract.rows import (
    ACCOUNT,
    ACCOUNT_NAME,
    ACCOUNT_STATUS,
    ALL_META,
    META,
    META_DROP,
    META_ONCE,
    META_SET,
    TABLES,
    TRACE,
    account,
    fact,
    facts_of,
    meta,
    number,
    outcomes,
)


async def test_a_commit_is_seen_by_the_next_fetch(store: Store) -> None:
    await store.commit([(META, ("a", "1")), (META, ("b", "2")), (META_SET, ("a", "3"))])
    assert await meta(store) == {"a": "3", "b": "2"}
    await store.commit([(META_DROP, ("a",)), (META_DROP, ("missing",))])
    assert await meta(store) == {"b": "2"}


async def test_values_come_back_as_they_were(store: Store) -> None:
    row = ("AC1", "AC0", "full", "Zoë 🎈 'x'; --", "", "active", 1763667491.123456, -0.25, 2**62)
    await store.commit([(ACCOUNT, row), (TRACE, ("SM1", b"\x00\xff"))])
    assert await store.fetch(Query("a", TABLES["accounts"])) == [row]
    assert await store.fetch(Query("t", TABLES["trace"])) == [("SM1", b"\x00\xff")]


async def test_a_taken_key_is_a_conflict_and_nothing_of_that_commit_stays(store: Store) -> None:
    await store.commit([(META, ("a", "1"))])
    with pytest.raises(Conflict, match="name"):
        await store.commit([(META, ("b", "1")), (META, ("a", "2"))])
    assert await meta(store) == {"a": "1"}


async def test_a_second_unique_column_is_a_conflict_too(store: Store) -> None:
    await store.commit([number("PN1", "+15550001000")])
    with pytest.raises(Conflict):
        await store.commit([number("PN2", "+15550001000")])


async def test_a_taken_key_may_be_passed_over(store: Store) -> None:
    await store.commit([(META_ONCE, ("a", "1")), (META_ONCE, ("a", "2")), (META_ONCE, ("b", "3"))])
    assert await meta(store) == {"a": "1", "b": "3"}


async def test_an_update_of_a_missing_row_is_passed_over(store: Store) -> None:
    await store.commit([(META_SET, ("a", "1"))])
    assert await meta(store) == {}


async def test_a_guarded_update_needs_the_version_before(store: Store) -> None:
    await store.commit([account("AC1", version=3)])
    await store.commit([(ACCOUNT_NAME, ("AC1", "next", 4))])
    for version in (4, 6, 3):
        with pytest.raises(Stale, match="accounts"):
            await store.commit([(META, ("x", "y")), (ACCOUNT_NAME, ("AC1", "wrong", version))])
    with pytest.raises(Stale):
        await store.commit([(ACCOUNT_NAME, ("AC2", "missing", 2))])
    rows = await store.fetch(Query("v", "SELECT friendly_name, version FROM accounts"))
    assert rows == [("next", 4)]
    assert await meta(store) == {}


async def test_versions_may_follow_one_another_in_one_group(store: Store) -> None:
    futures = [store.commit([account("AC1")])]
    for version in range(2, 30):
        statement = ACCOUNT_NAME if version % 3 else ACCOUNT_STATUS
        values = (f"n{version}", version) if version % 3 else (version, f"s{version}")
        futures.append(store.commit([(statement, ("AC1", *values))]))
    futures.append(store.commit([(ACCOUNT_NAME, ("AC1", "stale", 12))]))
    assert await outcomes(futures) == [None] * 29 + [Stale]
    rows = await store.fetch(Query("v", "SELECT friendly_name, status, version FROM accounts"))
    assert rows == [("n29", "s27", 29)]


async def test_a_commit_at_fault_takes_no_neighbour_down(store: Store) -> None:
    await store.commit([(META, ("taken", "")), account("AC1")])
    wrong: dict[int, tuple[Write, type[StoreError]]] = {
        7: ((META, ("taken", "")), Conflict),
        100: ((ACCOUNT_NAME, ("AC1", "", 9)), Stale),
        101: ((META, ("too", "many", "values")), StoreError),
        102: ((Insert(table="nowhere", columns=("a",)), (1,)), StoreError),
        103: ((Insert(table="meta", columns=("nothing",)), (1,)), StoreError),
        104: ((META, ("x", object())), StoreError),
        105: ((META, (["unhashable"], "")), StoreError),
        106: ((META, ("null", None)), StoreError),
        299: ((META, ("m0", "")), Conflict),
    }
    futures = []
    for at in range(300):
        writes: list[Write] = [(META, (f"m{at}", "")), fact(f"SM{at}")]
        if at in wrong:
            writes.append(wrong[at][0])
        futures.append(store.commit(writes))
    results = await outcomes(futures)
    assert results == [wrong[at][1] if at in wrong else None for at in range(300)]
    stored = await meta(store)
    assert set(stored) == {"taken"} | {f"m{at}" for at in range(300) if at not in wrong}
    expected = [f"SM{at}" for at in range(300) if at not in wrong]
    assert [f.sid for f in await facts_of(store, len(expected))] == expected


async def test_a_great_commit_and_a_great_group(store: Store) -> None:
    names = [f"n{at:05}" for at in range(5000)]
    await store.commit([(META, (name, "0")) for name in names])
    await asyncio.gather(*(store.commit([(META_SET, (name, "1"))]) for name in names[:4000]))
    await store.commit([(META_DROP, (name,)) for name in names[:3000]])
    assert await meta(store) == {
        name: "1" if at < 4000 else "0" for at, name in enumerate(names) if at >= 3000
    }
    assert store.stats().groups < 1000, "thousands of commits at once were not grouped"


async def test_facts_have_the_order_of_their_commits(store: Store) -> None:
    futures = [store.commit([fact(f"SM{at}", 1), fact(f"SM{at}", 2)]) for at in range(200)]
    await asyncio.gather(*futures)
    facts = await facts_of(store, 400)
    assert [(f.sid, f.version) for f in facts] == [
        (f"SM{at}", version) for at in range(200) for version in (1, 2)
    ]
    ids = [f.id for f in facts]
    assert ids == sorted(set(ids))
    assert [f.id for f in await store.facts_after(ids[9], 5)] == ids[10:15]
    assert await store.facts_after(ids[-1], 5) == []


async def test_waiting_for_facts_ends_with_the_first(store: Store) -> None:
    waiting = [asyncio.create_task(store.facts_after(0, 10, wait=60.0)) for _ in range(3)]
    await asyncio.sleep(0)
    await store.commit([(META, ("no", "fact"))])
    assert not any(task.done() for task in waiting)
    await store.commit([fact("SM1")])
    for task in waiting:
        assert [f.sid for f in await task] == ["SM1"]


async def test_waiting_for_facts_ends_with_the_time(store: Store) -> None:
    assert await store.facts_after(0, 10, wait=0.05) == []


async def test_facts_go_on_after_a_restart(backend: Backend) -> None:
    store = await backend.open()
    await store.commit([fact("SM1")])
    await store.close()
    store = await backend.open()
    (first,) = await facts_of(store, 1)
    waiting = asyncio.create_task(store.facts_after(first.id, 10, wait=60.0))
    await asyncio.sleep(0)
    await store.commit([fact("SM2")])
    assert [f.sid for f in await waiting] == ["SM2"]
    await store.close()


async def test_close_finishes_what_was_queued(backend: Backend) -> None:
    store = await backend.open()
    futures = [store.commit([(META, (f"n{at}", ""))]) for at in range(500)]
    await store.close()
    assert await outcomes(futures) == [None] * 500
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.commit([(META, ("late", ""))])
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.fetch(ALL_META, "")
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.facts_after(10**9, 1, wait=60.0)
    store = await backend.open()
    assert len(await meta(store)) == 500
    await store.close()


async def test_close_ends_those_who_wait_for_facts(backend: Backend) -> None:
    store = await backend.open()
    waiting = asyncio.create_task(store.facts_after(0, 1, wait=60.0))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreUnavailable):
        await waiting


async def test_a_caller_that_gave_up_is_no_harm(store: Store) -> None:
    future = store.commit([(META, ("a", "1"))])
    future.cancel()
    await store.commit([(META, ("b", "1"))])
    assert set(await meta(store)) == {"a", "b"}


async def test_a_wrong_query_is_an_error_of_its_own(store: Store) -> None:
    with pytest.raises(StoreError, match="nowhere") as caught:
        await store.fetch(Query("wrong", "SELECT 1 FROM nowhere"))
    assert not isinstance(caught.value, StoreUnavailable)


async def test_too_many_commits_at_once_are_refused(backend: Backend) -> None:
    store = await backend.open(max_queued=10)
    futures = [store.commit([(META, (f"n{at}", ""))]) for at in range(50)]
    results = await outcomes(futures)
    assert results == [None] * 10 + [StoreUnavailable] * 40
    await store.commit([(META, ("later", ""))])
    assert len(await meta(store)) == 11
    await store.close()
