"""What a text said is in no fact and in nothing that is made of facts."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from gateway.bus.embedded import EmbeddedBus
from gateway.core.tracking.sinks import FileSink
from gateway.core.tracking.tracker import Tracker
from gateway.store.base import Query
from tests.unit.messages.path_world import ACCOUNT, PathWorld, path_world

SECRET = "The code is 4711-Pelikan"
TABLES = ("facts", "tracking_counters", "idempotency_keys", "inbound_seen", "wiped_messages")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[PathWorld]:
    async with path_world(tmp_path) as world:
        yield world


async def rows_with_secret(world: PathWorld, *tables: str) -> list[str]:
    found = []
    for table in tables:
        rows = await world.store.real.fetch(Query(f"walk_{table}", f"SELECT * FROM {table}"))
        assert rows or table == "inbound_seen", f"nothing to look at in {table}"
        found += [f"{table}: {row}" for row in rows if "Pelikan" in str(row)]
    return found


async def test_what_was_redacted_or_deleted_said_nothing_elsewhere(
    world: PathWorld, tmp_path: Path
) -> None:
    draft = world.draft(SECRET, status_callback="")
    sids = []
    for number in range(2):
        message = await world.messages.accept_once(draft, f"rest:{number}")
        sids.append(message.sid)  # type: ignore[union-attr]
        await world.quiet()
        (submission,) = world.out
        await world.say(world.answer(submission, f"id{number}"), world.receipt(f"id{number}"))
    received = world.received(SECRET.encode())
    await world.say(msgspec.structs.replace(received, digest="d1"))
    sids.append(world.told[0].sid)
    assert await rows_with_secret(world, "messages")
    assert not await rows_with_secret(world, "facts")
    await world.messages.redact(ACCOUNT, sids[0])
    await world.messages.delete(ACCOUNT, sids[1])
    await world.messages.redact(ACCOUNT, sids[2])
    bus = EmbeddedBus(world.store.real)
    batch = await anext(bus.subscribe(""))
    assert len(batch.facts) >= 9
    await Tracker(world.store.real, bus).count(batch)
    assert not await rows_with_secret(world, *TABLES, "messages")
    await FileSink(tmp_path / "sink", max_octets=10**6, keep=1).take(batch.facts)
    assert b"Pelikan" not in (tmp_path / "sink" / "facts.ndjson").read_bytes()
    await bus.close()
