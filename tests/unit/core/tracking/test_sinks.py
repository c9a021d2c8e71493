"""A sink gets every fact, through its own failures and ours."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from gateway.bus import positions
from gateway.bus.embedded import EmbeddedBus
from gateway.core.tracking.sinks import FileSink, Sink, Supply, forget_others, wanted
from gateway.events import FactType, fact
from gateway.store.base import Fact, Lease, Query, Write
from gateway.store.sqlite import SqliteStore

PATIENCE = 60.0


def given(first: int, last: int) -> list[Fact]:
    return [
        Fact(id=n, account_sid="AC1", sid=f"SM{n}", version=1, type="x", at=1.5, data='{"é":1}')
        for n in range(first, last + 1)
    ]


def ids(file: Path) -> list[int]:
    return [msgspec.json.decode(line)["id"] for line in file.read_bytes().splitlines()]


async def test_a_line_is_a_fact(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "sink"
    await FileSink(folder, max_octets=10_000, keep=3).take(given(1, 2))
    file = folder / "facts.ndjson"
    first = msgspec.json.decode(file.read_bytes().splitlines()[0])
    assert first == {
        "id": 1,
        "account_sid": "AC1",
        "sid": "SM1",
        "version": 1,
        "type": "x",
        "at": 1.5,
        "data": {"é": 1},
    }
    assert file.stat().st_mode & 0o777 == 0o600


async def test_what_a_crash_left_of_a_line_is_cut(tmp_path: Path) -> None:
    await FileSink(tmp_path, max_octets=10_000, keep=3).take(given(1, 2))
    file = tmp_path / "facts.ndjson"
    with file.open("ab") as torn:
        torn.write(b'{"id":3,"acc')
    await FileSink(tmp_path, max_octets=10_000, keep=3).take(given(3, 3))
    assert ids(file) == [1, 2, 3]


def rotated_in(folder: Path) -> list[str]:
    names = sorted(each.name for each in folder.iterdir())
    return [name for name in names if name != "facts.ndjson"]


async def test_files_are_rotated_and_the_newest_kept(tmp_path: Path) -> None:
    sink = FileSink(tmp_path, max_octets=1000, keep=2)
    for n in range(12):
        await sink.take(given(5 * n + 1, 5 * n + 5))
    rotated = rotated_in(tmp_path)
    assert len(rotated) == 2
    kept = [n for name in rotated for n in ids(tmp_path / name)]
    assert kept == list(range(kept[0], kept[-1] + 1))
    assert all((tmp_path / name).stat().st_size >= 1000 for name in rotated)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "t.db", max_queued=1000, clock=lambda: 1.0)
    yield store
    await store.close()


def sent(n: int) -> list[Write]:
    return [fact("AC1", f"SM{each}", 1, FactType.MESSAGE_SENT, 1.0, {}) for each in range(n)]


class FailingSink:
    """Takes facts, but for the first few times."""

    def __init__(self, failures: Sequence[Exception]) -> None:
        self.failures = list(failures)
        self.facts: list[Fact] = []

    async def take(self, facts: Sequence[Fact]) -> int:
        if self.failures:
            raise self.failures.pop()
        self.facts += facts
        return 0


def supplied(
    store: SqliteStore, bus: EmbeddedBus, sink: Sink, *types: str, fence: Lease | None = None
) -> Supply:
    return Supply(store, bus, "test", sink, wanted(types or ("*",)), fence)


async def until_read(bus: EmbeddedBus, reader: str) -> None:
    async with asyncio.timeout(PATIENCE):
        behind = -1
        while behind:
            await asyncio.sleep(0.01)
            behind = (await bus.stats()).behind.get(reader, -1)


async def test_a_sink_that_fails_misses_nothing(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.tracking.sinks._AGAIN", 0.01)
    bus = EmbeddedBus(store)
    await store.commit(sent(1200))
    sink = FailingSink([OSError("No space left on device"), RuntimeError("a defect")])
    supply = supplied(store, bus, sink)
    supply.start()
    await until_read(bus, "sink:test")
    assert (supply.stats().taken, supply.stats().trouble) == (1200, "")
    await supply.close()
    assert [each.id for each in sink.facts] == list(range(1, 1201))
    await store.commit(sent(5))
    later = FailingSink([])
    again = supplied(store, bus, later)
    again.start()
    await until_read(bus, "sink:test")
    await again.close()
    assert [each.id for each in later.facts] == list(range(1201, 1206))
    await bus.close()


@pytest.fixture
async def bus(store: SqliteStore) -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(store)
    yield bus
    await bus.close()


async def test_supplying_ends_with_the_bus(store: SqliteStore) -> None:
    bus = EmbeddedBus(store)
    supply = supplied(store, bus, FailingSink([]))
    supply.start()
    await bus.close()
    assert supply._task is not None
    await asyncio.wait_for(supply._task, PATIENCE)


@pytest.mark.parametrize(
    ("patterns", "kinds"),
    [
        (["*"], ["message.sent", "track.page"]),
        (["message.*"], ["message.sent"]),
        (["message.sent"], ["message.sent"]),
        (["message.received", "track.*"], ["track.page"]),
        ([], []),
    ],
)
def test_a_sink_wants_some_types(patterns: list[str], kinds: list[str]) -> None:
    assert list(filter(wanted(patterns), ["message.sent", "track.page"])) == kinds


async def test_what_is_not_wanted_is_passed_over_for_good(
    store: SqliteStore, bus: EmbeddedBus
) -> None:
    await store.commit(
        [*sent(2), fact("AC1", "SM9", 1, FactType.MESSAGE_FAILED, 1.0, {}), *sent(1)]
    )
    sink = FailingSink([])
    supply = supplied(store, bus, sink, "message.failed")
    supply.start()
    await until_read(bus, "sink:test")
    await supply.close()
    assert [each.id for each in sink.facts] == [3]


async def test_who_lost_the_lease_moves_the_place_no_more(
    store: SqliteStore, bus: EmbeddedBus
) -> None:
    lease = await store.renew("one", 60.0)
    await store.bury("one")
    await store.commit(sent(2))
    sink = FailingSink([])
    supply = supplied(store, bus, sink, fence=lease)
    supply.start()
    assert supply._task is not None
    await asyncio.wait_for(supply._task, PATIENCE)
    assert len(sink.facts) == 2
    assert await bus.position("sink:test") == ""


async def test_the_place_of_a_sink_that_is_gone_is_forgotten(
    store: SqliteStore, bus: EmbeddedBus
) -> None:
    await store.commit(sent(3))
    for reader in ("sink:kept", "sink:gone", "tracking"):
        await bus.ack(reader, "2")
    await store.commit(positions.moved("sink:gone too", "{}"))
    await forget_others(store, ["kept"])
    places = await store.fetch(_PLACES)
    assert places == [("cursor:sink:kept",), ("cursor:tracking",)]


_PLACES = Query("places", "SELECT name FROM meta WHERE name LIKE '%:%' ORDER BY name")
