"""RTCP compounds as octets, and the interval of RFC 3550 §A.7."""

from math import e

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.rtp import rtcp
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.packet import Malformed
from protocols.rtp.rtcp import (
    Goodbye,
    Group,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
)
from tests.floods import each

BLOCK = ReportBlock(
    ssrc=0x22222222,
    fraction_lost=64,
    packets_lost=-2,
    highest_sequence=0x0001FFFE,
    jitter=33,
    last_report=0xB7052000,
    delay=0x00054000,
)
BLOCK_OCTETS = bytes.fromhex("22222222 40fffffe 0001fffe 00000021 b7052000 00054000")
SENDER = SenderReport(
    ssrc=0x11111111,
    ntp=0xB44DB70520000000,
    rtp_timestamp=160,
    packets=2,
    octets=320,
    blocks=(BLOCK,),
)
SENDER_OCTETS = (
    bytes.fromhex("81c8000c 11111111 b44db705 20000000 000000a0 00000002 00000140") + BLOCK_OCTETS
)
NAMES = SourceDescription(names=((0x11111111, "a@b"),))
NAMES_OCTETS = bytes.fromhex("81ca0003 11111111 0103 614062 000000")
BYE = Goodbye(ssrcs=(0x11111111,), reason="bye")
BYE_OCTETS = bytes.fromhex("81cb0002 11111111 03627965")
APP_OCTETS = bytes.fromhex("80cc0003 11111111 6e616d65 00000000")
FEEDBACK_OCTETS = bytes.fromhex("81ce0002 11111111 22222222")

WORDS = st.integers(0, 0xFFFF_FFFF)
BLOCKS = st.builds(
    ReportBlock,
    ssrc=WORDS,
    fraction_lost=st.integers(0, 255),
    packets_lost=st.integers(-0x80_0000, 0x7F_FFFF),
    highest_sequence=WORDS,
    jitter=WORDS,
    last_report=WORDS,
    delay=WORDS,
)
UP_TO_31_BLOCKS = st.lists(BLOCKS, max_size=31).map(tuple)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
HEADS = st.builds(
    SenderReport,
    ssrc=WORDS,
    ntp=st.integers(0, (1 << 64) - 1),
    rtp_timestamp=WORDS,
    packets=WORDS,
    octets=WORDS,
    blocks=UP_TO_31_BLOCKS,
) | st.builds(ReceiverReport, ssrc=WORDS, blocks=UP_TO_31_BLOCKS)
TAILS = st.builds(
    SourceDescription, names=st.lists(st.tuples(WORDS, TEXTS), max_size=31).map(tuple)
) | st.builds(Goodbye, ssrcs=st.lists(WORDS, max_size=31).map(tuple), reason=TEXTS)


@pytest.mark.parametrize(
    ("report", "octets"),
    [
        (SENDER, SENDER_OCTETS),
        (
            ReceiverReport(ssrc=0x11111111, blocks=(BLOCK,)),
            bytes.fromhex("81c90007 11111111") + BLOCK_OCTETS,
        ),
        (ReceiverReport(ssrc=0x11111111), bytes.fromhex("80c90001 11111111")),
    ],
)
def test_reports(report: SenderReport | ReceiverReport, octets: bytes) -> None:
    assert rtcp.write(report) == octets
    assert rtcp.read(octets) == (report,)


def test_a_compound() -> None:
    octets = SENDER_OCTETS + NAMES_OCTETS + BYE_OCTETS
    assert rtcp.write(SENDER, NAMES, BYE) == octets
    assert rtcp.read(octets) == (SENDER, NAMES, BYE)
    assert rtcp.read(memoryview(octets)) == (SENDER, NAMES, BYE)


def test_other_kinds_are_skipped() -> None:
    octets = APP_OCTETS + SENDER_OCTETS + FEEDBACK_OCTETS + APP_OCTETS + NAMES_OCTETS
    assert rtcp.read(octets) == (SENDER, NAMES)


def test_items_beside_the_cname_are_skipped() -> None:
    octets = bytes.fromhex("82ca0005 00000001 02014e 010161 0000 00000002 00000000")
    assert rtcp.read(octets) == (SourceDescription(names=((1, "a"),)),)


def test_the_padding_of_the_last_packet() -> None:
    octets = SENDER_OCTETS + bytes.fromhex("a1cb0002 11111111 00000004")
    assert rtcp.read(octets) == (SENDER, Goodbye(ssrcs=(0x11111111,)))


