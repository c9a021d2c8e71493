"""Session descriptions as values (RFC 8866 §5): what media are set up by is typed, the rest kept.

What no field holds stands in `attributes` and `lines`, as it was written and in its order, lines
of different letters in that of the RFC. An attribute of a known name whose value can't be read is
among them.
"""

from enum import StrEnum
from typing import Final

import msgspec

from protocols.sdp.crypto import Crypto
from protocols.sdp.formats import Codec

# (name, value), None: a flag such as `a=sendrecv`.
Attributes = tuple[tuple[str, str | None], ...]
# (letter, value)
Lines = tuple[tuple[str, str], ...]


class Direction(StrEnum):
    """Which way media flow, in the eyes of who wrote it (RFC 8866 §6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Whether its writer sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether its writer wants to receive."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> "Direction":
        """The same in the eyes of the other side."""
        return _REVERSED.get(self, self)

    def within(self, other: "Direction") -> "Direction":
        """What both allow."""
        return _WITHIN[self, other]


_REVERSED: Final = {
    Direction.SENDONLY: Direction.RECVONLY,
    Direction.RECVONLY: Direction.SENDONLY,
}
_DIRECTIONS: Final = {(each.sends, each.receives): each for each in Direction}
_WITHIN: Final = {
    (one, other): _DIRECTIONS[one.sends and other.sends, one.receives and other.receives]
    for one in Direction
    for other in Direction
}


class Connection(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`c=` (§5.7). `address` is as written: an IP address or a name, with /ttl of a multicast."""

    address: str
    type: str = "IP4"
    network: str = "IN"


class Origin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`o=` (§5.2): who described the session, and the version of the description."""

    session_id: str
    version: int
    connection: Connection
    username: str = "-"


class Rtcp(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`a=rtcp` (RFC 3605): where RTCP goes if not to the port above RTP's."""

    port: int
    connection: Connection | None = None


class Media(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`m=` and what follows it (§5.14). Port 0: not wanted, or no longer.

    Over RTP the formats are `codecs`, else the texts in `formats`. `direction` is None where
    nothing is said at this level; `ptime` and `maxptime` are in ms, 0 if they are not given.
    """

    kind: str
    port: int
    protocol: str
    codecs: tuple[Codec, ...] = ()
    formats: tuple[str, ...] = ()
    port_count: int = 1
    connection: Connection | None = None
    direction: Direction | None = None
    ptime: int = 0
    maxptime: int = 0
    rtcp: Rtcp | None = None
    rtcp_mux: bool = False
    cryptos: tuple[Crypto, ...] = ()
    attributes: Attributes = ()
    lines: Lines = ()


class SessionDescription(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A description. `time` is its first `t=`; "0 0" is a session without an end (§5.9)."""

    origin: Origin
    name: str = "-"
    connection: Connection | None = None
    direction: Direction | None = None
    time: str = "0 0"
    media: tuple[Media, ...] = ()
    attributes: Attributes = ()
    lines: Lines = ()

    def connection_of(self, media: Media) -> Connection | None:
        """Where `media`, one of these, is received."""
        return media.connection or self.connection

    def direction_of(self, media: Media) -> Direction:
        """The direction of `media`, one of these, as written or by default (§6.7)."""
        return media.direction or self.direction or Direction.SENDRECV


def is_rtp(protocol: str) -> bool:
    """Whether the formats of this protocol are payload types of RTP."""
    return "RTP/" in protocol.upper()
