"""What goes over the local socket between a store and the process that writes for it.

A frame is the length of what follows in four octets, big-endian, and a value in MessagePack. Each
commit is a frame, so that what can't be written as one fails alone. A statement goes over once,
with a number, and rows name the number.
"""

import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from gateway.store.base import (
    Conflict,
    Delete,
    Fenced,
    Insert,
    Lease,
    Row,
    Stale,
    Statement,
    StoreError,
    StoreUnavailable,
    Update,
    Write,
)
from gateway.store.sqlite_orders import Order
from gateway.store.sqlite_writer import Applied, Commit

_LENGTH: Final = struct.Struct(">I")
_KINDS: Final[dict[str, type[StoreError]]] = {
    kind.__name__: kind for kind in (Conflict, Stale, Fenced, StoreUnavailable, StoreError)
}

Told = tuple[str, str]  # an error: its kind, and what it says


# To the writer


class Declare(msgspec.Struct, frozen=True, tag="declare"):
    """From now on `number` stands for the one statement that is given."""

    number: int
    insert: Insert | None = None
    update: Update | None = None
    delete: Delete | None = None


class Rows(msgspec.Struct, frozen=True, tag="rows", gc=False):
    """A commit."""

    writes: list[tuple[int, Row]]
    fence: Lease | None


# From the writer


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The first frame: which files of the schema were applied, the id of the newest fact."""

    applied: list[str]
    newest: int


class Unfit(msgspec.Struct, frozen=True, tag="unfit"):
    """The first frame where the database can't be opened, and the last."""

    reason: str


class Settled(msgspec.Struct, frozen=True, tag="settled"):
    """`Outcome` of the oldest `commits`."""

    commits: int
    errors: dict[int, Told]
    applied: Applied
    seconds: float
    trouble: str


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The answer to the oldest order."""

    answer: Any


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The oldest order could not be obeyed."""

    error: Told


Report = Ready | Unfit | Settled | Answered | Refused
F = TypeVar("F")

_encoder: Final = msgspec.msgpack.Encoder()


def frame(value: Any) -> bytes:
    """A value as a frame; raises `StoreError` if it is none that could be written."""
    try:
        octets = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise StoreError(f"{type(error).__name__}: {error}") from error
    return _LENGTH.pack(len(octets)) + octets


class Frames(Generic[F]):
    """Takes octets as they come, and gives the values that are whole."""

    def __init__(self, decoder: "msgspec.msgpack.Decoder[F]") -> None:
        self._decode = decoder.decode
        self._rest = b""

    def read(self, octets: bytes) -> Iterator[F]:
        """Values."""
        octets = self._rest + octets if self._rest else octets
        view, at, end = memoryview(octets), 0, len(octets)
        while at + _LENGTH.size <= end:
            body = at + _LENGTH.size
            after = body + _LENGTH.unpack_from(octets, at)[0]
            if after > end:
                break
            yield self._decode(view[body:after])
            at = after
        self._rest = octets[at:]


def orders() -> "Frames[Declare | Rows | Order]":
    """Reads what a store says."""
    return Frames(msgspec.msgpack.Decoder(Declare | Rows | Order))


def reports() -> Frames[Report]:
    """Reads what a writer says."""
    return Frames(msgspec.msgpack.Decoder(Report))


def told(error: StoreError) -> Told:
    """An error, to go over."""
    name = type(error).__name__
    return (name if name in _KINDS else StoreError.__name__), str(error)


def error_of(error: Told) -> StoreError:
    """The error that was told."""
    kind, text = error
    return _KINDS[kind](text)


class Numbers:
    """The numbers of statements, at the store's end; `say` declares them."""

    def __init__(self, say: Callable[[bytes], None]) -> None:
        self._say = say
        self._by_value: dict[Statement, int] = {}
        self._by_id: dict[int, int] = {}  # spares the hash; the other one keeps it alive
        self._next = 0

    def rows(self, writes: Sequence[Write], fence: Lease | None) -> bytes:
        """A commit as a frame. Raises `StoreError` if it is none that could be written."""
        known = self._by_id
        try:
            coded = [(known[id(statement)], row) for statement, row in writes]
        except KeyError:
            coded = [(self._number(statement), row) for statement, row in writes]
        return frame(Rows(coded, fence))

    def _number(self, statement: Statement) -> int:
        number = self._by_value.get(statement)
        if number is None:
            number = self._next
            self._next += 1
            self._by_value[statement] = self._by_id[id(statement)] = number
            match statement:
                case Insert():
                    self._say(frame(Declare(number, insert=statement)))
                case Update():
                    self._say(frame(Declare(number, update=statement)))
                case Delete():
                    self._say(frame(Declare(number, delete=statement)))
        return number

    def forget(self, tables: Collection[str]) -> None:
        """These tables are not there any more."""
        for statement in [each for each in self._by_value if each.table in tables]:
            del self._by_value[statement], self._by_id[id(statement)]


class Statements:
    """The same at the writer's end."""

    def __init__(self) -> None:
        self._by_number: dict[int, Statement] = {}

    def learn(self, declared: Declare) -> None:
        """Know one more."""
        statement = declared.insert or declared.update or declared.delete
        assert statement is not None
        self._by_number[declared.number] = statement

    def commit(self, rows: Rows) -> Commit:
        """What the writer takes."""
        by_number = self._by_number
        return [(by_number[number], row) for number, row in rows.writes], rows.fence, None

    def forget(self, tables: Collection[str]) -> None:
        """These tables are not there any more."""
        known = self._by_number.items()
        self._by_number = {at: each for at, each in known if each.table not in tables}
