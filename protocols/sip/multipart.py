"""Bodies of several parts (RFC 2046 §5.1, RFC 5621): a description, and what came along with it.

Networks of carriers put ISUP (RFC 3204), locations and other things beside SDP. What can't be read
as parts has none.
"""

from typing import Final

import msgspec

from protocols.sip.errors import RemoteProtocolError
from protocols.sip.grammar import unquote
from protocols.sip.headers import MediaType, read_content_type
from protocols.sip.message import Headers
from protocols.sip.parts import canonical
from protocols.sip.uri import parameter

TYPE: Final = "multipart/mixed"
MAX_PARTS: Final = 8
"""Those behind them are not looked at."""

_MAX_BOUNDARY: Final = 70  # RFC 2046 §5.1.1
_LINE: Final = b"\r\n"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part: its headers and its octets."""

    headers: Headers
    octets: bytes

    @property
    def type(self) -> MediaType | None:
        """What it is; None if it does not say so in a way that can be read."""
        try:
            return read_content_type(self.headers)
        except RemoteProtocolError:
            return None

    @property
    def is_required(self) -> bool:
        """Whether it says itself that who does not know it may not take the whole."""
        text = (self.headers.first("Content-Disposition") or "").lower()
        return "handling=required" in text.replace(" ", "")


def is_multipart(kind: MediaType) -> bool:
    """Whether a body of this type has parts."""
    return kind.name.startswith("multipart/")


def parts_of(octets: bytes, kind: MediaType) -> tuple[Part, ...]:
    """The parts of a body of type `kind`, which is a multipart one."""
    boundary = unquote(parameter(kind.params, "boundary") or "")
    if not 0 < len(boundary) <= _MAX_BOUNDARY:
        return ()
    mark = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    _, *chunks = (_LINE + octets).split(mark, MAX_PARTS + 1)
    found = []
    for chunk in chunks[:MAX_PARTS]:
        rest, line, content = chunk.partition(_LINE)
        if not line or rest.strip(b" \t"):
            break  # the end, or no mark at all
        found.append(_part(content))
    return tuple(found)


def _part(content: bytes) -> Part:
    if content.startswith(_LINE):
        return Part(headers=Headers(), octets=content[2:])
    head, _, octets = content.partition(_LINE + _LINE)
    text = head.decode("utf-8", "surrogateescape")
    lines = text.replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
    named = (line.partition(":") for line in lines)
    items = ((canonical(name), value.strip(" \t")) for name, _, value in named)
    return Part(headers=Headers((name, value) for name, value in items if name), octets=octets)
