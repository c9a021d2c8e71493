"""Keys of SRTP in a description: `a=crypto` (RFC 4568) as a value, read, written and judged.

Either side names the key with which it sends. Keys never show in a `repr`, for those end in logs;
`redact` takes them out of a body, and of a whole message, that a person is shown.
"""

import binascii
import re
from collections.abc import Sequence
from typing import Final

import msgspec

_MOST_KEYS: Final = 16
_MOST_PARAMS: Final = 16
# `k=` was for keys before RFC 8866 §5.12 forbade it.
# `ice-pwd` is a key of the checks of ICE.
_SECRET: Final = re.compile(rb"(inline:|^k=|ice-pwd:)[^|;\s]+", re.IGNORECASE | re.MULTILINE)

# Those that our media plane speaks, with the octets of master key and master salt: RFC 4568 §6.2,
# RFC 7714 §14.2.
SUITES: Final[dict[str, tuple[int, int]]] = {
    "AES_CM_128_HMAC_SHA1_80": (16, 14),
    "AES_CM_128_HMAC_SHA1_32": (16, 14),
    "AEAD_AES_128_GCM": (16, 12),
    "AEAD_AES_256_GCM": (32, 12),
}


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A master key with its salt behind it.

    `lifetime` counts packets, 0 if none is given; `mki` and `mki_octets` are the identifier that
    packets carry and its length, 0 octets if they carry none.
    """

    octets: bytes
    lifetime: int = 0
    mki: int = 0
    mki_octets: int = 0

    def __repr__(self) -> str:
        return f"Key({len(self.octets)} octets)"


class Crypto(msgspec.Struct, frozen=True, kw_only=True):
    """One `a=crypto` (§9.1): a suite by its name, its keys and the session parameters as text."""

    tag: int
    suite: str
    keys: tuple[Key, ...]
    params: tuple[str, ...] = ()


def octets_of(suite: str) -> int:
    """How many octets master key and salt of `suite`, one of `SUITES`, have together."""
    return sum(SUITES[suite])


def choose(offered: Sequence[Crypto], suites: Sequence[str]) -> Crypto | None:
    """The first of what a peer offers that we can do (§5.1.2); None if there is none."""
    return next((each for each in offered if is_usable(each, suites)), None)


def is_usable(crypto: Crypto, suites: Sequence[str]) -> bool:
    """Whether it has one of `suites`, one key without an MKI, and nothing that we don't do.

    Of session parameters WSH may be ignored, and any with "-" before its name (§6.3.7, §6.3.8);
    one that takes encryption or authentication away makes it none for us.
    """
    if crypto.suite not in suites or len(crypto.keys) != 1:
        return False
    (key,) = crypto.keys
    if key.mki_octets or len(key.octets) != octets_of(crypto.suite):
        return False
    return all(each.startswith(("-", "WSH=")) for each in crypto.params)


def redact(octets: bytes) -> bytes:
    """`octets` with "…" in the place of each key; reads as SDP as before, but for those lines."""
    return _SECRET.sub("\\1…".encode(), octets)


def read_crypto(text: str) -> Crypto | None:
    """The value of an `a=crypto`; None if it can't be read."""
    tag, *rest = text.split(maxsplit=2)[:3] or [""]
    if len(rest) != 2 or not _is_number(tag, 9):
        return None
    suite, (inline, *params) = rest[0], rest[1].split(maxsplit=_MOST_PARAMS + 1)
    parts = inline.split(";", _MOST_KEYS)
    if len(params) > _MOST_PARAMS or len(parts) > _MOST_KEYS:
        return None
    keys: list[Key] = []
    for part in parts:
        key = _read_key(part)
        if key is None:
            return None
        keys.append(key)
    return Crypto(tag=int(tag), suite=suite, keys=tuple(keys), params=tuple(params))


def _read_key(text: str) -> Key | None:
    method, _, rest = text.partition(":")
    encoded, *more = rest.split("|")
    if method.lower() != "inline" or not encoded or len(more) > 2:
        return None
    bare = encoded.rstrip("=")
    try:
        octets = binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except ValueError:
        return None
    lifetime, mki, mki_octets = 0, 0, 0
    if more and ":" not in more[0]:
        lifetime = _read_lifetime(more.pop(0))
        if not lifetime:
            return None
    if more:
        name, _, length = more.pop(0).partition(":")
        if more or not (_is_number(name, 38) and _is_number(length, 3)):
            return None
        mki, mki_octets = int(name), int(length)
        if not mki_octets:
            return None
    return Key(octets=octets, lifetime=lifetime, mki=mki, mki_octets=mki_octets)


def _read_lifetime(text: str) -> int:
    """§6.1: a number of packets, or a power of two as `2^31`; 0 if it is neither."""
    power = text.removeprefix("2^")
    if power != text:
        return 1 << int(power) if _is_number(power, 2) and int(power) <= 48 else 0
    return int(text) if _is_number(text, 15) else 0


def _is_number(text: str, digits: int) -> bool:
    return 0 < len(text) <= digits and text.isascii() and text.isdigit()


def write_crypto(crypto: Crypto) -> str:
    """As it stands behind `a=crypto:`."""
    keys = ";".join(_write_key(each) for each in crypto.keys)
    return " ".join((str(crypto.tag), crypto.suite, keys, *crypto.params))


def _write_key(key: Key) -> str:
    parts = ["inline:" + binascii.b2a_base64(key.octets, newline=False).decode()]
    if key.lifetime:
        power = key.lifetime.bit_length() - 1
        whole = key.lifetime == 1 << power
        parts.append(f"2^{power}" if whole else str(key.lifetime))
    if key.mki_octets:
        parts.append(f"{key.mki}:{key.mki_octets}")
    return "|".join(parts)
