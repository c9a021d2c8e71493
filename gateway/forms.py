"""How the values of the config file are written, and what to say when one is written wrong.

A *form* reads what stands in the file (TOML) or in a variable of the environment (text) and
gives the value that the program uses: `"4h"` becomes seconds, `"env:NAME"` the secret itself.
It raises `Unreadable` with what would be right; `gateway/config` adds where it stood. Nothing
here knows which keys there are.
"""

import datetime
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Unreadable(ValueError):
    """A value is not of its form; the text says what would be right."""


class Secret(str):
    """A text that stays out of logs: its `repr` shows nothing of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'" if self else "''"


class Address(NamedTuple):
    """Where something listens; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Form(NamedTuple):
    """`expected` completes "should be …"; `read` takes the value and the environment.

    `is_text` says that a variable's text is the value itself; other forms read it as JSON.
    `hidden` keeps what was found out of the findings; a form that `takes_none` has a way to
    write None. `write` gives the value as TOML writes it.
    """

    expected: str
    read: Callable[[object, Mapping[str, str]], Any]
    is_text: bool = True
    hidden: bool = False
    takes_none: bool = False
    write: Callable[[Any], str] = lambda value: json.dumps(str(value))


_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "the boolean"),
    (int, "the integer"),
    (float, "the number"),
    (str, "the text"),
    (list, "the list"),
    (dict, "the table"),
    (datetime.date, "the date"),
    (datetime.time, "the time"),
)


def described(found: object) -> str:
    """`found` with the name of its TOML type, such as `the integer 8080`; long ones are cut."""
    kind = next((name for type_, name in _KINDS if isinstance(found, type_)), "")
    written = json.dumps(found, default=str, ensure_ascii=False)
    return f"{kind} {written if len(written) <= 60 else written[:57] + '…'}".strip()


def _text(found: object) -> str:
    if not isinstance(found, str):
        raise Unreadable
    return found


def text(expected: str = "a text", at_most: int | None = None) -> Form:
    """A text of up to `at_most` octets (UTF-8)."""

    def read(found: object, environ: Mapping[str, str]) -> str:
        value = _text(found)
        if at_most is not None and len(value.encode()) > at_most:
            raise Unreadable(f"{expected} of at most {at_most} octets")
        return value

    return Form(expected, read, write=_quoted)


def matching(pattern: str, expected: str) -> Form:
    """A text that `pattern` matches whole."""
    compiled = re.compile(pattern)

    def read(found: object, environ: Mapping[str, str]) -> str:
        if compiled.fullmatch(_text(found)) is None:
            raise Unreadable
        return str(found)

    return Form(expected, read, write=_quoted)


def whole_number(least: int = 0, most: int | None = None) -> Form:
    """An integer from `least` to `most`."""
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(found: object, environ: Mapping[str, str]) -> int:
        if not isinstance(found, int) or isinstance(found, bool):
            raise Unreadable
        if found < least or (most is not None and found > most):
            raise Unreadable
        return found

    return Form(f"a whole number {bounds}", read, is_text=False, write=json.dumps)


def number(least: float = 0.0) -> Form:
    """A number, `least` or more."""

    def read(found: object, environ: Mapping[str, str]) -> float:
        if not isinstance(found, int | float) or isinstance(found, bool):
            raise Unreadable
        if not least <= found < float("inf"):
            raise Unreadable
        return float(found)

    return Form(f"a number of at least {least:g}", read, is_text=False, write=lambda v: f"{v:g}")


def price() -> Form:
    """A `Decimal` of 0 or more; exact when it is written as a text."""

    def read(found: object, environ: Mapping[str, str]) -> Decimal:
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise Unreadable
        try:
            value = Decimal(str(found))
        except InvalidOperation:
            raise Unreadable from None
        if not (value.is_finite() and value >= 0):
            raise Unreadable
        return value

    return Form('a price such as "0.0075"', read)


def boolean() -> Form:
    """`true` or `false`."""

    def read(found: object, environ: Mapping[str, str]) -> bool:
        if not isinstance(found, bool):
            raise Unreadable
        return found

    return Form("true or false", read, is_text=False, write=json.dumps)


