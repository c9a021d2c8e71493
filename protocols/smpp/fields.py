"""The kinds of field that a PDU is declared with.

A kind knows four things: what is wrong with a value that shall be written (`fault`), how to read
one liberally (`read`), and the Python source that reads and writes it fast, which `codec` joins to
one function per PDU at import. A further kind, such as submit_multi's list of destinations, is
one more class here.
"""

from typing import Final, Protocol

import msgspec

from protocols.smpp.constants import CommandStatus
from protocols.smpp.errors import RemoteProtocolError

MAX_SHORT_MESSAGE: Final = 254
_TIME_LENGTH: Final = 16


class ReadSource:
    """The source of a function that reads a PDU, while it is being put together.

    In it `b` is the PDU, `s` the same as Latin-1 text, `end` its length. A position is a variable
    plus a number that is known at import.
    """

    def __init__(self, offset: int) -> None:
        self.lines: list[str] = []
        self._base = str(offset)
        self._shift = 0

    def at(self) -> str:
        """The expression for the current position."""
        return f"{self._base}+{self._shift}" if self._shift else self._base

    def skip(self, octets: int) -> None:
        """Move on by a length known at import."""
        self._shift += octets

    def move(self, variable: str, shift: int) -> None:
        """Move to a position that the source computed."""
        self._base, self._shift = variable, shift


