"""Fixtures of the interop tests: peers that end with the test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.integration.gateway_process import App
from tests.interop.kannel_peer import Kannel
from tests.interop.node_peer import NodePeer
from tests.interop.sip.flow import Side, Steps
from tests.interop.sip.rtp import Speaker
from tests.interop.sip.world import World
from tests.interop.sipp_peer import Sipp
from tests.interop.smpplib_peer import Esme

StartNode = Callable[..., NodePeer]
StartKannel = Callable[[int, str], Kannel]
StartEsme = Callable[..., Esme]
StartSpeaker = Callable[[str], Speaker]


class StartSipp(Protocol):
    """Starts one side of a flow; more keywords as `Sipp` has them."""

    def __call__(self, side: Side, steps: Steps, **more: Any) -> Sipp: ...


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app that takes every request and writes it down."""
    folder = tmp_path / "app"
    folder.mkdir()
    app = App(folder)
    app.start()
    yield app
    app.stop()


@pytest.fixture
def start_esme() -> Iterator[StartEsme]:
    """Connects clients made with smpplib."""
    started: list[Esme] = []

    def start(port: int) -> Esme:
        started.append(Esme(port))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """Starts programs of the folder `node`."""
    started: list[NodePeer] = []

    def start(script: str, *arguments: str) -> NodePeer:
        log = tmp_path / f"node{len(started)}.log"
        started.append(NodePeer(script, log, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def start_kannel(tmp_path: Path) -> Iterator[StartKannel]:
    """Starts a Kannel that binds to an SMPP server."""
    started: list[Kannel] = []

    def start(port: int, text_url: str) -> Kannel:
        folder = tmp_path / f"kannel{len(started)}"
        folder.mkdir()
        started.append(Kannel(folder, port, text_url))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def start_sipp(tmp_path: Path) -> Iterator[StartSipp]:
    """Starts sides of SIP flows."""
    started: list[Sipp] = []

    def start(side: Side, steps: Steps, **more: Any) -> Sipp:
        started.append(Sipp(tmp_path / f"sipp{len(started)}", side, steps, **more))
        return started[-1]

    yield start
    for each in started:
        each.end()


class StartWorld(Protocol):
    """Starts a gateway among SIP peers; keywords as `World` has them."""

    def __call__(self, **more: Any) -> World: ...


@pytest.fixture
def start_world(tmp_path: Path, start_gateway: Callable[..., Any]) -> Iterator[StartWorld]:
    """Starts gateways with a carrier, a domain and an app."""
    started: list[World] = []

    def start(**more: Any) -> World:
        folder = tmp_path / f"world{len(started)}"
        folder.mkdir()
        started.append(World(folder, start_gateway, **more))
        return started[-1]

    yield start
    for each in started:
        print(each.log())  # shown if the test failed
        each.end()


@pytest.fixture
def start_speaker() -> Iterator[StartSpeaker]:
    """Makes ends of media streams, each a source of its own."""
    started: list[Speaker] = []

    def start(host: str) -> Speaker:
        started.append(Speaker(host, source=len(started) + 1))
        return started[-1]

    yield start
    for each in started:
        each.end()
