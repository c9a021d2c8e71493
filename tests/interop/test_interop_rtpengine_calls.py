"""Calls with a real rtpengine as the media plane: phones, documents, orders over REST."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.media.plane import Happened
from gateway.media.rtpengine.plane import LOST, Rtpengine
from gateway.media.wire import Measured
from gateway.media.workers import Workers
from protocols.sdp.description import Direction
from protocols.sip import agent_events as events
from tests.integration.voice.acts import change, dial, quiet, user
from tests.integration.voice.browser_phone import BrowserPhone
from tests.integration.voice.conftest import alice, bob, open_phone
from tests.integration.voice.keyed import KeyPhone
from tests.integration.voice.phones import Phone, Sound
from tests.integration.voice.test_browser_phones import sine
from tests.integration.voice.test_endings import CONFIG, DOMAIN
from tests.integration.voice.test_spoken import ask, sound, tones_of
from tests.integration.voice.world import World, until, world
from tests.interop.reporting_sound import ReportingSound
from tests.interop.rtpengine_peer import Rtpengine as Peer
from tests.interop.rtpengine_peer import engine
from tests.webrtc_peer import on_loopback

__all__ = ["alice", "bob", "engine", "on_loopback", "open_phone"]

pytestmark = pytest.mark.interop

TO_BOB = dial(user("bob"), action="/after")


@asynccontextmanager
async def gateway(
    folder: Path, engine: Peer, twiml: str, *phones: Phone, more: str = ""
) -> AsyncIterator[World]:
    """A world with phones registered; nothing is left in rtpengine after it."""
    host, port = engine.address
    text = CONFIG.replace("{first}", "").replace("{second}", "9").replace("{limits}", "")
    media = f'plane = "rtpengine"\nrtpengine = "{host}:{port}"\n{more}'
    async with world(folder, text, twiml, media=media) as here:
        for phone in phones:
            await phone.register(here.hop())
        yield here
        await here.ended()
        assert here.ledger() == {}
        assert plane(here)._calls == {}


def plane(here: World) -> Rtpengine:
    voice = here.gateway._voice
    assert voice is not None
    found = voice._media.rtpengine
    assert found is not None
    return found


async def bridged(here: World, legs: int = 2) -> None:
    async def held() -> bool:
        return plane(here).counts()["bridged"] == legs

    await until(held)


async def packets_of(here: World) -> dict[str, int]:
    """By leg, how many packets its worker has had; the plane says nothing of it meanwhile."""
    front, behind = plane(here), plane(here)._workers
    assert isinstance(behind, Workers)
    found: dict[str, int] = {}
    legs = {leg for tied in front._calls.values() for leg in tied.fronts}

    def told(event: Happened) -> None:
        if isinstance(event, Measured):
            found[event.leg] = event.readings.received.packets
        else:
            front._told(event)

    behind._receiver = told
    for call in list(front._calls):
        behind.measure(call)

    async def all_told() -> bool:
        return found.keys() >= legs

    await until(all_told)
    behind._receiver = front._told
    return found


async def test_two_phones_hear_each_other_without_a_worker(
    tmp_path: Path, engine: Peer, alice: Phone, bob: Phone
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, alice, bob) as here:
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        await bridged(here)
        before = await packets_of(here)
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        count = len(bob.sound.heard)
        await until_heard(bob, count + 50)
        assert await packets_of(here) == before
        token = (tmp_path / "var" / "rtpengine.token").read_text().strip()
        assert [each.partition("-")[0] for each in engine.calls()] == [token] * 2
        alice.hang_up()
        await bob.until(events.HungUp)
        form = await here.app.until("/after")
        await here.ended()
        assert engine.calls() == []
        for sid in (form["CallSid"], form["DialCallSid"]):
            (leg,) = await here.legs(sid)
            assert leg.received.packets >= 50 and leg.sent.packets >= 50


async def test_one_with_two_interfaces_keeps_the_workers_at_the_inner_one(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    shown = ("inside/127.0.0.1", "outside/127.0.0.2")
    engine = Peer(tmp_path / "rtpengine", interfaces=shown)
    try:
        names = 'interfaces = ["inside", "outside"]'
        async with gateway(tmp_path, engine, TO_BOB, alice, bob, more=names) as here:
            alice.call("bob", here.hop())
            await bridged(here)
            await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
            assert alice.sound.remote is not None and alice.sound.remote[0] == "127.0.0.2"
            assert {source[0] for source in alice.sound.sources} == {"127.0.0.2"}
            fronts = [each for tied in plane(here)._calls.values() for each in tied.fronts.values()]
            inner = {each.inner.address[0] for each in fronts if each.inner is not None}
            assert inner == {"127.0.0.1"}
            alice.hang_up()
            await bob.until(events.HungUp)
    finally:
        engine.close()


async def until_heard(phone: Phone, count: int) -> None:
    async def held() -> bool:
        return len(phone.sound.heard) >= count

    await until(held)


async def hear_one_each(count: int, *phones: Phone) -> None:
    """Each hears so many packets, and in that time what one phone sends, not two."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for each in phones:
        each.sound.heard.clear()
    await asyncio.gather(*(until_heard(each, count) for each in phones))
    bound = (loop.time() - began) * 50 + 15
    for each in phones:
        assert len(each.sound.heard) <= bound


