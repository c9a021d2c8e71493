"""A browser that may use nothing but the relay: it is heard with what Tokens.json gave it."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.access.turn import IceServers, mint
from tests.integration.voice.test_queue_calls import SETUP
from tests.integration.voice.test_rooms import left
from tests.integration.voice.test_spoken import ask, tone_file
from tests.interop.browser_world import access, device, gateway
from tests.interop.chromium_peer import Chromium, Page, chromium, pages
from tests.interop.coturn_peer import SECRET, coturn

pytestmark = pytest.mark.interop
REMOTE = "window.call && call.getRemoteStream()"
# The page's peer connections, and the kinds of candidates that they found.
CONNECTIONS = """
(() => {
  const Theirs = RTCPeerConnection;
  window.kinds = [];
  window.RTCPeerConnection = class extends Theirs {
    constructor(...given) {
      super(...given);
      this.addEventListener("icecandidate", (told) => {
        if (told.candidate) window.kinds.push(told.candidate.type);
      });
      this.addEventListener("icegatheringstatechange", () => {
        if (this.iceGatheringState === "complete") window.kinds.push("complete");
      });
    }
  };
})()
"""


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with pages() as served, chromium(tmp_path / "browser", served, 1000.0) as found:
        yield found


async def calling(here: Any, browser: Chromium, servers: object) -> Page:
    """A page that calls with these servers and by a relay alone."""
    rtc = {"iceServers": servers, "iceTransportPolicy": "relay"}
    token = (await access(here)).token("bob")
    page = await device(here, browser, token, CONNECTIONS)
    given = json.dumps({"params": {"To": "+447700900002"}, "rtcConfiguration": rtc})
    await page.run(f"device.connect({given}).then((made) => watch(made))")
    return page


async def test_a_credential_that_counts_carries_a_call_and_one_that_does_not_none(
    tmp_path: Path, browser: Chromium
) -> None:
    async with coturn(tmp_path) as port:
        url = f"turn:127.0.0.1:{port}?transport=udp"
        config = f"{SETUP}\n[turn]\nurls = {json.dumps([url])}\nsecret = {json.dumps(SECRET)}\n"
        async with gateway(tmp_path, config) as here:
            here.app.sounds["/tone.wav"] = tone_file(440, 30.0)
            here.app.twiml = '<Response><Play loop="0">tone.wav</Play></Response>'
            status, told = await ask(here, "POST", "/Tokens.json", Ttl="600")
            assert status == 201, told
            page = await calling(here, browser, told["ice_servers"])
            await page.hears(REMOTE, 440)
            assert set(await page.run("kinds")) - {"complete"} == {"relay"}
            await page.run("device.disconnectAll(); device.destroy()")
            servers = IceServers(urls=(url,), secret=SECRET)
            late = mint(servers, "bob", time.time() - 1200, 600)
            page = await calling(here, browser, late.ice_servers)
            await page.until("kinds.includes('complete')")
            assert await page.run("kinds") == ["complete"]
            await page.run("device.disconnectAll(); device.destroy()")
            await left(here)
