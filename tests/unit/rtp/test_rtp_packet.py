"""RTP packets by RFC 3550 §5.1, and telling what shares a port by RFC 7983 and RFC 5761."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.rtp import packet as rtp
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.packet import Extension, Kind, Malformed, Packet

PLAIN = bytes.fromhex("80 00 12 34 00 00 0b b8 de ad be ef") + b"\xff" * 160
FULL = bytes.fromhex(
    "b2 e5 ff ff ff ff ff 60 11 22 33 44"  # padded, extended, two CSRCs; marker, 101
    "00 00 00 01 ff ff ff ff"
    "be de 00 02 10 aa 00 00 21 bb cc 00"
    "05 8a 03 20 00 00 00 04"
)
DATAGRAMS = st.binary(max_size=80) | st.builds(
    lambda first, rest: bytes([first]) + rest, st.integers(0x80, 0xBF), st.binary(max_size=80)
)


def test_a_plain_packet() -> None:
    assert rtp.read(PLAIN) == Packet(
        payload_type=0, sequence=0x1234, timestamp=3000, ssrc=0xDEADBEEF, payload=b"\xff" * 160
    )


def test_a_packet_with_everything() -> None:
    read = rtp.read(FULL)
    assert read == Packet(
        payload_type=101,
        marker=True,
        sequence=0xFFFF,
        timestamp=0xFFFFFF60,
        ssrc=0x11223344,
        csrcs=(1, 0xFFFFFFFF),
        extension=Extension(profile=0xBEDE, content=bytes.fromhex("10aa000021bbcc00")),
        payload=bytes.fromhex("058a0320"),
    )
    assert rtp.write(read, padding=4) == FULL
    assert rtp.payload_bounds(FULL) == (32, 36)


@pytest.mark.parametrize("octets", [PLAIN, bytearray(FULL), memoryview(FULL)])
def test_single_fields_are_those_of_the_value(octets: bytes) -> None:
    read = rtp.read(octets)
    assert isinstance(read, Packet)
    assert rtp.is_rtp(octets)
    assert rtp.payload_type(octets) == read.payload_type
    assert rtp.marker(octets) is read.marker
    assert rtp.sequence(octets) == read.sequence
    assert rtp.timestamp(octets) == read.timestamp
    assert rtp.ssrc(octets) == read.ssrc


@pytest.mark.parametrize("end", [*range(35), len(FULL)])
def test_a_packet_cut_at_any_octet(end: int) -> None:
    """At 35 the octet before the cut is taken for the padding's length, and fits."""
    whole = end == len(FULL)
    assert isinstance(rtp.read(FULL[:end]), Packet if whole else Malformed)
    assert isinstance(rtp.read(FULL[:35]), Packet)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "head"),
        (b"\x40" + PLAIN[1:], "head"),  # version 1
        (b"\x80\xc8" + PLAIN[2:], "head"),  # a sender report
        (b"\x8f" + PLAIN[1:71], "within its header"),
        (b"\x90" + PLAIN[1:12] + b"\0\0\0", "before its header extension"),
        (b"\x90" + PLAIN[1:12] + b"\0\0\0\x01", "within its header"),
        (b"\xa0" + PLAIN[1:12], "padding"),
        (b"\xa0" + PLAIN[1:12] + b"\0", "padding"),
        (b"\xa0" + PLAIN[1:12] + b"\0\3", "padding"),
    ],
)
def test_what_is_no_packet_says_why(octets: bytes, reason: str) -> None:
    read = rtp.read(octets)
    assert isinstance(read, Malformed)
    assert reason in read.reason


def test_padding_may_be_all_there_is() -> None:
    read = rtp.read(b"\xa0" + PLAIN[1:12] + b"\0\2")
    assert isinstance(read, Packet)
    assert read.payload == b""


@given(DATAGRAMS)
def test_no_octets_raise_and_what_was_read_is_written_as_it_was(octets: bytes) -> None:
    rtp.kind(octets)
    read = rtp.read(octets)
    if isinstance(read, Packet):
        again = rtp.write(read)
        assert rtp.read(again) == read
        if not octets[0] & 0x20:
            assert again == octets


