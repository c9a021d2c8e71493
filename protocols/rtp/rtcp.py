"""RTCP packets (RFC 3550 §6) as values, compounds read and written, and when to send one (§6.3).

Reports, CNAMEs and goodbyes are read; packets of other kinds (APP, feedback, extended reports)
are skipped by their length. A compound that begins with another kind than a report is taken too,
as RFC 5506 allows; ours begin with one, as §6.1 wants it.
"""

from collections.abc import Callable, Iterator
from math import e
from struct import Struct
from typing import Final

import msgspec

from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.packet import Malformed, Octets

MAX_BLOCKS: Final = 31  # the counts of §6.4 and §6.6 have five bits
MAX_TEXT: Final = 255  # octets of a CNAME or a reason
MAX_PACKETS: Final = 64  # in one compound; what comes after them is not read
NTP_EPOCH: Final = 2_208_988_800  # seconds from 1900 to 1970

_HEAD: Final = Struct(">BBH")
_WORD: Final = Struct(">I")
_SENDER: Final = Struct(">IQIII")
_BLOCK: Final = Struct(">IIIIII")

_SR: Final = 200
_RR: Final = 201
_SDES: Final = 202
_BYE: Final = 203
_CNAME: Final = 1


class ReportBlock(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a receiver says about the packets of `ssrc` (§6.4.1).

    `fraction_lost` is in 1/256 since its last report, `packets_lost` in all and negative if there
    were more duplicates than losses, `highest_sequence` with the wraps above its 16 bits,
    `jitter` in units of the timestamp. `last_report` are the middle 32 bits of the NTP timestamp
    of the last sender report it had, `delay` the time since then in 1/65536 s; 0 for none.
    """

    ssrc: int
    fraction_lost: int = 0
    packets_lost: int = 0
    highest_sequence: int = 0
    jitter: int = 0
    last_report: int = 0
    delay: int = 0


class SenderReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `ssrc` has sent (§6.4.1); `ntp` is 32.32 fixed point, seconds since 1900."""

    ssrc: int
    ntp: int
    rtp_timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


class ReceiverReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `ssrc` has received, while it sends nothing (§6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


class SourceDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The CNAMEs of sources (§6.5.1), as (ssrc, name); the other items are not kept."""

    names: tuple[tuple[int, str], ...]


class Goodbye(msgspec.Struct, frozen=True, kw_only=True):
    """Sources that send no more (§6.6)."""

    ssrcs: tuple[int, ...]
    reason: str = ""


Report = SenderReport | ReceiverReport | SourceDescription | Goodbye


# NTP timestamps (§4)


def ntp(unix: float) -> int:
    """Seconds since 1970 as an NTP timestamp of 64 bits."""
    return int((unix + NTP_EPOCH) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


def middle(timestamp: int) -> int:
    """The middle 32 bits of an NTP timestamp: 16.16 fixed point."""
    return timestamp >> 16 & 0xFFFF_FFFF


def round_trip(block: ReportBlock, arrival: int) -> float | None:
    """The round trip in seconds that a report shows, which came at the NTP time `arrival`.

    None if it answers no report of ours, or if what it says cannot be (§6.4.1).
    """
    if not block.last_report:
        return None
    units = (middle(arrival) - block.last_report - block.delay) & 0xFFFF_FFFF
    return None if units >= 0x8000_0000 else units / 65536


# Reading


def read(octets: Octets) -> tuple[Report, ...] | Malformed:
    """What a compound holds, in its order; never raises.

    One packet at fault makes the whole compound Malformed, as §A.2 has it.
    """
    reports: list[Report] = []
    end, at, packets = len(octets), 0, 0
    if not end:
        return Malformed(reason="no octets")
    while at < end and packets < MAX_PACKETS:
        if end - at < 4:
            return Malformed(reason="the compound ends within a packet's head")
        flags, kind, words = _HEAD.unpack_from(octets, at)
        following = at + 4 + 4 * words
        if flags & 0xC0 != 0x80 or not 192 <= kind <= 223:
            return Malformed(reason="not the head of an RTCP packet")
        if following > end:
            return Malformed(reason="a packet is longer than the compound")
        body = bytes(octets[at + 4 : following])
        if flags & 0x20:
            padding = body[-1] if body else 0
            if following < end or not padding or padding % 4 or padding > len(body):
                return Malformed(reason="padding where it may not be, or of an impossible length")
            body = body[:-padding]
        if kind in _READERS:
            found = _READERS[kind](flags & 0x1F, body)
            if isinstance(found, Malformed):
                return found
            reports.append(found)
        at = following
        packets += 1
    return tuple(reports)


def _read_sender(count: int, body: bytes) -> Report | Malformed:
    start = _SENDER.size
    if len(body) < start + count * _BLOCK.size:
        return Malformed(reason="a sender report is shorter than it says")
    ssrc, timestamp, units, packets, octets = _SENDER.unpack_from(body)
    return SenderReport(
        ssrc=ssrc,
        ntp=timestamp,
        rtp_timestamp=units,
        packets=packets,
        octets=octets,
        blocks=_read_blocks(count, body, start),
    )


def _read_receiver(count: int, body: bytes) -> Report | Malformed:
    if len(body) < 4 + count * _BLOCK.size:
        return Malformed(reason="a receiver report is shorter than it says")
    return ReceiverReport(ssrc=_WORD.unpack_from(body)[0], blocks=_read_blocks(count, body, 4))


def _read_blocks(count: int, body: bytes, start: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for at in range(start, start + count * _BLOCK.size, _BLOCK.size):
        ssrc, lost, highest, jitter, last_report, delay = _BLOCK.unpack_from(body, at)
        in_all = lost & 0xFF_FFFF
        block = ReportBlock(
            ssrc=ssrc,
            fraction_lost=lost >> 24,
            packets_lost=in_all - 0x100_0000 if in_all & 0x80_0000 else in_all,
            highest_sequence=highest,
            jitter=jitter,
            last_report=last_report,
            delay=delay,
        )
        blocks.append(block)
    return tuple(blocks)


def _read_names(count: int, body: bytes) -> Report | Malformed:
    names: list[tuple[int, str]] = []
    at = 0
    for _ in range(count):
        if at + 4 > len(body):
            return Malformed(reason="a source description has fewer chunks than it says")
        (ssrc,) = _WORD.unpack_from(body, at)
        at += 4
        while at < len(body) and body[at]:
            if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
                return Malformed(reason="an item of a source description is longer than the packet")
            following = at + 2 + body[at + 1]
            if body[at] == _CNAME:
                names.append((ssrc, body[at + 2 : following].decode("utf-8", "replace")))
            at = following
        at += 4 - at % 4  # the list ends with zeros up to the next word, at least one
    return SourceDescription(names=tuple(names))


def _read_goodbye(count: int, body: bytes) -> Report | Malformed:
    end = 4 * count
    if len(body) < end:
        return Malformed(reason="a goodbye has fewer sources than it says")
    ssrcs = tuple(_WORD.unpack_from(body, at)[0] for at in range(0, end, 4))
    reason = ""
    if len(body) > end:
        if end + 1 + body[end] > len(body):
            return Malformed(reason="the reason of a goodbye is longer than the packet")
        reason = body[end + 1 : end + 1 + body[end]].decode("utf-8", "replace")
    return Goodbye(ssrcs=ssrcs, reason=reason)


_READERS: Final[dict[int, Callable[[int, bytes], Report | Malformed]]] = {
    _SR: _read_sender,
    _RR: _read_receiver,
    _SDES: _read_names,
    _BYE: _read_goodbye,
}


# Writing


def write(*reports: Report) -> bytes:
    """A compound; it begins with a sender's or receiver's report (§6.1).

    More than 31 blocks, names or sources in one of them, or a text of more than 255 octets, is a
    `LocalProtocolError`.
    """
    if not reports or not isinstance(reports[0], SenderReport | ReceiverReport):
        raise LocalProtocolError("a compound begins with a sender's or a receiver's report")
    return b"".join(piece for report in reports for piece in _written(report))


def _written(report: Report) -> Iterator[bytes]:
    match report:
        case SenderReport():
            kind, count = _SR, len(report.blocks)
            body = _SENDER.pack(
                report.ssrc, report.ntp, report.rtp_timestamp, report.packets, report.octets
            ) + _write_blocks(report.blocks)
        case ReceiverReport():
            kind, count = _RR, len(report.blocks)
            body = _WORD.pack(report.ssrc) + _write_blocks(report.blocks)
        case SourceDescription():
            kind, count = _SDES, len(report.names)
            body = b"".join(_chunk(ssrc, name) for ssrc, name in report.names)
        case Goodbye():
            kind, count = _BYE, len(report.ssrcs)
            reason = _text(report.reason) if report.reason else b""
            body = b"".join(map(_WORD.pack, report.ssrcs)) + reason + bytes(-len(reason) % 4)
    if count > MAX_BLOCKS:
        raise LocalProtocolError(f"an RTCP packet holds at most {MAX_BLOCKS} entries, not {count}")
    yield _HEAD.pack(0x80 | count, kind, len(body) // 4)
    yield body


def _write_blocks(blocks: tuple[ReportBlock, ...]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | block.packets_lost & 0xFF_FFFF,
            block.highest_sequence,
            block.jitter,
            block.last_report,
            block.delay,
        )
        for block in blocks
    )


def _chunk(ssrc: int, name: str) -> bytes:
    item = bytes((_CNAME,)) + _text(name)
    return _WORD.pack(ssrc) + item + bytes(4 - len(item) % 4)


def _text(text: str) -> bytes:
    octets = text.encode("utf-8", "replace")
    if len(octets) > MAX_TEXT:
        raise LocalProtocolError(f"a text of RTCP has at most {MAX_TEXT} octets")
    return bytes((len(octets),)) + octets


# When to send (§6.3.1, §A.7)

MIN_INTERVAL: Final = 5.0  # seconds
SENDERS_SHARE: Final = 0.25  # of the bandwidth, and of the members above which it is not kept
_COMPENSATION: Final = e - 1.5  # for the timer reconsideration, which would settle too low


class Group(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the interval between two compounds depends on.

    `bandwidth` is that of RTCP, in octets per second; `average_size` that of a compound, in
    octets with the headers of UDP and IP. `initial`: none was sent yet.
    """

    members: int = 2
    senders: int = 2
    bandwidth: float = 400.0  # 5 % of 64 kbit/s
    average_size: float = 120.0
    we_sent: bool = True
    initial: bool = False


def interval(group: Group, chance: float) -> float:
    """Seconds until the next compound; `chance` is evenly spread over 0 to 1, 1 excluded."""
    members, bandwidth = float(group.members), group.bandwidth
    if group.senders <= group.members * SENDERS_SHARE:
        if group.we_sent:
            bandwidth *= SENDERS_SHARE
            members = group.senders
        else:
            bandwidth *= 1 - SENDERS_SHARE
            members -= group.senders
    least = MIN_INTERVAL / 2 if group.initial else MIN_INTERVAL
    seconds = max(least, group.average_size * members / bandwidth)
    return seconds * (chance + 0.5) / _COMPENSATION
