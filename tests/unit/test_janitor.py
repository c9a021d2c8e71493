"""What is forgotten in time, and that nothing ends the rounds."""

import asyncio
from pathlib import Path

import pytest

from carriers.model import Carrier, CarrierKind
from gateway import janitor
from gateway.events import FactType, fact
from gateway.janitor import Janitor, Kept
from gateway.store.base import Query
from gateway.store.sqlite import SqliteStore

FACTS = Query("facts", "SELECT sid FROM facts ORDER BY id")
KEPT = Kept(trace_rows=10, facts=3, facts_for=100.0, jobs_for=100.0)
CARRIERS = {"acme": Carrier(name="acme", kind=CarrierKind.SMPP)}


async def test_old_facts_go_and_so_do_those_beyond_the_bound(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: 0.0)
    await store.commit(
        [
            fact("AC1", f"SM{at}", 1, FactType.MESSAGE_QUEUED, float(at), {})
            for at in (10, 850, 910, 920, 930, 940)
        ]
    )
    await Janitor(store, KEPT, CARRIERS, lambda: 1000.0).round()
    assert [row[0] for row in await store.fetch(FACTS)] == ["SM920", "SM930", "SM940"]
    await store.close()


async def test_a_round_that_fails_is_followed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: 0.0)
    monkeypatch.setattr(janitor, "_EVERY", 0.001)
    rounds = asyncio.Event()
    calls = 0

    async def fails(*_: object) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            rounds.set()
        raise ValueError("a defect")

    monkeypatch.setattr(janitor, "prune_jobs", fails)
    sweeper = Janitor(store, KEPT, CARRIERS, lambda: 1000.0)
    sweeper.start()
    await asyncio.wait_for(rounds.wait(), 30)
    await sweeper.close()
    await store.close()