async def test_nothing_of_a_stranger_comes_in(
    tmp_path: Path, engine: Peer, alice: Phone, bob: Phone
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, alice, bob) as here:
        alice.call("bob", here.hop())
        await bridged(here)
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        stranger = await Sound(1500).open()
        assert alice.sound.remote is not None
        inner = [
            each.inner for tied in plane(here)._calls.values() for each in tied.fronts.values()
        ]
        for at in [alice.sound.remote, *(each.address for each in inner if each is not None)]:
            stranger.begin(at)
            await hear_one_each(50, alice, bob)
            await asyncio.gather(alice.sound.hears(880, 30), bob.sound.hears(440, 30))
        assert stranger.heard == []
        stranger.close()
        alice.hang_up()


async def test_a_menu_before_and_a_recording_in_between(
    tmp_path: Path, engine: Peer, bob: Phone
) -> None:
    alice = KeyPhone("alice", DOMAIN, 440.0, "pa")
    await alice.open()
    menu = (
        '<Response><Gather finishOnKey="#" action="/keys" timeout="20">'
        "<Play>/tone.wav</Play></Gather></Response>"
    )
    async with gateway(tmp_path, engine, menu, alice, bob) as here:
        here.app.sounds["/tone.wav"] = sine(1000)
        here.app.pages["/keys"] = TO_BOB
        alice.call("menu", here.hop())
        await alice.sound.hears(1000)
        alice.keys.press("12#")
        assert (await here.app.until("/keys"))["Digits"] == "12"
        await alice.sound.hears(880)
        await bridged(here)
        below = f"/Calls/{(await here.app.until('/voice'))['CallSid']}/Recordings"
        status, made = await ask(
            here,
            *("POST", f"{below}.json"),
            RecordingChannels="dual",
            RecordingStatusCallback=f"{here.app.url}/told",
        )
        assert status == 201, made
        await bridged(here, 0)
        await alice.sound.hears(880)
        bob.sound.heard.clear()
        alice.keys.press("7")
        await until_heard(bob, 50)
        status, changed = await ask(here, "POST", f"{below}/Twilio.CURRENT.json", Status="stopped")
        assert status == 200, changed
        told = await here.app.until("/told")
        await bridged(here)
        _, outbound = await sound(here, told["RecordingUrl"])
        assert tones_of(outbound) == {880}
        await alice.sound.hears(880)
        assert engine.calls()
        alice.hang_up()
        await bob.until(events.HungUp)
    assert engine.calls() == []
    await alice.close()


async def test_a_phone_on_hold_hears_nothing_and_is_bridged_again(
    tmp_path: Path, engine: Peer, alice: Phone, bob: Phone
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, alice, bob) as here:
        alice.call("bob", here.hop())
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        await bridged(here)
        remote = alice.sound.remote
        await change(alice, direction=Direction.SENDONLY)
        await quiet(alice)
        assert plane(here).counts()["bridged"] == 0
        await change(alice)
        await bridged(here)
        alice.sound.heard.clear()
        bob.sound.heard.clear()
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        assert alice.sound.remote == remote
        alice.hang_up()


