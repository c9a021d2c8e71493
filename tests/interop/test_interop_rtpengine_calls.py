"""Calls with a real rtpengine as the media plane: phones, documents, orders over REST."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.media.rtpengine.plane import LOST, Rtpengine
from protocols.sip import agent_events as events
from tests.integration.voice.acts import dial, user
from tests.integration.voice.conftest import open_phone  # noqa: F401  # a fixture
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import CONFIG, DOMAIN, order
from tests.integration.voice.world import World, until, world
from tests.interop.rtpengine_peer import Rtpengine as Peer

pytestmark = pytest.mark.interop

OpenPhone = Callable[..., Awaitable[Phone]]
TO_BOB = dial(user("bob"), action="/after")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Peer]:
    peer = Peer(tmp_path / "rtpengine")
    yield peer
    peer.kill()


@pytest.fixture
async def alice(open_phone: OpenPhone) -> Phone:  # noqa: F811
    return await open_phone("alice", DOMAIN, tone=440, password="pa")


@pytest.fixture
async def bob(open_phone: OpenPhone) -> Phone:  # noqa: F811
    return await open_phone("bob", DOMAIN, tone=880, password="pb")


@asynccontextmanager
async def gateway(folder: Path, engine: Peer, twiml: str, *phones: Phone) -> AsyncIterator[World]:
    """A world with phones registered; nothing is left in rtpengine after it."""
    host, port = engine.address
    text = CONFIG.replace("{first}", "").replace("{second}", "9").replace("{limits}", "")
    media = f'plane = "rtpengine"\nrtpengine = "{host}:{port}"'
    async with world(folder, text, twiml, media=media) as here:
        for phone in phones:
            await phone.register(here.hop())
        yield here
        await here.ended()
        assert here.ledger() == {}
        assert plane(here)._calls == {}


def plane(here: World) -> Rtpengine:
    voice = here.gateway._voice
    assert voice is not None
    found = voice._media.rtpengine
    assert found is not None
    return found


async def bridged(here: World, legs: int = 2) -> None:
    async def held() -> bool:
        return plane(here).counts()["bridged"] == legs

    await until(held)


async def test_two_phones_hear_each_other_without_a_worker(
    tmp_path: Path, engine: Peer, alice: Phone, bob: Phone
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, alice, bob) as here:
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        await bridged(here)
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        assert len(engine.calls()) == 2
        alice.hang_up()
        await bob.until(events.HungUp)
        await here.ended()
        assert engine.calls() == []
