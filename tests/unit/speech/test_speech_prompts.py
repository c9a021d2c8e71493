"""Prompts: made once, fetched as HTTP says, and what the app is told where there is none."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.speech import wire
from gateway.speech.engines import FakeEngine, pitch
from gateway.speech.model import Cast, NoPrompt, Prompt, Remark, Unspoken, Words
from gateway.speech.prompts import MOST_SOUND, Prompts
from gateway.speech.shelf import IN_USE
from gateway.webhooks.request import Answer, Failure, Request
from tests.unit.speech.speech_world import Inline, encoded, strongest, tone
from twiml.verbs import Say

ACCOUNT, OTHER, CLOSED = "AC1", "AC2", "AC3"
URL = "https://user:pass@example.com/hello.wav"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Tokens:
    def token_of(self, account_sid: str) -> str | None:
        return None if account_sid == CLOSED else "token"


class Engine(FakeEngine):
    """A hum that can be held up, and refuse."""

    def __init__(self) -> None:
        self.spoken: list[Words] = []
        self.go = asyncio.Event()
        self.go.set()
        self.refusal: Unspoken | None = None
        self.remarks: tuple[Remark, ...] = ()
        self.closed = 0

    def cast(self, voice: str, language: str) -> Cast:
        return Cast(voice=voice, language=language, remarks=self.remarks)

    async def speak(self, words: Words, cast: Cast, target: Path) -> Unspoken | None:
        self.spoken.append(words)
        await self.go.wait()
        if self.refusal is not None:
            return self.refusal
        return await super().speak(words, cast, target)

    async def close(self) -> None:
        self.closed += 1


class Web:
    """A fetcher whose answers are given here."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.go = asyncio.Event()
        self.go.set()
        self.body = b""
        self.status = 200
        self.type = "audio/wav"
        self.headers: tuple[tuple[str, str], ...] = ()
        self.failure: Failure | None = None

    async def download(self, request: Request, sink: Any, max_body: int) -> Answer | Failure:
        assert max_body == MOST_SOUND
        self.asked.append(request)
        await self.go.wait()
        if self.failure is not None:
            return self.failure
        if self.status == 200:
            sink.begin()
            sink.write(self.body)
        shown = "https://example.com/hello.wav"
        return Answer(
            status=self.status,
            content_type=self.type,
            body=b"",
            url=shown,
            base=shown,
            cookies=(),
            elapsed=0.1,
            freshness=self.headers,
        )


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.engine = Engine()
        self.web = Web()
        self.workshop = Inline()
        self.prompts = self.made(1_000_000)

    def made(self, cache: int) -> Prompts:
        parts: dict[str, Any] = {"fetcher": self.web, "workshop": self.workshop}
        return Prompts(
            self.folder,
            synthesiser=self.engine,
            tokens=Tokens(),
            waiting=8,
            cache=cache,
            clock=self.clock,
            **parts,
        )

    def files(self) -> set[str]:
        return {path.name.partition("-")[0] for path in self.folder.iterdir() if path.is_file()}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "prompts")
    await world.prompts.open()
    yield world
    await world.prompts.close()
    assert world.prompts.under_way == 0
    assert world.prompts._fetched == {}
    assert world.prompts._spoken == {}


def heard(prompt: Prompt | NoPrompt) -> float:
    assert isinstance(prompt, Prompt), prompt
    assert prompt.seconds > 0
    return strongest(prompt.path)


def codes(prompt: Prompt | NoPrompt) -> list[tuple[int, str]]:
    return [(each.error_code, each.level.value) for each in prompt.notes]


# -- speech ---------------------------------------------------------------------------------------


async def test_what_was_said_once_is_there_also_after_a_restart(world: World) -> None:
    first = await world.prompts.say(Say(text="Hello you"), ACCOUNT)
    assert heard(first) == pytest.approx(pitch("Hello you"), abs=5)
    assert await world.prompts.say(Say(text="  Hello you ", loop=3), OTHER) == first
    again = world.made(1_000_000)
    await again.open()
    assert await again.say(Say(text="Hello you"), ACCOUNT) == first
    assert len(world.engine.spoken) == 1
    assert world.files() == {"say"}


async def test_another_voice_language_or_engine_says_it_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = [
        Say(text="a"),
        Say(text="a", voice="man"),
        Say(text="a", language="de-DE"),
        Say(text="a", ssml="<speak>a</speak>"),
    ]
    paths = {getattr(await world.prompts.say(each, ACCOUNT), "path", None) for each in says}
    monkeypatch.setattr(Engine, "version", "fake 2")
    paths.add(getattr(await world.prompts.say(says[0], ACCOUNT), "path", None))
    assert len(paths - {None}) == 5


