"""One run of the contract for each backend."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.base import Store
from tests import postgres
from tests.contract.backends import STORES, Backend


@pytest.fixture(scope="session", autouse=True)
def _postgres() -> None:
    """The server runs before a test starts a process that needs it too."""
    postgres.admin_url()


@pytest.fixture(params=STORES)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    backend = STORES[request.param](tmp_path)
    yield backend
    await backend.close_all()


@pytest.fixture
async def store(backend: Backend) -> Store:
    return await backend.open()
