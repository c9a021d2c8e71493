"""Packets in which nothing is heard, by format: any number of them, whatever was heard before.

A decoder falls silent with them. So they can be sent between two sounds, and cost no encoding.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from protocols.rtp import g722
from protocols.rtp.audio import silence
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import Format

_TEN: Final = b"\xf0\xff\xfe"  # RFC 6716 §3.1: CELT of 10 ms, one frame, that begins with "silence"
_TWENTY: Final = 0xF8  # the same of 20 ms
_MANY: Final = 3  # frames whose number is told, all of one length (§3.2.5)
_SILENT: Final = b"\xff\xfe"  # a frame
# Packets of G.722 before the one that is still when it comes over and over, whatever its length,
# and behind which a key is whole: found by trying.
_BEFORE: Final = 23


def _opus(format: Format, ptime: int) -> bytes:
    if ptime < 20:
        return _TEN
    frames = ptime // 20
    if frames == 1:
        return bytes([_TWENTY]) + _SILENT
    return bytes([_TWENTY | _MANY, frames]) + _SILENT * frames


def _g722(format: Format, ptime: int) -> bytes:
    """Silence as its encoder says it.

    One octet over and over would be as still, but teaches a decoder what mars the sound after it.
    """
    encoder, pcm = g722.encoder(format, ptime), silence(format.sample_rate, format.samples(ptime))
    for _ in range(_BEFORE):
        encoder.encode(pcm)
    return encoder.encode(pcm)


_PAYLOADS: Final[dict[str, Callable[[Format, int], bytes]]] = {
    "PCMU": lambda format, ptime: b"\xff" * format.samples(ptime),
    "PCMA": lambda format, ptime: b"\xd5" * format.samples(ptime),
    "G722": _g722,
    "L16": lambda format, ptime: bytes(2 * format.samples(ptime)),
    "opus": _opus,
}


@lru_cache(maxsize=64)
def payload(format: Format, ptime: int) -> bytes:
    """A packet of `ptime` milliseconds, one of `format.ptimes`; always the same octets.

    `LocalProtocolError` for comfort noise, which is no sound by itself.
    """
    make = _PAYLOADS.get(format.name)
    if make is None or ptime not in format.ptimes:
        raise LocalProtocolError(f"{format.name} has no packet of {ptime} ms")
    return make(format, ptime)
