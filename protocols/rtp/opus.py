"""Opus for speech by libopus: 48,000 samples a second, one channel (RFC 6716, RFC 7587).

A stereo packet is decoded to one channel by libopus itself. DTX is off: FFmpeg's wrapper has no
switch for it, and every packet comes. In-band FEC is off unless a loss is expected; FFmpeg offers
neither what a packet carries of the one before it nor libopus' own concealment, so a lost packet
is concealed as PCM (`conceal`), as with every other codec.
"""

from typing import Final

import msgspec

from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import Format
from protocols.rtp.libav import LibavDecoder, LibavEncoder


class OpusConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to encode: `bit_rate` a second, and for how many percent of `loss` FEC is sent (0-100).

    FEC costs bits of the same rate; 0 turns it off.
    """

    bit_rate: int = 32_000
    loss: int = 0


SPEECH: Final = OpusConfig()


def decoder(format: Format) -> LibavDecoder:
    """A stream's decoder."""
    return LibavDecoder("libopus", format.sample_rate)


def encoder(format: Format, ptime: int, config: OpusConfig | None = None) -> LibavEncoder:
    """A stream's encoder of packets of `ptime` milliseconds: 10, 20, 40 or 60.

    Without a `config` it is `SPEECH`, with FEC for the loss that `format` has.
    """
    config = config or msgspec.structs.replace(SPEECH, loss=format.loss)
    if ptime not in format.ptimes:
        raise LocalProtocolError(f"Opus has packets of {format.ptimes} ms, not of {ptime}")
    options = {
        "application": "voip",
        "vbr": "constrained",
        "frame_duration": str(ptime),
        "b": str(config.bit_rate),
        "fec": str(int(config.loss > 0)),
        "packet_loss": str(config.loss),
    }
    return LibavEncoder("libopus", format.sample_rate, format.samples(ptime), options)
