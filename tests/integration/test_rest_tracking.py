"""Counters over REST: the account's own, by day."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rest_world import World, rest_world

from gateway.core.tracking.counters import INSERT
from gateway.core.tracking.counting import day_of
from gateway.core.tracking.tracker import Tracker

PATIENCE = 60.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        main, stranger = world.main.sid, world.stranger.sid
        rows = [
            (main, "2026-11-18", "message.sent", 3),
            (main, "2026-11-19", "message.sent", 4),
            (main, "2026-11-19", "messages", 1),
            (main, "2026-11-19", "segments.outbound", 9),
            (main, "2026-11-20", "error.30003", 1),
            (stranger, "2026-11-19", "message.sent", 1000),
        ]
        await world.services.store.commit([(INSERT, row) for row in rows])
        yield world


async def shown(world: World, query: str) -> list[tuple[str, str, int]]:
    status, body, _ = await world.ask("GET", f"/v1/tracking?{query}", world.main)
    assert status == 200, body
    return [(each["day"], each["metric"], each["value"]) for each in body["counters"]]


async def test_an_account_sees_its_own_counters_of_the_days(world: World) -> None:
    assert await shown(world, "from=2026-11-19&to=2026-11-20") == [
        ("2026-11-19", "message.sent", 4),
        ("2026-11-19", "messages", 1),
        ("2026-11-19", "segments.outbound", 9),
        ("2026-11-20", "error.30003", 1),
    ]
    assert await shown(world, "to=2026-11-18") == [("2026-11-18", "message.sent", 3)]


async def test_a_metric_is_chosen_by_its_name_or_how_it_begins(world: World) -> None:
    days = "from=2026-11-18&to=2026-11-20&metric="
    assert [metric for _, metric, _ in await shown(world, days + "message")] == ["message.sent"] * 2
    assert [value for _, _, value in await shown(world, days + "segments.outbound")] == [9]
    assert await shown(world, days + "carrier") == []


async def test_without_days_it_is_the_last_seven(world: World) -> None:
    status, body, _ = await world.ask("GET", "/v1/tracking", world.main)
    now = world.services.clock()
    assert status == 200
    assert (body["from"], body["to"]) == (day_of(now - 6 * 86400), day_of(now))


@pytest.mark.parametrize(
    "query",
    [
        "from=soon",
        "to=2026-13-01",
        "from=2026-11-20&to=2026-11-19",
        "from=2020-01-01&to=2026-01-01",
    ],
)
async def test_days_that_are_none_are_refused(world: World, query: str) -> None:
    status, body, _ = await world.ask("GET", f"/v1/tracking?{query}", world.main)
    assert (status, body["code"]) == (400, 20001)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_the_ends_of_the_calendar_are_days(world: World, day: str) -> None:
    assert await shown(world, f"to={day}&from={day}") == []
    assert await shown(world, f"to={day}") == []


async def test_what_happens_is_counted_and_shown(world: World) -> None:
    services = world.services
    batch = await anext(services.bus.subscribe(""))
    await Tracker(services.store, services.bus).count(batch)
    day = day_of(services.clock())
    assert await shown(world, "metric=account") == [(day, "account.created", 1)]


async def test_a_rebuild_counts_what_is_kept_and_nothing_else(world: World) -> None:
    assert await shown(world, "from=2026-11-19&to=2026-11-19")
    status, body, _ = await world.ask("POST", "/v1/tracking/rebuild", world.main)
    assert (status, body) == (202, {"facts": 3})  # the accounts of the world
    tracker = Tracker(world.services.store, world.services.bus)
    tracker.start()
    day = day_of(world.services.clock())
    async with asyncio.timeout(PATIENCE):
        counted = await shown(world, "metric=account")
        while counted != [(day, "account.created", 1)]:
            await asyncio.sleep(0.01)
            counted = await shown(world, "metric=account")
    await tracker.close()
    assert not await shown(world, "from=2026-11-19&to=2026-11-19")


async def test_a_subaccount_orders_no_rebuild(world: World) -> None:
    services = world.services
    sub = await services.accounts.add_subaccount(world.main.sid, "sub", services.clock())
    status, body, _ = await world.ask("POST", "/v1/tracking/rebuild", sub)
    assert (status, body["code"]) == (403, 20006)
    assert await shown(world, "from=2026-11-19&to=2026-11-19")
