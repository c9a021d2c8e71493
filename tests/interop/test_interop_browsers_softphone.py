"""The softphone at `/phone` in Chromium: worked by its keyboard, heard by what it plays."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.voice.test_queue_calls import SETUP
from tests.integration.voice.test_rooms import left
from tests.integration.voice.test_spoken import ask, tone_file
from tests.integration.voice.world import World
from tests.interop.browser_world import access, gateway
from tests.interop.chromium_peer import Chromium, Page, chromium, pages

pytestmark = pytest.mark.interop

SOUND = "document.getElementById('sound').srcObject"
HEAR = Path(__file__).parent / "browsers" / "hearing.js"
# What the policy of the page refused; its sockets, and what those after the first were told; how
# often it asked for servers.
REFUSED = """
window.events = [];
document.addEventListener("securitypolicyviolation", (at) => events.push(at.blockedURI));
window.sockets = [];
window.told = [];
window.asked = 0;
const ask = window.fetch;
window.fetch = (...given) => {
  window.asked += given[0] === "/phone/ice";
  return ask(...given);
};
const Theirs = WebSocket;
window.WebSocket = class extends Theirs {
  constructor(...given) {
    super(...given);
    window.sockets.push(this);
    if (window.sockets.length === 1) return;
    this.addEventListener("message", (at) => told.push(at.data.match(/"type":"(\\w+)"/)?.[1]));
  }
};
"""


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with pages() as served, chromium(tmp_path / "browser", served, 1000.0) as found:
        yield found


async def softphone(here: World, browser: Chromium, token: str) -> Page:
    """The page at the listener without TLS, connected."""
    url = f"http://127.0.0.1:{here.gateway.ports['http']}/phone#{token}"
    page = await browser.open(url, first=REFUSED + HEAR.read_text())
    await says(page, "status", "taking calls")
    assert await page.run("location.hash") == ""
    return page


async def says(page: Page, place: str, text: str) -> None:
    """Return when that can be read there."""
    await page.until(f"document.getElementById('{place}').textContent.includes({json.dumps(text)})")


async def ended(here: World, sid: str) -> str:
    """The last state of a call."""
    async with asyncio.timeout(20):
        while True:
            _, call = await ask(here, "GET", f"/Calls/{sid}.json")
            if call["status"] in ("completed", "busy", "no-answer", "failed"):
                return str(call["status"])
            await asyncio.sleep(0.05)


async def press(page: Page, *keys: str) -> None:
    """As a keyboard does."""
    for key in keys:
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        given = {"key": key, "text": text, "windowsVirtualKeyCode": 13 if key == "Enter" else 0}
        await page.command("Input.dispatchKeyEvent", type="keyDown", **given)
        await page.command("Input.dispatchKeyEvent", type="keyUp", **given)


async def test_a_document_is_heard_and_keys_reach_it(tmp_path: Path, browser: Chromium) -> None:
    async with gateway(tmp_path, SETUP) as here:
        here.app.sounds["/tone.wav"] = tone_file(440, 30.0)
        here.app.twiml = (
            '<Response><Gather action="/keys" finishOnKey="#" timeout="30"><Play>tone.wav</Play>'
            "</Gather></Response>"
        )
        here.app.pages["/keys"] = "<Response><Hangup/></Response>"
        page = await softphone(here, browser, (await access(here)).token("bob"))
        await page.run("document.getElementById('number').focus()")
        await press(page, *"+4477", "Enter")
        await page.hears(SOUND, 440)
        asked = await here.app.until("/voice")
        assert (asked["From"], asked["To"]) == ("client:bob", "+4477")
        await says(page, "peer", "+4477: in a call")
        await says(page, "quality", "MOS 4")
        await page.until("document.getElementById('theirs').value > 0.3")
        await page.run("document.getElementById('hangup').focus()")
        await press(page, *"123#")
        assert (await here.app.until("/keys"))["Digits"] == "123"
        await says(page, "status", "the other end hung up")
        assert await page.run("window.events") == []
        await left(here)


@pytest.mark.parametrize(
    ("typed", "to"),
    [
        ("+44 (7700) 900-123", "+447700900123"),
        ("+44 (0)7700 900123", "+447700900123"),
        ("00447700900123", "+447700900123"),
        ("1234567", "1234567"),
        ("17", "17"),
    ],
)
async def test_a_number_is_dialled_however_it_is_written(
    tmp_path: Path, browser: Chromium, typed: str, to: str
) -> None:
    async with gateway(tmp_path, SETUP) as here:
        here.app.twiml = "<Response><Hangup/></Response>"
        page = await softphone(here, browser, (await access(here)).token("bob"))
        await page.run("document.getElementById('number').focus()")
        await press(page, *"07700900123", "Enter")  # of no country
        await says(page, "problem", "+ and its code")
        await page.run("document.getElementById('number').value = ''")
        await press(page, *typed, "Enter")
        asked = await here.app.until("/voice")
        assert asked["To"] == to
        await left(here)


async def test_a_call_outlives_its_socket(tmp_path: Path, browser: Chromium) -> None:
    async with gateway(tmp_path, SETUP) as here:
        here.app.sounds["/tone.wav"] = tone_file(440, 30.0)
        here.app.twiml = '<Response><Play loop="0">tone.wav</Play></Response>'
        page = await softphone(here, browser, (await access(here)).token("bob"))
        await page.run("document.getElementById('call').click()")
        await page.hears(SOUND, 440)
        await page.run("sockets[0].close()")
        await page.until("told.includes('answer')")
        await says(page, "status", "In a call.")
        await page.hears(SOUND, 440)
        await page.run("document.getElementById('hangup').click()")
        await says(page, "status", "The call is over: you hung up.")
        assert await page.run("window.events") == []
        await left(here)


async def test_a_token_that_is_refused_leaves_the_one_before(
    tmp_path: Path, browser: Chromium
) -> None:
    async with gateway(tmp_path, SETUP) as here:
        page = await softphone(here, browser, (await access(here)).token("bob"))
        good = await page.run("document.getElementById('token').value")
        for token, status, problem in (
            (good[:-4], "Connected as bob, taking calls.", "3120"),
            (good, "Connected as bob, taking calls.", ""),
        ):
            await page.run(f"document.getElementById('token').value = '{token}'")
            await page.run("document.getElementById('token-form').requestSubmit()")
            await page.until(
                f"document.getElementById('problem').hidden === {json.dumps(not problem)}"
            )
            await says(page, "status", status)
            await says(page, "problem", problem)


async def test_what_rings_ends_with_the_callers_socket_and_rings_anew_after_the_others(
    tmp_path: Path, browser: Chromium
) -> None:
    async with gateway(tmp_path, SETUP) as here:
        here.app.sounds["/tone.wav"] = tone_file(440, 30.0)
        here.app.twiml = (
            '<Response><Dial answerOnBridge="true"><Client>carol</Client></Dial></Response>'
        )
        grants = await access(here)
        bob = await softphone(here, browser, grants.token("bob"))
        carol = await softphone(here, browser, grants.token("carol"))
        lost = "The connection was lost before the call was answered."
        await bob.run("document.getElementById('call').click()")
        await carol.until("!document.getElementById('incoming').hidden")
        await says(bob, "peer", "ringing")
        for one in (carol, bob):
            await carol.until("!document.getElementById('incoming').hidden")
            await one.run("sockets.at(-1).close()")
            await says(one, "problem", lost)
        for one, status in ((bob, "taking calls"), (carol, "The call is over")):
            await one.until("document.getElementById('hangup').disabled")
            await one.until("document.getElementById('incoming').hidden")
            await says(one, "status", status)
        await bob.until("!document.getElementById('call').disabled")
        await bob.run("document.getElementById('call').click()")
        await carol.until("!document.getElementById('incoming').hidden")
        await carol.run("document.getElementById('accept').click()")
        await bob.hears(SOUND, 1000)
        assert await bob.run("window.asked") == 2
        assert await carol.run("window.asked") == 1
        await bob.run("document.getElementById('hangup').click()")
        await says(carol, "status", "The call is over")
        assert [await each.run("window.events") for each in (bob, carol)] == [[], []]
        await left(here)


async def test_it_is_called_and_answers_by_the_keyboard(tmp_path: Path, browser: Chromium) -> None:
    async with gateway(tmp_path, SETUP) as here:
        here.app.sounds["/tone.wav"] = tone_file(440, 30.0)
        page = await softphone(here, browser, (await access(here)).token("bob"))
        twiml = f"<Response><Play>{here.app.url}/tone.wav</Play></Response>"
        for answer, end in (("Enter", "completed"), ("Escape", "busy")):
            status, made = await ask(
                here,
                *("POST", "/Calls.json"),
                To="client:bob",
                From="+15550001000",
                Twiml=twiml,
            )
            assert status == 201, made
            await says(page, "caller", "+15550001000")
            await page.until("document.activeElement.id === 'accept'")
            await press(page, answer)
            if answer == "Enter":
                await page.hears(SOUND, 440)
                await page.run("document.getElementById('hangup').click()")
            await says(page, "status", "The call is over")
            assert await ended(here, made["sid"]) == end
        assert await page.run("window.events") == []
        await left(here)
