"""`/v1/bus` and `trunkline bus status`: what an operator learns of the bus."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rest_world import World, rest_world
from typer.testing import CliRunner

from gateway.api.app import build_app
from gateway.bus.base import BusStats
from gateway.bus.embedded import EmbeddedBus
from gateway.bus.ledger import kept
from gateway.bus.status import (
    CURSOR,
    FORWARDER,
    SENT,
    ClusterStatus,
    ForwarderStatus,
    encode_sent,
)
from gateway.bus.topics import MESSAGES
from gateway.cli import app
from gateway.store.base import Insert

FACT = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


class LikeKafka(EmbeddedBus):
    """The rows of the store are those of Kafka; what stands in brokers is said here."""

    kind = "kafka"

    async def stats(self) -> BusStats:
        return BusStats(kept=90, behind={"tracking": 7, "kafka": 10})


def status(at: float) -> ForwarderStatus:
    cluster = ClusterStatus(
        name="primary",
        brokers=("a:9092", "b:9092"),
        state="failed",
        since=at - 60,
        reason="100% of the writes fail: no route",
        errors=1.0,
        p99=3.0,
    )
    other = ClusterStatus(
        name="secondary",
        brokers=("c:9092",),
        state="healthy",
        since=at - 600,
        reason="",
        errors=0.0,
        p99=0.0123,
    )
    return ForwarderStatus(
        at=at,
        epoch=4,
        active="secondary",
        since=at - 55,
        reason="primary failed: no route",
        clusters=[cluster, other],
        forwarded=100,
        skipped=2,
        rewinds=1,
    )


async def as_kafka(world: World, at: float) -> None:
    """What a forwarder and dedup leave in the store; the accounts made three facts."""
    store = world.services.store
    await store.commit([(FACT, ("AC1", "SM1", 1, "message.sent", 1.0, "{}"))] * 97)
    await store.commit(
        [
            *kept(CURSOR, "90"),
            *kept(SENT, encode_sent({(MESSAGES, 0): 90, (MESSAGES, 1): 80})),
            *kept(f"dedup:{MESSAGES}:0", "85"),
            *kept(f"dedup:{MESSAGES}:1", "80"),
            *kept(FORWARDER, status(at).encode()),
        ]
    )


async def ask_kafka(world: World) -> Any:
    """What a gateway answers whose bus is Kafka."""
    services = dataclasses.replace(world.services, bus=LikeKafka(world.services.store))
    runner = web.AppRunner(build_app(services), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    world.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        return (await world.ask("GET", "/v1/bus", world.main))[1]
    finally:
        await runner.cleanup()


async def test_an_embedded_bus_says_so_and_shows_its_readers(world: World) -> None:
    await world.services.store.commit([(FACT, ("AC1", "SM1", 1, "message.sent", 1.0, "{}"))] * 6)
    await world.services.bus.ack("tracking", "4")
    code, body, _ = await world.ask("GET", "/v1/bus", world.main)
    assert code == 200
    assert (body["kind"], body["newest"], body["kept"]) == ("embedded", 9, 9)
    assert body["readers"] == [{"name": "tracking", "behind": 5}]
    assert (body["forwarder"], body["clusters"], body["partitions"]) == (None, [], [])


async def test_it_shows_which_cluster_is_active_and_why(world: World) -> None:
    await as_kafka(world, world.services.clock())
    body = await ask_kafka(world)
    assert (body["kind"], body["newest"], body["cursor"], body["backlog"]) == ("kafka", 100, 90, 10)
    forwarder = body["forwarder"]
    assert forwarder["active"] == "secondary" and not forwarder["silent"]
    assert forwarder["reason"] == "primary failed: no route"
    states = [(each["name"], each["state"], each["p99"]) for each in body["clusters"]]
    assert states == [("primary", "failed", 3.0), ("secondary", "healthy", 0.012)]
    assert body["partitions"] == [
        {"topic": MESSAGES, "partition": 0, "sent": 90, "copied": 85},
        {"topic": MESSAGES, "partition": 1, "sent": 80, "copied": 80},
    ]
    assert {each["name"]: each["behind"] for each in body["readers"]} == {
        "tracking": 7,
        "kafka": 10,
    }


async def test_a_forwarder_that_says_nothing_any_more_is_silent(world: World) -> None:
    await as_kafka(world, world.services.clock() - 60)
    assert (await ask_kafka(world))["forwarder"]["silent"]


async def test_a_subaccount_learns_nothing_of_brokers(world: World) -> None:
    sub = await world.services.accounts.add_subaccount(
        world.main.sid, "sub", world.services.clock()
    )
    code, _, _ = await world.ask("GET", "/v1/bus", sub)
    assert code == 403


async def shown(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TRUNKLINE_URL", world.url)
    monkeypatch.setenv("TRUNKLINE_ACCOUNT_SID", world.main.sid)
    monkeypatch.setenv("TRUNKLINE_AUTH_TOKEN", world.main.auth_token)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["bus", "status"])
    assert result.exit_code == 0, result.output
    return result.output


async def test_the_command_says_that_a_bus_is_embedded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.services.bus.ack("tracking", "4")
    output = await shown(world, monkeypatch)
    assert "embedded" in output and "tracking" in output


async def test_the_command_says_in_words_what_is_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await as_kafka(world, world.services.clock() - 60)
    body = await ask_kafka(world)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps(body), content_type="application/json")

    stand_in = web.Application()
    stand_in.router.add_get("/v1/bus", answer)
    runner = web.AppRunner(stand_in, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    world.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    output = await shown(world, monkeypatch)
    await runner.cleanup()
    for words in (
        "90 of 100: 10 wait",
        "No forwarder runs",
        "Written to secondary",
        "primary failed: no route",
        "2 facts could not be sent",
        "1 partitions",
        "a:9092, b:9092",
        "12 ms",
    ):
        assert words in output, output
