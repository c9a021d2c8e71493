"""A call's SIP messages and documents as rows of the trace: packed, small, without secrets.

A row begins with an octet that says what it holds, and that no row of PDUs begins with. Keys of
SRTP, answers to challenges and digits that were pressed are replaced by as many signs, so that
lengths, and with them the framing of what is shown again as packets, stay as they were.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from gateway.calls.documents import Exchange
from gateway.calls.model import Crossing
from gateway.store.base import Row

T = TypeVar("T")

# A row of PDUs begins with msgpack's mark of a list: 0x90 and above.
LADDER: Final = b"\x01"
EXCHANGES: Final = b"\x02"
_LEVEL: Final = 1  # more costs CPU beside the calls and saves little
# 8 KiB to look back on hold most ladders whole; to make room for more takes longer than to write.
_WINDOW: Final = 13
_MEMORY: Final = 6
_MOST: Final = 64 * 1024 * 1024  # octets of one unpacked ladder

_encode = msgspec.msgpack.Encoder().encode
_crossings = msgspec.msgpack.Decoder(list[Crossing])
_exchanges = msgspec.msgpack.Decoder(list[Exchange])

# How a place begins that may hold secrets, in small letters, and which part of its line they are.
_CREDENTIALS: Final = re.compile(
    rb"(\b(?:response|nonce|nextnonce|cnonce|rspauth|opaque)\s*=\s*\"?)([^\",;\s]+)"
    rb"|(\A[^:\n]*:\s*(?:Basic|Bearer)\s+)(\S+)",
    re.IGNORECASE,
)
_KEY: Final = b"inline:"
_PLACES: Final = (
    (b"authoriz", _CREDENTIALS),  # RFC 3261 §20.7, §20.28
    (b"authentic", _CREDENTIALS),  # §20.6, §20.27, §20.44
    (_KEY, re.compile(rb"(inline:)([^|;\s]+)", re.IGNORECASE)),  # RFC 4568
    (b"\nk=", re.compile(rb"(k=)(\S+)", re.IGNORECASE)),  # RFC 4566
    (b"\nsignal", re.compile(rb"(signal\s*=\s*)(\S+)", re.IGNORECASE)),  # INFO's dtmf-relay
)
_DIGITS: Final = re.compile(rb"()(\S+)")
_DIGITS_TYPE: Final = b"application/dtmf\r\n"  # whose body is a digit and nothing else
_BODY: Final = b"\r\n\r\n"
_BETWEEN: Final = b"\n\0"  # ends a message's last line, and no mark has it


def masked(messages: Sequence[bytes]) -> Sequence[bytes]:
    """`messages` without the secrets in them, and each as long as before.

    Instead of them stands `*`, in keys of SRTP `A`: what reads SDP reads base64 there. They are
    looked through as one: most have no secret, and to begin a look costs more than to go on.
    """
    whole = _BETWEEN.join(messages)
    lowered = whole.lower()
    found = [place for place in _PLACES if place[0] in lowered]
    has_digits = _DIGITS_TYPE in lowered
    if not found and not has_digits:
        return messages
    shown = bytearray(whole)
    for mark, pattern in found:
        replaced = _mask_key if mark == _KEY else _mask
        at = lowered.find(mark)
        while at >= 0:
            end = _end_of_line(lowered, at + len(mark))
            shown[at:end] = pattern.sub(replaced, whole[at:end])
            at = lowered.find(mark, end)
    parts = _parts(bytes(shown), messages)
    return list(map(_without_digits, messages, parts)) if has_digits else parts


def _parts(whole: bytes, messages: Sequence[bytes]) -> list[bytes]:
    """What now stands at the places of `messages`."""
    parts, at = [], 0
    for message in messages:
        parts.append(whole[at : at + len(message)])
        at += len(message) + len(_BETWEEN)
    return parts


def _without_digits(message: bytes, shown: bytes) -> bytes:
    """What is shown of `message` so far, without the digit that may be its body."""
    lowered = message.lower()
    body = lowered.find(_BODY) + len(_BODY)
    if lowered.find(_DIGITS_TYPE, 0, body) < 0:
        return shown
    return shown[:body] + _DIGITS.sub(_mask, message[body:])


def _end_of_line(octets: bytes, at: int) -> int:
    """Where the line ends that `at` is in, with those that continue it (RFC 3261 §7.3.1)."""
    while (end := octets.find(b"\n", at)) >= 0 and octets[end + 1 : end + 2] in (b" ", b"\t"):
        at = end + 1
    return end if end >= 0 else len(octets)


def _mask(match: "re.Match[bytes]") -> bytes:
    at = match.lastindex or 0
    return match[at - 1] + b"*" * len(match[at])


def _mask_key(match: "re.Match[bytes]") -> bytes:
    key = match[2].rstrip(b"=")
    return match[1] + b"A" * len(key) + b"=" * (len(match[2]) - len(key))


def packed(crossings: Sequence[Crossing]) -> bytes:
    """A row's octets."""
    shown = masked([each.octets for each in crossings])
    ladder = [
        (each.at, each.sent, each.transport, each.local, each.remote, octets)
        for each, octets in zip(crossings, shown, strict=True)
    ]
    return LADDER + _compressed(_encode(ladder))


def exchanges_packed(exchanges: Iterable[Exchange]) -> bytes:
    """A row's octets: what apps were asked, and what they answered."""
    return EXCHANGES + _compressed(_encode(list(exchanges)))


def _compressed(octets: bytes) -> bytes:
    maker = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
    return maker.compress(octets) + maker.flush()


def unpacked(frames: bytes) -> list[Crossing]:
    """The messages that a row holds; none of another row, or of one that can't be read."""
    return _unpacked(frames, LADDER, _crossings)


def ladder_of(rows: Iterable[Row]) -> list[Crossing]:
    """The messages of a call, in the order of their times."""
    ladder = [each for row in rows for each in unpacked(row[0])]
    return sorted(ladder, key=lambda each: each.at)


def exchanges_of(rows: Iterable[Row]) -> list[Exchange]:
    """What the apps of a call were asked, in the order in which it was kept."""
    return [each for row in rows for each in _unpacked(row[0], EXCHANGES, _exchanges)]


def _unpacked(frames: bytes, kind: bytes, decoder: "msgspec.msgpack.Decoder[list[T]]") -> list[T]:
    if frames[:1] != kind:
        return []
    try:
        return decoder.decode(zlib.decompressobj().decompress(frames[1:], _MOST))
    except (zlib.error, msgspec.DecodeError):
        return []
