"""The E-model: values of ITU-T G.107 and G.113, and the order in which calls are bad."""

import pytest

from protocols.rtp.quality import judge, mos, rating


@pytest.mark.parametrize(
    ("r", "score"),
    [
        (93.2, 4.41),
        (90, 4.34),
        (80, 4.03),
        (70, 3.60),
        (60, 3.10),
        (50, 2.58),
        (0, 1.0),
        (100, 4.5),
    ],
)
def test_the_score_of_a_rating(r: float, score: float) -> None:
    """The table of G.107 Annex B."""
    assert mos(r) == pytest.approx(score, abs=0.007)


def test_the_score_never_leaves_its_scale() -> None:
    assert min(mos(r / 10) for r in range(1001)) == 1.0
    assert max(mos(r / 10) for r in range(1001)) == 4.5


def test_the_best_call() -> None:
    assert rating(delay=0, loss=0) == 93.2


@pytest.mark.parametrize(
    ("delay", "r"), [(0.1, 93.2 - 2.4), (0.1773, 93.2 - 4.2552), (0.3, 93.2 - 7.2 - 0.11 * 122.7)]
)
def test_delay(delay: float, r: float) -> None:
    assert rating(delay=delay, loss=0) == pytest.approx(r)


@pytest.mark.parametrize(
    ("loss", "r"),
    [(0.01, 93.2 - 95 / 26.1), (0.05, 93.2 - 95 * 5 / 30.1), (1.0, 93.2 - 95 / 1.251)],
)
def test_loss_of_g711_with_concealment(loss: float, r: float) -> None:
    assert rating(delay=0, loss=loss, codec="pcma") == pytest.approx(r)


def test_losses_that_come_together_are_worse() -> None:
    assert rating(delay=0, loss=0.02, burst_ratio=2) < rating(delay=0, loss=0.02)


def test_wideband_stands_above_the_scale() -> None:
    for codec in ("G722", "opus"):
        assert rating(delay=0.05, loss=0, codec=codec) == 100
        assert rating(delay=0.05, loss=0.05, codec=codec) > rating(delay=0.05, loss=0.05)


def test_a_codec_that_nobody_knows_counts_as_g711() -> None:
    assert rating(delay=0, loss=0.03, codec="X-SPEEX") == rating(delay=0, loss=0.03)


@pytest.mark.parametrize("codec", ["PCMU", "G722", "opus"])
def test_more_loss_and_more_delay_are_never_better(codec: str) -> None:
    by_loss = [rating(delay=0.05, loss=loss / 100, codec=codec) for loss in range(101)]
    by_delay = [rating(delay=delay / 100, loss=0.01, codec=codec) for delay in range(200)]
    assert by_loss == sorted(by_loss, reverse=True)
    assert by_delay == sorted(by_delay, reverse=True)
    assert min(by_loss + by_delay) >= 0


def test_a_direction_without_packets_has_no_score() -> None:
    quality = judge(
        packets=0, octets=0, lost=0, unheard=0, expected=0, jitter=0, delay=0, codec="PCMU"
    )
    assert (quality.mos, quality.fraction_lost) == (None, 0)


def test_what_comes_too_late_is_unheard_and_not_lost() -> None:
    quality = judge(
        packets=98, octets=9, lost=2, unheard=10, expected=100, jitter=0, delay=0.06, codec="PCMU"
    )
    assert quality.fraction_lost == 0.02
    assert quality.mos == mos(rating(delay=0.06, loss=0.1))
