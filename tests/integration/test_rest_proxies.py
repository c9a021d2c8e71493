"""Wrong guesses of a secret, counted by who sent them: through a proxy, or past it."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from rest_world import World, basic, rest_world

from gateway.proxies import Proxies
from gateway.tries import DEFAULT_TRIES

PATH = "/v1/registrations"
TRUSTED = Proxies(trusted=(ip_network("127.0.0.1"),))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path, proxies=TRUSTED) as world:
        yield world


async def guess(world: World, forwarded: str) -> int:
    headers = {
        "X-Forwarded-For": forwarded,
        "Authorization": basic(world.main.sid, "a wrong token"),
    }
    status, _, _ = await world.ask("GET", PATH, headers=headers)
    return status


async def knows(world: World, forwarded: str) -> int:
    status, _, _ = await world.ask("GET", PATH, world.main, headers={"X-Forwarded-For": forwarded})
    return status


async def test_who_guesses_through_a_proxy_locks_out_nobody_else(world: World) -> None:
    for _ in range(DEFAULT_TRIES):
        assert await guess(world, "203.0.113.1") == 401
    assert await guess(world, "203.0.113.1") == 429
    assert await knows(world, "203.0.113.1") == 429
    assert await knows(world, "203.0.113.2") == 200
    assert (await world.ask("GET", PATH, world.main))[0] == 200


async def test_who_invents_addresses_is_one_place_all_the_same(world: World) -> None:
    for number in range(DEFAULT_TRIES):
        assert await guess(world, f"198.51.100.{number}, 203.0.113.1") == 401
    assert await guess(world, "198.51.100.99, 203.0.113.1") == 429


async def test_who_is_no_proxy_is_not_believed(tmp_path: Path) -> None:
    async with rest_world(tmp_path) as world:
        for number in range(DEFAULT_TRIES):
            assert await guess(world, f"203.0.113.{number}") == 401
        assert await guess(world, "203.0.113.99") == 429


@pytest.mark.parametrize("forwarded", [", " * 1000, "10.0.0.1, " * 500, "[::", "x" * 4000, "\x80"])
async def test_headers_that_are_garbage_count_as_the_proxy(world: World, forwarded: str) -> None:
    for _ in range(DEFAULT_TRIES):
        assert await guess(world, forwarded) == 401
    assert await guess(world, forwarded) == 429
    assert await knows(world, "203.0.113.1") == 200
