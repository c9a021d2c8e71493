"""Packets in which nothing is heard, by format, without a codec: any number of them, in any state.

A decoder falls silent with them whatever it heard before. So they can be sent between two sounds,
and cost neither an encoder nor an encoding.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import Format

_TEN: Final = b"\xf0\xff\xfe"  # RFC 6716 §3.1: CELT of 10 ms, one frame, that begins with "silence"
_TWENTY: Final = 0xF8  # the same of 20 ms
_MANY: Final = 3  # frames whose number is told, all of one length (§3.2.5)
_SILENT: Final = b"\xff\xfe"  # a frame


def _opus(format: Format, ptime: int) -> bytes:
    if ptime < 20:
        return _TEN
    frames = ptime // 20
    if frames == 1:
        return bytes([_TWENTY]) + _SILENT
    return bytes([_TWENTY | _MANY, frames]) + _SILENT * frames


_PAYLOADS: Final[dict[str, Callable[[Format, int], bytes]]] = {
    "PCMU": lambda format, ptime: b"\xff" * format.samples(ptime),
    "PCMA": lambda format, ptime: b"\xd5" * format.samples(ptime),
    # Nothing in G.722 decodes to zeros; this is the least, and has no frequency but 0.
    "G722": lambda format, ptime: b"\xfc" * (format.samples(ptime) // 2),
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
