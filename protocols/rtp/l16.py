"""L16: PCM as it is, in network order (RFC 3551 §4.5.11)."""

from typing import Final

import numpy as np

from protocols.rtp.audio import Pcm
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import LONGEST, Format

_NETWORK: Final = np.dtype(">i2")


class _L16:
    """Both ways: it keeps nothing."""

    def __init__(self, rate: int) -> None:
        self.rate: Final = rate
        self._longest = 2 * rate * LONGEST // 1000

    def decode(self, payload: bytes) -> Pcm | None:
        if len(payload) % 2 or not 0 < len(payload) <= self._longest:
            return None
        samples = np.frombuffer(payload, dtype=_NETWORK).astype(np.int16)
        return Pcm(rate=self.rate, samples=samples)

    def encode(self, pcm: Pcm) -> bytes:
        if pcm.rate != self.rate:
            raise LocalProtocolError(f"this L16 takes {self.rate} samples a second, not {pcm.rate}")
        return pcm.samples.astype(_NETWORK).tobytes()


def decoder(format: Format) -> _L16:
    """At the format's rate; an odd number of octets is none of its payloads."""
    return _L16(format.sample_rate)


def encoder(format: Format, ptime: int) -> _L16:
    """At the format's rate; takes any number of samples, whatever `ptime` (milliseconds) says."""
    return _L16(format.sample_rate)
