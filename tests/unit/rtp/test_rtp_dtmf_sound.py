"""Keys heard in sound: each once, as long as it was, and none in what is no key."""

import numpy as np
import pytest
from rtp_sound import tone, voice

from protocols.rtp.audio import Samples, silence
from protocols.rtp.dtmf_sound import KeyListener, Verdict
from protocols.rtp.events import DigitEnded, DigitStarted
from protocols.rtp.tones import KEYS, Sound, render

NO, PERHAPS, KEY = Verdict.NO_KEY, Verdict.PERHAPS, Verdict.KEY


def sound(key: str, seconds: float, rate: int = 8000) -> Samples:
    return render(KEYS[key], rate=rate, start=0, count=round(rate * seconds)).samples


def hush(seconds: float, rate: int = 8000) -> Samples:
    return silence(rate, round(rate * seconds)).samples


def listen(
    *parts: Samples, rate: int = 8000, ptime: int = 20
) -> tuple[list[tuple[str, float]], list[Verdict]]:
    """The keys that ended with their durations, and what each packet was."""
    listener = KeyListener(rate)
    samples, size = np.concatenate(parts), rate * ptime // 1000
    verdicts, begun, ended = [], [], []
    for at in range(0, len(samples) - size + 1, size):
        verdicts.append(listener.hear(samples[at : at + size]))
        while (event := listener.next_event()) is not None:
            match event:
                case DigitStarted(digit=digit):
                    begun.append(digit)
                case DigitEnded(digit=digit, duration=duration):
                    ended.append((digit, duration))
    assert begun == [digit for digit, _ in ended]
    return ended, verdicts


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("key", KEYS)
def test_every_key_in_every_place_of_a_packet(key: str, rate: int) -> None:
    for seconds in (0.04, 0.05, 0.1, 0.5):
        for offset in (0.0, 0.003, 0.007, 0.012, 0.017):
            parts = (hush(0.06 + offset, rate), sound(key, seconds, rate), hush(0.1, rate))
            ended, _ = listen(*parts, rate=rate)
            assert [digit for digit, _ in ended] == [key]
            assert ended[0][1] == pytest.approx(seconds, abs=0.012)


@pytest.mark.parametrize("ptime", [10, 20, 30, 60])
def test_keys_one_after_the_other_whatever_the_packets(ptime: int) -> None:
    parts = [each for key in "11223*#D" for each in (sound(key, 0.05), hush(0.05))]
    ended, _ = listen(hush(0.1), *parts, hush(0.1), ptime=ptime)
    assert "".join(digit for digit, _ in ended) == "11223*#D"


@pytest.mark.parametrize("key", KEYS)
def test_what_is_too_short_is_no_key(key: str) -> None:
    for offset in range(20):
        ended, _ = listen(hush(0.06 + offset / 1000), sound(key, 0.022), hush(0.1))
        assert ended == []


def test_a_gap_of_a_moment_is_no_end() -> None:
    ended, _ = listen(hush(0.1), sound("5", 0.06), hush(0.01), sound("5", 0.06), hush(0.1))
    assert [digit for digit, _ in ended] == ["5"]


def test_another_key_without_a_pause_ends_the_first() -> None:
    ended, _ = listen(hush(0.1), sound("5", 0.1), sound("6", 0.1), hush(0.1))
    assert [digit for digit, _ in ended] == ["5", "6"]


def test_a_key_with_noise_behind_it() -> None:
    noise = np.random.default_rng(3).normal(0, 600, 8000)
    said = np.concatenate((hush(0.1), sound("9", 0.1), hush(0.3))).astype(np.float64)
    heard = (said + noise[: len(said)]).astype(np.int16)
    assert [digit for digit, _ in listen(heard)[0]] == ["9"]


@pytest.mark.parametrize("peak", [900.0, 12_000.0])
def test_a_key_with_twist_quiet_or_loud(peak: float) -> None:
    both = tone(8000, 770, peak=peak, seconds=0.1).astype(np.float64)
    both += tone(8000, 1209, peak=peak / 2, seconds=0.1)
    assert [digit for digit, _ in listen(hush(0.1), both.astype(np.int16), hush(0.1))[0]] == ["4"]


