"""RTP packets (RFC 3550 §5.1), whole or only the field that is asked for.

`read` and `write` turn a packet into a value and back. What only passes packets on makes no
values: it asks the octets themselves with `kind`, `sequence` and their like. Those take any
octets that `is_rtp` took, and raise `struct.error` or `IndexError` on others.
"""

from enum import Enum
from struct import Struct
from typing import Final

import msgspec

from protocols.rtp.errors import LocalProtocolError

Octets = bytes | bytearray | memoryview

VERSION: Final = 2
HEADER_OCTETS: Final = 12
MAX_CSRCS: Final = 15
MAX_EXTENSION: Final = 4 * 0xFFFF  # octets
MAX_PADDING: Final = 255
SEQUENCES: Final = 1 << 16
TIMESTAMPS: Final = 1 << 32

HEADER: Final = Struct(">BBHII")  # flags, marker and payload type, sequence, timestamp, SSRC
_EXTENSION: Final = Struct(">HH")
_SEQUENCE: Final = Struct(">H")
_WORD: Final = Struct(">I")

_MARKER: Final = 0x80
_PADDED: Final = 0x20
_EXTENDED: Final = 0x10


class Kind(Enum):
    """What a datagram on a media port is, by its first octets (RFC 7983 §7, RFC 5761 §4)."""

    STUN = "STUN"
    ZRTP = "ZRTP"
    DTLS = "DTLS"
    TURN = "TURN channel"
    RTP = "RTP"
    RTCP = "RTCP"
    UNKNOWN = "unknown"


def _kind_of(first: int) -> Kind:
    borders = (
        (4, Kind.STUN),
        (16, Kind.UNKNOWN),
        (20, Kind.ZRTP),
        (64, Kind.DTLS),
        (80, Kind.TURN),
        (128, Kind.UNKNOWN),
        (192, Kind.RTP),
        (256, Kind.UNKNOWN),
    )
    return next(kind for border, kind in borders if first < border)


_KINDS: Final = tuple(_kind_of(first) for first in range(256))


