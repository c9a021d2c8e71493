"""What every backend of the store does with tables that come in generations, and with old rows."""

import asyncio
import time

import pytest

from gateway.sids import CALL, SMS, first_sid
from gateway.store.base import TIMED, Conflict, Delete, Query, Store, StoreError, Update, Write
from tests.contract.backends import Backend
from tests.contract.rows import (
    FACT,
    META,
    TRACE,
    call,
    call_leg,
    job,
    job_ids,
    message,
    outcomes,
    segment,
    transition,
)

NOW = 495_000  # a number of hours; 0 may be there from the beginning

PENDING = (
    "SELECT j.id, t.attempt FROM jobs_{n} j LEFT JOIN job_state_transitions_{n} t"
    " ON t.job_id = j.id WHERE j.id > $1 ORDER BY j.id"
)


async def generations(store: Store) -> list[int]:
    return [number for number in await store.generations("jobs") if number]


async def test_a_generation_that_is_not_there_has_no_rows(store: Store) -> None:
    assert await generations(store) == []
    assert await store.fetch(job_ids(NOW)) == []
    assert await store.fetch(Query("p", PENDING.format(n=NOW)), "") == []
    assert await generations(store) == []


async def test_the_first_write_makes_it_with_all_its_tables(store: Store) -> None:
    await store.commit([job(NOW, "JB1"), (META, ("a", "1"))])
    assert await store.fetch(job_ids(NOW)) == [("JB1",)]
    pending = Query("p", PENDING.format(n=NOW))
    assert await store.fetch(pending, "") == [("JB1", None)]
    await store.commit([transition(NOW, "JB1", 1), transition(NOW, "JB1", 1), job(NOW, "JB2")])
    assert await store.fetch(pending, "") == [("JB1", 1), ("JB2", None)]
    assert await store.fetch(pending, "JB1") == [("JB2", None)]


async def test_any_kind_of_write_makes_it(store: Store) -> None:
    await store.commit([transition(NOW + 3, "JB1", 1)])
    await store.commit([(Delete(table=f"jobs_{NOW + 1}", key=("id",)), ("JB1",))])
    update = Update(table=f"jobs_{NOW + 2}", key=("id",), columns=("payload",))
    await store.commit([(update, ("JB1", "{}"))])
    assert await generations(store) == [NOW + 1, NOW + 2, NOW + 3]


async def test_generations_are_told_oldest_first_and_outlive_a_restart(backend: Backend) -> None:
    store = await backend.open()
    numbers = [7, NOW, 100, 99]
    await store.commit([job(number, "JB1") for number in numbers])
    assert await generations(store) == sorted(numbers)
    await store.close()
    store = await backend.open()
    assert await generations(store) == sorted(numbers)
    await store.commit([job(99, "JB2")])
    assert await store.fetch(job_ids(99)) == [("JB1",), ("JB2",)]


async def test_a_family_that_is_not_known_is_an_error(store: Store) -> None:
    for verb in (store.generations("nowhere"), store.drop_generation("nowhere", 1)):
        with pytest.raises(StoreError, match="nowhere"):
            await verb


async def test_a_commit_at_fault_leaves_the_generations_of_its_neighbours(store: Store) -> None:
    await store.commit([(META, ("taken", ""))])
    commits: list[list[Write]] = [
        [job(1, "JB1")],
        [job(2, "JB1"), (META, ("taken", ""))],
        [job(3, "JB1")],
        [job(2, "JB2")],
        [job(4, "JB1"), (META, ("taken", ""))],
        [job(1, "JB1")],
        [job(4, "JB2"), transition(3, "JB1", 1)],
    ]
    results = await outcomes([store.commit(writes) for writes in commits])
    assert results == [None, Conflict, None, None, Conflict, Conflict, None]
    stored = {number: await store.fetch(job_ids(number)) for number in range(1, 5)}
    assert stored == {1: [("JB1",)], 2: [("JB2",)], 3: [("JB1",)], 4: [("JB2",)]}