@each("end", range(len(SENDER_OCTETS + NAMES_OCTETS + BYE_OCTETS)))
def test_a_compound_cut_at_any_octet(end: int) -> None:
    """Only between two packets is the rest a compound."""
    octets = SENDER_OCTETS + NAMES_OCTETS + BYE_OCTETS
    ends = {len(SENDER_OCTETS): (SENDER,), len(SENDER_OCTETS + NAMES_OCTETS): (SENDER, NAMES)}
    read = rtcp.read(octets[:end])
    assert read == ends[end] if end in ends else isinstance(read, Malformed)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("", "no octets"),
        ("80c9", "head"),
        ("40c90001 11111111", "head"),  # version 1
        ("80000001 11111111", "head"),  # RTP
        ("80c90002 11111111", "longer than the compound"),
        ("80c80001 11111111", "sender report"),
        ("82c90007 11111111" + BLOCK_OCTETS.hex(), "receiver report"),
        ("80c90000", "receiver report"),
        ("82ca0003 11111111 0103 614062 000000", "fewer chunks"),
        ("81ca0002 11111111 01ff 6140", "longer than the packet"),
        ("81ca0002 11111111 0101 6101", "longer than the packet"),
        ("82cb0001 11111111", "fewer sources"),
        ("81cb0002 11111111 04627965", "reason of a goodbye"),
        ("a0c90002 11111111 00000004 80c90001 11111111", "padding"),
        ("a0c90002 11111111 00000003", "padding"),
        ("a0c90002 11111111 0000000c", "padding"),
        ("a0c90000", "padding"),
    ],
)
def test_what_is_no_compound_says_why(octets: str, reason: str) -> None:
    read = rtcp.read(bytes.fromhex(octets))
    assert isinstance(read, Malformed)
    assert reason in read.reason


def test_a_compound_of_many_packets_is_read_to_its_bound() -> None:
    octets = bytes.fromhex("80c90001 11111111") * 180
    read = rtcp.read(octets)
    assert isinstance(read, tuple)
    assert len(read) == rtcp.MAX_PACKETS


@given(st.binary(max_size=120))
def test_no_octets_raise(octets: bytes) -> None:
    rtcp.read(octets)
    rtcp.read(bytes.fromhex("81c9") + octets)
    rtcp.read(bytes.fromhex("83ca0008") + octets[:32].ljust(32, b"\1"))


@given(HEADS, st.lists(TAILS, max_size=3))
def test_what_was_written_is_read(head: SenderReport, tails: list[Goodbye]) -> None:
    assert rtcp.read(rtcp.write(head, *tails)) == (head, *tails)


@pytest.mark.parametrize(
    "reports",
    [
        (),
        (NAMES,),
        (ReceiverReport(ssrc=1, blocks=(BLOCK,) * 32),),
        (SENDER, SourceDescription(names=((1, "a" * 256),))),
        (SENDER, SourceDescription(names=((1, "é" * 128),))),
        (SENDER, Goodbye(ssrcs=(1,) * 32)),
        (SENDER, Goodbye(ssrcs=(1,), reason="a" * 256)),
    ],
)
def test_what_cannot_be_written_is_refused(reports: tuple[SenderReport, ...]) -> None:
    with pytest.raises(LocalProtocolError):
        rtcp.write(*reports)


# Round trips (§6.4.1)


def test_the_round_trip_of_figure_2() -> None:
    """n = 46,853.125 s, answered 5.250 s later, back at 46,864.500 s: 6.125 s on the way."""
    arrival = 0xB44D_B710_8000_0000
    assert rtcp.middle(SENDER.ntp) == 0xB7052000
    assert rtcp.round_trip(BLOCK, arrival) == 6.125


def test_no_round_trip_without_a_report_of_ours_or_before_it_was_sent() -> None:
    assert rtcp.round_trip(ReportBlock(ssrc=1), 0xB44D_B710_8000_0000) is None
    assert rtcp.round_trip(BLOCK, 0xB44D_B705_0000_0000) is None


def test_ntp_of_the_unix_epoch_and_after() -> None:
    assert rtcp.ntp(0.0) == 2_208_988_800 << 32
    assert rtcp.ntp(0.5) == 2_208_988_800 << 32 | 1 << 31
    assert rtcp.ntp(2_085_978_496.0) == 0  # in 2036 the era ends


# The interval (§6.3.1)


@pytest.mark.parametrize(
    ("group", "seconds"),
    [
        (Group(), 5.0),
        (Group(initial=True), 2.5),
        (Group(average_size=2000), 10.0),  # 2 senders of 2: they share all
        (Group(members=1000, senders=2, we_sent=True, average_size=100), 5.0),  # 2 of 100 octets/s
        (Group(members=1000, senders=2, we_sent=False, average_size=100), 998 * 100 / 300),
        (Group(members=1000, senders=250, we_sent=True, average_size=100), 250.0),
        (Group(members=1000, senders=251, we_sent=True, average_size=100), 250.0),
    ],
)
def test_the_interval(group: Group, seconds: float) -> None:
    assert rtcp.interval(group, 0.5) == pytest.approx(seconds / (e - 1.5))
    assert rtcp.interval(group, 0.0) == pytest.approx(seconds / (e - 1.5) / 2)
