"""What documents say, ask and record, heard and said by phones."""

import asyncio
import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from protocols.sdp.media import DtmfMode
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.session_offers import Body
from protocols.sip.uri import format_uri
from tests.integration.voice.keyed import KeyPhone, digits
from tests.integration.voice.phones import FRAME, Phone, Sound, decoded
from tests.integration.voice.test_endings import DOMAIN, gateway
from tests.integration.voice.test_ringback import hear
from tests.integration.voice.world import ACCOUNT, World

RATE = 8000
TONES = {440, 620, 880, 1000, 1300}  # of phones, and of files
NUMBER = '[[numbers]]\nnumber = "+15550001000"'
FAKE = '[speech]\nengine = "fake"'


def tone_file(tone: float, seconds: float) -> bytes:
    """A WAV file with a tone."""
    octets = io.BytesIO()
    times = np.arange(int(seconds * RATE)) / RATE
    with wave.open(octets, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.sin(2 * np.pi * tone * times) * 8000).astype("<i2").tobytes())
    return octets.getvalue()


def tones_of(samples: "np.ndarray[tuple[int], np.dtype[np.int16]]") -> set[int]:
    """The tones that stand out, in tens of Hz."""
    spectrum = np.abs(np.fft.rfft(samples.astype(float) * np.hanning(len(samples))))
    loud = np.flatnonzero(spectrum > max(spectrum.max() / 4, 1000 * RATE / 10))
    return {round(at * RATE / len(samples) / 10) * 10 for at in loud.tolist()}


