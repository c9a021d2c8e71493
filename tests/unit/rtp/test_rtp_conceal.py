"""Concealment: a loss can't be told from the sound around it at first, and fades after that."""

import numpy as np
import pytest
from rtp_sound import frames, joined, snr, tone, voice

from protocols.rtp.audio import Pcm, level, rms, silence, to_int16
from protocols.rtp.conceal import Concealer


def concealer(rate: int = 8000) -> Concealer:
    return Concealer(rate, np.random.default_rng(3))


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("hertz", [100, 147, 233])
def test_a_lost_frame_of_a_steady_sound_goes_on_with_it(rate: int, hertz: int) -> None:
    said = tone(rate, hertz)
    conceal = concealer(rate)
    heard = [
        conceal.lose(rate // 50) if at == 20 else conceal.play(frame)
        for at, frame in enumerate(frames(said, rate, 20))
    ]
    size = rate // 50
    window = slice(20 * size, 20 * size + size // 2)  # not yet fading
    wrong = to_int16((joined(heard)[window] - said[window]).astype(np.float32))
    assert rms(wrong) < rms(said[window]) / 4


def test_a_loss_leaves_no_steps() -> None:
    said = voice(8000)
    conceal = concealer()
    heard = joined(
        [
            conceal.lose(160) if at % 7 in (3, 4) else conceal.play(frame)
            for at, frame in enumerate(frames(said, 8000, 20))
        ]
    )
    largest = np.abs(np.diff(said.astype(np.int32))).max()
    assert np.abs(np.diff(heard.astype(np.int32))).max() < 1.6 * largest


def test_a_long_loss_fades_into_the_background_of_the_stream() -> None:
    chance = np.random.default_rng(5)
    background = (chance.standard_normal(8000) * 33).astype(np.int16)  # -60 dBov
    conceal = concealer()
    for frame in frames(np.concatenate([background, tone(8000, 200)]), 8000, 20):
        conceal.play(frame)
    lost = [conceal.lose(160) for _ in range(10)]
    loudness = [level(frame.samples) for frame in lost]
    assert loudness[0] <= 17  # the tone is at 15
    assert loudness[:3] == sorted(loudness[:3])
    assert all(quiet == pytest.approx(60, abs=2) for quiet in loudness[4:])


def test_a_background_is_never_loud_even_if_nothing_else_was_heard() -> None:
    conceal = concealer()
    for frame in frames(tone(8000, 200, peak=30000), 8000, 20):
        conceal.play(frame)
    assert level([conceal.lose(160) for _ in range(10)][-1].samples) >= 44


def test_before_anything_came_a_loss_is_quiet() -> None:
    first = concealer().lose(160)
    assert len(first.samples) == 160
    assert level(first.samples) >= 44


def test_what_came_is_not_changed_without_a_loss() -> None:
    said = voice(8000)
    conceal = concealer()
    assert (
        joined([conceal.play(frame) for frame in frames(said, 8000, 20)]).tolist() == said.tolist()
    )


def test_after_a_loss_only_the_first_5_ms_are_blended() -> None:
    said = voice(8000)
    whole = frames(said, 8000, 20)
    conceal = concealer()
    for frame in whole[:10]:
        conceal.play(frame)
    conceal.lose(160)
    after = conceal.play(whole[11])
    assert after.samples[40:].tolist() == whole[11].samples[40:].tolist()
    assert after.samples[:40].tolist() != whole[11].samples[:40].tolist()
    assert conceal.play(whole[12]) is whole[12]


def test_two_frames_are_squeezed_into_the_time_of_one() -> None:
    said = tone(8000, 200)  # a whole number of periods in a frame: squeezed, it is as it was
    whole = frames(said, 8000, 20)
    conceal = concealer()
    for frame in whole[:10]:
        conceal.play(frame)
    squeezed = conceal.squeeze(whole[10], whole[11])
    assert len(squeezed.samples) == 160
    assert snr(whole[11].samples, squeezed.samples) > 40
    other = conceal.squeeze(whole[12], Pcm(rate=8000, samples=voice(8000)[:240]))
    assert len(other.samples) == 240
    assert other.samples[0] == pytest.approx(whole[12].samples[0], abs=200)
    assert (
        conceal.squeeze(whole[13], silence(8000, 0)).samples.tolist() == whole[13].samples.tolist()
    )