@pytest.mark.parametrize(
    ("first", "found"),
    [
        (0, Kind.STUN),
        (3, Kind.STUN),
        (4, Kind.UNKNOWN),
        (15, Kind.UNKNOWN),
        (16, Kind.ZRTP),
        (19, Kind.ZRTP),
        (20, Kind.DTLS),
        (63, Kind.DTLS),
        (64, Kind.TURN),
        (79, Kind.TURN),
        (80, Kind.UNKNOWN),
        (127, Kind.UNKNOWN),
        (128, Kind.RTP),
        (191, Kind.RTP),
        (192, Kind.UNKNOWN),
        (255, Kind.UNKNOWN),
    ],
)
def test_the_first_octet_tells_the_protocol(first: int, found: Kind) -> None:
    assert rtp.kind(bytes([first]) + bytes(40)) is found


@pytest.mark.parametrize(
    ("second", "found"),
    [(191, Kind.RTP), (192, Kind.RTCP), (200, Kind.RTCP), (223, Kind.RTCP), (224, Kind.RTP)],
)
def test_the_second_octet_tells_rtcp(second: int, found: Kind) -> None:
    octets = bytes([0x80, second]) + bytes(40)
    assert rtp.kind(octets) is found
    assert rtp.is_rtp(octets) is (found is Kind.RTP)


def test_too_little_is_nothing() -> None:
    assert rtp.kind(b"") is Kind.UNKNOWN
    assert rtp.kind(b"\x80") is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("later", "earlier", "ahead"),
    [(1, 0, 1), (0, 0xFFFF, 1), (0xFFFF, 0, -1), (5, 0xFFFB, 10), (0x7FFF, 0, 0x7FFF)],
)
def test_sequences_wrap(later: int, earlier: int, ahead: int) -> None:
    assert rtp.sequences_ahead(later, earlier) == ahead


@pytest.mark.parametrize(
    ("later", "earlier", "ahead"),
    [(160, 0, 160), (0, 0xFFFFFF60, 160), (0xFFFFFF60, 0, -160), (0x80000000, 0, -0x80000000)],
)
def test_timestamps_wrap(later: int, earlier: int, ahead: int) -> None:
    assert rtp.timestamps_ahead(later, earlier) == ahead


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"sequence": 0x10000}, "sequence"),
        ({"sequence": -1}, "sequence"),
        ({"timestamp": 1 << 32}, "timestamp"),
        ({"ssrc": 1 << 32}, "SSRC"),
        ({"payload_type": 128}, "payload type"),
        ({"csrcs": (1,) * 16}, "CSRCs"),
        ({"csrcs": (1 << 32,)}, "CSRC"),
        ({"marker": True, "payload_type": 72}, "RTCP"),
        ({"extension": Extension(profile=1 << 16, content=b"")}, "profile"),
        ({"extension": Extension(profile=0, content=b"abc")}, "words"),
    ],
)
def test_what_cannot_be_written_is_refused(fault: dict[str, object], said: str) -> None:
    fields = {"payload_type": 0, "sequence": 0, "timestamp": 0, "ssrc": 0, "payload": b""} | fault
    with pytest.raises(LocalProtocolError, match=said):
        rtp.write(Packet(**fields))


@pytest.mark.parametrize("padding", [-1, 256])
def test_padding_has_its_bounds(padding: int) -> None:
    packet = Packet(payload_type=0, sequence=0, timestamp=0, ssrc=0, payload=b"")
    with pytest.raises(LocalProtocolError, match="padding"):
        rtp.write(packet, padding=padding)


def test_a_relabelled_packet_keeps_what_is_not_a_number() -> None:
    there = rtp.relabelled(FULL, payload_type=96, sequence=7, timestamp=8, ssrc=9)
    assert there[:2] == struct.pack(">BB", FULL[0], 0x80 | 96)
    assert there[2:12] == struct.pack(">HII", 7, 8, 9)
    assert there[12:] == FULL[12:]
