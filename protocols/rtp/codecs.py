"""Decoders and encoders by format: the one table that knows every codec."""

from collections.abc import Callable
from typing import Final

from protocols.rtp import g711, g722, l16, opus
from protocols.rtp.audio import Decoder, Encoder
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import Format

_DECODERS: Final[dict[str, Callable[[Format], Decoder]]] = {
    "PCMU": g711.decoder,
    "PCMA": g711.decoder,
    "G722": g722.decoder,
    "L16": l16.decoder,
    "opus": opus.decoder,
}
_ENCODERS: Final[dict[str, Callable[[Format, int], Encoder]]] = {
    "PCMU": g711.encoder,
    "PCMA": g711.encoder,
    "G722": g722.encoder,
    "L16": l16.encoder,
    "opus": opus.encoder,
}


def decoder(format: Format) -> Decoder:
    """A new stream's decoder; `LocalProtocolError` for comfort noise, which `comfort` reads."""
    make = _DECODERS.get(format.name)
    if make is None:
        raise LocalProtocolError(f"{format.name} has no decoder")
    return make(format)


def encoder(format: Format, ptime: int = 20) -> Encoder:
    """A new stream's encoder of packets of `ptime` milliseconds, one of `format.ptimes`."""
    make = _ENCODERS.get(format.name)
    if make is None:
        raise LocalProtocolError(f"{format.name} has no encoder")
    if ptime not in format.ptimes:
        raise LocalProtocolError(f"{format.name} has packets of {format.ptimes} ms, not {ptime}")
    return make(format, ptime)
