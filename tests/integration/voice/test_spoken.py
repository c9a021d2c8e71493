"""What documents say, ask and record, heard and said by phones."""

import asyncio
import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocols.sdp.media import DtmfMode
from protocols.sip import agent_events as events
from protocols.sip.session_offers import Body
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.keyed import KeyPhone
from tests.integration.voice.phones import Phone, Sound, decoded
from tests.integration.voice.test_endings import DOMAIN, gateway
from tests.integration.voice.world import ACCOUNT, World

RATE = 8000
FAKE = '[speech]\nengine = "fake"'


@pytest.fixture
async def alice(open_phone: OpenPhone) -> Phone:
    return await open_phone("alice", DOMAIN, tone=440, password="pa")


@pytest.fixture
async def bob(open_phone: OpenPhone) -> Phone:
    return await open_phone("bob", DOMAIN, tone=880, password="pb")


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


async def test_a_text_is_spoken(tmp_path: Path, alice: Phone) -> None:
    twiml = "<Response><Say>Hello there</Say><Redirect>/next</Redirect></Response>"
    async with gateway(tmp_path, twiml, alice, limits=FAKE) as here:
        alice.call("anybody", here.hop())
        await here.app.until("/next")
        assert max(np.abs(decoded(each)).max() for each in alice.sound.heard) > 1000


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
    twiml = '<Response><Record playBeep="false" action="/recorded"/></Response>'
    async with gateway(tmp_path, twiml, alice) as here:
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        await asyncio.sleep(1.0)
        alice.hang_up()
        form = await here.app.until("/recorded")
        assert form["Digits"] == "hangup"
        assert tones_of((await sound(here, form["RecordingUrl"]))[0]) == {440}


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
        assert (tones_of(inbound[:RATE]), tones_of(outbound[:RATE])) == ({440}, {880})
        told = await here.app.until("/told")
        assert (told["RecordingSource"], told["RecordingChannels"]) == ("DialVerb", "2")
        (shown,) = await recordings(here, f"/Calls/{form['CallSid']}")
        assert (shown["source"], shown["channels"]) == ("DialVerb", 2)
    await alice.close()
