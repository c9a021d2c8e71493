"""What stands in attributes, read: each reader gives None for what makes no sense."""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

T = TypeVar("T")

# A number in any usual writing, a short code, or an address of a channel as whatsapp:+15550001000.
_ADDRESS: Final = re.compile(r"(?:[a-z]+:)?\+?\(?[0-9](?:[ ().-]*[0-9]){2,14}|[a-z]+:\S+")
# Beside those, an alphanumeric sender or a messaging service.
_SENDER: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_-]{1,11}|MG[0-9a-f]{32}")
_PHONE_NUMBER: Final = re.compile(r"\+?\(?[0-9](?:[ ().-]*[0-9]){2,14}")
_CALLER: Final = re.compile(r"\+?[0-9]{3,15}|client:[^\s:]{1,121}|[A-Za-z0-9+_.-]{1,64}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_WRITING: Final = str.maketrans("", "", " ().-")
_LONGEST_NUMBER: Final = 40
_LONGEST_INTEGER: Final = 9


def address(text: str) -> str | None:
    """Whom a text may go to."""
    return text if _ADDRESS.fullmatch(text) else None


def sender(text: str) -> str | None:
    """Whom a text may come from."""
    return text if _SENDER.fullmatch(text) else address(text)


def phone_number(text: str) -> str | None:
    """A number in any usual writing, without what it was made readable by."""
    if len(text) > _LONGEST_NUMBER or not _PHONE_NUMBER.fullmatch(text):
        return None
    return text.translate(_WRITING)


def caller(text: str) -> str | None:
    """Whom a call may come from: a number, `client:` and a name, or a SIP user."""
    return phone_number(text) or (text if _CALLER.fullmatch(text) else None)


def method(text: str) -> str | None:
    """GET or POST, in any case."""
    upper = text.upper()
    return upper if upper in ("GET", "POST") else None


def url_reference(text: str) -> str | None:
    """`text` if it can be a URL of http or https, absolute or relative."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    if scheme is not None and scheme.group(1).lower() not in ("http", "https"):
        return None
    return text if text and not re.search(r"[\s\x00-\x1f]", text) else None


def url_or_nothing(text: str) -> str | None:
    """The same, where nothing has a meaning of its own."""
    return url_reference(text) if text else ""


def language(text: str) -> str | None:
    """A tag of a language as BCP 47 writes it."""
    return text if _LANGUAGE.fullmatch(text) else None


def line(most: int) -> Callable[[str], str | None]:
    """A reader of one to `most` characters that can stand in one line."""

    def read(text: str) -> str | None:
        return text if 0 < len(text) <= most and text.isprintable() else None

    return read


def yes_or_no(text: str) -> bool | None:
    """`true` or `false`, in any case."""
    return {"true": True, "false": False}.get(text.lower())


def integer(least: int, most: int) -> Callable[[str], int | None]:
    """A reader of whole numbers from `least` to `most`."""

    def read(text: str) -> int | None:
        if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_INTEGER):
            return None
        return int(text) if least <= int(text) <= most else None

    return read


def one_of(values: Mapping[str, T]) -> Callable[[str], T | None]:
    """A reader of the keys of `values`, which gives what stands for them."""
    return values.get


def some_of(values: Mapping[str, T]) -> Callable[[str], tuple[T, ...] | None]:
    """A reader of keys of `values` with spaces between, at least one; each is given once."""

    def read(text: str) -> tuple[T, ...] | None:
        words = dict.fromkeys(text.split())
        if not words or not words.keys() <= values.keys():
            return None
        return tuple(values[word] for word in words)

    return read


def matching(pattern: str) -> Callable[[str], str | None]:
    """A reader of what `pattern` matches as a whole."""
    compiled = re.compile(pattern)

    def read(text: str) -> str | None:
        return text if compiled.fullmatch(text) else None

    return read
