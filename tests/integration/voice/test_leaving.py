"""Callers who leave in the midst of something: their calls end, and leave nothing."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from gateway.media.graph import Graph, Player
from protocols.sip import agent_events as events
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import DOMAIN, gateway, order
from tests.integration.voice.test_rooms import hears
from tests.integration.voice.test_spoken import FAKE, ask, tone_file
from tests.integration.voice.world import World, until

LOOP = '<Play loop="0">/tone.wav</Play>'
BOB = f"<Sip>sip:bob@{DOMAIN}</Sip>"
WHISPER = f'<Sip url="/held">sip:bob@{DOMAIN}</Sip>'


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
        if "turn" in what:
            await until(partial(is_waited_for, here))
        alice.hang_up()
        try:
            await here.ended()
        finally:
            gate.set()


async def is_waited_for(here: World) -> bool:
    """Whether a prompt that was made ahead has its turn, and is not there yet."""
    voice = here.gateway._voice
    assert voice is not None
    (call,) = voice.calls._live.values()
    ahead = call._hands._ahead
    return ahead is not None and ahead._foreseen is None


RUNS = {
    "a beep": "<Record/>",
    "a recording": '<Record playBeep="false"/>',
    "keys": '<Play digits="wwwwww1"/>',
    "silence": "<Pause/>",
    "music on hold": "<Enqueue>q</Enqueue>",
    "music of a conference": "<Dial><Conference>r</Conference></Dial>",
}


async def has_player(asked: list[Graph]) -> bool:
    return any(isinstance(node, Player) for graph in asked for node in graph.nodes)


MOMENTS = [(what, "it begins") for what in RUNS] + [
    (what, "it is heard") for what in ("a beep", "music on hold", "music of a conference")
]


@pytest.mark.parametrize("what, moment", MOMENTS)
async def test_a_verb_that_runs(tmp_path: Path, alice: Phone, what: str, moment: str) -> None:
    async with gateway(tmp_path, f"<Response>{RUNS[what]}</Response>", alice) as here:
        asked = here.graphs()
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        if moment == "it is heard":
            await until(partial(has_player, asked))
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


async def test_an_announcement_is_made(tmp_path: Path, alice: Phone, bob: Phone) -> None:
    twiml = '<Response><Dial><Conference waitUrl="">r</Conference></Dial></Response>'
    async with gateway(tmp_path, twiml, alice, bob) as here:
        here.app.sounds["/tone.wav"] = tone_file(1000, 0.5)
        here.app.pages["/announced"] = f"<Response>{LOOP}<Play>/held</Play></Response>"
        gate = here.app.gates["/held"] = asyncio.Event()
        for phone in (alice, bob):
            phone.call("anybody", here.hop())
            await phone.until(events.Answered)
        await hears(alice, 880)
        (room,) = (await ask(here, "GET", "/Conferences.json"))[1]["conferences"]
        url = f"{here.app.url}/announced"
        await ask(here, "POST", f"/Conferences/{room['sid']}.json", AnnounceUrl=url)
        await here.app.until("/held")
        for phone in (alice, bob):
            phone.hang_up()
        try:
            await here.ended()
        finally:
            gate.set()