class WriteSource:
    """The source of a function that writes the PDU `p`, while it is being put together."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._parts: list[str] = []
        self._run: list[str] = []

    def octet(self, expression: str) -> None:
        """One octet, from an expression that is an integer."""
        self._run.append(expression)

    def octets(self, expression: str) -> None:
        """Several octets, from an expression that is `bytes`."""
        self._close_run()
        self._parts.append(expression)

    def body(self) -> str:
        """The expression for everything written so far."""
        self._close_run()
        return f'b"".join(({", ".join(self._parts)},))' if self._parts else 'b""'

    def _close_run(self) -> None:
        if self._run:
            self._parts.append(f"bytes(({', '.join(self._run)},))")
            self._run = []


class Field(Protocol):
    """A kind of field."""

    def fault(self, value: object) -> str:
        """What forbids `value` to be written, for a person; "" if nothing does."""

    def read(self, octets: bytes, offset: int) -> tuple[object, int]:
        """A value and where the next field starts; `RemoteProtocolError` if it is not there."""

    def read_source(self, name: str, source: ReadSource) -> str:
        """The expression for the value; raises ValueError or IndexError if it is not there."""

    def write_source(self, name: str, source: WriteSource) -> None:
        """Write `p.<name>`; raises ValueError, TypeError or OverflowError if it does not fit."""


def _missing(size: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"ends before {size}", status=CommandStatus.ESME_RINVCMDLEN, recoverable=True
    )


class Integer(msgspec.Struct, frozen=True, kw_only=True):
    """An unsigned integer of `size` octets (v5.0 §3.1)."""

    size: int

    def fault(self, value: object) -> str:
        if isinstance(value, int) and 0 <= value < 1 << 8 * self.size:
            return ""
        return f"is an integer of {self.size} octet(s), not {value!r}"

    def read(self, octets: bytes, offset: int) -> tuple[int, int]:
        end = offset + self.size
        if end > len(octets):
            raise _missing(f"its {self.size} octet(s)")
        return int.from_bytes(octets[offset:end], "big"), end

    def read_source(self, name: str, source: ReadSource) -> str:
        start = source.at()
        source.skip(self.size)
        if self.size == 1:
            return f"b[{start}]"
        source.lines.append(f"if {source.at()} > end: raise ValueError")
        return f"from_bytes(b[{start}:{source.at()}], 'big')"

    def write_source(self, name: str, source: WriteSource) -> None:
        if self.size == 1:
            source.octet(f"p.{name}")
        else:
            source.octets(f"p.{name}.to_bytes({self.size}, 'big')")


class COctetString(msgspec.Struct, frozen=True, kw_only=True):
    """A C-octet string of at most `maximum` octets with its NUL, as Latin-1 text (v5.0 §3.1).

    Read at any length: only what we write obeys the limit.
    """

    maximum: int

    def fault(self, value: object) -> str:
        if not isinstance(value, str):
            return f"is a str, not {value!r}"
        if "\0" in value:
            return f"must not contain NUL: {self.shown(value)}"
        if not value.isascii() and any(character > "\xff" for character in value):
            return f"carries Latin-1 only: {self.shown(value)}"
        if len(value) >= self.maximum:
            return (
                f"takes at most {self.maximum - 1} octets and was given {len(value)}:"
                f" {self.shown(value)}"
            )
        return ""

    def shown(self, value: str) -> str:
        """The value as an error may show it."""
        return repr(value)

    def read(self, octets: bytes, offset: int) -> tuple[str, int]:
        stop = octets.find(0, offset)
        if stop < 0:
            raise _missing("its NUL")
        return octets[offset:stop].decode("latin-1"), stop + 1

    def read_source(self, name: str, source: ReadSource) -> str:
        start = source.at()
        stop = f"end_of_{name}"
        source.lines.append(f'{stop} = s.index("\\0", {start})')
        source.move(stop, 1)
        return f"s[{start}:{stop}]"

    def write_source(self, name: str, source: WriteSource) -> None:
        source.lines.append(f"{name} = p.{name}")
        source.lines.append(f"if {name} and ({self._refusal(name)}): raise ValueError")
        source.octets(f'{name}.encode("latin-1")')
        source.octet("0")

    def _refusal(self, name: str) -> str:
        return f'len({name}) >= {self.maximum} or "\\0" in {name}'


class Password(COctetString, frozen=True, kw_only=True):
    """A C-octet string that no error shows."""

    def shown(self, value: str) -> str:
        return "(not shown)"


class Time(COctetString, frozen=True, kw_only=True):
    """A time: empty, or 16 characters and the NUL (v5.0 §4.7.23)."""

    maximum: int = _TIME_LENGTH + 1

    def fault(self, value: object) -> str:
        fault = super().fault(value)
        if fault or not value or (isinstance(value, str) and len(value) == _TIME_LENGTH):
            return fault
        return f"is empty or a time of 16 characters, YYMMDDhhmmsstnnp: {value!r}"

    def _refusal(self, name: str) -> str:
        return f'len({name}) != {_TIME_LENGTH} or "\\0" in {name}'


class ShortMessage(msgspec.Struct, frozen=True, kw_only=True):
    """sm_length and as many octets of short_message (v5.0 §4.7.25 and §4.7.26)."""

    def fault(self, value: object) -> str:
        if not isinstance(value, bytes):
            return f"is bytes, not {value!r}"
        if len(value) > MAX_SHORT_MESSAGE:
            return (
                f"takes at most {MAX_SHORT_MESSAGE} octets and was given {len(value)};"
                " longer ones go into TLV message_payload"
            )
        return ""

    def read(self, octets: bytes, offset: int) -> tuple[bytes, int]:
        if offset >= len(octets):
            raise _missing("sm_length")
        start = offset + 1
        end = start + octets[offset]
        if end > len(octets):
            raise RemoteProtocolError(
                f"has {len(octets) - start} octets where sm_length says {octets[offset]}",
                status=CommandStatus.ESME_RINVMSGLEN,
                recoverable=True,
            )
        return octets[start:end], end

    def read_source(self, name: str, source: ReadSource) -> str:
        length = source.at()
        source.skip(1)
        start = source.at()
        source.lines.append(f"end_of_{name} = {start} + b[{length}]")
        source.lines.append(f"if end_of_{name} > end: raise ValueError")
        source.move(f"end_of_{name}", 0)
        return f"b[{start}:end_of_{name}]"

    def write_source(self, name: str, source: WriteSource) -> None:
        source.lines.append(f"{name} = p.{name}")
        source.lines.append(f"if len({name}) > {MAX_SHORT_MESSAGE}: raise ValueError")
        source.octet(f"len({name})")
        source.octets(name)
