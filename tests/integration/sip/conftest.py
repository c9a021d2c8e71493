"""SIP's sockets are tried on asyncio's loop and on the one that the daemon uses."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.integration.sip.peers import Authority, Box, opener


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Box]]:
    """Opens endpoints and closes them with the test."""
    boxes: list[Box] = []
    yield opener(boxes)
    for box in boxes:
        await box.endpoint.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates of the tests."""
    return Authority(Path(tmp_path_factory.mktemp("authority")))
