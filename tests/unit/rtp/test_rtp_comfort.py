"""Comfort noise: what its payload says, and that the noise is what was said."""

import numpy as np
import pytest
from rtp_sound import joined, spectrum, tone

from protocols.rtp.audio import Pcm, level, silence
from protocols.rtp.comfort import Comfort, ComfortNoise, measure, read, write


def made(comfort: Comfort, *, rate: int = 8000, seconds: int = 2) -> np.ndarray:
    noise = ComfortNoise(rate, np.random.default_rng(3))
    noise.update(comfort)
    return joined([noise.generate(rate // 50) for _ in range(50 * seconds)])


def test_a_payload_of_a_level_alone() -> None:
    assert read(b"\x40") == Comfort(level=64)
    assert read(b"\xc0") == Comfort(level=64)  # the highest bit is reserved
    assert read(b"") is None
    assert write(Comfort(level=64)) == b"\x40"
    assert write(Comfort(level=-3)) == b"\x00"
    assert write(Comfort(level=300)) == b"\x7f"


def test_coefficients_are_as_rfc_3389_section_3_2_scales_them() -> None:
    comfort = read(bytes([30, 127, 254, 0, 200, 255]))
    assert comfort is not None
    highest = 258 * 127 / 32768
    assert comfort.reflections == (0.0, highest, -highest, 258 * 73 / 32768, highest)
    assert write(comfort) == bytes([30, 127, 254, 0, 200, 254])


@pytest.mark.parametrize("coefficients", [b"", b"\x7f", bytes([60]), bytes([230, 90, 140])])
@pytest.mark.parametrize("loudness", [20, 45, 70])
def test_the_noise_is_as_loud_as_was_said(loudness: int, coefficients: bytes) -> None:
    comfort = read(bytes([loudness]) + coefficients)
    assert comfort is not None
    assert level(made(comfort)) == pytest.approx(loudness, abs=1)


def test_silence_is_silent_and_the_first_state() -> None:
    assert not made(Comfort(level=127)).any()
    noise = ComfortNoise(8000, np.random.default_rng(3))
    assert not noise.generate(160).samples.any()
    assert noise.comfort == Comfort(level=127)


def test_coefficients_colour_the_noise() -> None:
    """One negative reflection makes a pole near 0 Hz, one positive a pole near half the rate."""

    def tilt(reflection: float) -> float:
        power = 10 ** (
            np.array(
                list(spectrum(made(Comfort(level=30, reflections=(reflection,))), 8000).values())
            )
            / 10
        )
        return 10 * np.log10(power[:1000].sum() / power[3000:4000].sum())

    assert tilt(-0.8) > 10
    assert abs(tilt(0.0)) < 2
    assert tilt(0.8) < -10


def test_a_frame_goes_on_where_the_last_one_ended() -> None:
    """Coloured noise in frames has no steps that the same noise in one piece has not."""
    frames = made(Comfort(level=20, reflections=(-0.98,)))
    steps = np.abs(np.diff(frames.astype(np.float64)))
    borders = steps[159::160]
    assert borders.mean() < 1.5 * steps.mean()


@pytest.mark.parametrize("payload", [bytes([10]) + b"\x00" * 300, bytes([0]) + b"\xff" * 300])
def test_the_worst_coefficients_make_noise_within_the_scale(payload: bytes) -> None:
    comfort = read(payload)
    assert comfort is not None
    assert len(comfort.reflections) == 12
    assert np.isfinite(made(comfort).astype(np.float64)).all()


def test_a_background_is_measured() -> None:
    assert measure(Pcm(rate=8000, samples=tone(8000, 500, peak=3276.7))) == Comfort(level=23)
    assert measure(silence(8000, 160)) == Comfort(level=127)
