"""Capture files of calls, read by a reader of our own."""

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

import pytest

from gateway.calls.model import Crossing
from gateway.calls.pcap import pcap

AT = 1_795_168_800.123456
US, PEER = ("192.0.2.1", 5060), ("198.51.100.7", 5062)
US6, PEER6 = ("2001:db8::1", 5061), ("2001:db8::7", 40000)
INVITE = b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n"


class Packet(NamedTuple):
    at: float
    version: int
    source: tuple[str, int]
    target: tuple[str, int]
    payload: bytes
    whole: int


def checksum(octets: bytes) -> int:
    """0 when the checksum in `octets` is right (RFC 1071)."""
    octets += b"\0" * (len(octets) % 2)
    total = sum(int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total ^ 0xFFFF


def packets(octets: bytes) -> Iterator[Packet]:
    magic, major, minor, _, _, snap, link = struct.unpack("<IHHiIII", octets[:24])
    assert (magic, major, minor, link) == (0xA1B2C3D4, 2, 4, 1)
    at = 24
    while at < len(octets):
        seconds, micro, kept, whole = struct.unpack("<IIII", octets[at : at + 16])
        frame = octets[at + 16 : at + 16 + kept]
        assert len(frame) == kept <= min(whole, snap)
        yield packet(seconds + micro / 1e6, frame, whole)
        at += 16 + kept


def packet(at: float, frame: bytes, whole: int) -> Packet:
    kind, body = frame[12:14], frame[14:]
    if kind == b"\x08\x00":
        assert checksum(body[:20]) == 0
        assert (body[0], body[9], int.from_bytes(body[2:4], "big")) == (0x45, 17, len(body))
        version, ends, datagram = 4, (body[12:16], body[16:20]), body[20:]
    else:
        assert (kind, body[0] >> 4, body[6]) == (b"\x86\xdd", 6, 17)
        assert int.from_bytes(body[4:6], "big") == len(body) - 40
        version, ends, datagram = 6, (body[8:24], body[24:40]), body[40:]
    sport, dport, length, check = struct.unpack("!HHHH", datagram[:8])
    assert length == len(datagram)
    assert check
    assert checksum(b"".join(ends) + struct.pack("!II", length, 17) + datagram) == 0
    source, target = (str(ip_address(end)) for end in ends)
    return Packet(at, version, (source, sport), (target, dport), datagram[8:], whole)


def only(crossing: Crossing) -> Packet:
    (found,) = packets(pcap([crossing]))
    return found


@pytest.mark.parametrize("local, remote, version", [(US, PEER, 4), (US6, PEER6, 6)])
@pytest.mark.parametrize("octets", [INVITE, INVITE + b"x", b""])
def test_a_message_is_a_packet_between_its_ends(
    local: tuple[str, int], remote: tuple[str, int], version: int, octets: bytes
) -> None:
    sent = only(Crossing(AT, True, "TLS", local, remote, octets))
    assert (sent.version, sent.source, sent.target) == (version, local, remote)
    assert (sent.payload, sent.at) == (octets, pytest.approx(AT, abs=2e-6))
    received = only(Crossing(AT, False, "UDP", local, remote, octets))
    assert (received.source, received.target) == (remote, local)


@pytest.mark.parametrize(
    "local, remote, shown, other",
    [
        (US, PEER6, "::ffff:192.0.2.1", "2001:db8::7"),
        (("", 5060), PEER, "0.0.0.0", "198.51.100.7"),
        (("carrier.example", 5060), PEER6, "::ffff:0.0.0.0", "2001:db8::7"),
        (("fe80::1%eth0", 5060), ("[2001:db8::7]", 1), "fe80::1", "2001:db8::7"),
        (("0.0.0.0", 0), PEER, "0.0.0.0", "198.51.100.7"),
    ],
)
def test_ends_that_do_not_fit(
    local: tuple[str, int], remote: tuple[str, int], shown: str, other: str
) -> None:
    found = only(Crossing(AT, True, "UDP", local, remote, INVITE))
    assert ip_address(found.source[0]) == ip_address(shown)
    assert found.target[0] == other
    assert found.payload == INVITE


def test_what_no_datagram_holds_is_cut_off_and_said_to_be() -> None:
    for ends, headers in (((US, PEER), 42), ((US6, PEER6), 62)):
        found = only(Crossing(AT, True, "TCP", *ends, b"x" * 70_000))
        assert len(found.payload) == 65_507
        assert found.whole == 70_000 + headers


def test_many_messages_and_none() -> None:
    crossings = [Crossing(AT + n, bool(n % 2), "UDP", US, PEER, b"%d" % n) for n in range(50)]
    assert [each.payload for each in packets(pcap(crossings))] == [b"%d" % n for n in range(50)]
    assert list(packets(pcap([]))) == []
    assert only(Crossing(AT - 0.123456 + 0.9999999, True, "UDP", US, PEER, b"")).at < AT + 2
