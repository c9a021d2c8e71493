"""espeak-ng itself: that it speaks, in which voices, and that what breaks it costs one text."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.speech import voices, wire
from gateway.speech.engines import EspeakEngine
from gateway.speech.model import Unspoken, Words
from gateway.speech.workshop import Workshop
from protocols.rtp.audio import Pcm, rms
from protocols.rtp.resample import Resampler
from tests.unit.speech.speech_world import read

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    made = Workshop("speech", waiting=8, deadline=20.0)
    yield made
    await made.close()


@pytest.fixture
def engine(workshop: Workshop) -> EspeakEngine:
    return EspeakEngine(workshop)


async def said(
    engine: EspeakEngine, target: Path, text: str, ssml: str = "", voice: str = "woman"
) -> Pcm:
    words = Words(text=text, ssml=f"<speak>{ssml}</speak>" if ssml else "")
    assert await engine.speak(words, engine.cast(voice, ""), target) is None
    rate, samples = read(target)
    return Pcm(rate=rate, samples=samples)


def files_of(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def pitch(speech: Pcm) -> float:
    """How high a voice is: the repetition that its loudest part has, Hz."""
    size = speech.rate // 10
    starts = range(0, len(speech.samples) - size, size // 2)
    loudest = max(starts, key=lambda at: rms(speech.samples[at : at + size]))
    part = speech.samples[loudest : loudest + size].astype(np.float64)
    alike = np.correlate(part, part, "full")[size - 1 :]
    first, last = speech.rate // 400, speech.rate // 60
    return float(speech.rate / (first + np.argmax(alike[first:last])))


async def test_speech_is_speech_at_either_rate(engine: EspeakEngine, tmp_path: Path) -> None:
    text = "Welcome to Trunkline. Press one for sales, or two for support."
    speech = await said(engine, tmp_path / "a.wav", text)
    assert speech.rate == 16000
    assert 2.5 < speech.seconds < 8
    narrow = Resampler(16000, 8000).convert(speech)
    for each in (speech, narrow):
        frames = each.samples[: len(each.samples) // 160 * 160].reshape(-1, 160)
        loud = np.array([rms(frame) for frame in frames])
        assert 1000 < np.percentile(loud, 90) < 12000
        # Syllables: louder and softer a few times a second, and still in between.
        assert np.percentile(loud, 90) > 8 * np.percentile(loud, 10)
    # What makes words is below 3.4 kHz, where a telephone ends.
    spectrum = np.abs(np.fft.rfft(speech.samples)) ** 2
    hertz = np.arange(len(spectrum)) / speech.seconds
    assert spectrum[(hertz > 300) & (hertz < 3400)].sum() > 0.5 * spectrum[hertz > 300].sum()
    assert rms(narrow.samples) > 0.7 * rms(speech.samples)


async def test_every_language_and_voice_that_is_promised_is_there(
    engine: EspeakEngine, tmp_path: Path
) -> None:
    for language in sorted(voices.SPOKEN):
        for voice in ("woman", "man"):
            cast = engine.cast(voice, language)
            assert cast.remarks == (), language
            target = tmp_path / f"{language}-{voice}.wav"
            assert await engine.speak(Words(text="1 2 3"), cast, target) is None, cast
            _, samples = read(target)
            assert rms(samples) > 200, cast


async def test_a_man_is_deeper_than_a_woman(engine: EspeakEngine, tmp_path: Path) -> None:
    text = "Good morning, how are you"
    woman = await said(engine, tmp_path / "w.wav", text)
    man = await said(engine, tmp_path / "m.wav", text, voice="man")
    assert pitch(man) < pitch(woman)


async def test_what_ssml_asks_for_is_heard(engine: EspeakEngine, tmp_path: Path) -> None:
    lengths = {}
    for name, ssml in {
        "plain": "one two",
        "break": 'one <break time="3s"/> two',
        "slow": '<prosody rate="x-slow">one two</prosody>',
        "spelt": '<say-as interpret-as="digits">123456</say-as>',
        "number": "123456",
        "french": 'one <lang xml:lang="fr-FR">deux</lang>',
        "audio": '<audio src="/etc/passwd">one two</audio>',
    }.items():
        lengths[name] = (await said(engine, tmp_path / f"{name}.wav", "x", ssml)).seconds
    assert lengths["break"] - lengths["plain"] == pytest.approx(3.0, abs=0.4)
    assert lengths["slow"] > 1.3 * lengths["plain"]
    assert lengths["spelt"] != pytest.approx(lengths["number"], abs=0.05)
    assert lengths["audio"] == pytest.approx(lengths["plain"], abs=0.1)
    assert lengths["french"] > 0.5


async def test_what_was_said_before_changes_nothing(engine: EspeakEngine, tmp_path: Path) -> None:
    one = await said(engine, tmp_path / "a.wav", "Hello")
    await said(
        engine, tmp_path / "b.wav", "x", '<prosody rate="x-slow" volume="silent">a</prosody>'
    )
    await said(engine, tmp_path / "c.wav", "x", '<lang xml:lang="fr-FR">a</lang>', voice="man")
    again = await said(engine, tmp_path / "d.wav", "Hello")
    assert len(one.samples) == len(again.samples)
    assert rms(again.samples) == pytest.approx(rms(one.samples), rel=0.05)


@pytest.mark.parametrize(
    "text",
    ["\x00\x01\x02", "\ud800", "ي" * 4000, "👋" * 2000, "[[" * 2000, "a" * 4096, "<speak>", "%s%n"],
)
async def test_any_text_is_spoken_or_refused(
    engine: EspeakEngine, workshop: Workshop, tmp_path: Path, text: str
) -> None:
    answer = await engine.speak(Words(text=text), engine.cast("", ""), tmp_path / "a.wav")
    assert answer is None or isinstance(answer, Unspoken)
    assert await engine.speak(Words(text="on"), engine.cast("", ""), tmp_path / "b.wav") is None


async def test_speech_without_end_is_ended(workshop: Workshop, tmp_path: Path) -> None:
    pauses = 'a <break time="10s"/>' * 200
    task = wire.Speak(
        text=f"<speak>{pauses}</speak>",
        is_ssml=True,
        voice="en-us",
        target=str(tmp_path / "a.wav"),
    )
    assert await workshop.ask(task) == wire.Unmade(reason="it is longer than a prompt may be")
    assert files_of(tmp_path) == []


async def test_a_crash_of_the_library_costs_one_text(
    engine: EspeakEngine, workshop: Workshop, tmp_path: Path
) -> None:
    await said(engine, tmp_path / "a.wav", "Hello")
    assert workshop.pid is not None
    os.kill(workshop.pid, signal.SIGSTOP)
    asked = asyncio.create_task(
        engine.speak(Words(text="Hello"), engine.cast("", ""), tmp_path / "b.wav")
    )
    await asyncio.sleep(0)
    os.kill(workshop.pid, signal.SIGSEGV)
    os.kill(workshop.pid, signal.SIGCONT)
    assert await asked == Unspoken(reason="the process that did it died")
    await said(engine, tmp_path / "c.wav", "Hello")