async def test_who_asks_at_the_same_time_waits_for_the_same(world: World) -> None:
    world.engine.go.clear()
    asked = [
        asyncio.create_task(world.prompts.say(Say(text="Hello"), account))
        for account in (ACCOUNT, OTHER, ACCOUNT)
    ]
    await asyncio.sleep(0)
    assert world.prompts.under_way == 1
    asked[0].cancel()  # the first to ask leaves, and the others get it
    await asyncio.sleep(0)
    world.engine.go.set()
    one, other = await asyncio.gather(*asked[1:])
    assert one == other
    assert isinstance(one, Prompt)
    assert len(world.engine.spoken) == 1


async def test_remarks_come_with_each_asking(world: World) -> None:
    world.engine.remarks = (Remark(code=13511, message="another voice speaks"),)
    for _ in range(2):
        prompt = await world.prompts.say(Say(text="Hello", voice="Polly.Joanna"), ACCOUNT)
        assert codes(prompt) == [(13511, "warning")]


async def test_a_text_that_is_not_spoken_is_tried_again_next_time(world: World) -> None:
    world.engine.refusal = Unspoken(reason="the engine is away")
    failed = await world.prompts.say(Say(text="Hello"), ACCOUNT)
    assert isinstance(failed, NoPrompt)
    assert codes(failed) == [(13511, "warning")]
    assert failed.notes[0].message == "the text is not spoken: the engine is away"
    world.engine.refusal = None
    assert isinstance(await world.prompts.say(Say(text="Hello"), ACCOUNT), Prompt)
    assert world.files() == {"say"}


@pytest.mark.parametrize(
    ("say", "code"),
    [
        (Say(text=" \n"), 13520),
        (Say(text="a" * 4097), 13521),
        (Say(text="a" * 3001, voice="Polly.Amy"), 13521),
        (Say(text="a", ssml="<speak>" + "a" * 70_000 + "</speak>"), 13521),
    ],
)
async def test_what_is_nothing_or_too_much_is_not_said(world: World, say: Say, code: int) -> None:
    prompt = await world.prompts.say(say, ACCOUNT)
    assert isinstance(prompt, NoPrompt)
    assert codes(prompt) == [(code, "warning")]
    assert not world.engine.spoken


async def test_text_that_is_no_unicode_harms_nobody(world: World) -> None:
    assert isinstance(await world.prompts.say(Say(text="a\ud800b"), ACCOUNT), Prompt)


async def test_the_cache_is_bounded_and_says_so_when_it_is_full(world: World) -> None:
    small = world.made(60_000)  # a prompt of a second has 32,044 octets
    await small.open()
    text = "about a second long"
    assert isinstance(await small.say(Say(text=text + "1"), ACCOUNT), Prompt)
    full = await small.say(Say(text=text + "2"), ACCOUNT)
    assert isinstance(full, NoPrompt)
    assert "[speech] max_cache" in full.notes[0].message
    world.clock.now += IN_USE + 1
    assert isinstance(await small.say(Say(text=text + "2"), ACCOUNT), Prompt)
    assert small.octets <= 60_000
    assert world.files() == {"say"}


# -- sounds ---------------------------------------------------------------------------------------


@pytest.fixture
def wav(tmp_path: Path) -> bytes:
    return encoded(tmp_path / "in.wav", tone(440, 0.5, 8000), 8000, "wav", "pcm_s16le").read_bytes()


async def test_a_sound_is_fetched_as_the_accounts_and_decoded(world: World, wav: bytes) -> None:
    world.web.body = wav
    assert heard(await world.prompts.sound(URL, ACCOUNT)) == pytest.approx(440, abs=3)
    (request,) = world.web.asked
    assert (request.url, request.method) == (URL, "GET")
    assert (request.account_sid, request.auth_token) == (ACCOUNT, "token")
    assert request.conditions == ()
    assert world.files() == {"sound"}


async def test_a_sound_that_is_fresh_is_not_asked_for(world: World, wav: bytes) -> None:
    world.web.body, world.web.headers = wav, (("cache-control", "max-age=60"),)
    first = await world.prompts.sound(URL, ACCOUNT)
    world.clock.now += 59
    assert await world.prompts.sound(URL, ACCOUNT) == first
    again = world.made(1_000_000)
    await again.open()
    assert await again.sound(URL, ACCOUNT) == first
    assert len(world.web.asked) == 1
    await world.prompts.sound(URL, OTHER)  # whose cache is another
    assert len(world.web.asked) == 2
    world.clock.now += 2
    await world.prompts.sound(URL, ACCOUNT)
    assert len(world.web.asked) == 3


