"""The audio formats that we speak, as SDP names them, without a codec behind them.

What negotiates and what counts time needs the names, rates and lengths of a format, and neither
numpy nor FFmpeg; those come with `codecs`. A format's RTP clock is not always the rate of its
samples: G.722 has 16,000 samples a second and counts 8,000 (RFC 3551 §4.5.2), Opus always counts
48,000 (RFC 7587 §4.1).
"""

from collections.abc import Callable
from typing import Final

import msgspec

PTIMES: Final = (10, 20, 30, 40, 50, 60)
"""The lengths of a packet that we send, milliseconds."""

LONGEST: Final = 200
"""The longest packet that we take, milliseconds (RFC 3551 §4.2 asks for it)."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One format: `name`, `clock_rate` and `channels` as in rtpmap, `sample_rate` of its PCM.

    `payload_type` is its static number (RFC 3551 §6), None if it has only a dynamic one;
    `ptimes` are the lengths of a packet that its encoder makes, milliseconds. The PCM is mono
    whatever `channels` says: Opus is written "opus/48000/2" for one channel too (RFC 7587 §7).
    `loss` is for how many percent of lost packets an encoder says things twice, if it can.
    """

    name: str
    clock_rate: int
    sample_rate: int
    channels: int = 1
    payload_type: int | None = None
    ptimes: tuple[int, ...] = PTIMES
    loss: int = 0

    def samples(self, ptime: int) -> int:
        """How many PCM samples `ptime` milliseconds are."""
        return self.sample_rate * ptime // 1000

    def ptime(self, wanted: int) -> int:
        """The longest packet that it has and that is no longer than `wanted`, milliseconds.

        The shortest that it has, if all are longer.
        """
        return max((each for each in self.ptimes if each <= wanted), default=self.ptimes[0])

    def ticks(self, payload: bytes) -> int:
        """How far the RTP timestamp goes on over `payload`; 0 if it can't be told.

        Comfort noise lasts until something else comes, so it is 0 for that.
        """
        return _TICKS[self.name](payload)

    @property
    def ticker(self) -> Callable[[bytes], int]:
        """`ticks` as a function, for who asks it of every packet."""
        return _TICKS[self.name]


PCMU: Final = Format(name="PCMU", clock_rate=8000, sample_rate=8000, payload_type=0)
PCMA: Final = Format(name="PCMA", clock_rate=8000, sample_rate=8000, payload_type=8)
G722: Final = Format(name="G722", clock_rate=8000, sample_rate=16000, payload_type=9)
L16_8000: Final = Format(name="L16", clock_rate=8000, sample_rate=8000)
L16_16000: Final = Format(name="L16", clock_rate=16000, sample_rate=16000)
L16_44100: Final = Format(name="L16", clock_rate=44100, sample_rate=44100, payload_type=11)
OPUS: Final = Format(
    name="opus", clock_rate=48000, sample_rate=48000, channels=2, ptimes=(10, 20, 40, 60)
)
OPUS_WITH_FEC: Final = msgspec.structs.replace(OPUS, loss=10)
CN: Final = Format(name="CN", clock_rate=8000, sample_rate=8000, payload_type=13)

FORMATS: Final = (PCMU, PCMA, G722, L16_8000, L16_16000, L16_44100, OPUS, CN)

_BY_NAME: Final = {(format.name.lower(), format.clock_rate): format for format in FORMATS}
_STATIC: Final = {
    format.payload_type: format for format in FORMATS if format.payload_type is not None
}


def find(name: str, clock_rate: int) -> Format | None:
    """The format that rtpmap calls so, whatever the case (RFC 4855 §3); None if we have it not."""
    return _BY_NAME.get((name.lower(), clock_rate))


def static(payload_type: int) -> Format | None:
    """The format that has this number without an rtpmap; None if it is none of ours."""
    return _STATIC.get(payload_type)


# RFC 6716 §3.1: a TOC octet's upper five bits say how long a frame is; in ticks of 48,000 a second.
_SILK: Final = (480, 960, 1920, 2880)
_HYBRID: Final = (480, 960)
_CELT: Final = (120, 240, 480, 960)
_OPUS_FRAME: Final = _SILK * 3 + _HYBRID * 2 + _CELT * 4
_OPUS_MOST: Final = 5760  # 120 ms, the longest that an Opus packet may be (RFC 6716 §3.4)


def _opus_ticks(payload: bytes) -> int:
    if not payload:
        return 0
    toc = payload[0]
    frame = _OPUS_FRAME[toc >> 3]
    match toc & 3:
        case 0:
            return frame
        case 1 | 2:
            return 2 * frame
    ticks = frame * (payload[1] & 0x3F) if len(payload) > 1 else 0
    return ticks if ticks <= _OPUS_MOST else 0


_TICKS: Final[dict[str, Callable[[bytes], int]]] = {
    "PCMU": len,
    "PCMA": len,
    "G722": len,
    "L16": lambda payload: len(payload) // 2,
    "opus": _opus_ticks,
    "CN": lambda payload: 0,
}
