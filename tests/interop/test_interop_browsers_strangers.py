"""Whom the official Voice SDK asks for anything: with a page's options, the gateway alone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.voice.test_queue_calls import SETUP
from tests.integration.voice.test_rooms import left
from tests.integration.voice.test_spoken import tone_file
from tests.integration.voice.world import World, until
from tests.interop.browser_world import access, connect, device, gateway, told
from tests.interop.chromium_peer import Chromium, Page, chromium, pages

pytestmark = pytest.mark.interop
OURS = "127.0.0.1"
REMOTE = "window.call && call.getRemoteStream()"
MENU = (
    '<Response><Gather action="/keys" finishOnKey="#" timeout="30"><Play>tone.wav</Play>'
    "</Gather></Response>"
)
NAMES = ("incoming", "outgoing", "disconnect", *(f"dtmf{key}" for key in "0123456789sh"))
# Has a name lead to the gateway, as DNS would.
LED = """
(() => {
  const theirs = fetch;
  window.fetch = (url, ...given) =>
    theirs(String(url).replace("eventgw.trunkline.twilio.com", "127.0.0.1:@PORT@"), ...given);
})()
"""
# Keeps what servers each peer connection of a page is told of.
SERVERS = """
(() => {
  const Theirs = RTCPeerConnection;
  window.servers = [];
  window.RTCPeerConnection = class extends Theirs {
    constructor(...given) {
      super(...given);
      window.servers.push(...this.getConfiguration().iceServers);
    }
  };
})()
"""


@pytest.fixture
async def served() -> AsyncIterator[str]:
    async with pages() as found:
        yield found


@pytest.fixture
async def browser(tmp_path: Path, served: str) -> AsyncIterator[Chromium]:
    async with chromium(tmp_path / "browser", served, 1000.0) as found:
        yield found


def hosts(page: Page) -> set[str]:
    """Whom a page asked for anything."""
    return {host for each in page.asked if (host := urlsplit(each).hostname) is not None}


async def whole_call(here: World, page: Page) -> None:
    """Register, call, press keys that are heard, be hung up."""
    await page.run("device.register()")
    await told(page, "registered")
    await connect(page)
    await page.hears(REMOTE, 440)
    await page.run('call.sendDigits("12#")')
    assert (await here.app.until("/keys"))["Digits"] == "12"
    await told(page, "disconnect")
    await page.run("device.destroy()")
    await left(here)


async def test_nobody_but_the_gateway_is_asked_for_anything(
    tmp_path: Path, browser: Chromium, served: str
) -> None:
    """The page names its own sounds, and posts no measures, as docs/calls.md says."""
    sounds = {name: f"{served}/own/{name}.wav" for name in NAMES}
    async with gateway(tmp_path, SETUP, MENU) as here:
        here.app.sounds["/tone.wav"] = tone_file(440, 30.0)
        here.app.pages["/keys"] = "<Response><Hangup/></Response>"
        token = (await access(here)).token("bob")
        page = await device(here, browser, token, SERVERS, sounds=sounds, publishEvents=False)
        await whole_call(here, page)
        assert hosts(page) == {OURS}
        assert await page.run("servers") == []
        assert {each for each in page.asked if "/own/" in each} >= set(sounds.values())


async def test_without_those_options_the_sdk_asks_others(tmp_path: Path, browser: Chromium) -> None:
    """So it would be seen: sounds come from there, and measures go there."""
    async with gateway(tmp_path, SETUP, MENU) as here:
        here.app.sounds["/tone.wav"] = tone_file(440, 30.0)
        here.app.pages["/keys"] = "<Response><Hangup/></Response>"
        token = (await access(here)).token("bob")
        page = await device(here, browser, token, publishEvents=True)
        await whole_call(here, page)
        assert hosts(page) == {OURS, "sdk.twilio.com", "eventgw.trunkline.twilio.com"}


async def test_where_the_gateway_has_their_name_what_the_sdk_measures_is_kept(
    tmp_path: Path, browser: Chromium
) -> None:
    async with gateway(
        tmp_path, SETUP, '<Response><Play loop="0">tone.wav</Play></Response>'
    ) as here:
        here.app.sounds["/tone.wav"] = tone_file(440, 30.0)
        token = (await access(here)).token("bob")
        led = LED.replace("@PORT@", str(here.gateway.ports["https"]))
        page = await device(here, browser, token, led, publishEvents=True)
        await connect(page)
        await page.hears(REMOTE, 440)
        sid = await page.run("call.parameters.CallSid")
        await page.until("new Promise((heard) => call.once('sample', () => heard(true)))")
        await page.run("call.postFeedback(4, 'echo')")
        await page.run("call.disconnect()")
        await left(here)

        async def told() -> list[dict[str, Any]]:
            shown = await here.get(f"/v1/calls/{sid}/timeline")
            found = [each for each in shown["events"] if each["type"] == "call.quality"]
            return found if len(found) >= 2 else []

        quality: dict[str, Any] = {}
        for each in await until(told):
            quality |= each
        assert quality["score"] == 4
        assert quality["samples"] >= 1