async def test_a_sound_that_did_not_change_is_not_fetched_again(world: World, wav: bytes) -> None:
    world.web.body = wav
    world.web.headers = (("etag", '"1"'), ("last-modified", "yesterday"))
    first = await world.prompts.sound(URL, ACCOUNT)
    world.web.status, world.web.headers = 304, (("cache-control", "max-age=60"),)
    assert await world.prompts.sound(URL, ACCOUNT) == first
    assert world.web.asked[1].conditions == (
        ("If-None-Match", '"1"'),
        ("If-Modified-Since", "yesterday"),
    )
    assert await world.prompts.sound(URL, ACCOUNT) == first
    assert len(world.web.asked) == 2
    assert len(world.workshop.asked) == 1


async def test_a_sound_that_changed_is_another(world: World, wav: bytes, tmp_path: Path) -> None:
    world.web.body, world.web.headers = wav, (("etag", '"1"'),)
    await world.prompts.sound(URL, ACCOUNT)
    other = encoded(tmp_path / "b.wav", tone(880, 0.5, 8000), 8000, "wav", "pcm_s16le")
    world.web.body, world.web.headers = other.read_bytes(), (("etag", '"2"'),)
    assert heard(await world.prompts.sound(URL, ACCOUNT)) == pytest.approx(880, abs=3)
    await world.prompts.sound(URL, ACCOUNT)
    assert world.web.asked[2].conditions == (("If-None-Match", '"2"'),)


async def test_what_may_not_be_stored_goes_when_it_is_not_in_use(world: World, wav: bytes) -> None:
    world.web.body, world.web.headers = wav, (("cache-control", "no-store"), ("etag", '"1"'))
    prompt = await world.prompts.sound(URL, ACCOUNT)
    assert isinstance(prompt, Prompt)
    await world.prompts.sound(URL, ACCOUNT)
    assert world.web.asked[1].conditions == ()
    world.clock.now += IN_USE + 1
    await world.prompts.say(Say(text="something else"), ACCOUNT)
    assert world.files() == {"say"}


async def test_what_may_not_be_stored_is_not_another_ones(world: World, wav: bytes) -> None:
    world.web.body, world.web.headers = wav, (("cache-control", "no-store"),)
    one = await world.prompts.sound(URL, ACCOUNT)
    other = await world.prompts.sound(URL, ACCOUNT)
    assert isinstance(one, Prompt)
    assert isinstance(other, Prompt)
    assert one.path != other.path


async def test_one_fetch_for_all_who_ask_at_once(world: World, wav: bytes) -> None:
    world.web.body = wav
    world.web.go.clear()
    asked = [asyncio.create_task(world.prompts.sound(URL, ACCOUNT)) for _ in range(5)]
    await asyncio.sleep(0)
    world.web.go.set()
    assert len({getattr(each, "path", None) for each in await asyncio.gather(*asked)}) == 1
    assert len(world.web.asked) == 1


async def test_apps_that_hang_hold_up_neither_speech_nor_others(world: World, wav: bytes) -> None:
    world.web.body = wav
    world.web.go.clear()
    asked = [
        asyncio.create_task(world.prompts.sound(f"{URL}?{number}", account))
        for account in (ACCOUNT, OTHER, "AC4")
        for number in range(3)
    ]
    await asyncio.sleep(0)  # the work is begun, …
    await asyncio.sleep(0)  # … and the web is asked
    assert [each.account_sid for each in world.web.asked] == [ACCOUNT, ACCOUNT, OTHER, OTHER]
    assert isinstance(await world.prompts.say(Say(text="Hello"), ACCOUNT), Prompt)
    world.web.go.set()
    refused = [each for each in await asyncio.gather(*asked) if isinstance(each, NoPrompt)]
    assert [codes(each) for each in refused] == [[(13420, "error")]] * 5
    assert isinstance(await world.prompts.sound(f"{URL}?9", "AC4"), Prompt)


async def test_more_than_may_wait_are_refused(world: World) -> None:
    world.engine.go.clear()
    asked = [
        asyncio.create_task(world.prompts.say(Say(text=f"{account} {number}"), account))
        for account in (ACCOUNT, OTHER, "AC4")
        for number in range(4)
    ]
    await asyncio.sleep(0)
    assert world.prompts.under_way == 8
    busy = await world.prompts.sound(URL, ACCOUNT)
    assert codes(busy) == [(13420, "error")]
    assert isinstance(await world.prompts.beep(), Prompt)
    world.engine.go.set()
    refused = [each for each in await asyncio.gather(*asked) if isinstance(each, NoPrompt)]
    assert [each.notes[0].message for each in refused] == [
        "the text is not spoken: 8 others wait ([speech] max_waiting): try it again later"
    ] * 4


