"""Resampling: tones stay, nothing folds back, and borders between frames can't be heard."""

import numpy as np
import pytest
from rtp_sound import frames, joined, snr, spectrum, tone, voice

from protocols.rtp.audio import Pcm, rms
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.resample import RATES, Resampler

PAIRS = [(low, high) for low in RATES for high in RATES if low != high]
VOICE_PAIRS = [(low, high) for low, high in PAIRS if {low, high} <= {8000, 16000, 48000}]


def converted(samples: np.ndarray, from_rate: int, to_rate: int, ptime: int = 20) -> np.ndarray:
    resampler = Resampler(from_rate, to_rate)
    return joined([resampler.convert(frame) for frame in frames(samples, from_rate, ptime)])


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_a_second_stays_a_second_and_a_tone_the_tone(from_rate: int, to_rate: int) -> None:
    heard = converted(tone(from_rate, 1000, seconds=2), from_rate, to_rate)
    assert len(heard) == pytest.approx(2 * to_rate, abs=1)
    levels = spectrum(heard, to_rate)
    assert levels[1000] == pytest.approx(0.0)
    others = [db for hertz, db in levels.items() if abs(hertz - 1000) > 20]
    assert max(others) < -60
    assert rms(heard[-to_rate:]) == pytest.approx(8000 / 2**0.5, rel=0.01)


@pytest.mark.parametrize(("from_rate", "to_rate"), [p for p in PAIRS if p[0] > p[1]])
def test_what_the_lower_rate_cant_hold_folds_nowhere(from_rate: int, to_rate: int) -> None:
    for beyond in (1.01, 1.1, 1.3, 1.7):
        hertz = to_rate / 2 * beyond
        if hertz < from_rate / 2:
            heard = converted(tone(from_rate, hertz, seconds=2), from_rate, to_rate)
            loudest = np.abs(heard[-to_rate:].astype(np.float64)).max()
            assert 20 * np.log10(max(loudest, 1) / 8000) < -50, hertz


@pytest.mark.parametrize(("from_rate", "to_rate"), [p for p in PAIRS if p[0] < p[1]])
def test_no_image_is_left_above_the_lower_rate(from_rate: int, to_rate: int) -> None:
    levels = spectrum(converted(tone(from_rate, 3300, seconds=2), from_rate, to_rate), to_rate)
    above = [db for hertz, db in levels.items() if hertz > from_rate / 2]
    assert max(above) < -50


@pytest.mark.parametrize(("low", "high"), [p for p in VOICE_PAIRS if p[0] < p[1]])
def test_a_voice_comes_back_from_the_higher_rate(low: int, high: int) -> None:
    said = voice(low, seconds=2)
    up, down = Resampler(low, high), Resampler(high, low)
    heard = joined([down.convert(up.convert(frame)) for frame in frames(said, low, 20)])
    assert snr(said, heard, most_delay=round((up.delay + down.delay) * low) + 2) > 35


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_the_cut_into_frames_makes_no_difference(from_rate: int, to_rate: int) -> None:
    said = voice(from_rate, seconds=0.6)
    whole = converted(said, from_rate, to_rate, ptime=600)
    for ptime in (10, 20, 30):
        parts = converted(said, from_rate, to_rate, ptime=ptime)
        assert np.abs(whole - parts.astype(np.int32)).max() <= 1
    chance = np.random.default_rng(5)
    resampler = Resampler(from_rate, to_rate)
    pieces = np.split(said, np.sort(chance.integers(0, len(said), 60)))
    odd = joined([resampler.convert(Pcm(rate=from_rate, samples=piece)) for piece in pieces])
    assert np.abs(whole - odd.astype(np.int32)).max() <= 1


def test_the_delay_is_as_told() -> None:
    for from_rate, to_rate in VOICE_PAIRS:
        click = np.zeros(from_rate // 2, dtype=np.int16)
        click[from_rate // 10] = 20000
        heard = converted(click, from_rate, to_rate)
        peak = np.abs(heard.astype(np.int32)).argmax() / to_rate
        delay = Resampler(from_rate, to_rate).delay
        assert delay < 0.0035
        assert peak - 0.1 == pytest.approx(delay, abs=1.5 / min(from_rate, to_rate))


def test_the_same_rate_passes_and_others_are_refused() -> None:
    pcm = Pcm(rate=8000, samples=tone(8000, 1000))
    same = Resampler(8000, 8000)
    assert same.convert(pcm) is pcm
    assert same.delay == 0.0
    with pytest.raises(LocalProtocolError):
        Resampler(16000, 8000).convert(pcm)
    with pytest.raises(LocalProtocolError):
        Resampler(8000, 11025)
