"""What simulated phones say is what they hear: tones, keys, noise, recordings and silence."""

import wave
from pathlib import Path

import numpy as np
import pytest

from sims import media_sounds as sounds
from sims.media_hearing import Hearing, share
from sims.media_sounds import Sound

FRAME = 0.02


class Ear:
    """A hearing that is told of sounds, 20 ms at a time."""

    def __init__(self, rate: int = 8000) -> None:
        self.hearing = Hearing()
        self.rate = rate
        self.now = 100.0

    def hear(self, sound: Sound) -> None:
        while not sound.is_over:
            self.now += FRAME
            self.hearing.take(sound.take(round(FRAME * self.rate)), self.rate, self.now)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("frequency", [300.0, 440.0, 620.0, 1000.0, 3400.0])
def test_a_tone_is_heard_and_no_other(frequency: float, rate: int) -> None:
    ear = Ear(rate)
    ear.hear(sounds.tones((frequency,), 0.5, rate))
    assert ear.hearing.hears_tone(frequency, ear.now)
    assert ear.hearing.hears_energy(ear.now)
    assert ear.hearing.describe(ear.now) == f"tone:{frequency:.0f}"
    for other in (frequency - 40, frequency + 40, 880.0):
        assert not ear.hearing.hears_tone(other, ear.now)


def test_a_tone_under_another_of_the_same_height_is_none() -> None:
    ear = Ear()
    ear.hear(sounds.tones((440.0, 480.0), 0.5, 8000))
    assert not ear.hearing.hears_tone(440, ear.now)
    assert ear.hearing.describe(ear.now) == "energy"


def test_a_tone_is_over_when_nothing_comes() -> None:
    ear = Ear()
    ear.hear(sounds.tones((440.0,), 0.5, 8000))
    assert ear.hearing.hears_tone(440, ear.now + 0.09)
    assert not ear.hearing.hears_tone(440, ear.now + 0.11)
    assert ear.hearing.describe(ear.now + 0.11) == "silence"


def test_less_than_a_tenth_of_a_second_is_nothing() -> None:
    ear = Ear()
    ear.hear(sounds.tones((440.0,), 0.08, 8000))
    assert not ear.hearing.hears_energy(ear.now)


def test_noise_is_energy_and_no_tone_and_no_key() -> None:
    ear = Ear()
    ear.hear(sounds.noise(4.1, 8000))
    assert ear.hearing.hears_energy(ear.now)
    assert ear.hearing.describe(ear.now) == "energy"
    assert ear.hearing.keys == ""


def test_silence_lasts() -> None:
    ear = Ear()
    ear.hear(sounds.tones((440.0,), 0.5, 8000))
    ended, since = ear.now, ear.now - 5
    ear.hear(sounds.of_samples(np.zeros(8000, dtype=np.int16)))
    assert not ear.hearing.hears_silence(since, ended + 0.39)
    assert ear.hearing.hears_silence(since, ended + 0.41)
    assert not ear.hearing.hears_silence(ended + 0.5, ended + 0.6)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_every_key_is_heard_as_sound_once(rate: int) -> None:
    ear = Ear(rate)
    for name in "0123456789*#ABCD11":
        ear.hear(sounds.key(name, rate))
    assert ear.hearing.keys == "0123456789*#ABCD11"


def test_one_tone_of_a_key_is_no_key() -> None:
    ear = Ear()
    ear.hear(sounds.tones((697.0,), 0.5, 8000))
    ear.hear(sounds.tones((1209.0,), 0.5, 8000))
    assert ear.hearing.keys == ""


def test_an_event_and_its_sound_are_one_key() -> None:
    ear = Ear()
    ear.hearing.pressed("5", ear.now)
    ear.hear(sounds.key("5", 8000))
    assert ear.hearing.keys == "5"
    ear.now += 1
    ear.hear(sounds.key("5", 8000))
    assert ear.hearing.keys == "55"


def test_keys_are_read_in_their_order_and_once() -> None:
    hearing = Hearing()
    for name in "1234":
        hearing.pressed(name, 0.0)
    assert not hearing.read_keys("13")
    assert hearing.read_keys("23")
    assert hearing.unread_keys() == "4"
    assert not hearing.read_keys("1")
    assert hearing.read_keys("4")
    assert hearing.keys == "1234"


def test_a_share_of_nothing_is_nothing() -> None:
    assert share(np.zeros(800, dtype=np.int16), 440, 8000) == 0.0


@pytest.mark.parametrize(("at", "channels"), [(8000, 1), (16000, 2), (44100, 1)])
def test_a_recording_is_played_at_the_rate_of_the_call(
    tmp_path: Path, at: int, channels: int
) -> None:
    path = tmp_path / "tone.wav"
    samples = sounds.tones((500.0,), 1.0, at).take(at)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(at)
        file.writeframes(np.repeat(samples, channels).astype("<i2").tobytes())
    sound = sounds.recording(str(path), 8000)
    ear = Ear()
    began = ear.now
    ear.hear(sound)
    assert ear.hearing.hears_tone(500, ear.now)
    assert ear.now - began == pytest.approx(1.0, abs=0.03)


def test_what_is_no_recording_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        sounds.recording(str(tmp_path / "gone.wav"), 8000)
    path = tmp_path / "text.wav"
    path.write_text("hello")
    with pytest.raises(ValueError, match="no WAV file"):
        sounds.recording(str(path), 8000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(b"\x80" * 100)
    with pytest.raises(ValueError, match="16 bits"):
        sounds.recording(str(path), 8000)


def test_a_sound_ends_in_silence() -> None:
    sound = sounds.of_samples(np.ones(100, dtype=np.int16))
    taken = sound.take(160)
    assert (taken[:100] == 1).all() and (taken[100:] == 0).all() and len(taken) == 160
    assert sound.is_over