async def test_one_account_leaves_half_of_the_speech_to_others(world: World) -> None:
    world.engine.go.clear()
    asked = [
        asyncio.create_task(world.prompts.say(Say(text=f"text {number}"), ACCOUNT))
        for number in range(9)
    ]
    await asyncio.sleep(0)
    assert world.prompts.under_way == 4
    other = asyncio.create_task(world.prompts.say(Say(text="another"), OTHER))
    await asyncio.sleep(0)
    world.engine.go.set()
    assert isinstance(await other, Prompt)
    refused = [each for each in await asyncio.gather(*asked) if isinstance(each, NoPrompt)]
    assert [each.notes[0].message for each in refused] == [
        "the text is not spoken: too many texts of the account are being spoken: try it again later"
    ] * 5


@pytest.mark.parametrize("kind", ["text/html", "", "application/octet-stream", "video/mp4"])
async def test_what_is_no_audio_is_not_played(world: World, wav: bytes, kind: str) -> None:
    world.web.body, world.web.type = wav, kind
    prompt = await world.prompts.sound(URL, ACCOUNT)
    assert isinstance(prompt, NoPrompt)
    assert codes(prompt) == [(13420, "error")]
    assert prompt.notes[0].url == "https://example.com/hello.wav"
    assert not world.workshop.asked
    assert world.files() == set()


async def test_what_only_says_that_it_is_audio_is_not_played(world: World) -> None:
    world.web.body = b"<html>"
    prompt = await world.prompts.sound(URL, ACCOUNT)
    assert codes(prompt) == [(13420, "error")]
    assert "audio/wav" in prompt.notes[0].message
    assert world.files() == set()


@pytest.mark.parametrize("kind", ["audio/basic", "audio/ulaw; rate=8000"])
async def test_a_type_tells_what_has_no_header(world: World, tmp_path: Path, kind: str) -> None:
    raw = encoded(tmp_path / "in.raw", tone(440, 0.5, 8000), 8000, "mulaw", "pcm_mulaw")
    world.web.body, world.web.type = raw.read_bytes(), kind
    assert heard(await world.prompts.sound(URL, ACCOUNT)) == pytest.approx(440, abs=3)


async def test_what_can_not_be_fetched_is_told_by_its_own_code(world: World) -> None:
    world.web.failure = Failure(error_code=11200, message="404", url="https://example.com/")
    prompt = await world.prompts.sound(URL, ACCOUNT)
    assert isinstance(prompt, NoPrompt)
    assert codes(prompt) == [(11200, "error")]
    assert "pass" not in repr(prompt)


async def test_nothing_is_fetched_for_a_closed_account(world: World) -> None:
    assert await world.prompts.sound(URL, CLOSED) == NoPrompt(notes=())
    assert not world.web.asked


async def test_a_disk_that_takes_nothing_costs_a_prompt_and_no_more(
    world: World, wav: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.web.body = wav

    def refused(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr("gateway.speech.prompts._Download.write", refused)
        prompt = await world.prompts.sound(URL, ACCOUNT)
    assert "No space left" in prompt.notes[0].message
    assert isinstance(await world.prompts.sound(URL, ACCOUNT), Prompt)


async def test_the_end_of_the_gateway_ends_what_is_under_way(world: World) -> None:
    world.engine.go.clear()
    world.web.go.clear()
    asked = [
        asyncio.create_task(world.prompts.say(Say(text="a"), ACCOUNT)),
        asyncio.create_task(world.prompts.sound(URL, ACCOUNT)),
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await world.prompts.close()
    assert world.prompts.under_way == 0
    assert (world.engine.closed, world.workshop.closed) == (1, 1)
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ends)
    assert world.files() == set()


async def test_the_sounds_of_the_house_are_made_once(world: World) -> None:
    beep = await world.prompts.beep()
    assert heard(beep) == pytest.approx(1000, abs=3)
    one, other = await asyncio.gather(world.prompts.music(), world.prompts.music())
    assert one == other == await world.prompts.music()
    assert isinstance(one, Prompt)
    assert one.seconds == 16.0
    assert len(world.workshop.asked) == 2
    small = world.made(100_000)
    assert await small.music() == NoPrompt(notes=())


async def test_tasks_of_the_decoder_name_files_alone(world: World, wav: bytes) -> None:
    world.web.body = wav
    await world.prompts.sound(URL, ACCOUNT)
    (task,) = world.workshop.asked
    assert wire.task_of(wire.line(task)) == task
