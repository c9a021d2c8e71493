"""Attributes of verbs and nouns as phones and an app meet them: each call has several at once.

What an attribute means is for the fake call to say, row by row; here it is seen that a gateway does
so. Times are compared with those of another call in the same gateway, never with a clock of ours.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.media.graph import BUFFERS
from protocols.sdp.media import DtmfMode
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.message import Headers, Request
from protocols.sip.uri import SipUri
from tests.integration.voice.acts import dial
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.keyed import KeyPhone, digits
from tests.integration.voice.phones import PATIENCE, Phone, Sound, decoded
from tests.integration.voice.test_endings import DOMAIN, gateway, port
from tests.integration.voice.test_restart import CHALLENGE
from tests.integration.voice.test_spoken import (
    FAKE,
    inform,
    recordings,
    sound,
    tone_file,
    tones_in,
)
from tests.integration.voice.world import World

FRAME = 0.02  # seconds
LOUD = 1000
ALL = "initiated ringing answered completed"


@pytest.fixture
async def silent(open_phone: OpenPhone) -> Phone:
    return await open_phone("alice", DOMAIN, tone=0, password="pa")


@pytest.fixture
async def keys() -> AsyncIterator[KeyPhone]:
    """A phone that says a tone and presses keys by INFO."""
    phone = KeyPhone("alice", DOMAIN, 440.0, "pa", dtmf=DtmfMode.INFO)
    phone.sound = Sound(440.0)
    await phone.open()
    yield phone
    await phone.close()


def loud(phone: Phone) -> float:
    """For how many seconds a phone has heard something."""
    return FRAME * sum(bool(np.abs(decoded(each)).max() > LOUD) for each in phone.sound.heard)


async def first_of(here: World, *paths: str) -> str:
    """The path that the app is asked for before the others."""
    async with asyncio.timeout(PATIENCE):
        while True:
            asked = [path for path, _ in here.app.asked if path in paths]
            if asked:
                return asked[0]
            here.app.news.clear()
            await here.app.news.wait()


async def test_prompts_are_heard_as_often_as_they_say(tmp_path: Path, alice: Phone) -> None:
    twiml = '<Response><Play loop="3">/tone.wav</Play><Redirect method="GET">/once</Redirect>'
    async with gateway(tmp_path, f"{twiml}</Response>", alice, limits=FAKE) as here:
        here.app.sounds["/tone.wav"] = tone_file(1000, 0.4)
        here.app.pages["/once"] = (
            "<Response><Say>Hello</Say><Redirect>/thrice</Redirect></Response>"
        )
        here.app.pages["/thrice"] = (
            '<Response><Say loop="3">Hello</Say><Redirect>/over</Redirect></Response>'
        )
        alice.call("anybody", here.hop())
        await here.app.until("/once")
        assert ("GET", "/once") in here.app.ways
        assert loud(alice) > 0.8
        alice.sound.heard.clear()
        await here.app.until("/thrice")
        once = loud(alice)
        alice.sound.heard.clear()
        await here.app.until("/over")
        assert once > 0
        assert loud(alice) > 2 * once


# By default who says nothing is waited for five seconds, and a pause takes one.
GATHERS = '<Gather timeout="2"/><Redirect>/done</Redirect>'
RECORDS = '<Record timeout="2" playBeep="false"/><Redirect>/done</Redirect>'


@pytest.mark.parametrize("verb", [GATHERS, RECORDS], ids=["gather", "record"])
async def test_who_says_nothing_is_waited_for_as_long_as_it_says(
    tmp_path: Path, silent: Phone, bob: Phone, verb: str
) -> None:
    twiml = f"<Response>{verb}</Response>"
    async with gateway(tmp_path, twiml, silent, bob) as here:
        here.app.callers[f"sip:bob@{DOMAIN}"] = (
            '<Response><Pause length="4"/><Redirect>/paused</Redirect></Response>'
        )
        silent.call("anybody", here.hop())
        await silent.until(events.Answered)  # so the pause begins after the wait
        bob.call("anybody", here.hop())
        await bob.until(events.Answered)
        assert await first_of(here, "/done", "/paused") == "/done"
        bob.hang_up()


async def test_a_menu_takes_keys_as_it_says(tmp_path: Path, keys: KeyPhone) -> None:
    twiml = '<Response><Gather numDigits="2" action="/two" method="GET"/></Response>'
    async with gateway(tmp_path, twiml, keys) as here:
        here.app.pages["/two"] = (
            '<Response><Pause length="1"/><Redirect>/star</Redirect></Response>'
        )
        here.app.sounds["/begun.wav"] = tone_file(620, 30.0)
        here.app.pages["/star"] = (
            '<Response><Gather finishOnKey="*" action="/starred"><Play>/begun.wav</Play></Gather>'
            "</Response>"
        )
        here.app.pages["/starred"] = (
            '<Response><Gather timeout="1" action="/empty" actionOnEmptyResult="true"/>'
            "<Redirect>/passed</Redirect></Response>"
        )
        keys.call("anybody", here.hop())
        await keys.until(events.Answered)
        for key in "12#":
            inform(keys, key)
        form = await here.app.until("/two")
        assert (form["Digits"], form["FinishedOnKey"]) == ("12", "")
        assert ("GET", "/two") in here.app.ways
        await keys.sound.hears(620)
        for key in "3*#":
            inform(keys, key)
        form = await here.app.until("/starred")
        assert (form["Digits"], form["FinishedOnKey"]) == ("3", "*")
        assert await first_of(here, "/empty", "/passed") == "/empty"


async def test_a_message_ends_by_the_key_that_it_says(tmp_path: Path, keys: KeyPhone) -> None:
    twiml = (
        '<Response><Record finishOnKey="#" playBeep="false" action="/recorded" method="GET"'
        ' recordingStatusCallback="/told" recordingStatusCallbackMethod="GET"'
        ' recordingStatusCallbackEvent="in-progress completed"/></Response>'
    )
    async with gateway(tmp_path, twiml, keys) as here:
        keys.call("anybody", here.hop())
        await here.app.until("/told")
        assert ("GET", "/told") in here.app.ways
        await asyncio.sleep(1.0)  # of which there is something to hear then
        for key in "1#":
            inform(keys, key)
        assert (await here.app.until("/recorded"))["Digits"] == "#"
        assert ("GET", "/recorded") in here.app.ways
        assert loud(keys) == 0


async def test_the_silence_that_ends_a_message_is_kept_if_it_says(
    tmp_path: Path, alice: Phone
) -> None:
    twiml = (
        '<Response><Record trim="do-not-trim" timeout="3" playBeep="false" action="/recorded"'
        ' recordingStatusCallback="/told" recordingStatusCallbackEvent="in-progress"/></Response>'
    )
    async with gateway(tmp_path, twiml, alice) as here:
        alice.call("anybody", here.hop())
        await here.app.until("/told")
        await asyncio.sleep(0.5)  # of which there is something to hear then
        alice.sound.tone = 0.0
        assert int((await here.app.until("/recorded"))["RecordingDuration"]) >= 3


async def test_a_menu_for_speech_takes_no_keys(tmp_path: Path, keys: KeyPhone) -> None:
    twiml = (
        '<Response><Gather input="speech" timeout="1" action="/keyed"/>'
        "<Redirect>/passed</Redirect></Response>"
    )
    async with gateway(tmp_path, twiml, keys) as here:
        keys.call("anybody", here.hop())
        await keys.until(events.Answered)
        inform(keys, "1")
        assert await first_of(here, "/keyed", "/passed") == "/passed"


async def test_a_call_presses_keys(tmp_path: Path) -> None:
    alice = KeyPhone("alice", DOMAIN, 0.0, "pa")
    await alice.open()
    twiml = '<Response><Play digits="1w2"/><Redirect>/pressed</Redirect></Response>'
    async with gateway(tmp_path, twiml, alice) as here:
        alice.call("anybody", here.hop())
        await here.app.until("/pressed")
        assert digits(alice.keys.events) == "12"
    await alice.close()


async def test_what_runs_beside_a_call_is_recorded_as_it_says(tmp_path: Path, alice: Phone) -> None:
    twiml = (
        '<Response><Start action="/started" method="GET"><Recording track="outbound"'
        ' recordingStatusCallback="/told" recordingStatusCallbackMethod="GET"'
        ' recordingStatusCallbackEvent="in-progress completed"/></Start>'
        '<Start><Recording channels="mono" recordingStatusCallback="/mixed"/></Start>'
        "<Play>/tone.wav</Play></Response>"
    )
    async with gateway(tmp_path, twiml, alice) as here:
        here.app.sounds["/tone.wav"] = tone_file(1000, 1.0)
        alice.call("anybody", here.hop())
        told = await here.app.until("/told", lambda form: form["RecordingStatus"] != "in-progress")
        assert ("GET", "/started") in here.app.ways
        assert {way for way, path in here.app.ways if path == "/told"} == {"GET"}
        assert [form["RecordingStatus"] for path, form in here.app.asked if path == "/told"] == [
            "in-progress",
            "completed",
        ]
        (channel,) = await sound(here, told["RecordingUrl"])
        assert tones_in(channel) == {1000}
        mixed = await here.app.until("/mixed")
        assert mixed["RecordingChannels"] == "1"
        (channel,) = await sound(here, mixed["RecordingUrl"])
        assert tones_in(channel) == {440, 1000}


async def test_of_a_dial_is_recorded_and_told_what_it_says(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    noun = (
        '<Sip url="/screen" method="GET" statusCallback="/child" statusCallbackMethod="GET"'
        f' statusCallbackEvent="{ALL}" codecs="PCMU"><Uri>sip:bob@{DOMAIN}</Uri>'
        '<Headers><Header name="X-Case" value="7 of 9"/></Headers></Sip>'
    )
    twiml = dial(
        noun,
        action="/after",
        method="GET",
        record="record-from-answer",
        recordingTrack="inbound",
        recordingStatusCallback="/told",
        recordingStatusCallbackMethod="GET",
        recordingStatusCallbackEvent="in-progress completed",
    )
    async with gateway(tmp_path, twiml, alice, bob) as here:
        alice.call("anybody", here.hop())
        invited = await bob.until(events.Invited)
        assert invited.request.headers.first("X-Case") == "7 of 9"
        assert invited.offer is not None
        (audio,) = [line for line in invited.offer.octets.split(b"\r\n") if line[:7] == b"m=audio"]
        assert not {b"8", b"9"} & set(audio.split())
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        await asyncio.sleep(0.5)  # of which there is something to hear then
        bob.hang_up()
        await here.app.until("/after")
        last = await here.app.until("/told", lambda form: form["RecordingStatus"] == "completed")
        await here.app.until("/child", lambda form: form["CallStatus"] == "completed")
        ways = {path: way for way, path in here.app.ways}
        assert [ways[path] for path in ("/screen", "/child", "/after", "/told")] == ["GET"] * 4
        told = [form["RecordingStatus"] for path, form in here.app.asked if path == "/told"]
        assert told == ["in-progress", "completed"]
        (channel,) = await sound(here, last["RecordingUrl"])
        assert tones_in(channel) == {440}
        (shown,) = await recordings(here)
        assert shown["track"] == "inbound"


def proves(invite: Request, username: str, password: str) -> bool:
    """Whether an INVITE answers `CHALLENGE` with the password (RFC 7616, MD5)."""

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()

    said = dict(
        re.findall(r'(\w+)="?([^",]+)"?', invite.headers.first("Proxy-Authorization") or "")
    )
    secret = md5(username, "carrier.example", password)
    asked = md5("INVITE", said.get("uri", ""))
    spun = [said.get(name, "") for name in ("nonce", "nc", "cnonce", "qop")]
    return said.get("username") == username and said["response"] == md5(secret, *spun, asked)


def guarded(phone: Phone, event: events.Invited) -> None:
    """Be called by nobody but who shows the password."""
    if "Proxy-Authorization" not in event.request.headers:
        reply = Reply(status=407, headers=Headers((("Proxy-Authenticate", CHALLENGE),)))
        phone.station.agent.refuse(event.session, reply, phone.station.now())
    elif proves(event.request, "us", "pw"):
        phone.pick_up(event)
    else:
        Phone.refusing(403)(phone, event)


@pytest.mark.parametrize("of", ["Sip", "Uri"])
async def test_a_password_is_shown_to_who_wants_one(
    tmp_path: Path, alice: Phone, open_phone: OpenPhone, of: str
) -> None:
    callee = await open_phone("callee", "carrier.example", tone=1500)
    callee.on_call = guarded
    secret = 'username="us" password="pw"'
    uri = f"sip:callee@127.0.0.1:{port(callee)}"
    noun = f"<Sip><Uri {secret}>{uri}</Uri></Sip>" if of == "Uri" else f"<Sip {secret}>{uri}</Sip>"
    async with gateway(tmp_path, dial(noun, action="/after", timeLimit="1"), alice) as here:
        alice.call("anybody", here.hop())
        assert (await here.app.until("/after"))["DialCallStatus"] == "completed"


@pytest.mark.parametrize(
    ("first", "second"), [('priority="99"', ""), ("", 'weight="99"')], ids=["priority", "weight"]
)
async def test_of_several_addresses_the_one_to_prefer_is_tried_first(
    tmp_path: Path, alice: Phone, open_phone: OpenPhone, first: str, second: str
) -> None:
    callee = await open_phone("callee", "carrier.example", tone=1500)
    place = f"127.0.0.1:{port(callee)}"
    noun = f"<Sip><Uri {first}>sip:a@{place}</Uri><Uri {second}>sip:b@{place}</Uri></Sip>"
    async with gateway(tmp_path, dial(noun), alice) as here:
        alice.call("anybody", here.hop())
        uri = (await callee.until(events.Invited)).request.uri
        assert isinstance(uri, SipUri)
        assert uri.user == "b"
        await alice.sound.hears(1500)
        callee.hang_up()
        await alice.until(events.HungUp)


async def test_a_number_has_a_document_and_callbacks_of_its_own(
    tmp_path: Path, alice: Phone, open_phone: OpenPhone
) -> None:
    carrier = await open_phone("callee", "carrier.example", tone=1500)
    noun = (
        '<Number url="/screen" method="GET" statusCallback="/child" statusCallbackMethod="GET"'
        ' statusCallbackEvent="answered completed">+447700900002</Number>'
    )
    async with gateway(tmp_path, dial(noun), alice, ways=(carrier,)) as here:
        alice.call("anybody", here.hop())
        await alice.sound.hears(1500)
        carrier.hang_up()
        await here.app.until("/child", lambda form: form["CallStatus"] == "completed")
        told = {form["CallStatus"] for path, form in here.app.asked if path == "/child"}
        assert told == {"in-progress", "completed"}
        ways = {path: way for way, path in here.app.ways}
        assert (ways["/screen"], ways["/child"]) == ("GET", "GET")


async def test_a_queue_has_no_more_places_than_it_says(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    twiml = (
        '<Response><Enqueue maxQueueSize="1" waitUrl="/wait" waitUrlMethod="GET">support</Enqueue>'
        "</Response>"
    )
    async with gateway(tmp_path, twiml, alice, bob) as here:
        here.app.pages["/wait"] = '<Response><Pause length="60"/></Response>'
        here.app.pages["/out"] = "<Response><Leave/></Response>"
        here.app.callers[f"sip:bob@{DOMAIN}"] = (
            '<Response><Enqueue waitUrl="/out" action="/full" method="GET">support'
            "</Enqueue></Response>"
        )
        alice.call("anybody", here.hop())
        await here.app.until("/wait")
        assert ("GET", "/wait") in here.app.ways
        bob.call("anybody", here.hop())
        assert (await here.app.until("/full"))["QueueResult"] == "queue-full"
        assert ("GET", "/full") in here.app.ways
        alice.hang_up()


@pytest.mark.parametrize("size", ["off", "small"])
async def test_a_room_waits_for_late_sound_as_long_as_it_says(
    tmp_path: Path, alice: Phone, bob: Phone, size: str
) -> None:
    twiml = dial(f'<Conference beep="false" waitUrl="" jitterBufferSize="{size}">r</Conference>')
    async with gateway(tmp_path, twiml, alice, bob) as here:
        for phone in (alice, bob):
            phone.call("anybody", here.hop())
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        voice = here.gateway._voice
        assert voice is not None
        (room,) = voice.calls._house.rooms._by_sid.values()
        buffers = {each.buffer for each in room.media._wanted().joins if each.hearer == "room"}
        del room  # nothing is to be left of it
        assert buffers == {BUFFERS[size]}
        for phone in (alice, bob):
            phone.hang_up()
