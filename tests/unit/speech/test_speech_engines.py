"""The engines that need nothing, and the sounds of the house."""

import wave
from pathlib import Path

import numpy as np
import pytest

from gateway.speech import builtin
from gateway.speech.engines import FakeEngine, ToneEngine, hum, length, pitch
from gateway.speech.model import Words
from gateway.speech.wav import LONGEST, TooLong, WavFile, seconds_of
from protocols.rtp.audio import rms
from tests.unit.speech.speech_world import read, strongest


async def test_a_hum_is_the_same_for_the_same_text(tmp_path: Path) -> None:
    engine = FakeEngine()
    one, other = "Press one for sales", "Press two for support"
    paths = [tmp_path / f"{each}.wav" for each in range(3)]
    for path, text in zip(paths, (one, one, other), strict=True):
        assert await engine.speak(Words(text=text), engine.cast("", ""), path) is None
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert pitch(one) != pitch(other)
    assert strongest(paths[0]) == pytest.approx(pitch(one), abs=10)
    assert strongest(paths[2]) == pytest.approx(pitch(other), abs=10)
    assert seconds_of(paths[0]) == pytest.approx(length(one), abs=0.001)


def test_a_hum_has_the_rhythm_of_speech() -> None:
    samples = hum("a text that takes about two seconds")
    frames = [rms(samples[at : at + 320]) for at in range(0, len(samples) - 320, 320)]
    beats = np.abs(np.fft.rfft(np.array(frames) - np.mean(frames)))
    assert np.argmax(beats) * 50 / len(frames) == pytest.approx(4, abs=0.6)
    assert max(frames) > 3 * min(frames)


async def test_without_an_engine_a_tone_says_so(tmp_path: Path) -> None:
    engine = ToneEngine()
    cast = engine.cast("Polly.Joanna", "de-DE")
    assert [each.code for each in cast.remarks] == [13511]
    assert ".[speech]" in cast.remarks[0].message
    assert await engine.speak(Words(text="Hello"), cast, tmp_path / "a.wav") is None
    assert strongest(tmp_path / "a.wav") == pytest.approx(400, abs=2)


def test_the_music_goes_on_where_it_ends() -> None:
    music = builtin.music()
    assert len(music) == 16 * 8000
    joined = np.concatenate((music[-4000:], music[:4000])).astype(np.int32)
    steps = np.abs(np.diff(joined))
    # A click at the joint would stand out of the steps around it.
    assert steps[3999] <= np.percentile(steps, 99.9)
    for second in range(16):
        assert rms(music[second * 8000 : (second + 1) * 8000]) > 300
    assert np.max(np.abs(music)) == 7000
    assert np.array_equal(music, builtin.music())


def test_the_sounds_of_the_house_are_files(tmp_path: Path) -> None:
    beep, music = tmp_path / "beep", tmp_path / "music"
    assert builtin.compose("beep", beep) == 0.4
    assert builtin.compose("music", music) == 16.0
    assert strongest(beep) == pytest.approx(1000, abs=3)
    rate, samples = read(music)
    assert rate == 8000
    assert np.array_equal(samples, builtin.music())


def test_a_file_has_no_more_than_a_prompt_may(tmp_path: Path) -> None:
    with pytest.raises(TooLong), WavFile(tmp_path / "a.wav", 8000) as written:
        written.silence(LONGEST)
        written.write(bytes(2))


def test_nobodys_file_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        WavFile(tmp_path / "a.wav", 8000)


def test_a_file_of_another_shape_is_none_of_ours(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as written:
        written.setnchannels(2)
        written.setsampwidth(2)
        written.setframerate(8000)
        written.writeframes(bytes(400))
    with pytest.raises(wave.Error):
        seconds_of(tmp_path / "a.wav")
