"""What every backend shows in a snapshot: one moment, whole, with traffic beside it."""

import asyncio
import math
from collections import Counter
from pathlib import Path
from typing import Any

from gateway.store.base import Row, Shape, Snapshot, Store
from gateway.store.sqlite import SqliteStore
from tests.contract.backends import Backend
from tests.contract.rows import META, META_SET, SEGMENT, TRACE, fact, job, message, meta, segment

GENERATION = 495_000
BEGUN = 40  # commits before the snapshot


def sid(number: int) -> str:
    return f"SM{number:032x}"


async def everything(view: Snapshot) -> dict[str, list[dict[str, Any]]]:
    return {shape.table: await of(view, shape) for shape in view.shapes}


async def of(view: Snapshot, shape: Shape) -> list[dict[str, Any]]:
    found: list[Row] = []
    async for page in view.pages(shape):
        assert page
        found += page
    return [dict(zip(shape.columns, row, strict=True)) for row in found]


async def accept(store: Store, number: int) -> None:
    """One commit: state, fact, job."""
    await store.commit(
        [message(sid(number)), fact(sid(number)), job(GENERATION, f"JB{number:032x}")]
    )


async def test_a_snapshot_holds_every_row_of_every_table(store: Store) -> None:
    await accept(store, 1)
    await store.commit(
        [(META, ("a", "ä\n")), segment(sid(1)), (TRACE, (sid(1), b"\x00\xff")), fact(sid(1), 2)]
    )
    async with store.snapshot() as view:
        tables = await everything(view)
        assert dict(view.sequences) == {"facts": 2, "trace": 1}
    assert {"name": "a", "value": "ä\n"} in tables["meta"]
    assert [row["frames"] for row in tables["trace"]] == [b"\x00\xff"]
    assert [row["carrier"] for row in tables["segments"]] == ["acme"]
    assert [(row["id"], row["version"]) for row in tables["facts"]] == [(1, 1), (2, 2)]
    assert [row["id"] for row in tables[f"jobs_{GENERATION}"]] == [f"JB{1:032x}"]
    (text,) = tables["messages"]
    assert (text["sid"], text["body"], text["valid_until"]) == (sid(1), "Hello", 9.5)


async def test_tables_and_columns_are_the_same_on_every_backend(
    store: Store, tmp_path: Path
) -> None:
    """So that what one backend gave another can take."""
    plain = await SqliteStore.open(tmp_path / "plain.db", max_queued=10, clock=lambda: 0.0)
    for each in (plain, store):
        await accept(each, 1)
        await each.drop_generation("jobs", 0)  # which a database has that is older than they are
    async with plain.snapshot() as expected, store.snapshot() as view:
        assert view.schema == expected.schema
        shapes = {shape.table: set(shape.columns) for shape in view.shapes}
        assert shapes == {shape.table: set(shape.columns) for shape in expected.shapes}
    await plain.close()


async def test_a_snapshot_shows_one_moment_whatever_is_committed_after_it(store: Store) -> None:
    await store.commit([(META, ("a", "before"))])
    async with store.snapshot() as view:
        await store.commit([(META_SET, ("a", "after")), (META, ("b", ""))])
        await accept(store, 1)
        rows = {row["name"]: row["value"] for row in (await everything(view))["meta"]}
        assert rows.get("a") == "before" and "b" not in rows
    assert await meta(store) == {"a": "after", "b": ""}


async def test_what_is_committed_under_load_is_there_whole_or_not_at_all(store: Store) -> None:
    begun, after, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
    count, last = 0, math.inf

    async def load() -> None:
        nonlocal count
        while not stop.is_set():
            numbers = range(count, count + 10)
            await asyncio.gather(*(accept(store, number) for number in numbers))
            count += 10
            if count >= BEGUN:
                begun.set()
            if count >= last:
                after.set()

    loading = asyncio.create_task(load())
    await begun.wait()
    accepted = count
    async with store.snapshot() as view:
        last = count + 100  # some of it is after the moment that is shown
        await after.wait()
        tables = await everything(view)
    stop.set()
    await loading
    told = {
        "messages": [row["sid"][2:] for row in tables["messages"]],
        "facts": [row["sid"][2:] for row in tables["facts"]],
        f"jobs_{GENERATION}": [row["id"][2:] for row in tables[f"jobs_{GENERATION}"]],
    }
    shown = set(told["messages"])
    for table, numbers in told.items():
        assert set(numbers) == shown, table
        assert max(Counter(numbers).values()) == 1
    assert {f"{number:032x}" for number in range(accepted)} <= shown
    assert len(shown) < count


async def test_more_than_a_page_comes_in_pages(store: Store) -> None:
    await store.commit([(SEGMENT, row(number)) for number in range(1, 1702)])
    async with store.snapshot() as view:
        (shape,) = (each for each in view.shapes if each.table == "segments")
        pages = [len(page) async for page in view.pages(shape)]
    assert sum(pages) == 1701 and len(pages) > 1


def row(part: int) -> Row:
    return ("AC1", sid(1), part, 1, "acme", "", "", "held", 0, 1.5)


async def test_a_snapshot_that_is_left_early_holds_nothing(backend: Backend) -> None:
    store = await backend.open()
    await store.commit([(SEGMENT, row(number)) for number in range(1, 1702)])
    async with store.snapshot() as view:
        (shape,) = (each for each in view.shapes if each.table == "segments")
        async for _ in view.pages(shape):
            break
    await store.close()
    assert await (await backend.open()).leases() == []
