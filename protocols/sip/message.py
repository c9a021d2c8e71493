"""SIP messages as values (RFC 3261 §7): what routes them is typed, the rest is text.

The headers that every hop and every transaction looks at are fields; all others stand in
`headers`, in their order and as they were written, for whoever wants to read one (`headers.py`).
A message that was read has passed `codec`; one of ours is built from these values. None of them can
be part of a cycle, and transactions keep many for half a minute: the collector passes them over.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from protocols.sip.uri import Params, Uri

MAX_FORWARDS: Final = 70  # RFC 3261 §8.1.1.6


class Via(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One hop that a request took; responses go back along them (§20.42).

    `transport` is in capitals, `port` 0 if none was written.
    """

    transport: str
    host: str
    port: int = 0
    params: Params = ()

    @property
    def branch(self) -> str:
        """The transaction's id in the eyes of who wrote it; "" if there is none."""
        for name, value in self.params:
            if name == "branch":
                return value or ""
        return ""


class NameAddr(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A URI with a display name and parameters of the header (§20.10), as in From or Contact."""

    uri: Uri
    display: str = ""
    params: Params = ()

    @property
    def tag(self) -> str:
        """The dialog's id on that side; "" if there is none."""
        for name, value in self.params:
            if name == "tag":
                return value or ""
        return ""


class Headers:
    """Headers that no field holds, in their order, names in canonical form (`From`, not `f`).

    Values are unfolded and stripped, and else as they were written. Immutable.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = tuple(items)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        for each, _ in self._items:  # noqa: SIM110  a generator costs twice as much
            if each == name:
                return True
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"Headers({list(self._items)!r})"

    def first(self, name: str) -> str | None:
        """The first value of this name."""
        for each, value in self._items:
            if each == name:
                return value
        return None

    def all(self, name: str) -> list[str]:
        """The values of this name, one for each line."""
        return [value for each, value in self._items if each == name]

    def with_(self, *items: tuple[str, str]) -> "Headers":
        """These and `items` after them."""
        return Headers((*self._items, *items))

    def without(self, *names: str) -> "Headers":
        """All but those of these names."""
        return Headers(item for item in self._items if item[0] not in names)


NO_HEADERS: Final = Headers()


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request. The one contact of a REGISTER may have the URI `uri.STAR`: all (§10.2.2)."""

    method: str
    uri: Uri
    vias: tuple[Via, ...]
    from_: NameAddr
    to: NameAddr
    call_id: str
    cseq: int
    max_forwards: int = MAX_FORWARDS
    routes: tuple[NameAddr, ...] = ()
    record_routes: tuple[NameAddr, ...] = ()
    contacts: tuple[NameAddr, ...] = ()
    headers: Headers = NO_HEADERS
    body: bytes = b""


class Response(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A response; `method` is that of its CSeq."""

    status: int
    reason: str
    method: str
    vias: tuple[Via, ...]
    from_: NameAddr
    to: NameAddr
    call_id: str
    cseq: int
    record_routes: tuple[NameAddr, ...] = ()
    contacts: tuple[NameAddr, ...] = ()
    headers: Headers = NO_HEADERS
    body: bytes = b""

    @property
    def is_final(self) -> bool:
        """Whether no other response of this transaction follows but a 2xx of another fork."""
        return self.status >= 200


Message = Request | Response
