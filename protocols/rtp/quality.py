"""How a call sounded, from what the network did to it: the E-model of ITU-T G.107, simplified.

`rating` is R for default terminals; only delay, loss and the codec differ between calls. The
impairments of codecs are those of ITU-T G.113 Appendix I for decoders that conceal losses; Opus
is in no such table, its values are an estimate. Wideband codecs begin above what the scale shows
(R over 93.2), so that it takes them more loss to fall below G.711.
"""

from typing import Final

import msgspec

BEST: Final = 93.2  # R with all defaults of G.107
WORST_CODEC: Final = 95.0  # what a codec's impairment grows to with loss


class Impairment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a codec costs (Ie) and how well it stands loss (Bpl)."""

    equipment: float
    robustness: float


_G711: Final = Impairment(equipment=0.0, robustness=25.1)
# Ie of wideband codecs is below 0 here: 93.2 - Ie is their R without loss on the wideband scale,
# 129 less their Ie,wb (G.113 Appendix IV has 13 for G.722 at 64 kbit/s).
IMPAIRMENTS: Final[dict[str, Impairment]] = {
    "PCMU": _G711,
    "PCMA": _G711,
    "L16": _G711,
    "G722": Impairment(equipment=-22.8, robustness=13.0),
    "OPUS": Impairment(equipment=-27.0, robustness=20.0),
}


class StreamQuality(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One direction of a stream as its receiver has it.

    `jitter` and `delay` are in seconds, `delay` from mouth to ear; `fraction_lost` is 0 to 1, of
    the packets that there should have been; `mos` is None if nobody can say.
    """

    packets: int = 0
    octets: int = 0
    lost: int = 0
    fraction_lost: float = 0.0
    duplicated: int = 0
    reordered: int = 0
    jitter: float = 0.0
    delay: float = 0.0
    mos: float | None = None


def rating(*, delay: float, loss: float, codec: str = "PCMU", burst_ratio: float = 1.0) -> float:
    """R, 0 to 100, for a one-way `delay` in seconds from mouth to ear and a `loss` of 0 to 1.

    `codec` is a name of SDP in any case; one that is not known counts as G.711. `burst_ratio` is
    1 for losses that come at random, more when they come together (G.107 §3.5).
    """
    return max(
        0.0, min(100.0, BEST - _of_delay(delay * 1000) - _of_codec(loss, codec, burst_ratio))
    )


def judge(
    *,
    packets: int,
    octets: int,
    lost: int,
    unheard: int,
    expected: int,
    jitter: float,
    delay: float,
    codec: str,
    duplicated: int = 0,
    reordered: int = 0,
) -> StreamQuality:
    """A direction with its score; `unheard` is what was lost or came too late, of `expected`."""
    score = None
    if expected > 0:
        score = mos(rating(delay=delay, loss=unheard / expected, codec=codec))
    return StreamQuality(
        packets=packets,
        octets=octets,
        lost=lost,
        fraction_lost=min(1.0, lost / expected) if expected > 0 else 0.0,
        duplicated=duplicated,
        reordered=reordered,
        jitter=jitter,
        delay=delay,
        mos=score,
    )


def mos(r: float) -> float:
    """The mean opinion score of a rating, 1 to 4.5 (G.107 Annex B)."""
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def _of_delay(milliseconds: float) -> float:
    """Id: echo that is heard a little, and talking over each other from 177 ms on."""
    return 0.024 * milliseconds + 0.11 * max(0.0, milliseconds - 177.3)


def _of_codec(loss: float, codec: str, burst_ratio: float) -> float:
    """Ie,eff (§3.5)."""
    found = IMPAIRMENTS.get(codec.upper(), _G711)
    percent = 100 * max(0.0, min(1.0, loss))
    share = percent / (percent / burst_ratio + found.robustness)
    return found.equipment + (WORST_CODEC - found.equipment) * share
