"""Twelve phones in a conference over two workers, and what is left when many have come and gone."""

import asyncio
from collections import Counter
from pathlib import Path
from types import CoroutineType

import pytest

from gateway.media.workers import Workers
from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import DOMAIN
from tests.integration.voice.test_rooms import hears, left
from tests.integration.voice.test_spoken import RATE, sound, tones_of
from tests.integration.voice.world import World, until, world

PARTIES = 12
MUTED, COACH, COACHED = 10, 11, 0
ROUNDS = 17  # of all twelve: 204 calls
POOLS = {"JobRunner._work", "RequestHandler.start"}  # as many as had work at once, up to a bound
USERS = "\n".join(f'  {{ username = "u{each}", password = "p{each}" }},' for each in range(PARTIES))
CONFIG = f"""
[[domains]]
name = "{DOMAIN}"
voice_url = "{{app}}/voice"
users = [
{USERS}
]
"""


def tone_of(number: int) -> int:
    """Far enough from each other, and from what the others' sums make."""
    return 310 + 230 * number


TALKERS = {tone_of(each) for each in range(PARTIES) if each not in (MUTED, COACH)}


def room(*, attributes: str = "") -> str:
    return (
        '<Response><Dial><Conference beep="false" waitUrl="" record="record-from-start"'
        f' recordingStatusCallback="/taped" {attributes}>all</Conference></Dial></Response>'
    )


@pytest.fixture
async def phones(open_phone: OpenPhone) -> list[Phone]:
    return [
        await open_phone(f"u{each}", DOMAIN, tone=tone_of(each), password=f"p{each}")
        for each in range(PARTIES)
    ]


async def come(here: World, phone: Phone) -> None:
    before = len(phone.told)
    phone.call("anybody", here.hop())
    await phone.until(events.Answered, since=before)


async def go(phone: Phone) -> None:
    before = len(phone.told)
    phone.hang_up()
    await phone.until(events.Ended, since=before)


async def all_come_and_go(here: World, phones: list[Phone]) -> None:
    await asyncio.gather(*(come(here, phone) for phone in phones))
    await asyncio.gather(*(go(phone) for phone in phones))


def workers_of(here: World) -> Workers:
    voice = here.gateway._voice
    assert voice is not None
    return voice._workers


def held(here: World) -> tuple[Counter[str], dict[int, int]]:
    """Tasks of the gateway by what they run, and the descriptors of each media worker."""
    running = (each.get_coro() for each in asyncio.all_tasks() if not each.done())
    names = (each.__qualname__ for each in running if isinstance(each, CoroutineType))
    tasks = Counter(each for each in names if each not in POOLS)
    pids = workers_of(here).pids().items()
    return tasks, {each: len(list(Path(f"/proc/{pid}/fd").iterdir())) for each, pid in pids}


async def test_each_of_twelve_hears_whom_it_should(tmp_path: Path, phones: list[Phone]) -> None:
    async with world(tmp_path, CONFIG, workers=2) as here:
        for phone in phones:
            await phone.register(here.hop())
        here.app.twiml = room()
        await come(here, phones[COACHED])
        coached = (await here.app.until("/voice"))["CallSid"]
        here.app.callers = {
            f"sip:u{MUTED}@{DOMAIN}": room(attributes='muted="true"'),
            f"sip:u{COACH}@{DOMAIN}": room(attributes=f'coach="{coached}"'),
        }
        await asyncio.gather(*(come(here, phone) for phone in phones[1:]))
        for number, phone in enumerate(phones):
            coach = {tone_of(COACH)} if number == COACHED else set()
            await hears(phone, *(TALKERS - {tone_of(number)} | coach))
        assert min(workers_of(here).loads().values()) > 0
        await asyncio.sleep(0.5)
        await asyncio.gather(*(go(phone) for phone in phones))
        taped = await here.app.until("/taped")
        (channel,) = await sound(here, taped["RecordingUrl"])
        halves = range(0, len(channel) - RATE // 2, RATE // 4)
        assert any(tones_of(channel[at : at + RATE // 2]) >= TALKERS for at in halves)
        await left(here)


async def test_two_hundred_that_come_and_go_leave_nothing(
    tmp_path: Path, phones: list[Phone]
) -> None:
    async with world(tmp_path, CONFIG, workers=2) as here:
        for phone in phones:
            await phone.register(here.hop())
        here.app.twiml = room()
        await all_come_and_go(here, phones)
        await left(here)
        before = held(here)
        for _ in range(ROUNDS):
            await all_come_and_go(here, phones)
        asked = [path for path, _ in here.app.asked if path == "/voice"]
        assert len(asked) == (ROUNDS + 1) * PARTIES
        await left(here)

        async def as_before() -> bool | None:
            """No more than then: what ran for a moment when that was looked at may be over."""
            tasks, files = held(here)
            return (tasks <= before[0] and Counter(files) <= Counter(before[1])) or None

        await until(as_before)
