"""G.722 at 64 kbit/s: 16,000 samples a second, an octet for two of them (RFC 3551 §4.5.2)."""

from typing import Final

from protocols.rtp.formats import Format
from protocols.rtp.libav import LibavDecoder, LibavEncoder

# The codec knows no frames; FFmpeg's encoder has them, and 10 ms fit in every length of a packet.
_OPTIONS: Final = {"frame_size": "160"}


def decoder(format: Format) -> LibavDecoder:
    """A stream's decoder: its predictors go on from packet to packet."""
    return LibavDecoder("g722", format.sample_rate)


def encoder(format: Format, ptime: int) -> LibavEncoder:
    """A stream's encoder of packets of `ptime` milliseconds."""
    return LibavEncoder("g722", format.sample_rate, format.samples(ptime), _OPTIONS)