class Extension(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The header extension (§5.3.1); `content` is a multiple of four octets."""

    profile: int
    content: bytes


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """A packet; its padding is gone. `timestamp` is in units of the payload type's clock."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: Extension | None = None


class Malformed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Octets that are no packet, and why not."""

    reason: str


def kind(octets: Octets) -> Kind:
    """What came in on a port that carries more than one protocol; never raises."""
    if len(octets) < 2:
        return Kind.UNKNOWN
    found = _KINDS[octets[0]]
    if found is Kind.RTP and 192 <= octets[1] <= 223:
        return Kind.RTCP
    return found


def is_rtp(octets: Octets) -> bool:
    """Whether this has the head of an RTP packet; `read` may still find its body at fault."""
    return len(octets) >= HEADER_OCTETS and octets[0] & 0xC0 == 0x80 and not 192 <= octets[1] <= 223


def payload_type(octets: Octets) -> int:
    """0 to 127."""
    return octets[1] & 0x7F


def marker(octets: Octets) -> bool:
    """Whether a talkspurt begins here (RFC 3551 §4.1)."""
    return octets[1] >= _MARKER


def sequence(octets: Octets) -> int:
    """16 bits."""
    number: int = _SEQUENCE.unpack_from(octets, 2)[0]
    return number


def timestamp(octets: Octets) -> int:
    """32 bits."""
    units: int = _WORD.unpack_from(octets, 4)[0]
    return units


def ssrc(octets: Octets) -> int:
    """32 bits."""
    source: int = _WORD.unpack_from(octets, 8)[0]
    return source


def sequences_ahead(later: int, earlier: int) -> int:
    """How many packets `later` lies after `earlier`, across a wrap: -32,768 to 32,767."""
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000


def timestamps_ahead(later: int, earlier: int) -> int:
    """How many units `later` lies after `earlier`, across a wrap: a signed number of 32 bits."""
    return ((later - earlier + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def payload_bounds(octets: Octets) -> tuple[int, int] | Malformed:
    """From where to where the payload stands, without CSRCs, extension and padding."""
    if not is_rtp(octets):
        return Malformed(reason="not the head of an RTP packet")
    flags, end = octets[0], len(octets)
    start = HEADER_OCTETS + 4 * (flags & 0x0F)
    if flags & _EXTENDED:
        if start + 4 > end:
            return Malformed(reason="the packet ends before its header extension")
        start += 4 + 4 * _EXTENSION.unpack_from(octets, start)[1]
    if start > end:
        return Malformed(reason="the packet ends within its header")
    if flags & _PADDED:
        padding = octets[end - 1] if end > start else 0
        if not 0 < padding <= end - start:
            return Malformed(reason="the padding is longer than the payload, or of no octets")
        end -= padding
    return start, end


def read(octets: Octets) -> Packet | Malformed:
    """A packet as a value; never raises."""
    bounds = payload_bounds(octets)
    if isinstance(bounds, Malformed):
        return bounds
    flags, second, number, units, source = HEADER.unpack_from(octets)
    start, end = bounds
    extension = None
    after_csrcs = HEADER_OCTETS + 4 * (flags & 0x0F)
    if flags & _EXTENDED:
        profile, _ = _EXTENSION.unpack_from(octets, after_csrcs)
        extension = Extension(profile=profile, content=bytes(octets[after_csrcs + 4 : start]))
    return Packet(
        payload_type=second & 0x7F,
        marker=second >= _MARKER,
        sequence=number,
        timestamp=units,
        ssrc=source,
        csrcs=tuple(_WORD.unpack_from(octets, at)[0] for at in range(12, after_csrcs, 4)),
        extension=extension,
        payload=bytes(octets[start:end]),
    )


def write(packet: Packet, *, padding: int = 0) -> bytes:
    """The octets of a packet, `padding` octets of it at the end (0 to 255).

    A field out of its range, or a payload type that RTCP would be taken for (RFC 5761 §4), is a
    `LocalProtocolError`.
    """
    _check(packet, padding)
    flags = VERSION << 6 | len(packet.csrcs)
    if padding:
        flags |= _PADDED
    if packet.extension is not None:
        flags |= _EXTENDED
    second = packet.payload_type | (_MARKER if packet.marker else 0)
    pieces = [HEADER.pack(flags, second, packet.sequence, packet.timestamp, packet.ssrc)]
    pieces += [_WORD.pack(source) for source in packet.csrcs]
    if packet.extension is not None:
        content = packet.extension.content
        pieces += [_EXTENSION.pack(packet.extension.profile, len(content) // 4), content]
    pieces.append(packet.payload)
    if padding:
        pieces.append(bytes(padding - 1) + bytes((padding,)))
    return b"".join(pieces)


def _check(packet: Packet, padding: int) -> None:
    ranges = (
        ("the sequence number", packet.sequence, SEQUENCES - 1),
        ("the timestamp", packet.timestamp, TIMESTAMPS - 1),
        ("the SSRC", packet.ssrc, TIMESTAMPS - 1),
        ("the payload type", packet.payload_type, 0x7F),
        ("the padding", padding, MAX_PADDING),
        ("the number of CSRCs", len(packet.csrcs), MAX_CSRCS),
        *(("a CSRC", source, TIMESTAMPS - 1) for source in packet.csrcs),
    )
    for what, value, most in ranges:
        if not 0 <= value <= most:
            raise LocalProtocolError(f"{what} is 0 to {most}, not {value}")
    if packet.marker and 64 <= packet.payload_type <= 95:
        raise LocalProtocolError(f"payload type {packet.payload_type} looks like RTCP")
    extension = packet.extension
    if extension is None:
        return
    if not 0 <= extension.profile <= 0xFFFF:
        raise LocalProtocolError(f"the profile is 0 to 65535, not {extension.profile}")
    if len(extension.content) % 4 or len(extension.content) > MAX_EXTENSION:
        raise LocalProtocolError("an extension is of whole words of four octets, at most 65535")


def relabelled(
    octets: Octets, *, payload_type: int, sequence: int, timestamp: int, ssrc: int
) -> bytes:
    """The same packet under other numbers, its marker, extension and payload as they were.

    For a relay whose two sides count differently or number a codec differently.
    """
    second = octets[1] & _MARKER | payload_type
    head = HEADER.pack(octets[0], second, sequence, timestamp, ssrc)
    return head + bytes(octets[HEADER_OCTETS:])
