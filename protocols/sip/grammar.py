"""The pieces that most SIP headers are made of: tokens, quoted strings, lists and parameters.

Grammar of RFC 3261 §25.1, read liberally where that can't be taken for something else. Every
pattern is possessive, so that no input costs more than its length. What can't be read raises
`RemoteProtocolError`; `codec` and `headers` know whose header it is.
"""

import re
from typing import Final

from protocols.sip.errors import RemoteProtocolError
from protocols.sip.uri import Params

MAX_ELEMENTS: Final = 128
"""How many values a list may have; longer ones are refused."""

MAX_DIGITS: Final = 64
"""How long a number may be written; more is never a number, whatever its limit."""

TOKEN_CHARACTERS: Final = r"A-Za-z0-9\-.!%*_+`'~"
_TOKEN: Final = re.compile(rf"[{TOKEN_CHARACTERS}]++")
_QUOTED: Final = re.compile(r'"((?:[^"\\]++|\\.)*)"', re.DOTALL)
_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
# Inside quotes these must stand behind a backslash; what is a line end can't be written at all.
_TO_ESCAPE: Final = re.compile(r'["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')
# What separates the values of a list, and what may hold a comma that separates nothing.
_PIECE: Final = re.compile(r'[^",<]++|"(?:[^"\\]++|\\.)*"|<[^>]*+>|,', re.DOTALL)
_PARAM: Final = re.compile(
    rf"[ \t]*+;[ \t]*+([{TOKEN_CHARACTERS}]++)"
    r'(?:[ \t]*+=[ \t]*+("(?:[^"\\]++|\\.)*"|[^\x00-\x20\x7f;,"<>]*+))?[ \t]*+',
    re.DOTALL,
)


def is_token(text: str) -> bool:
    """Whether `text` is a token: what names methods, headers and parameters."""
    return _TOKEN.fullmatch(text) is not None


def quote(text: str) -> str:
    """`text` as a quoted string."""
    if _TO_ESCAPE.search(text):
        text = _TO_ESCAPE.sub(r"\\\g<0>", text)
    return f'"{text}"'


def unquote(text: str) -> str:
    """What a quoted string says; anything else as it is."""
    match = _QUOTED.fullmatch(text)
    if match is None:
        return text
    return unescape(match[1])


def unescape(inner: str) -> str:
    """What stands between the quotes of a quoted string, without its backslashes."""
    return _PAIR.sub(r"\1", inner) if "\\" in inner else inner


def split_list(text: str, limit: int = MAX_ELEMENTS) -> list[str]:
    """The values of a list, stripped; commas in quotes or in <> separate nothing (§7.3.1).

    An empty value is a fault, but for text that is empty as a whole: that is an empty list.
    """
    if "," not in text:
        text = text.strip(" \t")
        return [text] if text else []
    values = text.split(",") if '"' not in text and "<" not in text else _pieces(text)
    if len(values) > limit:
        raise RemoteProtocolError(f"{len(values)} values are in a list, {limit} are the limit")
    values = [value.strip(" \t") for value in values]
    if not all(values):
        raise RemoteProtocolError("a value of a list is empty")
    return values


def _pieces(text: str) -> list[str]:
    values: list[str] = []
    begin = at = 0
    while at < len(text):
        match = _PIECE.match(text, at)
        if match is None:
            raise RemoteProtocolError(f"{text[at]} has no counterpart")
        if match[0] == ",":
            values.append(text[begin:at])
            begin = match.end()
        at = match.end()
    values.append(text[begin:])
    return values


def read_params(text: str, at: int = 0) -> Params:
    """The parameters of a header from `at` on, to the end of `text` (generic-param, §25.1).

    Values are as they were written, quotes included: `unquote` says what they mean.
    """
    params: list[tuple[str, str | None]] = []
    end = len(text)
    while at < end:
        match = _PARAM.match(text, at)
        if match is None:
            if not text[at:].strip(" \t"):
                break
            raise RemoteProtocolError(f"a parameter can't be read at {text[at : at + 20]!r}")
        name, value = match.groups()
        params.append((name.lower(), value))
        at = match.end()
    return tuple(params)


def read_prefix_params(text: str) -> Params:
    """The parameters at the beginning of `text` that can be read; none of those behind a fault."""
    params: list[tuple[str, str | None]] = []
    at = 0
    while match := _PARAM.match(text, at):
        params.append((match[1].lower(), match[2]))
        at = match.end()
    return tuple(params)


def format_params(params: Params) -> str:
    """`;name=value` for each, as they were read or made."""
    text = ""
    for name, value in params:
        text += f";{name}" if value is None else f";{name}={value}"
    return text


def read_number(text: str, limit: int) -> int:
    """A number of digits alone, up to `limit`; leading zeros are none of anybody's business."""
    if not (text.isdecimal() and text.isascii() and len(text) <= MAX_DIGITS):
        raise RemoteProtocolError(f"{text[:40]!r} is not a number")
    number = int(text)
    if number > limit:
        raise RemoteProtocolError(f"{number} is over {limit}")
    return number
