"""The GSM 7-bit default alphabet and its extension (3GPP TS 23.038 §6.2.1), one septet an octet.

SMPP carries septets unpacked, so the octets here are what stands in short_message. Nearly every
text is ASCII: those are encoded and decoded by octet tables in C, everything else by dicts.
"""

import codecs
import re
from typing import Final

ESCAPE: Final = 0x1B

# Index = septet. The escape itself has no character; form feed is in the extension.
_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}

BASIC_CHARACTERS: Final = frozenset(_BASIC) - {"\x1b"}
CHARACTERS: Final = BASIC_CHARACTERS | frozenset(_EXTENSION.values())

_ENCODE: Final[dict[int, str]] = {
    ord(character): chr(septet)
    for septet, character in enumerate(_BASIC)
    if character in BASIC_CHARACTERS
} | {ord(character): f"\x1b{chr(septet)}" for septet, character in _EXTENSION.items()}

# ASCII octet -> septet; 0xFF where one septet cannot say it.
_NOT_ONE_SEPTET: Final = 0xFF
_ASCII: Final = bytes(
    ord(_ENCODE[octet]) if octet in _ENCODE and len(_ENCODE[octet]) == 1 else _NOT_ONE_SEPTET
    for octet in range(128)
) + bytes([_NOT_ONE_SEPTET] * 128)

# Octets above 0x7F are no septets. Who sends them under data_coding 0 means Latin-1.
_DECODE: Final = _BASIC + bytes(range(128, 256)).decode("latin-1")

_FOREIGN: Final = re.compile(f"[^{re.escape(''.join(sorted(CHARACTERS)))}]")
_ESCAPED: Final = re.compile(b"\x1b(.?)", re.DOTALL)


def encode(text: str) -> bytes | None:
    """The septets of `text`, one per octet; None if the alphabet does not have all of it."""
    if text.isascii():
        septets = text.encode("ascii").translate(_ASCII)
        if _NOT_ONE_SEPTET not in septets:
            return septets
    if _FOREIGN.search(text) is not None:
        return None
    return text.translate(_ENCODE).encode("latin-1")


def foreign(text: str, limit: int) -> list[int]:
    """The indexes of the first `limit` characters that the alphabet does not have."""
    found: list[int] = []
    for match in _FOREIGN.finditer(text):
        found.append(match.start())
        if len(found) == limit:
            break
    return found


def decode(septets: bytes) -> str:
    """The text of `septets`, one per octet; never fails.

    An escape before something that the extension does not have is passed over, an escape that
    is alone or doubled is a space (TS 23.038 §6.2.1.1, notes 1 and 3).
    """
    if ESCAPE not in septets:
        return codecs.charmap_decode(septets, "strict", _DECODE)[0]
    pieces: list[str] = []
    start = 0
    for match in _ESCAPED.finditer(septets):
        pieces.append(codecs.charmap_decode(septets[start : match.start()], "strict", _DECODE)[0])
        escaped = match[1]
        if not escaped or escaped[0] == ESCAPE:
            pieces.append(" ")
        else:
            pieces.append(_EXTENSION.get(escaped[0]) or _DECODE[escaped[0]])
        start = match.end()
    pieces.append(codecs.charmap_decode(septets[start:], "strict", _DECODE)[0])
    return "".join(pieces)
