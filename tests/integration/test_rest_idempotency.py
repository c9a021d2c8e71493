"""The header Idempotency-Key, over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict
from rest_world import NUMBER, World, rest_world

TO = "+447700900123"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


async def create(world: World, *keys: str, body: str = "hello") -> tuple[int, Any, Any]:
    path = f"/2010-04-01/Accounts/{world.main.sid}/Messages.json"
    headers = CIMultiDict([("Idempotency-Key", key) for key in keys])
    form = {"To": TO, "From": NUMBER, "Body": body}
    return await world.ask("POST", path, world.main, data=form, headers=headers)


async def test_the_same_key_gives_the_same_message(world: World) -> None:
    status, first, headers = await create(world, "order-7")
    assert status == 201
    assert "Idempotency-Replayed" not in headers
    await world.messages.cancel(world.main.sid, first["sid"])
    status, again, headers = await create(world, "order-7")
    assert (status, again["sid"], again["status"]) == (201, first["sid"], "canceled")
    assert headers["Idempotency-Replayed"] == "true"
    _, other, headers = await create(world, "order-8")
    assert other["sid"] != first["sid"]
    assert "Idempotency-Replayed" not in headers
    assert list(world.messages.keys) == ["rest:order-7", "rest:order-8"]


async def test_without_a_key_two_are_two(world: World) -> None:
    _, first, _ = await create(world)
    _, second, headers = await create(world)
    assert first["sid"] != second["sid"]
    assert "Idempotency-Replayed" not in headers
    assert world.messages.keys == {}


async def test_another_body_under_the_key_is_422(world: World) -> None:
    _, first, _ = await create(world, "order-7")
    status, body, _ = await create(world, "order-7", body="other")
    assert (status, body["code"]) == (422, 20422)
    assert first["sid"] in body["message"]


@pytest.mark.parametrize("keys", [("x" * 256,), ("a b",), ("",), ("a", "b"), ("a", "a")])
async def test_a_key_has_bounds(world: World, keys: tuple[str, ...]) -> None:
    status, body, _ = await create(world, *keys)
    assert (status, body["code"]) == (400, 20001)
    assert "Idempotency-Key" in body["message"]
    assert world.messages.drafts == []


async def test_the_longest_key_is_taken(world: World) -> None:
    status, _, _ = await create(world, "x" * 255)
    assert status == 201


async def test_openapi_names_the_header(world: World) -> None:
    _, document, _ = await world.ask("GET", "/openapi.json")
    create = document["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["post"]
    assert "Idempotency-Key" in [
        each["name"] for each in create["parameters"] if each["in"] == "header"
    ]