def tones_in(samples: "np.ndarray[tuple[int], np.dtype[np.int16]]") -> set[int]:
    """Which of `TONES` stand out in any half second, however long each of them lasted."""
    starts = range(0, max(len(samples) - RATE // 2, 1), RATE // 4)
    return {tone for at in starts for tone in tones_of(samples[at : at + RATE // 2])} & TONES


@pytest.mark.parametrize("verb", ['<Pause length="60"/>', '<Gather timeout="60"/>'])
async def test_who_waits_hears_silence_and_not_nothing(
    tmp_path: Path, alice: Phone, verb: str
) -> None:
    async with gateway(tmp_path, f"<Response>{verb}</Response>") as here:
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        await hear(alice, 1)
        await hear(alice, len(alice.sound.heard) + 100)
        assert set(alice.sound.heard) == {b"\xff" * FRAME}
        alice.hang_up()
        await alice.until(events.Ended)


async def recordings(here: World, path: str = "") -> list[dict[str, Any]]:
    found = await here.get(f"/2010-04-01/Accounts/{ACCOUNT}{path}/Recordings.json")
    return list(found["recordings"])


async def sound(here: World, url: str) -> "list[np.ndarray[tuple[int], np.dtype[np.int16]]]":
    """The channels of a recording, as REST gives it."""
    async with here.http.get(f"{url}.wav") as response:
        assert (response.status, response.content_type) == (200, "audio/x-wav")
        octets = await response.read()
    with wave.open(io.BytesIO(octets)) as file:
        assert file.getframerate() == RATE
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return list(samples.reshape(-1, file.getnchannels()).T)


async def test_a_file_is_played_and_then_the_next_document_goes_on(
    tmp_path: Path, alice: Phone
) -> None:
    twiml = "<Response><Play>tone.wav</Play><Redirect>/next</Redirect></Response>"
    async with gateway(tmp_path, twiml, alice) as here:
        here.app.sounds["/tone.wav"] = tone_file(1000, 1.0)
        here.app.pages["/next"] = "<Response><Hangup/></Response>"
        alice.call("anybody", here.hop())
        await alice.sound.hears(1000)
        await here.app.until("/next")
        await alice.until(events.HungUp)


async def test_the_next_file_is_fetched_while_one_is_heard(tmp_path: Path, alice: Phone) -> None:
    twiml = '<Response><Play loop="0">/tone.wav</Play><Play>/next.wav</Play></Response>'
    async with gateway(tmp_path, twiml, alice) as here:
        here.app.sounds |= dict.fromkeys(("/tone.wav", "/next.wav"), tone_file(1000, 0.5))
        alice.call("anybody", here.hop())
        async with asyncio.timeout(60):
            await here.app.until("/next.wav")
        alice.hang_up()


async def test_a_text_is_spoken(tmp_path: Path, alice: Phone) -> None:
    twiml = "<Response><Say>Hello there</Say><Redirect>/next</Redirect></Response>"
    async with gateway(tmp_path, twiml, alice, limits=FAKE) as here:
        alice.call("anybody", here.hop())
        await here.app.until("/next")
        assert max(np.abs(decoded(each)).max() for each in alice.sound.heard) > 1000


LEADS_ASTRAY = '<Response><Pause length="1"/><Redirect>/astray</Redirect></Response>'


BRIDGES_ASTRAY = (
    '<Response><Dial answerOnBridge="true" action="/astray">'
    f"<Sip>sip:nobody@{DOMAIN}</Sip></Dial></Response>"
)


@pytest.mark.parametrize("twiml", ["astray", LEADS_ASTRAY, BRIDGES_ASTRAY])
async def test_where_no_app_says_what_to_do_the_caller_is_answered_and_hears_that(
    tmp_path: Path, alice: Phone, twiml: str
) -> None:
    async with gateway(tmp_path, twiml, alice, limits=FAKE) as here:
        here.app.pages["/astray"] = "<Response>"
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        await alice.until(events.HungUp)
        assert max(np.abs(decoded(each)).max() for each in alice.sound.heard) > 1000
        await here.ended()
        call = await here.call((await here.app.until("/voice"))["CallSid"])
        assert (call.status, call.sip_code, call.error_code) == ("completed", 200, 11200)
        assert call.duration > 0


def inform(phone: Phone, key: str) -> None:
    """Press a key by INFO."""
    body = Body(octets=f"Signal={key}\r\nDuration=100\r\n".encode(), type="application/dtmf-relay")
    phone.station.agent.info(phone.session, body, phone.station.now())
    phone.station.wake()


PRESSES: dict[str, tuple[DtmfMode, Callable[[KeyPhone, str], None]]] = {
    "events": (DtmfMode.RFC4733, lambda phone, key: phone.keys.press(key)),
    "sound": (DtmfMode.INBAND, lambda phone, key: phone.keys.sing(key)),
    "info": (DtmfMode.INFO, inform),
}


@pytest.mark.parametrize("way", PRESSES)
async def test_keys_are_gathered_while_a_prompt_plays(tmp_path: Path, way: str) -> None:
    twiml = (
        '<Response><Gather numDigits="2" action="/keys"><Play loop="0">tone.wav</Play></Gather>'
        "</Response>"
    )
    mode, press = PRESSES[way]
    alice = KeyPhone("alice", DOMAIN, 440.0, "pa", dtmf=mode)
    await alice.open()
    async with gateway(tmp_path, twiml, alice) as here:
        here.app.sounds["/tone.wav"] = tone_file(1000, 1.0)
        here.app.pages["/keys"] = "<Response><Hangup/></Response>"
        alice.call("anybody", here.hop())
        await alice.sound.hears(1000)
        for key in "12":
            press(alice, key)
        form = await here.app.until("/keys")
        assert (form["Digits"], form["msg"]) == ("12", "Gather End")
        await alice.until(events.HungUp)
    await alice.close()


@pytest.mark.parametrize("way", PRESSES)
async def test_who_is_dialled_takes_the_call_by_a_key(
    tmp_path: Path, alice: Phone, way: str
) -> None:
    twiml = (
        f'<Response><Dial action="/after"><Sip url="/screen">sip:bob@{DOMAIN}</Sip></Dial>'
        "</Response>"
    )
    mode, press = PRESSES[way]
    bob = KeyPhone("bob", DOMAIN, 880.0, "pb", dtmf=mode)
    await bob.open()
    async with gateway(tmp_path, twiml, alice, bob) as here:
        here.app.sounds["/tone.wav"] = tone_file(1000, 1.0)
        here.app.pages["/screen"] = (
            '<Response><Gather numDigits="1" action="/taken"><Play loop="0">/tone.wav</Play>'
            "</Gather><Hangup/></Response>"
        )
        alice.call("anybody", here.hop())
        await bob.sound.hears(1000)
        press(bob, "7")
        form = await here.app.until("/taken")
        assert form["Digits"] == "7"
        await bob.sound.hears(440)
        alice.hang_up()
        after = await here.app.until("/after")
        assert (after["DialCallSid"], after["DialBridged"]) == (form["CallSid"], "true")
    await bob.close()


async def test_a_message_is_recorded_after_a_beep(tmp_path: Path, alice: Phone) -> None:
    twiml = (
        '<Response><Record maxLength="2" action="/recorded" recordingStatusCallback="/told"'
        ' recordingStatusCallbackEvent="in-progress completed"/></Response>'
    )
    async with gateway(tmp_path, twiml, alice) as here:
        alice.call("anybody", here.hop())
        form = await here.app.until("/recorded")
        assert (form["RecordingDuration"], form["Digits"]) == ("2", "")
        (channel,) = await sound(here, form["RecordingUrl"])
        assert len(channel) == 2 * RATE
        assert tones_of(channel) == {440}
        last = await here.app.until("/told", lambda told: told["RecordingStatus"] == "completed")
        told = [each for path, each in here.app.asked if path == "/told"]
        assert [each["RecordingStatus"] for each in told] == ["in-progress", "completed"]
        assert (last["RecordingSource"], last["RecordingSid"]) == (
            "RecordVerb",
            form["RecordingSid"],
        )
        (shown,) = await recordings(here)
        assert (shown["sid"], shown["status"], shown["duration"]) == (
            form["RecordingSid"],
            "completed",
            "2",
        )


async def test_hanging_up_ends_a_message(tmp_path: Path, alice: Phone) -> None:
    twiml = (
        '<Response><Record playBeep="false" action="/recorded" recordingStatusCallback="/told"'
        ' recordingStatusCallbackEvent="in-progress"/></Response>'
    )
    async with gateway(tmp_path, twiml, alice) as here:
        alice.call("anybody", here.hop())
        await here.app.until("/told")
        await asyncio.sleep(1.0)  # of which there is something to hear then
        alice.hang_up()
        form = await here.app.until("/recorded")
        assert form["Digits"] == "hangup"
        assert tones_in((await sound(here, form["RecordingUrl"]))[0]) == {440}


async def test_both_sides_of_a_dial_are_recorded(tmp_path: Path, bob: Phone) -> None:
    alice = KeyPhone("alice", DOMAIN, 440.0, "pa", dtmf=DtmfMode.INFO)
    alice.sound = Sound(440.0)
    await alice.open()
    twiml = (
        '<Response><Dial record="record-from-answer-dual" action="/after" hangupOnStar="true"'
        f' recordingStatusCallback="/told"><Sip>sip:bob@{DOMAIN}</Sip></Dial></Response>'
    )
    async with gateway(tmp_path, twiml, alice, bob) as here:
        alice.call("anybody", here.hop())
        await alice.sound.hears(880)
        await bob.sound.hears(440)
        await asyncio.sleep(1.0)
        inform(alice, "*")
        form = await here.app.until("/after")
        await bob.until(events.HungUp)
        assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "true")
        inbound, outbound = await sound(here, form["RecordingUrl"])
        assert (tones_in(inbound), tones_in(outbound)) == ({440}, {880})
        told = await here.app.until("/told")
        assert (told["RecordingSource"], told["RecordingChannels"]) == ("DialVerb", "2")
        (shown,) = await recordings(here, f"/Calls/{form['CallSid']}")
        assert (shown["source"], shown["channels"]) == ("DialVerb", 2)
    await alice.close()


async def test_a_star_that_comes_before_two_are_joined_is_not_lost(
    tmp_path: Path, bob: Phone
) -> None:
    alice = KeyPhone("alice", DOMAIN, 440.0, "pa", dtmf=DtmfMode.INFO)
    await alice.open()
    twiml = (
        '<Response><Dial action="/after" hangupOnStar="true">'
        f'<Sip url="/first">sip:bob@{DOMAIN}</Sip></Dial></Response>'
    )
    async with gateway(tmp_path, twiml, alice, bob) as here:
        here.app.pages["/first"] = '<Response><Pause length="1"/></Response>'
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        await here.app.until("/first")
        inform(alice, "*")
        form = await here.app.until("/after")
        await bob.until(events.HungUp)
        assert form["DialCallStatus"] == "completed"
    await alice.close()


def files_of(folder: Path, sid: str) -> list[Path]:
    """What there is of a recording."""
    return list(folder.rglob(f"{sid}*"))


async def ask(here: World, method: str, path: str, **form: str) -> tuple[int, Any]:
    """What REST answers for a path below the account."""
    url = f"{here.url}/2010-04-01/Accounts/{ACCOUNT}{path}"
    async with here.http.request(method, url, data=form or None) as response:
        body = await response.read()
        is_json = response.content_type == "application/json" and body
        return response.status, msgspec.json.decode(body) if is_json else body


async def test_rest_records_a_call_that_hears_itself(tmp_path: Path, alice: Phone) -> None:
    twiml = "<Response><Echo/></Response>"
    async with gateway(tmp_path, twiml, alice) as here:
        alice.call("anybody", here.hop())
        await alice.sound.hears(440)  # it has no other peer than itself
        below = f"/Calls/{(await here.app.until('/voice'))['CallSid']}/Recordings"
        status, made = await ask(
            here,
            *("POST", f"{below}.json"),
            RecordingChannels="dual",
            RecordingStatusCallback=f"{here.app.url}/told",
        )
        assert (status, made["status"], made["source"], made["channels"]) == (
            *(201, "in-progress"),
            *("StartCallRecordingAPI", 2),
        )
        await asyncio.sleep(0.6)
        current = f"{below}/Twilio.CURRENT.json"
        for wanted in ("paused", "in-progress", "stopped"):
            status, changed = await ask(here, "POST", current, Status=wanted)
            shown = ("stopped", "completed") if wanted == "stopped" else (wanted,)
            assert (status, changed["sid"]) == (200, made["sid"]) and changed["status"] in shown
        told = await here.app.until("/told")
        assert (told["RecordingSid"], told["RecordingStatus"]) == (made["sid"], "completed")
        assert [tones_in(side) for side in await sound(here, told["RecordingUrl"])] == [{440}] * 2
        alone = f"/Recordings/{made['sid']}"
        assert (await ask(here, "GET", f"{alone}.mp3"))[1][:3] in (b"ID3", b"\xff\xe3\x18")
        mixed = await ask(here, "GET", f"{alone}.wav?RequestedChannels=1")
        with wave.open(io.BytesIO(mixed[1])) as file:
            assert file.getnchannels() == 1
        assert (await ask(here, "POST", current, Status="paused"))[0] == 404
        assert (await ask(here, "DELETE", f"{alone}.json"))[0] == 204
        assert (await ask(here, "GET", f"{alone}.wav"))[0] == 404
        assert files_of(tmp_path, made["sid"]) == []
        alice.hang_up()


async def test_who_is_dialled_is_pressed_to_and_hears_a_document_first(
    tmp_path: Path, alice: Phone
) -> None:
    carrier = KeyPhone("callee", "carrier.example", 0.0, "")
    await carrier.open()
    twiml = (
        '<Response><Dial><Number sendDigits="ww12" url="/whisper">+447700900002</Number></Dial>'
        "</Response>"
    )
    async with gateway(tmp_path, twiml, alice, ways=(carrier,)) as here:
        here.app.sounds["/tone.wav"] = tone_file(1000, 0.5)
        here.app.pages["/whisper"] = "<Response><Play>/tone.wav</Play></Response>"
        alice.call("anybody", here.hop())
        await carrier.sound.hears(1000)
        assert digits(carrier.keys.events) == "12"
        await carrier.sound.hears(440)
        alice.hang_up()
    await carrier.close()


async def test_a_text_leaves_a_call_and_then_the_caller_does(tmp_path: Path, alice: Phone) -> None:
    twiml = (
        '<Response><Sms to="+447700900123" from="+15550001000" action="/sent" method="GET">Hello'
        "</Sms></Response>"
    )
    async with gateway(tmp_path, twiml, alice, limits=NUMBER) as here:
        here.app.pages["/sent"] = (
            '<Response><Refer action="/referred" method="GET">'
            "<Sip>sip:carol@elsewhere.example</Sip></Refer></Response>"
        )
        alice.call("anybody", here.hop())
        sent = await here.app.until("/sent")
        asked = await alice.until(events.Referred)
        assert format_uri(asked.refer_to.uri) == "sip:carol@elsewhere.example"
        agent, now = alice.station.agent, alice.station.now()
        agent.answer_refer(asked.transfer, Reply(status=202), now)
        agent.notify(asked.transfer, Reply(status=200), now)
        alice.station.wake()
        referred = await here.app.until("/referred")
        # No carrier takes texts here.
        assert (sent["SmsStatus"], sent["ErrorCode"]) == ("invalid", "21612")
        assert [
            referred[name]
            for name in ("ReferCallStatus", "ReferSipResponseCode", "NotifySipResponseCode")
        ] == ["completed", "202", "200"]
        assert {("GET", "/sent"), ("GET", "/referred")} <= set(here.app.ways)
        await alice.until(events.HungUp)
