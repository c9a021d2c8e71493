"""What a `<Conference>` says of itself and of who comes into it, as phones and an app meet it."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone, decoded
from tests.integration.voice.test_endings import CONFIG, DOMAIN
from tests.integration.voice.test_rooms import hears, left
from tests.integration.voice.test_spoken import tone_file
from tests.integration.voice.world import World, world

SETUP = CONFIG.replace("{first}", "").replace("{second}", "9").replace("{limits}", "")
USERS = (("alice", "pa", 440), ("bob", "pb", 880), ("carol", "pc", 1300))


@pytest.fixture
async def phones(open_phone: OpenPhone) -> list[Phone]:
    return [
        await open_phone(name, DOMAIN, tone=tone, password=secret) for name, secret, tone in USERS
    ]


def room(**attributes: str) -> str:
    given = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return (
        f'<Response><Dial action="/after"><Conference beep="false" waitUrl=""{given}>room'
        "</Conference></Dial></Response>"
    )


async def come(here: World, phone: Phone, **attributes: str) -> None:
    here.app.twiml = room(**attributes)
    phone.call("anybody", here.hop())
    await phone.until(events.Answered)


async def test_who_waits_for_a_room_to_start_hears_the_documents_of_its_app(
    tmp_path: Path, phones: list[Phone]
) -> None:
    alice, bob, carol = phones
    waits = {"startConferenceOnEnter": "false", "waitMethod": "GET", "maxParticipants": "2"}
    async with world(tmp_path, SETUP) as here:
        for phone in phones:
            await phone.register(here.hop())
        here.app.sounds["/wait.wav"] = tone_file(1000, 30.0)
        here.app.pages["/wait"] = '<Response><Play loop="0">/wait.wav</Play></Response>'
        given = room(**waits).replace('waitUrl=""', 'waitUrl="/wait"')
        here.app.twiml = given
        alice.call("anybody", here.hop())
        await hears(alice, 1000)
        bob.call("anybody", here.hop())
        await hears(bob, 1000)
        assert ("GET", "/wait") in here.app.ways
        carol.call("anybody", here.hop())
        full = await here.app.until("/after")
        assert (full["From"], full["DialCallStatus"]) == (f"sip:carol@{DOMAIN}", "failed")
        for phone in (alice, bob):
            phone.hang_up()
        await left(here)


async def test_what_happens_in_a_room_is_told_as_it_says(
    tmp_path: Path, phones: list[Phone]
) -> None:
    alice, bob, _ = phones
    told = {
        "statusCallback": "/events",
        "statusCallbackMethod": "GET",
        "statusCallbackEvent": "start join",
        "record": "record-from-start",
        "recordingStatusCallback": "/taped",
        "recordingStatusCallbackMethod": "GET",
        "recordingStatusCallbackEvent": "in-progress completed",
    }
    async with world(tmp_path, SETUP) as here:
        for phone in (alice, bob):
            await phone.register(here.hop())
        await come(here, alice, participantLabel="first", **told)
        joined = await here.app.until("/events")
        assert joined["ParticipantLabel"] == "first"
        await come(here, bob, endConferenceOnExit="true")
        await here.app.until("/taped", lambda form: form["RecordingStatus"] == "in-progress")
        await asyncio.gather(hears(alice, 880), hears(bob, 440))
        bob.hang_up()
        await alice.until(events.HungUp)
        await here.app.until("/taped", lambda form: form["RecordingStatus"] == "completed")
        assert {("GET", "/events"), ("GET", "/taped")} <= set(here.app.ways)
        happened = [
            form["StatusCallbackEvent"] for path, form in here.app.asked if path == "/events"
        ]
        assert happened == ["participant-join", "participant-join", "conference-start"]
        await left(here)


async def test_a_room_beeps_for_who_wants_that_and_the_older_url_is_told(
    tmp_path: Path, phones: list[Phone]
) -> None:
    alice, bob, carol = phones
    async with world(tmp_path, SETUP) as here:
        for phone in phones:
            await phone.register(here.hop())
        await come(here, alice, eventCallbackUrl="/older")
        assert (await here.app.until("/older"))["StatusCallbackEvent"] == "participant-join"
        await come(here, bob, muted="true")
        await hears(bob, 440)  # a beep would be over by now
        assert max((np.abs(decoded(each)).max() for each in alice.sound.heard), default=0) < 500
        here.app.twiml = room(muted="true").replace('beep="false"', 'beep="onEnter"')
        carol.call("anybody", here.hop())
        await alice.sound.hears(620)
        await hears(alice)
        for phone in phones:
            phone.hang_up()
        await left(here)
