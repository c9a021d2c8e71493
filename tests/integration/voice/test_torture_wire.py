"""RFC 4475 and RFC 5118: what a gateway says to each of their messages, seen from outside."""

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.daemon import voice
from protocols.sip.agent_commands import Settings
from protocols.sip.codec import Malformed, read_datagram
from protocols.sip.timers import Timers
from protocols.sip.transport import Transport
from tests.fuzz import sip_sockets
from tests.integration.voice.wire import Datagrams, Stream, anywhere
from tests.integration.voice.world import World, world
from tests.vectors.torture import Torture, torture

CONFIG = """
[[domains]]
name = "example.com"
voice_url = "{app}/voice"
users = [{ username = "alice", password = "secret-of-alice" }]
[[carriers]]
name = "nobody"
kind = "sip"
uri = "sip:127.0.0.1:9"
emergency = []
options_interval = "0s"
[[numbers]]
number = "+15550001000"
voice_url = "{app}/voice"
"""
SHORT = Timers(t1=0.01, t2=0.04, t4=0.05, d=0.64)
MESSAGES = [*torture("rfc4475"), *torture("rfc5118")]


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A gateway whose transactions end in less than a second."""
    monkeypatch.setattr(voice, "Settings", partial(Settings, timers=SHORT))
    async with world(tmp_path, CONFIG) as here:
        yield here


def via_port(message: Torture) -> int:
    """Where the answer to a datagram goes: the port that its Via names (RFC 3261 §18.2.2)."""
    read = read_datagram(message.wire)
    said = read.answer if isinstance(read, Malformed) else read
    return (said.vias[0].port if said is not None else 0) or 5060


async def datagram(here: World, message: Torture) -> list[int]:
    peer = await Datagrams(here.hop()).open(anywhere(), via_port(message))
    try:
        return [each.status for each in await peer.ask(message.wire)]
    finally:
        peer.close()


async def streamed(here: World, message: Torture, piece: int) -> tuple[list[int], bool]:
    """The statuses, and whether that was the end of the connection."""
    peer = await Stream(here.hop(Transport.TCP)).open(anywhere())
    try:
        heard = await peer.ask(message.wire + b"x" * message.missing, piece)
        return sorted(each.status for each in heard), peer.broken
    finally:
        await peer.close()


@pytest.mark.parametrize("seed", (0, 1, 17))
async def test_dialogs_as_bad_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Calls of a carrier that is out of its mind: see `tests.fuzz.sip_sockets`."""
    monkeypatch.setattr(voice, "Settings", partial(Settings, timers=SHORT))
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    twiml = '<Response><Pause length="1"/><Hangup/></Response>'
    chance = random.Random(seed)
    with capture_logs() as logs:
        await _play_forty(tmp_path, chance, twiml)
    assert not faults
    assert not [each for each in logs if each["log_level"] == "error"]


async def _play_forty(folder: Path, chance: random.Random, twiml: str) -> None:
    async with world(folder, CONFIG, twiml) as here:
        alive = here.gateway._voice
        assert alive is not None
        for _ in range(40):
            await sip_sockets.play(
                chance, alive.station, lambda _: None, callee="+15550001000", patience=0.5
            )
        calls = await here.calls()
        assert len(calls) > 20
        await here.ended()
        await here.quiet()


async def test_each_in_a_datagram(gateway: World) -> None:
    seen = {each.name: await datagram(gateway, each) for each in MESSAGES}
    assert seen == {each.name: each.statuses for each in MESSAGES}
    await gateway.quiet()


@pytest.mark.parametrize("piece", [0, 1], ids=["whole", "octet by octet"])
async def test_each_in_a_stream(gateway: World, piece: int) -> None:
    seen = {each.name: await streamed(gateway, each, piece) for each in MESSAGES}
    assert seen == {each.name: (each.streamed, each.ends) for each in MESSAGES}
    await gateway.quiet()


async def test_all_in_one_stream(gateway: World) -> None:
    """What can be read on behind is: one connection takes all that end none."""
    peer = await Stream(gateway.hop(Transport.TCP)).open(anywhere())
    for each in MESSAGES:
        if not each.ends:
            heard = await peer.ask(each.wire + b"x" * each.missing)
            assert sorted(answer.status for answer in heard) == each.streamed, each.name
    await peer.close()
    await gateway.quiet()
