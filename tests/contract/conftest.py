"""One run of the contract for each backend."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.store.base import Store
from tests import postgres
from tests.contract.backends import STORES, Backend
from tests.kafka_cluster import KafkaCluster


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


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One real broker for all tests that want one."""
    with KafkaCluster.start(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster
