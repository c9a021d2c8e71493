"""The official Voice SDK in Chromium: calls that go from page to page, devices that come and go."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.browsers import dialogue
from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone, open_phone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import DOMAIN
from tests.integration.voice.test_queue_calls import SETUP
from tests.integration.voice.test_rooms import left
from tests.integration.voice.test_spoken import ask
from tests.interop.browser_world import SOCKETS, access, connect, device, gateway, told
from tests.interop.chromium_peer import Chromium, Page, chromium, pages

__all__ = ["open_phone"]
pytestmark = pytest.mark.interop
REMOTE = "window.call && call.getRemoteStream()"
TO_ALICE = f'<Response><Dial answerOnBridge="true"><Sip>sip:alice@{DOMAIN}</Sip></Dial></Response>'
TO_BOB = "<Response><Dial><Client>bob</Client></Dial></Response>"
DROP = "sockets.forEach((each) => each.close())"


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with pages() as served, chromium(tmp_path / "browser", served, 1000.0) as found:
        yield found


@pytest.fixture
async def alice(open_phone: OpenPhone) -> Phone:
    return await open_phone("alice", DOMAIN, tone=440, password="pa")


async def registered(page: Page) -> Page:
    await page.run("device.register()")
    await told(page, "registered")
    return page


async def take_up(page: Page, connect_token: str) -> None:
    """Have a page take the call whose token of the SDK's this is."""
    given = f"{{connectToken: {connect_token!r}}}"
    await page.run(f"device.connect({given}).then((made) => watch(made))")


async def both_hear(page: Page, alice: Phone) -> None:
    alice.sound.heard.clear()
    await page.hears(REMOTE, 440)
    await alice.sound.hears(1000)


async def test_it_is_told_once_that_it_rings(
    tmp_path: Path, browser: Chromium, alice: Phone
) -> None:
    async with gateway(tmp_path, SETUP, TO_ALICE) as here:
        await alice.register(here.hop())
        page = await device(here, browser, (await access(here)).token("bob"))
        await connect(page)
        await both_hear(page, alice)
        assert await page.run("events") == ["ringing", "accept"]
        await page.run("call.disconnect()")
        await alice.until(events.HungUp)
        await left(here)


async def test_another_page_takes_a_call_over(
    tmp_path: Path, browser: Chromium, alice: Phone
) -> None:
    """By `connectToken`; the page that had it hears that it is over there."""
    async with gateway(tmp_path, SETUP, TO_ALICE) as here:
        await alice.register(here.hop())
        allowed = await access(here)
        page = await device(here, browser, allowed.token("bob"))
        await connect(page)
        await both_hear(page, alice)
        other = await device(here, browser, allowed.token("bob"))
        await take_up(other, await page.run("call.connectToken"))
        await told(other, "accept")
        await told(page, "disconnect")
        assert "error" not in str(await page.run("events"))
        await both_hear(other, alice)
        assert (await other.run("call.parameters.CallSid")) == await page.run(
            "call.parameters.CallSid"
        )
        await other.run("call.disconnect()")
        await alice.until(events.HungUp)
        await left(here)


async def test_a_call_outlives_the_page_that_crashed(
    tmp_path: Path, browser: Chromium, alice: Phone
) -> None:
    """A page that reloads hangs up by itself; one that crashed can't, and another one takes it."""
    async with gateway(tmp_path, SETUP, TO_ALICE) as here:
        await alice.register(here.hop())
        allowed = await access(here)
        page = await device(here, browser, allowed.token("bob"))
        await connect(page)
        await both_hear(page, alice)
        kept = await page.run("call.connectToken")
        await page.crash()
        again = await device(here, browser, allowed.token("bob"))
        await take_up(again, kept)
        await both_hear(again, alice)
        await again.command("Page.reload")
        await alice.until(events.HungUp)
        await left(here)


async def test_another_page_takes_a_call_that_rings(
    tmp_path: Path, browser: Chromium, alice: Phone
) -> None:
    """As the SDK's example has it, whose one device takes calls for others."""
    async with gateway(tmp_path, SETUP, TO_BOB) as here:
        await alice.register(here.hop())
        allowed = await access(here)
        page = await registered(await device(here, browser, allowed.token("bob")))
        alice.call("anybody", here.hop())
        await told(page, "incoming")
        other = await device(here, browser, allowed.token("bob"))
        await take_up(other, await page.run("call.connectToken"))
        await told(page, "cancel")
        await both_hear(other, alice)
        alice.hang_up()
        await told(other, "disconnect")
        await left(here)


async def test_a_device_whose_socket_drops_as_it_rings_rings_anew(
    tmp_path: Path, browser: Chromium, alice: Phone
) -> None:
    async with gateway(tmp_path, SETUP, TO_BOB) as here:
        await alice.register(here.hop())
        token = (await access(here)).token("bob")
        page = await registered(await device(here, browser, token, first=SOCKETS))
        alice.call("anybody", here.hop())
        await told(page, "incoming")
        await page.run(DROP)
        await page.until("events.filter((each) => each === 'incoming').length === 2")
        assert await page.run("events.slice(-2)") == ["cancel", "incoming"]
        await page.run("call.accept()")
        await both_hear(page, alice)
        alice.hang_up()
        await told(page, "disconnect")
        await left(here)


async def test_a_page_that_is_away_for_too_long_hears_that_its_call_is_over(
    tmp_path: Path, browser: Chromium, alice: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The phone hears so as soon as the page is given up, the page once it is back."""
    monkeypatch.setattr(dialogue, "AWAY", 2.0)
    async with gateway(tmp_path, SETUP, TO_ALICE) as here:
        await alice.register(here.hop())
        token = (await access(here)).token("bob")
        precise = {"enableImprovedSignalingErrorPrecision": True}
        page = await registered(await device(here, browser, token, first=SOCKETS, **precise))
        await connect(page)
        await both_hear(page, alice)
        await page.run(f"isOut = true; {DROP}")
        await told(page, "reconnecting")
        await alice.until(events.HungUp)
        await left(here)
        assert "disconnect" not in await page.run("events")
        await page.run("isOut = false")
        await told(page, "disconnect")
        heard = await page.run("events.slice(events.lastIndexOf('reconnecting') + 1)")
        assert heard[:2] == ["error 31209", "disconnect"]
        await page.until("device.state === 'registered'")


async def test_a_device_whose_key_is_deleted_hears_so_unasked(
    tmp_path: Path, browser: Chromium
) -> None:
    async with gateway(tmp_path, SETUP) as here:
        allowed = await access(here)
        page = await registered(await device(here, browser, allowed.token("bob")))
        assert (await ask(here, "DELETE", f"/Keys/{allowed.key_sid}.json"))[0] == 204
        await told(page, "device error 20101")
        await told(page, "unregistered")
        assert await page.run("device.state") == "unregistered"
