"""What every backend of the store does. A backend is a way to open a store on some place."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.store.base import (
    Conflict,
    Delete,
    Fenced,
    Insert,
    Query,
    Stale,
    Store,
    StoreError,
    StoreUnavailable,
    Update,
    Write,
)
from gateway.store.sqlite import SqliteStore

META = Insert(table="meta", columns=("name", "value"))
META_ONCE = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
META_SET = Update(table="meta", key=("name",), columns=("value",))
META_DROP = Delete(table="meta", key=("name",))
ACCOUNT = Insert(
    table="accounts",
    columns=(
        "sid",
        "parent_sid",
        "kind",
        "friendly_name",
        "auth_token",
        "status",
        "date_created",
        "date_updated",
        "version",
    ),
)
ACCOUNT_NAME = Update(
    table="accounts", key=("sid",), columns=("friendly_name", "version"), guard="version"
)
ACCOUNT_STATUS = Update(
    table="accounts", key=("sid",), columns=("version", "status"), guard="version"
)
NUMBER = Insert(
    table="phone_numbers",
    columns=(
        "sid",
        "account_sid",
        "phone_number",
        "friendly_name",
        "settings",
        "date_created",
        "date_updated",
        "version",
    ),
)
NUMBER_SET = Update(table="phone_numbers", key=("sid",), columns=("phone_number",))
NUMBER_DROP = Delete(table="phone_numbers", key=("sid",))
SEGMENT = Insert(
    table="segments",
    columns=(
        "account_sid",
        "sid",
        "part",
        "attempt",
        "carrier",
        "carrier_id",
        "id_key",
        "state",
        "error_code",
        "at",
    ),
    ignore_taken=("sid", "part", "attempt"),
)
SEGMENT_STATE = Update(table="segments", key=("sid", "part", "attempt"), columns=("state", "at"))
SEGMENT_WIPE = Delete(table="segments", key=("sid",))
SEGMENT_MOVE = Update(table="segments", key=("carrier",), columns=("part",))
TRACE = Insert(table="trace", columns=("sid", "frames"))
TRACE_WIPE = Delete(table="trace", key=("sid",))
FACT = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))

ALL_META = Query("all_meta", "SELECT name, value FROM meta WHERE name <> $1 ORDER BY name")
TABLES = {
    "meta": "SELECT * FROM meta ORDER BY name",
    "accounts": "SELECT * FROM accounts ORDER BY sid",
    "phone_numbers": "SELECT * FROM phone_numbers ORDER BY sid",
    "segments": "SELECT * FROM segments ORDER BY sid, part, attempt",
    "trace": "SELECT sid, frames FROM trace ORDER BY id",
    "facts": "SELECT sid, version FROM facts ORDER BY id",
}

Open = Callable[[Path], Awaitable[SqliteStore]]


async def open_sqlite(place: Path) -> SqliteStore:
    return await SqliteStore.open(place / "store.db", max_queued=10_000, clock=time.time)


BACKENDS: dict[str, Open] = {"sqlite": open_sqlite}


@pytest.fixture(params=BACKENDS)
def opened(request: pytest.FixtureRequest) -> Open:
    return BACKENDS[request.param]


@pytest.fixture
async def store(opened: Open, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await opened(tmp_path)
    yield store
    await store.close()


def account(sid: str, version: int = 1) -> Write:
    return ACCOUNT, (sid, sid, "full", "name", "token", "active", 1.5, 1.5, version)


def number(sid: str, phone_number: str) -> Write:
    return NUMBER, (sid, "AC1", phone_number, "", "{}", 1.0, 1.0, 1)


def fact(sid: str, version: int = 1) -> Write:
    return FACT, ("AC1", sid, version, "message.queued", 2.5, "{}")


async def meta(store: Store) -> dict[str, str]:
    return dict(await store.fetch(ALL_META, "schema_version"))


async def outcomes(futures: list["asyncio.Future[None]"]) -> list[type[BaseException] | None]:
    results = await asyncio.gather(*futures, return_exceptions=True)
    return [None if result is None else type(result) for result in results]


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
    facts = await store.facts_after(0, 1000)
    assert [f.sid for f in facts] == [f"SM{at}" for at in range(300) if at not in wrong]


async def test_a_great_commit_and_a_great_group(store: SqliteStore) -> None:
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
    facts = await store.facts_after(0, 1000)
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


async def test_facts_go_on_after_a_restart(opened: Open, tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.commit([fact("SM1")])
    await store.close()
    store = await opened(tmp_path)
    (first,) = await store.facts_after(0, 10)
    waiting = asyncio.create_task(store.facts_after(first.id, 10, wait=60.0))
    await asyncio.sleep(0)
    await store.commit([fact("SM2")])
    assert [f.sid for f in await waiting] == ["SM2"]
    await store.close()


async def test_a_lease_has_one_holder_and_its_epoch_grows(store: Store) -> None:
    first = await store.lease("carrier:acme", "a", 10.0, now=100.0)
    assert first is not None and (first.epoch, first.expires_at) == (1, 110.0)
    assert await store.lease("carrier:acme", "b", 10.0, now=109.0) is None
    renewed = await store.lease("carrier:acme", "a", 10.0, now=109.0)
    assert renewed is not None and (renewed.epoch, renewed.expires_at) == (1, 119.0)
    assert await store.lease("carrier:beta", "b", 10.0, now=109.0) is not None
    taken = await store.lease("carrier:acme", "b", 10.0, now=119.0)
    assert taken is not None and taken.epoch == 2
    given_up = await store.lease("carrier:acme", "b", 0.0, now=120.0)
    assert given_up is not None
    back = await store.lease("carrier:acme", "a", 10.0, now=120.0)
    assert back is not None and back.epoch == 3


async def test_a_commit_under_a_lost_lease_is_fenced(opened: Open, tmp_path: Path) -> None:
    store = await opened(tmp_path)
    old = await store.lease("queue", "a", 10.0, now=100.0)
    assert old is not None
    before = store.commit([(META, ("a", "1"))], old)
    lease = asyncio.create_task(store.lease("queue", "b", 10.0, now=200.0))
    await asyncio.sleep(0)
    after = store.commit([(META, ("b", "1"))], old)
    beside = store.commit([(META, ("c", "1"))])
    new = await lease
    assert await outcomes([before, after, beside]) == [None, Fenced, None]
    await store.close()
    store = await opened(tmp_path)
    with pytest.raises(Fenced, match="queue"):
        await store.commit([(META, ("d", "1"))], old)
    await store.commit([(META, ("e", "1"))], new)
    assert set(await meta(store)) == {"a", "c", "e"}
    await store.close()


async def test_close_finishes_what_was_queued(opened: Open, tmp_path: Path) -> None:
    store = await opened(tmp_path)
    futures = [store.commit([(META, (f"n{at}", ""))]) for at in range(500)]
    await store.close()
    assert await outcomes(futures) == [None] * 500
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.commit([(META, ("late", ""))])
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.fetch(ALL_META, "")
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.facts_after(10**9, 1, wait=60.0)
    store = await opened(tmp_path)
    assert len(await meta(store)) == 500
    await store.close()


async def test_close_ends_those_who_wait_for_facts(opened: Open, tmp_path: Path) -> None:
    store = await opened(tmp_path)
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


# -- grouped or one at a time: the same ------------------------------------------------------

_few = st.integers(0, 3)
_version = st.integers(1, 4)
_name = _few.map(lambda n: f"k{n}")
HARMLESS: st.SearchStrategy[Write] = st.one_of(  # no commit of these alone can fail
    st.builds(lambda k, v: (META_ONCE, (k, str(v))), _name, _few),
    st.builds(lambda k, v: (META_SET, (k, str(v))), _name, _few),
    st.builds(lambda k: (META_DROP, (k,)), _name),
    st.builds(
        lambda k, p, c: (SEGMENT, ("AC1", k, p, 1, c, "", "", "held", 0, 0.0)), _name, _few, _name
    ),
    st.builds(lambda k, p, s: (SEGMENT_STATE, (k, p, 1, str(s), 1.0)), _name, _few, _few),
    st.builds(lambda k: (SEGMENT_WIPE, (k,)), _name),
    st.builds(lambda k, n: (TRACE, (k, bytes([n]))), _name, _few),
    st.builds(lambda k: (TRACE_WIPE, (k,)), _name),
    st.builds(fact, _name, _version),
)
WRITES: st.SearchStrategy[Write] = st.one_of(
    HARMLESS,
    st.builds(lambda k, v: (META, (k, str(v))), _name, _few),
    st.builds(account, _name, _version),
    st.builds(lambda k, n, v: (ACCOUNT_NAME, (k, str(n), v)), _name, _few, _version),
    st.builds(lambda k, n, v: (ACCOUNT_STATUS, (k, v, str(n))), _name, _few, _version),
    st.builds(number, _name, _name),
    st.builds(lambda k, n: (NUMBER_SET, (k, n)), _name, _name),
    st.builds(lambda k: (NUMBER_DROP, (k,)), _name),
    st.builds(lambda c, p: (SEGMENT_MOVE, (c, p)), _name, _few),
)


async def _contents(store: Store) -> dict[str, Any]:
    return {table: await store.fetch(Query(table, sql)) for table, sql in TABLES.items()}


@pytest.mark.parametrize("opened_name", BACKENDS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    commits=st.one_of(
        st.lists(st.lists(each, min_size=1, max_size=4), min_size=1, max_size=25)
        for each in (HARMLESS, WRITES)
    )
)
def test_a_group_comes_to_the_same_as_one_commit_after_the_other(
    opened_name: str, commits: list[list[Write]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def run(grouped: bool) -> tuple[Any, Any]:
        store = await BACKENDS[opened_name](tmp_path_factory.mktemp("store"))
        try:
            if grouped:
                results = await outcomes([store.commit(writes) for writes in commits])
            else:
                results = [(await outcomes([store.commit(writes)]))[0] for writes in commits]
            return results, await _contents(store)
        finally:
            await store.close()

    assert asyncio.run(run(grouped=True)) == asyncio.run(run(grouped=False))


# -- crashes, a full disk, a second process ---------------------------------------------------

_CHILD = """
import asyncio, os, resource, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store import BACKENDS, META, ALL_META, meta
import structlog
from gateway.store.base import StoreUnavailable

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main():
    store = await BACKENDS[{backend!r}](Path({place!r}))
    {body}

