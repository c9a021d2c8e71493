"""Browsers that speak SIP over WebSocket: they register, call, press keys, are called and move."""

import asyncio
import io
import math
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.calls import sip_changes
from gateway.calls.description import offered
from protocols.sdp.formats import PCMA, PCMU
from protocols.sip import agent_events as events
from tests.integration.voice.browser_phone import BrowserPhone
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.test_phones import CONFIG, DOMAIN, TO_BOB
from tests.integration.voice.world import World, until, world
from tests.webrtc_peer import on_loopback

__all__ = ["on_loopback"]

OpenBrowser = Callable[..., Awaitable[BrowserPhone]]
MENU = (
    '<Response><Gather numDigits="3" timeout="30" action="/digits">'
    '<Play loop="0">{app}/tone.wav</Play></Gather></Response>'
)


@pytest.fixture
async def browser(on_loopback: None) -> AsyncIterator[OpenBrowser]:
    """Opens browsers at a gateway; they are closed with the test."""
    opened: list[BrowserPhone] = []

    async def make(here: World, user: str = "bob", tone: float = 1000.0) -> BrowserPhone:
        phone = BrowserPhone(user, DOMAIN, f"secret-of-{user}", tone)
        opened.append(phone)
        return await phone.open(f"ws://127.0.0.1:{here.gateway.ports['http']}/sip")

    yield make
    for phone in opened:
        await phone.close()


