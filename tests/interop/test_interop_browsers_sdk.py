"""The official Voice SDK, unmodified, in Chromium: it registers, calls, and is called."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone, open_phone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import DOMAIN
from tests.integration.voice.test_queue_calls import SETUP
from tests.integration.voice.test_rooms import left
from tests.integration.voice.test_spoken import ask, tone_file
from tests.interop.browser_world import SOCKETS, access, connect, device, gateway, told
from tests.interop.chromium_peer import Chromium, chromium, pages

__all__ = ["open_phone"]
pytestmark = pytest.mark.interop
SPEAKS = '<Response><Play loop="0">tone.wav</Play></Response>'
REMOTE = "window.call && call.getRemoteStream()"


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with pages() as served, chromium(tmp_path / "browser", served, 1000.0) as found:
        yield found


@pytest.fixture
async def alice(open_phone: OpenPhone) -> Phone:
    return await open_phone("alice", DOMAIN, tone=440, password="pa")


async def test_it_registers_and_calls_a_document(tmp_path: Path, browser: Chromium) -> None:
    async with gateway(tmp_path, SETUP) as here:
        here.app.sounds["/tone.wav"] = tone_file(440, 30.0)
        here.app.twiml = (
            '<Response><Gather action="/keys" finishOnKey="#" timeout="30"><Play>tone.wav</Play>'
            "</Gather></Response>"
        )
        here.app.pages["/keys"] = "<Response><Hangup/></Response>"
        page = await device(here, browser, (await access(here)).token("bob"))
        await page.run("device.register()")
        await told(page, "registered")
        await connect(page, To="+447700900002", greeting="grüße & mehr")
        await page.hears(REMOTE, 440)
        asked = await here.app.until("/voice")
        assert (asked["From"], asked["To"]) == ("client:bob", "+447700900002")
        assert asked["greeting"] == "grüße & mehr"
        await page.run('call.sendDigits("123#")')
        assert (await here.app.until("/keys"))["Digits"] == "123"
        await told(page, "disconnect")
        await page.run("device.destroy()")
        await left(here)


async def test_it_is_joined_to_a_phone_and_hears_it(
    tmp_path: Path, browser: Chromium, alice: Phone
) -> None:
    async with gateway(tmp_path, SETUP) as here:
        await alice.register(here.hop())
        here.app.twiml = (
            f'<Response><Dial answerOnBridge="true"><Sip>sip:alice@{DOMAIN}</Sip></Dial></Response>'
        )
        page = await device(here, browser, (await access(here)).token("bob"))
        await connect(page)
        await page.hears(REMOTE, 440)
        await alice.sound.hears(1000)
        assert await page.until("call.codec") == "PCMU"
        await page.run("call.disconnect()")
        await alice.until(events.HungUp)
        await left(here)


async def test_it_is_called_on_two_devices_and_one_answers(
    tmp_path: Path, browser: Chromium, alice: Phone
) -> None:
    async with gateway(tmp_path, SETUP) as here:
        await alice.register(here.hop())
        here.app.twiml = (
            "<Response><Dial><Client><Identity>bob</Identity>"
            '<Parameter name="about" value="größe 5 &amp; 6"/></Client></Dial></Response>'
        )
        allowed = await access(here)
        pages = [await device(here, browser, allowed.token("bob")) for _ in range(2)]
        for page in pages:
            await page.run("device.register()")
            await told(page, "registered")
        alice.call("anybody", here.hop())
        for page in pages:
            await told(page, "incoming")
        first, second = pages
        about = await first.run("call.customParameters.get('about')")
        assert about == "größe 5 & 6"
        await first.run("call.accept()")
        await told(second, "cancel")
        await first.hears(REMOTE, 440)
        await alice.sound.hears(1000)
        alice.hang_up()
        await told(first, "disconnect")
        await left(here)


async def test_it_is_told_why_it_was_hung_up(tmp_path: Path, browser: Chromium) -> None:
    async with gateway(tmp_path, SETUP, '<Response><Reject reason="busy"/></Response>') as here:
        token = (await access(here)).token("bob")
        page = await device(here, browser, token, enableImprovedSignalingErrorPrecision=True)
        await connect(page)
        await told(page, "error 31486")
        await told(page, "disconnect")
        await left(here)


async def test_its_token_expires_and_is_replaced(tmp_path: Path, browser: Chromium) -> None:
    async with gateway(tmp_path, SETUP) as here:
        allowed = await access(here)
        page = await device(here, browser, allowed.token("bob", ttl=8), tokenRefreshMs=5000)
        await page.run("device.register()")
        await told(page, "registered")
        await told(page, "tokenWillExpire")
        await page.run(f"events.length = 0; device.updateToken({allowed.token('bob')!r})")
        await asyncio.sleep(6.0)  # beyond the end of the first
        assert await page.run("device.state") == "registered"
        assert await page.run("events.length") == 0
        expired = await device(here, browser, allowed.token("bob", ttl=-5))
        await expired.run("device.register().catch(() => undefined); 0")
        await told(expired, "device error 20104")


async def test_it_sends_and_takes_messages_in_a_call(tmp_path: Path, browser: Chromium) -> None:
    async with gateway(tmp_path, SETUP, SPEAKS) as here:
        here.app.sounds["/tone.wav"] = tone_file(440, 30.0)
        page = await device(here, browser, (await access(here)).token("bob"))
        await connect(page)
        await page.hears(REMOTE, 440)
        sid = await page.run("call.parameters.CallSid")
        above = f"/Calls/{sid}"
        subscribed = {"Callback": f"{here.app.url}/messages"}
        path = f"{above}/UserDefinedMessageSubscriptions.json"
        assert (await ask(here, "POST", path, **subscribed))[0] == 201
        message = {"content": {"text": "grüße"}, "messageType": "user-defined-message"}
        await page.run(f"call.sendMessage({json.dumps(message)})")
        said = await here.app.until("/messages")
        assert json.loads(said["Content"]) == {"text": "grüße"}
        await told(page, "messageSent")
        content = json.dumps({"answer": 42})
        path = f"{above}/UserDefinedMessages.json"
        assert (await ask(here, "POST", path, Content=content))[0] == 201
        await page.until("messages.length")
        assert await page.run("messages[0]") == {"answer": 42}
        await page.run("call.disconnect()")
        await left(here)


async def test_it_comes_back_to_its_call_when_its_socket_drops(
    tmp_path: Path, browser: Chromium, alice: Phone
) -> None:
    """Its media go on meanwhile: nobody hears of it."""
    async with gateway(tmp_path, SETUP) as here:
        await alice.register(here.hop())
        here.app.twiml = f"<Response><Dial><Sip>sip:alice@{DOMAIN}</Sip></Dial></Response>"
        page = await device(here, browser, (await access(here)).token("bob"), first=SOCKETS)
        await connect(page)
        await page.hears(REMOTE, 440)
        await page.run("sockets.forEach((each) => each.close())")
        await told(page, "reconnected")
        alice.sound.heard.clear()
        await page.hears(REMOTE, 440)
        await alice.sound.hears(1000)
        await page.run("call.disconnect()")
        await alice.until(events.HungUp)
        await left(here)
