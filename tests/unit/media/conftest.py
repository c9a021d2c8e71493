"""A world of media for each test."""

from collections.abc import AsyncIterator

import pytest
from media_world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    made.close()