def one_of(choices: type[StrEnum]) -> Form:
    """A member of `choices`, by its value."""
    expected = " or ".join(f'"{choice}"' for choice in choices)

    def read(found: object, environ: Mapping[str, str]) -> StrEnum:
        try:
            return choices(_text(found))
        except ValueError:
            raise Unreadable from None

    return Form(expected, read)


_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")


def duration(least: float = 0.0) -> Form:
    """Seconds, from `"90s"`, `"1m30s"`, `"4h"`, `"500ms"`, `"1d"` or a bare number of seconds."""
    expected = 'a duration such as "500ms", "5s", "1m30s" or "4h", or a number of seconds'
    if least > 0:
        expected += f", at least {_duration_text(least)}"

    def read(found: object, environ: Mapping[str, str]) -> float:
        if isinstance(found, int | float) and not isinstance(found, bool):
            seconds = float(found)
        else:
            seconds = _seconds(_text(found).strip())
        if not least <= seconds < float("inf"):
            raise Unreadable
        return seconds

    return Form(expected, read, write=lambda value: json.dumps(_duration_text(value)))


def _seconds(written: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", written):
        return float(written)
    if _DURATION.fullmatch(written) is None:
        raise Unreadable
    parts = _DURATION_PART.findall(written)
    return sum(float(count) * _UNITS[unit] for count, unit in parts)


def _duration_text(seconds: float) -> str:
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


_ADDRESS: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>\d+)"
)


def address() -> Form:
    """An `Address` from `"host:port"` (IPv6 as `"[::1]:8080"`); `""` is None: off."""

    def read(found: object, environ: Mapping[str, str]) -> Address | None:
        if _text(found) == "":
            return None
        match = _ADDRESS.fullmatch(str(found))
        if match is None or int(match["port"]) > 65535:
            raise Unreadable
        return Address(match["six"] or match["host"], int(match["port"]))

    return Form(
        '"host:port", such as "127.0.0.1:8080" (port 0: any free one), or "" for off',
        read,
        takes_none=True,
        write=lambda value: _quoted("" if value is None else str(value)),
    )


def span() -> Form:
    """Two numbers of ports, from and to, written "20000-21999"."""

    def read(found: object, environ: Mapping[str, str]) -> tuple[int, int]:
        first, dash, last = _text(found).partition("-")
        if not (dash and first.strip().isdecimal() and last.strip().isdecimal()):
            raise Unreadable
        span = int(first), int(last)
        if not 1 <= span[0] < span[1] <= 65535:
            raise Unreadable
        return span

    return Form(
        'two ports and what lies between, such as "20000-21999"',
        read,
        write=lambda value: f'"{value[0]}-{value[1]}"',
    )


def network() -> Form:
    """A network in CIDR form; a bare address stands for itself alone."""

    def read(found: object, environ: Mapping[str, str]) -> Network:
        try:
            return ipaddress.ip_network(_text(found))
        except ValueError as error:
            hint = _without_host_bits(str(found))
            raise Unreadable(f'"{hint}" ({error})' if hint else "") from None

    return Form('a network such as "10.0.0.0/8" or "2001:db8::/32"', read)


def _without_host_bits(written: str) -> str:
    try:
        return str(ipaddress.ip_network(written, strict=False))
    except ValueError:
        return ""


def url() -> Form:
    """An absolute http or https URL, or `""`."""
    return matching(
        r"|https?://[^\s/?#]+[^\s]*", 'an absolute URL such as "https://example.com/app", or ""'
    )


def file_path() -> Form:
    """A path, or None for `""`; it is not opened here."""

    def read(found: object, environ: Mapping[str, str]) -> Path | None:
        return Path(_text(found)) if found else None

    return Form(
        'the path of a file, or ""',
        read,
        takes_none=True,
        write=lambda value: _quoted("" if value is None else str(value)),
    )