def sine(frequency: float) -> bytes:
    """Two seconds as a WAV file."""
    times = np.arange(16000) / 8000
    samples = (np.sin(2 * math.pi * frequency * times) * 8000).astype(np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(8000)
        written.writeframes(samples.tobytes())
    return file.getvalue()


def registered(here: World) -> int:
    voice = here.gateway._voice
    assert voice is not None
    return len(voice._registrations)


def proven(here: World) -> list[bool]:
    """Of each socket, whether its peer has shown who it is."""
    voice = here.gateway._voice
    assert voice is not None
    return [each.is_proven for each in voice.station.endpoint._attached]


async def test_a_browser_calls_a_menu_and_presses_keys(
    tmp_path: Path, browser: OpenBrowser
) -> None:
    async with world(tmp_path, CONFIG) as here:
        here.app.twiml = MENU.replace("{app}", here.app.url)
        here.app.sounds["/tone.wav"] = sine(440)
        bob = await browser(here)
        assert proven(here) == [False]
        answered = await bob.register()
        assert proven(here) == [True]
        assert answered.status == 200 and "reg-id=1" in answered["contact"]
        answer = await bob.call("menu")
        assert "UDP/TLS/RTP/SAVPF 0" in answer.body
        await bob.hears(440)
        assert (await bob.ask("MESSAGE", "hello", "text/plain")).status == 405
        await bob.press("123")
        form = await here.app.until("/digits")
        assert form["Digits"] == "123"
        await bob.asked("BYE")
        await here.ended()
        assert here.ledger() == {}


async def test_a_phone_calls_a_browser_with_two_devices(
    tmp_path: Path, open_phone: OpenPhone, browser: OpenBrowser
) -> None:
    alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        await alice.register(here.hop())
        quick, slow = await browser(here, tone=1000), await browser(here)
        for each in (quick, slow):
            assert (await each.register()).status == 200
        alice.call("bob", here.hop())
        await slow.asked("INVITE")
        await quick.pick_up()
        await alice.until(events.Answered)
        await slow.asked("CANCEL")
        await asyncio.gather(alice.sound.hears(1000), quick.hears(440))
        await quick.move(1400)
        await asyncio.gather(alice.sound.hears(1400), quick.hears(440))
        assert (await quick.ask("BYE")).status == 200
        await alice.until(events.HungUp)
        await here.ended()
        assert here.ledger() == {}


async def test_a_browser_calls_a_phone_in_what_passes_as_it_is(
    tmp_path: Path, open_phone: OpenPhone, browser: OpenBrowser
) -> None:
    alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
    alice.codecs = (PCMA, PCMU)
    async with world(tmp_path, CONFIG, TO_BOB.replace("sip:bob@", "sip:alice@")) as here:
        await alice.register(here.hop())
        bob = await browser(here)
        await bob.call("alice")
        invited = await alice.until(events.Invited)
        assert invited.offer is not None
        assert offered(invited.offer)[:2] == ("PCMU", "PCMA")
        await asyncio.gather(alice.sound.hears(1000), bob.hears(440))
        alice.hang_up()
        await bob.asked("BYE")
        await here.ended()
        assert here.ledger() == {}


async def test_a_message_within_a_call_is_refused_and_the_call_goes_on(
    tmp_path: Path, open_phone: OpenPhone, browser: OpenBrowser
) -> None:
    """Apps subscribe to messages of the Voice SDK, which are JSON; a 200 would say it was read."""
    alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
    async with world(tmp_path, CONFIG, TO_BOB.replace("sip:bob@", "sip:alice@")) as here:
        await alice.register(here.hop())
        bob = await browser(here)
        await bob.call("alice")
        refused = await bob.ask("MESSAGE", "hello", "text/plain")
        assert refused.status == 405
        able = {each.strip() for each in refused["allow"].split(",")}
        assert "MESSAGE" not in able
        assert able >= {"INFO", "INVITE", "BYE"}
        await asyncio.gather(alice.sound.hears(1000), bob.hears(440))
        alice.hang_up()
        await bob.asked("BYE")
        await here.ended()


async def test_a_browser_that_leaves_is_not_registered_any_more(
    tmp_path: Path, open_phone: OpenPhone, browser: OpenBrowser
) -> None:
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        bob = await browser(here)
        await bob.register()
        assert registered(here) == 1
        await bob.socket.close()

        async def gone() -> bool:
            return registered(here) == 0

        await until(gone)
        back = await browser(here)
        assert (await back.register()).status == 200
        assert registered(here) == 1
        assert (await back.register(expires=0)).status == 200
        assert registered(here) == 0


async def test_a_browser_that_comes_back_by_another_socket_has_its_call(
    tmp_path: Path, open_phone: OpenPhone, browser: OpenBrowser
) -> None:
    alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        await alice.register(here.hop())
        bob, stranger = await browser(here), await browser(here, "alice")
        await bob.register()
        alice.call("bob", here.hop())
        await bob.pick_up()
        await bob.hears(440)
        await bob.reconnect(f"ws://127.0.0.1:{here.gateway.ports['http']}/sip")
        stranger.be_at(bob)
        await bob.register()
        await stranger.register()
        await alice.sound.hears(1000)
        alice.hang_up()
        await bob.asked("BYE")
        assert not any(each.line.startswith("BYE") for each in stranger.told)
        await here.ended()
        assert here.ledger() == {}


def waiting() -> list[Any]:
    """The timers of our own offers to begin ICE anew."""
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return [each for each in scheduled if not each.cancelled() and "Changes" in repr(each)]


@pytest.mark.parametrize("begins", ["we", "the page", "nobody"])
async def test_a_browser_that_comes_back_from_another_network_is_heard_again(
    tmp_path: Path,
    open_phone: OpenPhone,
    browser: OpenBrowser,
    begins: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever begins ICE anew: the page's own offer is not refused, for some end the call then."""
    monkeypatch.setattr(sip_changes, "OWN_OFFER", 0.05 if begins == "we" else 600.0)
    alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        await alice.register(here.hop())
        bob = await browser(here)
        await bob.register()
        alice.call("bob", here.hop())
        await bob.pick_up()
        await asyncio.gather(alice.sound.hears(1000), bob.hears(440))
        url = f"ws://127.0.0.1:{here.gateway.ports['http']}/sip"
        await bob.roam(url, "127.0.0.2", 1400)
        await bob.register()
        if begins == "the page":
            await bob.move(1400)
        if begins != "nobody":
            await asyncio.gather(alice.sound.hears(1400), bob.hears(440))
        assert len(waiting()) == (begins == "nobody")
        alice.hang_up()
        await bob.asked("BYE")
        await here.ended()
        assert here.ledger() == {}
        assert waiting() == []


async def test_a_browser_holds_and_transfers(
    tmp_path: Path, open_phone: OpenPhone, browser: OpenBrowser
) -> None:
    alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        await alice.register(here.hop())
        bob = await browser(here)
        await bob.register()
        alice.call("bob", here.hop())
        await bob.pick_up()
        await bob.hears(440)
        sdp: Any = bob.media.connection.localDescription.sdp
        held = await bob.change(sdp.replace("a=sendrecv", "a=sendonly"))
        assert held.status == 200 and "a=recvonly" in held.body
        assert "a=ice-ufrag" in held.body
        back = await bob.change(sdp)
        assert back.status == 200 and "a=sendrecv" in back.body
        to = f"Refer-To: <sip:nobody@{DOMAIN}>"
        assert (await bob.ask("REFER", "", "", to)).status == 202
        await bob.asked("NOTIFY")
        alice.hang_up()
        await here.ended()
