"""What goes wrong with one who is in a conference, or comes, is theirs alone."""

from pathlib import Path
from typing import Any

import pytest

from gateway.calls.hop import Hop
from gateway.calls.room_book import RoomBook
from gateway.calls.room_media import RoomMedia
from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import DOMAIN
from tests.integration.voice.test_queue_calls import SETUP
from tests.integration.voice.test_rooms import hears, left
from tests.integration.voice.world import world

ROOM = (
    '<Response><Dial><Conference beep="false" waitUrl="">room</Conference></Dial><Hangup/>'
    "</Response>"
)


@pytest.fixture
async def phones(open_phone: OpenPhone) -> list[Phone]:
    names = (("alice", "pa", 440), ("bob", "pb", 880))
    return [
        await open_phone(name, DOMAIN, tone=tone, password=secret) for name, secret, tone in names
    ]


async def test_a_fault_in_seating_one_sends_nobody_else_out(
    tmp_path: Path, phones: list[Phone], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = phones
    whole = Hop.open

    async def open(hop: Hop, *given: Any) -> None:
        if hop.record.sid != alices:  # she may not have her seat yet
            raise KeyError("a defect")
        await whole(hop, *given)

    async with world(tmp_path, SETUP) as here:
        here.app.twiml = ROOM
        for phone in phones:
            await phone.register(here.hop())
        alice.call("anybody", here.hop())
        alices = (await here.app.until("/voice"))["CallSid"]
        await alice.until(events.Answered)
        with monkeypatch.context() as patched:
            patched.setattr(RoomMedia, "is_beside", lambda *given: False)
            patched.setattr(Hop, "open", open)
            bob.call("anybody", here.hop())
            await bob.until(events.HungUp)
        assert not [event for event in alice.told if isinstance(event, events.HungUp)]
        before = len(bob.told)
        bob.call("anybody", here.hop())
        await bob.until(events.Answered, since=before)
        await hears(alice, 880)
        await hears(bob, 440)
        for phone in phones:
            phone.hang_up()
        await left(here)


@pytest.mark.parametrize("asked", ["join end", "speaker end"])
async def test_a_fault_in_what_a_conference_tells_ends_it_alone(
    tmp_path: Path, phones: list[Phone], monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    def fails(*_: Any) -> None:
        raise KeyError("a defect")

    alice, bob = phones
    async with world(tmp_path, SETUP) as here:
        voice = here.gateway._voice
        assert voice is not None
        pids = voice.calls._house.plane.pids()
        told = f'<Conference statusCallback="/told" statusCallbackEvent="{asked}"'
        here.app.twiml = ROOM.replace("<Conference", told)
        for phone in phones:
            await phone.register(here.hop())
        with monkeypatch.context() as patched:
            patched.setattr(RoomBook, "tell", fails)
            for phone in phones:
                phone.call("anybody", here.hop())
            for phone in phones:
                await phone.until(events.HungUp)
            await here.ended()
        for phone in phones:
            phone.told.clear()
            phone.call("anybody", here.hop())
            await phone.until(events.Answered)
        await hears(alice, 880)
        await hears(bob, 440)
        assert voice.calls._house.plane.pids() == pids
