"""Trunks are tried on a loop whose clock leaps."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
from held_loop import HeldLoop
from trunk_world import World


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"held": HeldLoop}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Us and our carriers; what is open is closed with the test."""
    world = await World().open()
    yield world
    await world.close()
    assert {event.trunk for event in world.told} <= {"acme", "beta"}
