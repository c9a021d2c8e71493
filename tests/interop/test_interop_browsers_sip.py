"""JsSIP and SIP.js in Chromium: they register over WebSocket, call, are called, hold, transfer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone, open_phone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import CONFIG, DOMAIN
from tests.integration.voice.test_spoken import tone_file
from tests.integration.voice.world import World, until, world
from tests.interop.browser_world import JSSIP, SIPJS, told
from tests.interop.chromium_peer import Chromium, Page, chromium, pages

__all__ = ["open_phone"]
pytestmark = pytest.mark.interop

SETUP = CONFIG.replace("{first}", "").replace("{second}", "9").replace("{limits}", "")
REMOTE = "window.remote"
TO_ALICE = f"<Response><Dial><Sip>sip:alice@{DOMAIN}</Sip></Dial></Response>"
TO_BOB = f"<Response><Dial><Sip>sip:bob@{DOMAIN}</Sip></Dial></Response>"
MENU = (
    '<Response><Gather action="/keys" finishOnKey="#" timeout="30"><Play loop="0">tone.wav</Play>'
    "</Gather></Response>"
)


class Stack(NamedTuple):
    """What speaks SIP in the page: its package, and the phone that is made of it."""

    package: str
    phone: str


STACKS = {"jssip": Stack(JSSIP, "jssip_phone.js"), "sipjs": Stack(SIPJS, "sipjs_phone.js")}


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> Stack:
    return STACKS[request.param]


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with pages() as served, chromium(tmp_path / "browser", served, 1000.0) as found:
        yield found


@pytest.fixture
async def alice(open_phone: OpenPhone) -> Phone:
    return await open_phone("alice", DOMAIN, tone=440, password="pa")


@asynccontextmanager
async def registered(
    folder: Path, browser: Chromium, stack: Stack, twiml: str
) -> AsyncIterator[tuple[World, Page]]:
    """A gateway, and bob's page that is registered at it."""
    async with world(folder, SETUP, twiml) as here:
        page = await browser.page(stack.package, own=stack.phone)
        url = f"ws://127.0.0.1:{here.gateway.ports['http']}/sip"
        await page.run(f"register({url!r}, 'sip:bob@{DOMAIN}', 'pb'); 0")
        await told(page, "registered")
        yield here, page
        await here.ended()
        await page.run("phone.stop(); 0")

        async def nothing_left() -> bool:
            return here.ledger() == {}

        await until(nothing_left)


@pytest.mark.parametrize("way", ["info", "rfc4733"])
async def test_it_calls_a_menu_and_presses_keys(
    tmp_path: Path, browser: Chromium, stack: Stack, way: str
) -> None:
    async with registered(tmp_path, browser, stack, MENU) as (here, page):
        here.app.sounds["/tone.wav"] = tone_file(440, 5.0)
        here.app.pages["/keys"] = "<Response><Hangup/></Response>"
        await page.run(f"dial('sip:anybody@{DOMAIN}'); 0")
        await told(page, "confirmed")
        await page.hears(REMOTE, 440)
        await page.run(f"press('123#', {way!r}); 0")
        assert (await here.app.until("/keys"))["Digits"] == "123"


async def test_it_calls_a_phone_and_holds_it(
    tmp_path: Path, browser: Chromium, stack: Stack, alice: Phone
) -> None:
    async with registered(tmp_path, browser, stack, TO_ALICE) as (here, page):
        await alice.register(here.hop())
        await page.run(f"dial('sip:anybody@{DOMAIN}'); 0")
        await told(page, "confirmed")
        await page.hears(REMOTE, 440)
        await alice.sound.hears(1000)
        await page.run("hold(); 0")
        await page.hears_nothing(REMOTE)
        await page.run("resume(); 0")
        await alice.sound.hears(1000)
        await page.hears(REMOTE, 440)
        await page.run("hangUp(); 0")
        await alice.until(events.HungUp)


async def test_it_is_called_and_transfers_who_called(
    tmp_path: Path, browser: Chromium, stack: Stack, alice: Phone, open_phone: OpenPhone
) -> None:
    carol = await open_phone("carol", DOMAIN, tone=700, password="pc")
    async with registered(tmp_path, browser, stack, TO_BOB) as (here, page):
        for phone in (alice, carol):
            await phone.register(here.hop())
        alice.call("anybody", here.hop())
        await told(page, "incoming")
        await page.run("answer(); 0")
        await told(page, "confirmed")
        await page.hears(REMOTE, 440)
        await alice.sound.hears(1000)
        await page.run(f"transfer('sip:carol@{DOMAIN}'); 0")
        await carol.until(events.Confirmed)
        await alice.sound.hears(700)
        await carol.sound.hears(440)
        alice.hang_up()
        await carol.until(events.HungUp)
