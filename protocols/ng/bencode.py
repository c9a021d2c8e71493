"""Bencoding to values and back (BEP 3).

A string is `4:spam`, an integer `i-3e`, a list `l…e`, a dictionary `d…e` of strings and values by
turns. What is written has its keys in order; what is read may have them in any, but once. A string
comes as `str`, or as `bytes` where it is no UTF-8.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from protocols.ng.errors import LocalProtocolError, RemoteProtocolError

Value: TypeAlias = str | bytes | int | list[Any] | dict[str, Any]

DEEPEST: Final = 32  # lists and dictionaries in each other
_MOST_DIGITS: Final = 19  # of an integer: rtpengine's have 64 bits
_INTEGERS: Final = range(-(1 << 63), 1 << 63)
_MOST_LENGTH_DIGITS: Final = 9


def encode(value: Value) -> bytes:
    """A value as octets. Raises `LocalProtocolError` for what bencoding has no form for."""
    pieces: list[bytes] = []
    _write(value, pieces, DEEPEST)
    return b"".join(pieces)


def decode(octets: bytes) -> Value:
    """The one value that `octets` are. Raises `RemoteProtocolError`."""
    value, end = _read(octets, 0, DEEPEST)
    if end != len(octets):
        raise RemoteProtocolError(f"after octet {end} of bencoding nothing should follow")
    return value


def _write(value: Value, pieces: list[bytes], levels: int) -> None:
    match value:
        case bool():
            raise LocalProtocolError('bencoding has no booleans: say "yes" or 1')
        case str() | bytes():
            pieces.append(_string(value))
        case int():
            if value not in _INTEGERS:
                raise LocalProtocolError("an integer should fit 64 bits")
            pieces.append(b"i%de" % value)
        case list():
            _may_nest(levels, LocalProtocolError)
            pieces.append(b"l")
            for each in value:
                _write(each, pieces, levels - 1)
            pieces.append(b"e")
        case Mapping():
            _may_nest(levels, LocalProtocolError)
            if not all(isinstance(key, str) for key in value):
                raise LocalProtocolError("a key is a text")
            pieces.append(b"d")
            for key in sorted(value):
                pieces.append(_string(key))
                _write(value[key], pieces, levels - 1)
            pieces.append(b"e")
        case _:
            raise LocalProtocolError(f"bencoding has no form for {type(value).__name__}")


def _string(text: str | bytes) -> bytes:
    try:
        octets = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"a text has no form in UTF-8: {error}") from error
    return b"%d:%b" % (len(octets), octets)


def _may_nest(levels: int, kind: type[LocalProtocolError | RemoteProtocolError]) -> None:
    if levels == 0:
        raise kind(f"lists and dictionaries may be {DEEPEST} deep in each other")


def _read(octets: bytes, at: int, levels: int) -> tuple[Value, int]:
    """The value that begins at `at`, and where it ends."""
    reader = _READERS.get(octets[at : at + 1], _read_string)
    return reader(octets, at, levels)


def _read_integer(octets: bytes, at: int, levels: int) -> tuple[Value, int]:
    sign = octets[at + 1 : at + 2] == b"-"
    digits, end = _digits(octets, at + 1 + sign, b"e", _MOST_DIGITS)
    value = -digits if sign else digits
    if (sign and not digits) or value not in _INTEGERS:
        raise RemoteProtocolError(f"the integer at octet {at} is -0, or more than 64 bits")
    return value, end


def _read_string(octets: bytes, at: int, levels: int) -> tuple[Value, int]:
    length, start = _digits(octets, at, b":", _MOST_LENGTH_DIGITS)
    end = start + length
    if end > len(octets):
        raise RemoteProtocolError(f"the string at octet {at} is cut short")
    content = octets[start:end]
    try:
        return content.decode(), end
    except UnicodeDecodeError:
        return content, end


def _read_list(octets: bytes, at: int, levels: int) -> tuple[Value, int]:
    _may_nest(levels, RemoteProtocolError)
    found, at = [], at + 1
    while octets[at : at + 1] != b"e":
        value, at = _read(octets, at, levels - 1)
        found.append(value)
    return found, at + 1


def _read_dictionary(octets: bytes, at: int, levels: int) -> tuple[Value, int]:
    _may_nest(levels, RemoteProtocolError)
    found: dict[str, Value] = {}
    at += 1
    while octets[at : at + 1] != b"e":
        key, after = _read_string(octets, at, levels)
        if not isinstance(key, str) or key in found:
            raise RemoteProtocolError(f"the key at octet {at} is no UTF-8, or there twice")
        found[key], at = _read(octets, after, levels - 1)
    return found, at + 1


def _digits(octets: bytes, at: int, end: bytes, most: int) -> tuple[int, int]:
    """The number that stands at `at` and is ended by `end`, and what comes after that."""
    stop = octets.find(end, at, at + most + 1)
    digits = octets[at:stop] if stop >= 0 else b""
    if not digits.isdigit() or (digits[:1] == b"0" and len(digits) > 1):
        raise RemoteProtocolError(f"at octet {at} a number should stand, ended by {end.decode()}")
    return int(digits), stop + 1


_READERS: Final[Mapping[bytes, Callable[[bytes, int, int], tuple[Value, int]]]] = {
    b"i": _read_integer,
    b"l": _read_list,
    b"d": _read_dictionary,
}
