"""A group of commits comes to the same as one commit after the other, and survives a kill."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.store.base import Delete, Query, Store, Write
from tests.contract.backends import STORES, Backend
from tests.contract.rows import (
    ACCOUNT_NAME,
    ACCOUNT_STATUS,
    META,
    META_DROP,
    META_ONCE,
    META_SET,
    NUMBER_DROP,
    NUMBER_SET,
    SEGMENT,
    SEGMENT_MOVE,
    SEGMENT_STATE,
    SEGMENT_WIPE,
    TABLES,
    TRACE,
    TRACE_WIPE,
    account,
    fact,
    meta,
    number,
    outcomes,
)

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


KEYS = [f"k{n}" for n in range(4)]
WIPE = [
    (Delete(table=table, key=key), (name,))
    for table, key in {
        "meta": ("name",),
        "accounts": ("sid",),
        "phone_numbers": ("sid",),
        "segments": ("sid",),
        "trace": ("sid",),
        "facts": ("sid",),
    }.items()
    for name in KEYS
]


async def _grouped(store: Store, commits: list[list[Write]]) -> list[Any]:
    return await outcomes([store.commit(writes) for writes in commits])


async def _one_by_one(store: Store, commits: list[list[Write]]) -> list[Any]:
    return [(await outcomes([store.commit(writes)]))[0] for writes in commits]


async def _come_to(store: Store, results: Coroutine[Any, Any, list[Any]]) -> tuple[Any, ...]:
    """The results, and what they left in the tables, which is wiped."""
    told = await results
    left = {table: await store.fetch(Query(table, sql)) for table, sql in TABLES.items()}
    await store.commit(WIPE)
    return told, left


@pytest.mark.parametrize("name", STORES)
def test_a_group_comes_to_the_same_as_one_commit_after_the_other(name: str, tmp_path: Path) -> None:
    backend = STORES[name](tmp_path)
    with asyncio.Runner() as runner:
        store = runner.run(backend.open())

        @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(
            commits=st.one_of(
                st.lists(st.lists(each, min_size=1, max_size=4), min_size=1, max_size=25)
                for each in (HARMLESS, WRITES)
            )
        )
        def same(commits: list[list[Write]]) -> None:
            grouped = runner.run(_come_to(store, _grouped(store, commits)))
            assert grouped == runner.run(_come_to(store, _one_by_one(store, commits)))

        try:
            same()
        finally:
            runner.run(backend.close_all())


_CHILD = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
import structlog
from tests.contract.backends import STORES
from tests.contract.rows import META

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main():
    store = await STORES[{name!r}](Path({place!r})).open()
    async def work(name):
        for at in range(10**6):
            await store.commit([(META, (f"{{name}}-{{at}}", "x" * 100))])
            os.write(1, f"{{name}}-{{at}}\\n".encode())
    await asyncio.gather(*(work(name) for name in range(20)))

asyncio.run(main())
"""


async def _after_a_restart(backend: Backend) -> set[str]:
    try:
        store = await backend.open()
        names = set(await meta(store))
        await store.commit([(META, ("still writable", ""))])
        return names
    finally:
        await backend.close_all()


@pytest.mark.parametrize("name", STORES)
def test_what_was_acknowledged_survives_a_kill(name: str, tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    script = _CHILD.format(root=root, name=name, place=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = {line.strip() for line in itertools.islice(process.stdout, 300)}
        os.kill(process.pid, signal.SIGKILL)
        acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
    assert len(acknowledged) >= 300
    assert acknowledged <= asyncio.run(_after_a_restart(STORES[name](tmp_path)))
