"""Fixtures that tests of several rooms share."""

import gc
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from gateway import sids
from gateway.store import sqlite_file, sqlite_writer
from tests import postgres
from tests.kafka_cluster import KafkaCluster
from tests.running import RunningGateway

StartGateway = Callable[..., RunningGateway]

# The same tries at every run, wherever it is (`make fuzz` makes others), and no word on how long
# they take: a machine that has more to do proves nothing.
settings.register_profile(
    "house",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")


def pytest_configure() -> None:
    """A shell's background ignores SIGINT, and so would the programs that tests end with it.

    numpy is told to do with one thread, as in the product: others burn what tests beside need.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest begins first, so that in the end nobody waits for it alone."""

    def limit(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return 0.0 if marker is None else float(marker.args[0])

    items.sort(key=limit, reverse=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Thousands of tests stay as they are: what looks for garbage need not look at them, neither
    while they are made, which costs each worker a quarter more, nor afterwards. What they make
    it looks at less often than by default, as in the product: a tenth of their time was its.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(5_000)
        gc.enable()


@cache
def _newest_schema() -> tuple[sqlite3.Connection, list[str]]:
    """A database in memory with every step of the schema, and the names of the steps."""
    made = sqlite3.connect(":memory:", check_same_thread=False)
    made.isolation_level = None
    return made, sqlite_file.upgrade(made, Path(":memory:"))


def _upgrade(connection: sqlite3.Connection, path: Path) -> list[str]:
    """`sqlite_file.upgrade`; what is empty gets a copy of what its steps come to, made once."""
    if sqlite_file.schema_version(connection):
        return sqlite_file.upgrade(connection, path)
    made, applied = _newest_schema()
    made.backup(connection)
    return list(applied)


@pytest.fixture(scope="session", autouse=True)
def _schema_made_once() -> Iterator[None]:
    """Thousands of stores are opened; tests of the steps themselves call them as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_writer, "upgrade", _upgrade)
        yield


@pytest.fixture(autouse=True)
def _sids_of_today() -> Iterator[None]:
    """A test whose clock is ahead leaves no SIDs of a day to come to the tests after it."""
    yield
    sids._clock.last = 0


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[StartGateway]:
    """Starts gateways, each in a folder of its own, and ends what is left of them."""
    started: list[RunningGateway] = []

    def start(config: str = "", **environ: str) -> RunningGateway:
        home = tmp_path / f"gateway{len(started)}"
        home.mkdir()
        started.append(RunningGateway(home, config, environ))
        return started[-1].start()

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def running_gateway(start_gateway: StartGateway) -> RunningGateway:
    """A gateway with everything at its default but the ports, and a simulated carrier."""
    return start_gateway()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One real broker that the interop tests of a run share: each takes topics of its own."""
    with KafkaCluster.start(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@pytest.fixture
async def postgres_url() -> AsyncIterator[str]:
    """An empty database of a real PostgreSQL, with today's schema."""
    url = await postgres.fresh_database()
    yield url
    await postgres.drop_database(url)