asyncio.run(main())
"""

_COMMIT_FOR_EVER = """
    async def work(name):
        for at in range(10**6):
            await store.commit([(META, (f"{name}-{at}", "x" * 100))])
            os.write(1, f"{name}-{at}\\n".encode())
    await asyncio.gather(*(work(name) for name in range(20)))
"""

_FILL_THE_DISK = """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    acknowledged, refused = set(), []
    for at in range(400):
        try:
            await store.commit([(META, (f"n{at:03}", "x" * 10_000))])
            acknowledged.add(f"n{at:03}")
        except StoreUnavailable as error:
            refused.append(str(error))
    assert acknowledged and refused, (len(acknowledged), len(refused))
    assert "store.db" in refused[0] and "disk" in refused[0], refused[0]
    assert "disk" in store.stats().trouble
    several = [store.commit([(META, (f"m{at}", "x" * 10_000))]) for at in range(100)]
    for result in await asyncio.gather(*several, return_exceptions=True):
        assert isinstance(result, StoreUnavailable), result
    assert set(await meta(store)) == acknowledged, "what was acknowledged can't be read"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.commit([(META, ("after", ""))])
    assert store.stats().trouble == ""
    assert set(await meta(store)) == acknowledged | {"after"}
    await store.close()
    os.write(1, "\\n".join(sorted(acknowledged | {"after"})).encode())
