"""A real rtpengine that is silent for a while, or has what a gateway left that was killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.media.ng import Ng
from gateway.media.plane import Happened, Opened
from gateway.media.rtpengine.names import names_in
from gateway.media.rtpengine.plane import Rtpengine
from gateway.media.wire import Applied
from gateway.media.workers import Workers, WorkersConfig
from protocols.sdp.description import Direction
from protocols.sip import agent_events as events
from tests.integration.voice.acts import change
from tests.integration.voice.conftest import alice, bob, open_phone
from tests.integration.voice.phones import Phone
from tests.integration.voice.world import until
from tests.interop.rtpengine_peer import Rtpengine as Peer
from tests.interop.rtpengine_peer import engine
from tests.interop.test_interop_rtpengine_calls import TO_BOB, bridged, gateway
from tests.interop.test_interop_rtpengine_calls import plane as plane_of
from tests.unit.media.ng_world import CALL, talk

__all__ = ["alice", "bob", "engine", "open_phone"]

pytestmark = pytest.mark.interop


SDP = "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
AS_LONG_AS_WAITED = 3.0  # seconds: longer than one question waits, shorter than calls are kept


@asynccontextmanager
async def plane(engine: Peer, data: Path) -> AsyncIterator[Rtpengine]:
    """One that leaves what it has, as a process does that is killed."""
    told: list[Happened] = []
    made: list[Workers] = []

    def behind(receiver: Any) -> Workers:
        made.append(Workers(WorkersConfig(workers=1, first=16_000, last=31_999), receiver))
        return made[0]

    ng = Ng(engine.address)
    plane = Rtpengine(ng, behind, told.append, names_in(data))
    await made[0].start()
    await plane.start()
    try:
        yield plane
    finally:
        await plane.keeper.close()
        await made[0].close()
        await ng.close()


async def test_what_a_killed_gateway_left_goes_at_the_next_start_and_nothing_of_others(
    tmp_path: Path, engine: Peer
) -> None:
    mine, another = tmp_path / "mine", tmp_path / "another"
    mine.mkdir()
    another.mkdir()
    foreign = [f"{'a SIP proxy has long names' * 4}{number}" for number in range(100)]
    for each in foreign:
        engine.ask("offer", call_id=each, from_tag="a", sdp=SDP.format("127.0.0.1"))
    async with plane(engine, another) as other:
        assert isinstance(other.open(CALL), Opened)
        assert isinstance(await other.apply(talk(1)), Applied)
        theirs = {*engine.calls()}
        async with plane(engine, mine) as killed:
            for number in range(10):
                call = f"CA{number}"
                assert isinstance(killed.open(call), Opened)
                assert isinstance(await killed.apply(talk(1, call=call)), Applied)
        assert len(engine.calls()) == len(foreign) + 2 + 20
        async with plane(engine, mine) as again:
            assert again.keeper.is_there
            assert {*engine.calls()} == theirs
            assert isinstance(again.open(CALL), Opened)
            assert isinstance(await again.apply(talk(1)), Applied)
            assert len(engine.calls()) == len(theirs) + 2
            await again.end(CALL)
        assert {*engine.calls()} == theirs


async def test_a_change_waits_for_one_that_is_silent_and_the_call_goes_on(
    tmp_path: Path, engine: Peer, alice: Phone, bob: Phone
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, alice, bob) as here:
        alice.call("bob", here.hop())
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        await bridged(here)
        os.kill(engine.pid, signal.SIGSTOP)
        stopped = asyncio.get_running_loop().time()
        try:
            await change(alice, direction=Direction.SENDONLY)

            async def is_away() -> bool:
                late = asyncio.get_running_loop().time() - stopped >= AS_LONG_AS_WAITED
                return late and not plane_of(here).keeper.is_there

            await until(is_away)
        finally:
            os.kill(engine.pid, signal.SIGCONT)
        await bridged(here, 0)
        await change(alice)
        await bridged(here)
        for each in (alice, bob):
            each.sound.heard.clear()
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        assert plane_of(here).counts()["lost"] == 0
        alice.hang_up()
        await bob.until(events.HungUp)
    assert engine.calls() == []