def secret(at_most: int | None = None, pattern: str = "(?s).*", kind: str = "a text") -> Form:
    """A `Secret`: written out, or `"env:NAME"`, or `"file:PATH"` (its last newline is dropped).

    It is of that `kind` when `pattern` matches it whole.
    """
    expected = f'{kind}, "env:NAME" or "file:PATH"'
    compiled = re.compile(pattern)

    def read(found: object, environ: Mapping[str, str]) -> Secret:
        value = _resolved(_text(found), environ)
        if at_most is not None and len(value.encode()) > at_most:
            raise Unreadable(f"a secret of at most {at_most} octets")
        if compiled.fullmatch(value) is None:
            raise Unreadable
        return Secret(value)

    return Form(expected, read, hidden=True, write=lambda value: '"env:NAME"' if value else '""')


def _resolved(written: str, environ: Mapping[str, str]) -> str:
    kind, _, name = written.partition(":")
    if written in ("env:", "file:"):
        what = "variable" if kind == "env" else "file"
        raise Unreadable(f'the name of a {what} behind "{written}"')
    if kind == "env" and name:
        if name not in environ:
            raise Unreadable(f"the name of a variable that is set; {name} is not")
        return environ[name]
    if kind == "file" and name:
        try:
            return Path(name).read_text().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise Unreadable(f"a text file that can be read; {name}: {error}") from None
    return written


def list_of(item: Form) -> Form:
    """A tuple of what `item` reads."""

    def read(found: object, environ: Mapping[str, str]) -> tuple[Any, ...]:
        if not isinstance(found, list):
            raise Unreadable
        values = []
        for position, each in enumerate(found):
            try:
                values.append(item.read(each, environ))
            except Unreadable as error:
                better = str(error) or item.expected
                raise Unreadable(f"a list in which item {position + 1} is {better}") from None
        return tuple(values)

    return Form(
        f"a list, each item {item.expected}",
        read,
        is_text=False,
        hidden=item.hidden,
        write=lambda values: "[" + ", ".join(item.write(value) for value in values) + "]",
    )


def table_of(item: Form) -> Form:
    """A dict of texts to what `item` reads."""

    def read(found: object, environ: Mapping[str, str]) -> dict[str, Any]:
        if not isinstance(found, dict):
            raise Unreadable
        values = {}
        for name, each in found.items():
            try:
                values[name] = item.read(each, environ)
            except Unreadable as error:
                better = str(error) or item.expected
                raise Unreadable(f"a table in which {name} is {better}") from None
        return values

    return Form(
        f"a table, each value {item.expected}",
        read,
        is_text=False,
        write=lambda values: (
            "{" + ", ".join(f"{_quoted(k)} = {item.write(v)}" for k, v in values.items()) + "}"
        ),
    )


def record(into: type[Any], fields: Mapping[str, Form]) -> Form:
    """A value of type `into` from a table that has exactly the keys of `fields`."""
    shape = "{ " + ", ".join(f"{name} = …" for name in fields) + " }"

    def read(found: object, environ: Mapping[str, str]) -> Any:
        if not isinstance(found, dict):
            raise Unreadable
        for name in sorted(found.keys() ^ fields.keys(), key=lambda each: each in fields):
            wrong = "is missing" if name in fields else "is no key of it"
            raise Unreadable(f"{shape}: {name} {wrong}")
        values = {}
        for name, form in fields.items():
            try:
                values[name] = form.read(found[name], environ)
            except Unreadable as error:
                better = str(error) or form.expected
                raise Unreadable(f"{shape} in which {name} is {better}") from None
        return into(**values)

    hidden = any(form.hidden for form in fields.values())
    return Form(shape, read, is_text=False, hidden=hidden)


def from_variable(form: Form, written: str) -> object:
    """What a variable's text holds for `form`: itself, or the JSON in it."""
    return written if form.is_text else from_json(written)


def from_json(written: str) -> object:
    """The JSON in `written`, or `written` itself when it is none: the form will say so."""
    try:
        return json.loads(written)
    except ValueError:
        return written


def _quoted(value: Any) -> str:
    return json.dumps(str(value), ensure_ascii=False)
