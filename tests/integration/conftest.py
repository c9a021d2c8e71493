"""Fixtures of the integration tests: simulators that end with the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.gateway_process import App, Carrier

StartCarrier = Callable[..., Carrier]
StartApp = Callable[..., App]


@pytest.fixture
def start_carrier(tmp_path: Path) -> Iterator[StartCarrier]:
    """Starts simulated carriers with options of `python -m sims smsc`."""
    started: list[Carrier] = []

    def start(*options: str) -> Carrier:
        folder = tmp_path / f"carrier{len(started)}"
        folder.mkdir()
        started.append(Carrier(folder, *options))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def start_app(tmp_path: Path) -> Iterator[StartApp]:
    """Starts customers' apps with options of `python -m sims webapp`."""
    started: list[App] = []

    def start(*options: str) -> App:
        folder = tmp_path / f"app{len(started)}"
        folder.mkdir()
        started.append(App(folder, *options))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def app(start_app: StartApp) -> App:
    """An app that takes every callback."""
    return start_app()
