"""Which devices of the Voice SDK are connected, over REST."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from rest_world import World, basic, rest_world

from gateway.api.app import build_status_app
from gateway.api.services import Services
from gateway.browsers.client import Client
from tests.unit.browsers.desks import Allowed, Page
from tests.unit.browsers.desks import World as Desks

PATH = "/v1/clients"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


def device(account_sid: str, identity: str, agent: str = "2.18 Firefox") -> Client:
    client = Page(Desks()).client
    client.access = Allowed(account_sid=account_sid, identity=identity, expires=1_800_000_000.0)
    client.agent = agent
    return client


def comes(world: World, *identities: str) -> list[Client]:
    devices = [device(world.main.sid, each) for each in identities]
    for each in devices:
        world.roster.came(world.main.sid, each)
    return devices


@asynccontextmanager
async def status_server(services: Services) -> AsyncIterator[str]:
    """A process without the role api."""
    async with TestServer(build_status_app(services)) as server:
        yield str(server.make_url(PATH))


async def test_a_device_is_shown(world: World) -> None:
    [client] = comes(world, "alice")
    client.is_registered = True
    status, body, _ = await world.ask("GET", PATH, world.main)
    [shown] = body["clients"]
    assert shown.pop("connected_at").endswith("Z")
    assert shown == {
        "identity": "alice",
        "device": "2.18 Firefox",
        "source": "192.0.2.7:40000",
        "transport": "WS",
        "registered": True,
        "calls": [],
        "expires_at": "2027-01-15T08:00:00.000Z",
    }
    assert (status, body["next"]) == (200, None)


async def test_nobody_else_sees_it_and_who_left_is_gone(world: World) -> None:
    alice, bob = comes(world, "alice", "bob")
    _, body, _ = await world.ask("GET", PATH, world.stranger)
    assert body == {"clients": [], "next": None}
    world.roster.left(alice)
    world.roster.left(alice)  # which changes nothing
    _, body, _ = await world.ask("GET", PATH, world.main)
    assert [each["identity"] for each in body["clients"]] == ["bob"]
    world.roster.left(bob)
    _, body, _ = await world.ask("GET", PATH, world.main)
    assert body == {"clients": [], "next": None}


async def test_devices_come_in_pages_by_identity_and_then_as_they_came(world: World) -> None:
    devices = comes(world, "bob", "alice", "bob", "Ünal", "alice")
    for number, each in enumerate(devices):
        each.agent = str(number)
    seen, after = [], ""
    while after is not None:
        query = f"{PATH}?limit=2" + (f"&after={after}" if after else "")
        _, body, _ = await world.ask("GET", query, world.main)
        assert len(body["clients"]) <= 2
        seen += [(each["identity"], each["device"]) for each in body["clients"]]
        after = body["next"]
        if after is not None:  # whoever comes and goes meanwhile
            [late] = comes(world, "aaron")
            world.roster.left(late)
    assert seen == [("alice", "1"), ("alice", "4"), ("bob", "0"), ("bob", "2"), ("Ünal", "3")]


async def test_a_page_goes_on_behind_a_device_that_left(world: World) -> None:
    first, _ = comes(world, "alice", "bob")
    _, body, _ = await world.ask("GET", f"{PATH}?limit=1", world.main)
    world.roster.left(first)
    _, body, _ = await world.ask("GET", f"{PATH}?limit=1&after={body['next']}", world.main)
    assert [each["identity"] for each in body["clients"]] == ["bob"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "after=soon", "after=!", "after=WyJhIl0", "after=%C3%BC"]
)
async def test_what_cannot_be_asked(world: World, query: str) -> None:
    status, body, _ = await world.ask("GET", f"{PATH}?{query}", world.main)
    assert (status, body["code"]) == (400, 20001)


async def test_a_process_with_calls_alone_tells_of_its_own_devices(world: World) -> None:
    comes(world, "alice")
    async with status_server(world.services) as url, aiohttp.ClientSession() as session:
        headers = {"Authorization": basic(world.main.sid, world.main.auth_token)}
        async with session.get(url, headers=headers) as response:
            assert [each["identity"] for each in (await response.json())["clients"]] == ["alice"]
        async with session.get(url) as response:
            assert response.status == 401


async def test_a_process_without_calls_says_whom_to_ask(world: World) -> None:
    object.__setattr__(world.services, "clients", None)
    status, body, _ = await world.ask("GET", PATH, world.main)
    assert (status, body["code"]) == (404, 20404)
    assert "ask one that has" in body["message"]