async def test_the_only_commit_of_a_generation_may_fail(store: Store) -> None:
    await store.commit([(META, ("taken", ""))])
    with pytest.raises(Conflict):
        await store.commit([job(NOW, "JB1"), (META, ("taken", ""))])
    assert await store.fetch(job_ids(NOW)) == []
    for job_id in ("JB2", "JB3"):
        await store.commit([job(NOW, job_id)])
        with pytest.raises(Conflict):
            await store.commit([job(NOW, "JB4"), (META, ("taken", ""))])
    assert await store.fetch(job_ids(NOW)) == [("JB2",), ("JB3",)]


async def test_a_generation_is_dropped_whole_and_may_come_again(store: Store) -> None:
    query, first, second = job_ids(NOW), job(NOW, "JB1"), transition(NOW, "JB1", 1)
    for _ in range(3):
        await store.commit([first, second, job(NOW + 1, "JB1")])
        assert await store.fetch(query) == [("JB1",)]
        await store.drop_generation("jobs", NOW)
        assert await store.fetch(query) == []
        assert await generations(store) == [NOW + 1]
        await store.drop_generation("jobs", NOW + 1)
    await store.drop_generation("jobs", NOW)
    assert await generations(store) == []


async def test_writes_go_on_while_generations_are_dropped(store: Store) -> None:
    for number in range(1, 20):
        futures = [store.commit([job(number, f"JB{at}")]) for at in range(20)]
        if number > 1:
            await store.drop_generation("jobs", number - 1)
        assert await outcomes(futures) == [None] * 20
    assert await generations(store) == [19]
    assert len(await store.fetch(job_ids(19))) == 20


# -- what is old ------------------------------------------------------------------------------

PATIENCE = 60.0  # seconds until a test fails that waits for something
OLD = 1_577_836_800.0  # 2020-01-01T00:00:00Z
BETWEEN = 1_704_067_200.0  # 2024-01-01T00:00:00Z


def made(table: str, at: float) -> Write:
    """A row of a timed table, made at `at`."""
    sid = first_sid(SMS, at) + "0" * 16
    rows: dict[str, Write] = {
        "messages": message(sid),
        "segments": segment(sid),
        "calls": call(first_sid(CALL, at) + "0" * 16),
        "call_legs": call_leg(first_sid(CALL, at) + "0" * 16),
        "trace": (TRACE, (sid, b"pdu")),
        "facts": (FACT, ("AC1", sid, 1, "message.queued", at, "{}")),
    }
    return rows[table]


async def test_who_follows_facts_waits_for_the_next_when_all_were_forgotten(store: Store) -> None:
    await store.commit([made("facts", OLD + at) for at in range(5)])
    assert len(await store.facts_after(0, 10, wait=PATIENCE)) == 5
    assert await store.forget("facts", BETWEEN) > 0
    assert await store.facts_after(0, 10, wait=0.01) == []
    following = asyncio.create_task(store.facts_after(0, 10, wait=PATIENCE))
    await asyncio.sleep(0)
    await store.commit([made("facts", time.time())])
    assert len(await following) == 1


@pytest.mark.parametrize("table", TIMED)
async def test_old_rows_are_forgotten_and_new_ones_kept(store: Store, table: str) -> None:
    now = time.time()
    await store.commit([made(table, OLD + at) for at in range(20)])
    await store.commit([made(table, now + at) for at in range(5)])
    count = Query("count", f"SELECT count(*) FROM {table}")
    assert await store.fetch(count) == [(25,)]
    assert await store.forget(table, OLD) == 0
    assert await store.fetch(count) == [(25,)]
    assert await store.forget(table, BETWEEN) > 0
    assert await store.fetch(count) == [(5,)]
    assert await store.forget(table, BETWEEN) == 0
    await store.commit([made(table, OLD)])
    assert await store.fetch(count) == [(6,)]


async def test_only_timed_tables_are_forgotten(store: Store) -> None:
    with pytest.raises(StoreError, match="accounts"):
        await store.forget("accounts", BETWEEN)
