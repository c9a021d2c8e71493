"""Tones by their spectrum and their cadence."""

import numpy as np
import pytest

from protocols.rtp.audio import rms
from protocols.rtp.tones import KEYS, RINGING, Sound, period, render


def loudest(sound: Sound, count: int, rate: int = 8000) -> list[float]:
    """The loudest frequencies of a second of it."""
    samples = render(sound, rate=rate, start=0, count=rate).samples.astype(np.float64)
    power = np.abs(np.fft.rfft(samples))
    return sorted(float(each) for each in np.argsort(power)[-count:])


@pytest.mark.parametrize(
    ("key", "row", "column"),
    [("1", 697, 1209), ("5", 770, 1336), ("9", 852, 1477), ("0", 941, 1336), ("D", 941, 1633)],
)
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_a_key_is_a_row_and_a_column(key: str, row: float, column: float, rate: int) -> None:
    assert loudest(KEYS[key], 2, rate) == [row, column]


def test_every_key_sounds_otherwise() -> None:
    assert len({sound.frequencies for sound in KEYS.values()}) == len(KEYS) == 16


@pytest.mark.parametrize("country", RINGING)
def test_a_country_rings_in_its_cadence(country: str) -> None:
    sound = RINGING[country]
    assert sound.cadence[0] > 0
    assert len(sound.cadence) % 2 == 0
    for again in range(2):
        at = again * period(sound)
        for number, seconds in enumerate(sound.cadence):
            start, count = round(at * 8000), round(seconds * 8000)
            samples = render(sound, rate=8000, start=start + 1, count=count - 2).samples
            if number % 2:
                assert not samples.any()
            else:
                assert rms(samples) > 3000
            at += seconds


def test_the_usa_ring_for_two_seconds_in_six() -> None:
    assert RINGING["us"].cadence == (2.0, 4.0)
    assert loudest(RINGING["us"], 2) == [440, 480]


def test_frames_go_on_where_the_one_before_ended() -> None:
    sound = RINGING["uk"]
    whole = render(sound, rate=8000, start=0, count=8000).samples
    parts = [render(sound, rate=8000, start=at, count=160).samples for at in range(0, 8000, 160)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_what_is_too_loud_is_cut_and_does_not_turn_over() -> None:
    loud = Sound(frequencies=(100.0, 100.0, 100.0), level=0)
    samples = render(loud, rate=8000, start=1, count=20).samples
    assert samples.max() == 32767
    assert samples[10] > 0