async def test_a_page_and_a_phone_hear_each_other(
    tmp_path: Path, engine: Peer, alice: Phone, on_loopback: None
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, alice) as here:
        page = BrowserPhone("bob", DOMAIN, "pb", 1000.0)
        await page.open(f"ws://127.0.0.1:{here.gateway.ports['http']}/sip")
        assert (await page.register()).status == 200
        alice.call("bob", here.hop())
        await page.pick_up()
        await alice.until(events.Answered)
        await asyncio.gather(alice.sound.hears(1000), page.hears(440))
        assert plane(here).counts()["fronts"] == 1
        assert plane(here).counts()["bridged"] == 0
        alice.hang_up()
        await page.asked("BYE")
        await page.close()
    assert engine.calls() == []


async def test_a_room_of_three_is_mixed_by_the_worker(
    tmp_path: Path,
    engine: Peer,
    alice: Phone,
    bob: Phone,
) -> None:
    room = "<Response><Dial><Conference beep='false'>room</Conference></Dial></Response>"
    async with gateway(tmp_path, engine, room, alice, bob) as here:
        alice.call("room", here.hop())
        bob.call("room", here.hop())
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        assert plane(here).counts()["bridged"] == 0
        alice.hang_up()
        bob.hang_up()
    assert engine.calls() == []


async def test_calls_end_with_rtpengine_and_new_ones_do_without_it_until_it_is_back(
    tmp_path: Path, engine: Peer, alice: Phone, bob: Phone
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, alice, bob) as here:
        alice.call("bob", here.hop())
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        sid = (await here.app.until("/voice"))["CallSid"]
        engine.kill()
        await asyncio.gather(alice.until(events.HungUp), bob.until(events.HungUp))
        await here.ended()
        assert (await here.call(sid)).reason == LOST
        counts = plane(here).counts()
        assert (counts["up"], counts["lost"], counts["fronts"]) == (0, 1, 0)

        await talk(here, alice, bob, fronts=0)
        engine.start()

        async def is_back() -> bool:
            return plane(here).counts()["up"] == 1

        await until(is_back)
        await talk(here, alice, bob, fronts=2)
        assert engine.calls() == []


async def talk(here: World, alice: Phone, bob: Phone, *, fronts: int) -> None:
    """One call between them, and how many fronts it has."""
    since = len(bob.told)
    alice.call("bob", here.hop())
    await bob.until(events.Confirmed, since=since)
    for each in (alice, bob):
        each.sound.heard.clear()
    await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
    assert plane(here).counts()["fronts"] == fronts
    since = len(bob.told)
    alice.hang_up()
    await bob.until(events.HungUp, since=since)
    await here.ended()


async def test_one_that_restarted_is_found_out_before_anybody_waits_for_it(
    tmp_path: Path, engine: Peer, alice: Phone, bob: Phone
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, alice, bob) as here:
        alice.call("bob", here.hop())
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        engine.kill()
        engine.start()
        await asyncio.gather(alice.until(events.HungUp), bob.until(events.HungUp))
        await here.ended()
        await talk(here, alice, bob, fronts=2)


async def test_after_many_calls_nothing_is_left(
    tmp_path: Path, engine: Peer, alice: Phone, bob: Phone
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, alice, bob) as here:
        for _ in range(20):
            await talk(here, alice, bob, fronts=2)
        assert engine.calls() == []
        voice = here.gateway._voice
        assert voice is not None
        assert voice._media.workers.loads() == {0: 0}
        assert plane(here)._lent == set() and plane(here)._tasks == set()


async def test_how_a_bridged_call_was_is_known_by_the_reports_of_its_peers(
    tmp_path: Path, engine: Peer
) -> None:
    alice = Phone("alice", DOMAIN, 440.0, "pa")
    bob = Phone("bob", DOMAIN, 880.0, "pb")
    sounds = ReportingSound(440.0), ReportingSound(880.0)
    for phone, each in zip((alice, bob), sounds, strict=True):
        phone.sound = each
        await phone.open()
    async with gateway(tmp_path, engine, TO_BOB, alice, bob) as here:
        alice.call("bob", here.hop())
        await bridged(here)

        async def reported() -> bool:
            return all(each.reports > 6 for each in sounds)

        await until(reported)
        alice.hang_up()
        form = await here.app.until("/after")
        await here.ended()
        for sid in (form["CallSid"], form["DialCallSid"]):
            (leg,) = await here.legs(sid)
            for way in (leg.received, leg.sent):
                assert way.packets > 100 and way.lost == 3
                assert 0 < way.jitter < 0.02 and 3.5 < way.mos < 4.4
    for phone in (alice, bob):
        await phone.close()
