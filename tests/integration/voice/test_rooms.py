"""Phones in a conference hear each other without themselves, over one worker and over two."""

import asyncio
from pathlib import Path

import pytest

from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone, decoded
from tests.integration.voice.test_endings import CONFIG, DOMAIN
from tests.integration.voice.test_spoken import RATE, sound, tones_in, tones_of
from tests.integration.voice.world import World, until, world

ROOM = (
    '<Response><Dial action="/after"><Conference beep="false" waitUrl="" record="record-from-start"'
    ' endConferenceOnExit="{ends}" muted="{muted}" statusCallback="/events"'
    ' recordingStatusCallback="/taped"'
    ' statusCallbackEvent="start end join leave mute">room</Conference></Dial></Response>'
)


@pytest.fixture
async def phones(open_phone: OpenPhone) -> list[Phone]:
    names = (("alice", "pa", 440), ("bob", "pb", 880), ("carol", "pc", 1300))
    return [
        await open_phone(name, DOMAIN, tone=tone, password=secret) for name, secret, tone in names
    ]


def heard_by(phone: Phone) -> set[int]:
    """The tones of the last half second."""
    samples = decoded(b"".join(phone.sound.heard[-25:]))
    return tones_of(samples) if len(samples) == RATE // 2 else set()


async def hears(phone: Phone, *tones: int) -> None:
    async def found() -> bool | None:
        return heard_by(phone) == set(tones) or None

    try:
        await until(found)
    except TimeoutError:
        raise AssertionError(
            f"the phone of {phone.sound.tone} Hz hears {heard_by(phone)}"
        ) from None


async def left(here: World) -> None:
    """Return when no call lives, and no room."""
    await here.ended()
    voice = here.gateway._voice
    assert voice is not None
    rooms = voice.calls._house.rooms

    async def none() -> bool | None:
        return not len(rooms) or None

    await until(none)
    assert here.ledger() == {}


@pytest.mark.parametrize("workers", [1, 2])
async def test_each_hears_the_others_and_not_itself(
    tmp_path: Path, phones: list[Phone], workers: int
) -> None:
    config = CONFIG.replace("{first}", "").replace("{second}", "9").replace("{limits}", "")
    alice, bob, carol = phones
    async with world(tmp_path, config, workers=workers) as here:
        for phone in phones:
            await phone.register(here.hop())
        here.app.twiml = ROOM.format(ends="true", muted="false")
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        await here.app.until("/events")
        here.app.twiml = ROOM.format(ends="false", muted="false")
        bob.call("anybody", here.hop())
        await hears(alice, 880)
        carol.call("anybody", here.hop())
        await hears(alice, 880, 1300)
        await hears(bob, 440, 1300)
        await hears(carol, 440, 880)
        carol.hang_up()
        await hears(alice, 880)
        here.app.twiml = ROOM.format(ends="false", muted="true")
        carol.call("anybody", here.hop())
        await hears(carol, 440, 880)
        assert heard_by(alice) == {880}
        await asyncio.sleep(0.5)
        alice.hang_up()
        await bob.until(events.HungUp)
        await carol.until(events.HungUp)
        taped = await here.app.until("/taped")
        (channel,) = await sound(here, taped["RecordingUrl"])
        assert tones_in(channel) >= {440, 880}
        form = await here.app.until("/after", lambda form: form["From"].startswith("sip:bob"))
        assert form["DialCallStatus"] == "answered"
        await here.app.until(
            "/events", lambda form: form["StatusCallbackEvent"] == "conference-end"
        )
        told = [form for path, form in here.app.asked if path == "/events"]
        assert [int(form["SequenceNumber"]) for form in told] == list(range(1, len(told) + 1))
        assert [form["StatusCallbackEvent"] for form in told] == [
            *("participant-join", "participant-join", "conference-start", "participant-join"),
            *("participant-leave", "participant-join", "participant-leave"),
            *("participant-leave", "participant-leave", "conference-end"),
        ]
        assert told[-1]["CallSidEndingConference"] == told[0]["CallSid"]
        await left(here)
