"""Callers who leave in the midst of something: their calls end, and leave nothing."""

import asyncio
from pathlib import Path

import pytest

from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import DOMAIN, gateway, order
from tests.integration.voice.test_spoken import FAKE, tone_file

LOOP = '<Play loop="0">/tone.wav</Play>'
BOB = f"<Sip>sip:bob@{DOMAIN}</Sip>"
WHISPER = f'<Sip url="/held">sip:bob@{DOMAIN}</Sip>'


@pytest.fixture
async def alice(open_phone: OpenPhone) -> Phone:
    return await open_phone("alice", DOMAIN, tone=440, password="pa")


@pytest.fixture
async def bob(open_phone: OpenPhone) -> Phone:
    return await open_phone("bob", DOMAIN, tone=880, password="pb")


SILENT = {
    "the first document": "",
    "a sound": "<Play>/held</Play>",
    "the sound that comes next": f"{LOOP}<Play>/held</Play>",
    "the sound whose turn has come": "<Play>/tone.wav</Play><Play>/held</Play>",
    "the sound of a question": "<Gather><Play>/held</Play></Gather>",
    "the next document": "<Play>/tone.wav</Play><Redirect>/held</Redirect>",
    "what was dialled": f'<Dial action="/held">{BOB}</Dial>',
    "a whisper": f"<Dial>{WHISPER}</Dial>",
    "what a queue plays": '<Enqueue waitUrl="/held">q</Enqueue>',
    "what a conference plays": '<Dial><Conference waitUrl="/held">r</Conference></Dial>',
}


@pytest.mark.parametrize("what", SILENT)
async def test_an_app_that_has_not_answered(
    tmp_path: Path, alice: Phone, bob: Phone, what: str
) -> None:
    twiml = f"<Response>{SILENT[what]}</Response>"
    async with gateway(tmp_path, twiml, alice, bob, limits=FAKE) as here:
        here.app.sounds["/tone.wav"] = tone_file(1000, 0.5)
        held = "/held" if SILENT[what] else "/voice"
        gate = here.app.gates[held] = asyncio.Event()
        alice.call("anybody", here.hop())
        if "action" in twiml:
            await bob.until(events.Confirmed)
            bob.hang_up()
        await here.app.until(held)
        alice.hang_up()
        await here.ended()
        gate.set()


RUNS = {
    "a beep": "<Record/>",
    "a recording": '<Record playBeep="false"/>',
    "keys": '<Play digits="wwwwww1"/>',
    "silence": "<Pause/>",
    "music on hold": "<Enqueue>q</Enqueue>",
    "music of a conference": "<Dial><Conference>r</Conference></Dial>",
}


@pytest.mark.parametrize("what", RUNS)
async def test_a_verb_that_runs(tmp_path: Path, alice: Phone, what: str) -> None:
    async with gateway(tmp_path, f"<Response>{RUNS[what]}</Response>", alice) as here:
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        alice.hang_up()
        await alice.until(events.Ended)
        await here.ended()


async def test_an_order_is_applied(tmp_path: Path, alice: Phone) -> None:
    async with gateway(tmp_path, f"<Response>{LOOP}</Response>", alice) as here:
        here.app.sounds["/tone.wav"] = tone_file(1000, 0.5)
        here.app.gates["/held"] = asyncio.Event()
        alice.call("anybody", here.hop())
        sid = (await here.app.until("/voice"))["CallSid"]
        await alice.until(events.Answered)
        await order(here, sid, Url=f"{here.app.url}/held")
        await here.app.until("/held")
        alice.hang_up()
        await here.ended()
        here.app.gates["/held"].set()