"""


def _child(backend: str, place: Path, body: str) -> list[str]:
    script = _CHILD.format(
        tests=str(Path(__file__).parent), backend=backend, place=str(place), body=body.strip()
    )
    return [sys.executable, "-c", script]


async def _names_after_a_restart(backend: str, place: Path) -> set[str]:
    store = await BACKENDS[backend](place)
    names = set(await meta(store))
    await store.commit([(META, ("still writable", ""))])
    await store.close()
    return names


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_acknowledged_survives_a_kill(backend: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        _child(backend, tmp_path, _COMMIT_FOR_EVER), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = {line.strip() for line in itertools.islice(process.stdout, 300)}
        os.kill(process.pid, signal.SIGKILL)
        acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
    assert len(acknowledged) >= 300
    assert acknowledged <= asyncio.run(_names_after_a_restart(backend, tmp_path))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_full_disk_refuses_and_then_recovers(backend: str, tmp_path: Path) -> None:
    done = subprocess.run(
        _child(backend, tmp_path, _FILL_THE_DISK), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert asyncio.run(_names_after_a_restart(backend, tmp_path)) == set(done.stdout.split())


async def test_too_many_commits_at_once_are_refused(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=10, clock=time.time)
    futures = [store.commit([(META, (f"n{at}", ""))]) for at in range(50)]
    results = await outcomes(futures)
    assert results == [None] * 10 + [StoreUnavailable] * 40
    await store.commit([(META, ("later", ""))])
    assert len(await meta(store)) == 11
    await store.close()
