"""PCMU and PCMA: G.711 by tables, made from the recommendation's definition at import.

Between the two laws no PCM is needed: a code becomes the code of the other law whose value is
where its own value falls, 256 octets of table and `bytes.translate`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import LONGEST, Format

_LONGEST: Final = 8000 * LONGEST // 1000  # octets
_EVERY_SAMPLE: Final = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
_EVERY_CODE: Final = np.arange(256, dtype=np.int32)


def _ulaw_values() -> Samples:
    """What each code means: 14 bits in the upper part of 16 (G.711 §3.2, table 2a)."""
    code = ~_EVERY_CODE & 0xFF
    segment, step = code >> 4 & 7, code & 15
    magnitude = ((2 * step + 33 << segment) - 33) * 4
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _ulaw_codes() -> NDArray[np.uint8]:
    """The code of each sample; a negative one is the mirror of its complement."""
    folded = np.where(_EVERY_SAMPLE < 0, ~_EVERY_SAMPLE, _EVERY_SAMPLE)
    biased = np.minimum((folded >> 2) + 33, 0x1FFF)
    segment = np.searchsorted(64 << np.arange(7), biased, side="right")
    code = segment << 4 | (biased >> (segment + 1) & 15)
    sign = np.where(_EVERY_SAMPLE < 0, 0x80, 0)
    codes: NDArray[np.uint8] = (~(code | sign) & 0xFF).astype(np.uint8)
    return codes


def _alaw_values() -> Samples:
    """What each code means: 13 bits in the upper part of 16 (G.711 §3.2, table 1a)."""
    code = _EVERY_CODE ^ 0x55
    segment, step = code >> 4 & 7, code & 15
    linear = 2 * step + 1
    magnitude = np.where(segment > 0, linear + 32 << np.maximum(segment - 1, 0), linear) * 8
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _alaw_codes() -> NDArray[np.uint8]:
    """The code of each sample, every other bit inverted."""
    folded = np.where(_EVERY_SAMPLE < 0, ~_EVERY_SAMPLE, _EVERY_SAMPLE) >> 4
    segment = np.searchsorted(16 << np.arange(7), folded, side="right")
    code = segment << 4 | (folded >> np.maximum(segment - 1, 0) & 15)
    sign = np.where(_EVERY_SAMPLE < 0, 0, 0x80)
    return ((code | sign) ^ 0x55).astype(np.uint8)


_VALUES: Final = {"PCMU": _ulaw_values(), "PCMA": _alaw_values()}
_CODES: Final = {"PCMU": _ulaw_codes(), "PCMA": _alaw_codes()}

_TO_ALAW: Final = _CODES["PCMA"][_VALUES["PCMU"].view(np.uint16)].tobytes()
_TO_ULAW: Final = _CODES["PCMU"][_VALUES["PCMA"].view(np.uint16)].tobytes()


def ulaw_to_alaw(payload: bytes) -> bytes:
    """A PCMU payload as PCMA, octet by octet."""
    return payload.translate(_TO_ALAW)


def alaw_to_ulaw(payload: bytes) -> bytes:
    """A PCMA payload as PCMU, octet by octet."""
    return payload.translate(_TO_ULAW)


class _G711Decoder:
    rate: Final = 8000

    def __init__(self, values: Samples) -> None:
        self._values = values

    def decode(self, payload: bytes) -> Pcm | None:
        if not 0 < len(payload) <= _LONGEST:
            return None
        return Pcm(rate=8000, samples=self._values.take(np.frombuffer(payload, np.uint8)))


class _G711Encoder:
    rate: Final = 8000

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        self._codes = codes

    def encode(self, pcm: Pcm) -> bytes:
        if pcm.rate != 8000:
            raise LocalProtocolError(f"G.711 takes 8000 samples a second, not {pcm.rate}")
        return self._codes.take(pcm.samples.view(np.uint16)).tobytes()


def decoder(format: Format) -> _G711Decoder:
    """For PCMU or PCMA."""
    return _G711Decoder(_VALUES[format.name])


def encoder(format: Format, ptime: int) -> _G711Encoder:
    """For PCMU or PCMA; takes any number of samples, whatever `ptime` (milliseconds) says."""
    return _G711Encoder(_CODES[format.name])


def values(format: Format) -> Samples:
    """For PCMU or PCMA what each code means: many streams at once."""
    return _VALUES[format.name]


def codes(format: Format) -> NDArray[np.uint8]:
    """For PCMU or PCMA the code of each sample, by the sample's 16 bits: many streams at once."""
    return _CODES[format.name]
