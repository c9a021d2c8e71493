"""A call's SIP messages as a capture file, for the tools that read packets.

Each message is a UDP datagram in an Ethernet frame that never was: the addresses, ports and times
are those of the message, whatever carried it. So a message over TCP or TLS can be read too, and
what was encrypted on the wire is shown as it was read.
"""

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from gateway.calls.model import Crossing

MEDIA_TYPE: Final = "application/vnd.tcpdump.pcap"

_MAGIC: Final = 0xA1B2C3D4  # microseconds
_ETHERNET: Final = 1
_SNAP: Final = 262_144  # octets, more than any packet has
_UDP: Final = 17
_TTL: Final = 64
_MAC: Final = bytes(12)  # both ends
_TYPES: Final = {4: b"\x08\x00", 6: b"\x86\xdd"}
_ROOM: Final = 65_535 - 20 - 8  # octets of a datagram over IPv4

Address = IPv4Address | IPv6Address


def pcap(crossings: Iterable[Crossing]) -> bytes:
    """The file (libpcap's, version 2.4); what no datagram can hold is cut off."""
    parts = [struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, _SNAP, _ETHERNET)]
    for each in crossings:
        frame, whole = _frame(each)
        seconds, micro = divmod(round(each.at * 1_000_000), 1_000_000)
        parts += [struct.pack("<IIII", seconds & 0xFFFFFFFF, micro, len(frame), whole), frame]
    return b"".join(parts)


def _frame(crossing: Crossing) -> tuple[bytes, int]:
    """A frame, and how long it would be if nothing were cut off."""
    ends = (crossing.local, crossing.remote)
    (source, sport), (target, dport) = ends if crossing.sent else ends[::-1]
    sender, receiver = _addresses(source, target)
    payload = crossing.octets[:_ROOM]
    header = struct.pack("!HHHH", sport & 0xFFFF, dport & 0xFFFF, 8 + len(payload), 0)
    ends_of = sender.packed + receiver.packed
    pseudo = ends_of + struct.pack("!II", len(header) + len(payload), _UDP)
    check = _checksum(pseudo + header + payload) or 0xFFFF  # RFC 768: 0 would mean none
    datagram = header[:6] + struct.pack("!H", check) + payload
    packet = _ip(sender, receiver, datagram)
    frame = _MAC + _TYPES[sender.version] + packet
    return frame, len(frame) + len(crossing.octets) - len(payload)


def _addresses(source: str, target: str) -> tuple[Address, Address]:
    """Both in one family; what is no address is the one that means none."""
    one, other = _address(source), _address(target)
    if one.version == other.version:
        return one, other
    return _mapped(one), _mapped(other)


def _address(text: str) -> Address:
    try:
        return ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return IPv4Address(0)


def _mapped(address: Address) -> IPv6Address:
    if isinstance(address, IPv6Address):
        return address
    return IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)


def _ip(sender: Address, receiver: Address, datagram: bytes) -> bytes:
    if sender.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(datagram), _UDP, _TTL)
        return head + sender.packed + receiver.packed + datagram
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, _TTL, _UDP, 0)
    head += sender.packed + receiver.packed
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + datagram


def _checksum(octets: bytes) -> int:
    """RFC 1071."""
    if len(octets) % 2:
        octets += b"\0"
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