@pytest.mark.parametrize(
    "samples",
    [
        tone(8000, 770, seconds=1.0),
        tone(8000, 1336, seconds=1.0),
        render(Sound(frequencies=(440.0, 480.0)), rate=8000, start=0, count=8000).samples,
        render(Sound(frequencies=(697.0, 770.0)), rate=8000, start=0, count=8000).samples,
        render(Sound(frequencies=(660.0, 1209.0)), rate=8000, start=0, count=8000).samples,
        (sound("5", 1.0) // 100),
        np.random.default_rng(5).normal(0, 4000, 80_000).astype(np.int16),
        voice(8000, seconds=10.0),
    ],
    ids=["a row", "a column", "ringing", "two rows", "beside", "faint", "noise", "voice"],
)
def test_what_is_no_key(samples: Samples) -> None:
    ended, verdicts = listen(samples)
    assert ended == [] and KEY not in verdicts


def test_it_is_told_before_it_is_sure() -> None:
    _, verdicts = listen(hush(0.067), sound("5", 0.1), hush(0.1))
    assert verdicts == [NO] * 3 + [PERHAPS] + [KEY] * 5 + [NO] * 4


def test_a_key_whose_end_is_never_heard() -> None:
    listener = KeyListener(8000)
    assert listener.hear(sound("7", 0.1)) is KEY
    listener.stop()
    listener.stop()
    assert listener.next_event() == DigitStarted(digit="7")
    ended = listener.next_event()
    assert isinstance(ended, DigitEnded) and ended.duration == pytest.approx(0.1, abs=0.012)
    assert listener.next_event() is None
    assert listener.hear(hush(0.02)) is NO


def test_scraps_are_put_together() -> None:
    listener = KeyListener(8000)
    samples = np.concatenate((sound("3", 0.1), hush(0.1)))
    for at in range(0, len(samples), 37):
        listener.hear(samples[at : at + 37])
    assert listener.next_event() == DigitStarted(digit="3")
    assert isinstance(listener.next_event(), DigitEnded)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("off", [-0.015, 0.015])
def test_a_key_that_is_a_little_off(key: str, off: float) -> None:
    """Q.24: 1.5 % of a frequency is to be taken."""
    row, column = KEYS[key].frequencies
    both = tone(8000, row * (1 + off), seconds=0.06).astype(np.int32)
    both += tone(8000, column * (1 - off), seconds=0.06)
    ended, _ = listen(hush(0.07), both.astype(np.int16), hush(0.1))
    assert [digit for digit, _ in ended] == [key]


def vowel(chance: np.random.Generator) -> Samples:
    """A quarter of a second of a voice that glides, with three formants, and some breath."""
    count = 2000
    low, high = np.sort(chance.uniform(80, 320) * chance.uniform((0.8, 1.0), (1.0, 1.25)))
    turns = 2 * np.pi * np.cumsum(np.linspace(low, high, count)) / 8000
    centres = chance.uniform((250, 800, 2200), (900, 2300, 3200))
    said = np.zeros(count)
    for harmonic in range(1, int(3800 / high) + 1):
        near = (harmonic * (low + high) / 2 - centres) / np.array((80, 100, 150))
        loud = float((np.array((1, 0.7, 0.3)) / (1 + near**2)).sum()) + 0.003
        said += loud * np.sin(harmonic * turns + chance.uniform(0, 6))
    said *= np.sqrt(np.sin(np.pi * np.linspace(0, 1, count))) * 10_000 / np.abs(said).max()
    return np.rint(said + chance.normal(0, 60, count)).astype(np.int16)


def test_two_minutes_of_vowels_are_no_keys() -> None:
    chance = np.random.default_rng(11)
    ended, _ = listen(*(vowel(chance) for _ in range(480)))
    assert ended == []
