"""A call's SIP messages as one row of the trace: packed, small, and without what must stay secret.

A row begins with an octet that no row of PDUs begins with, so that the two are told apart. Keys of
SRTP, answers to challenges and digits that were pressed are replaced by as many signs, so that
lengths, and with them the framing of what is shown again as packets, stay as they were.
"""

import re
import zlib
from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.calls.model import Crossing
from gateway.store.base import Row

VERSION: Final = b"\x01"  # a row of PDUs begins with msgpack's mark of a list: 0x90 and above
_LEVEL: Final = 1  # more costs CPU beside the calls and saves little
_MOST: Final = 64 * 1024 * 1024  # octets of one unpacked ladder

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Crossing]).decode

# How a place begins that may hold secrets, in small letters, and which part of its line they are.
_CREDENTIALS: Final = re.compile(
    rb"(\b(?:response|nonce|nextnonce|cnonce|rspauth|opaque)\s*=\s*\"?)([^\",;\s]+)"
    rb"|(\A[^:\n]*:\s*(?:Basic|Bearer)\s+)(\S+)",
    re.IGNORECASE,
)
_PLACES: Final = (
    (b"authoriz", _CREDENTIALS),  # RFC 3261 §20.7, §20.28
    (b"authentic", _CREDENTIALS),  # §20.6, §20.27, §20.44
    (b"inline:", re.compile(rb"(inline:)([^|;\s]+)", re.IGNORECASE)),  # RFC 4568
    (b"\nk=", re.compile(rb"(k=)(\S+)", re.IGNORECASE)),  # RFC 4566
    (b"\nsignal", re.compile(rb"(signal\s*=\s*)(\S+)", re.IGNORECASE)),  # INFO's dtmf-relay
)
_DIGITS: Final = re.compile(rb"()(\S+)")
_DIGITS_TYPE: Final = b"application/dtmf\r\n"  # whose body is a digit and nothing else
_BODY: Final = b"\r\n\r\n"


def masked(octets: bytes) -> bytes:
    """`octets` of a message with `*` for each octet of a secret; as long as before."""
    lowered = octets.lower()
    found = [place for place in _PLACES if place[0] in lowered]
    if not found and _DIGITS_TYPE not in lowered:
        return octets
    shown = bytearray(octets)
    for mark, pattern in found:
        at = lowered.find(mark)
        while at >= 0:
            end = _end_of_line(lowered, at + len(mark))
            shown[at:end] = pattern.sub(_mask, octets[at:end])
            at = lowered.find(mark, end)
    body = lowered.find(_BODY) + len(_BODY)
    if lowered.find(_DIGITS_TYPE, 0, body) >= 0:
        shown[body:] = _DIGITS.sub(_mask, octets[body:])
    return bytes(shown)


def _end_of_line(octets: bytes, at: int) -> int:
    """Where the line ends that `at` is in, with those that continue it (RFC 3261 §7.3.1)."""
    while (end := octets.find(b"\n", at)) >= 0 and octets[end + 1 : end + 2] in (b" ", b"\t"):
        at = end + 1
    return end if end >= 0 else len(octets)


def _mask(match: "re.Match[bytes]") -> bytes:
    at = match.lastindex or 0
    return match[at - 1] + b"*" * len(match[at])


def packed(crossings: Iterable[Crossing]) -> bytes:
    """A row's octets."""
    ladder = [
        (each.at, each.sent, each.transport, each.local, each.remote, masked(each.octets))
        for each in crossings
    ]
    return VERSION + zlib.compress(_encode(ladder), _LEVEL)


def unpacked(frames: bytes) -> list[Crossing]:
    """The messages that a row holds; none of a row of PDUs, or of one that can't be read."""
    if frames[:1] != VERSION:
        return []
    inflate = zlib.decompressobj()
    try:
        octets = inflate.decompress(frames[1:], _MOST)
        return _decode(octets)
    except (zlib.error, msgspec.DecodeError):
        return []


def ladder_of(rows: Iterable[Row]) -> list[Crossing]:
    """The messages of a call, in the order of their times."""
    ladder = [each for row in rows for each in unpacked(row[0])]
    return sorted(ladder, key=lambda each: each.at)
