"""Formats by name and number, and how long a payload is by the RTP clock."""

import pytest

from protocols.rtp.formats import (
    CN,
    FORMATS,
    G722,
    L16_16000,
    L16_44100,
    OPUS,
    PCMA,
    PCMU,
    find,
    static,
)


@pytest.mark.parametrize("format", FORMATS)
def test_a_format_is_found_by_its_name_in_any_case(format) -> None:
    assert find(format.name.swapcase(), format.clock_rate) is format


def test_what_is_not_ours_is_not_found() -> None:
    assert find("PCMU", 16000) is None
    assert find("G729", 8000) is None
    assert static(18) is None


@pytest.mark.parametrize(
    ("number", "format"), [(0, PCMU), (8, PCMA), (9, G722), (11, L16_44100), (13, CN)]
)
def test_static_numbers_of_rfc_3551(number: int, format) -> None:
    assert static(number) is format


def test_g722_counts_8000_and_has_16000_samples() -> None:
    assert (G722.clock_rate, G722.sample_rate) == (8000, 16000)
    assert G722.samples(20) == 320
    assert G722.ticks(bytes(160)) == 160


@pytest.mark.parametrize(
    ("format", "octets", "ticks"),
    [(PCMU, 160, 160), (PCMA, 80, 80), (L16_16000, 640, 320), (L16_16000, 1, 0), (CN, 1, 0)],
)
def test_ticks_of_a_payload(format, octets: int, ticks: int) -> None:
    assert format.ticks(bytes(octets)) == ticks


@pytest.mark.parametrize(
    ("payload", "ticks"),
    [
        # RFC 6716 §3.1: upper five bits the configuration, lower two the code of frames
        ("", 0),
        ("00", 480),  # SILK narrowband, 10 ms
        ("08", 960),
        ("18", 2880),  # 60 ms
        ("61", 960),  # hybrid of 10 ms, two frames
        ("6a", 1920),  # hybrid of 20 ms, two frames of different size
        ("e0", 120),  # CELT, 2.5 ms
        ("fc", 960),  # CELT fullband, 20 ms, stereo
        ("fb03", 2880),  # three frames of 20 ms
        ("fb06", 5760),
        ("fb07", 0),  # 140 ms: more than a packet may hold
        ("fb", 0),  # the count is missing
        ("fb00", 0),
    ],
)
def test_ticks_of_an_opus_packet(payload: str, ticks: int) -> None:
    assert OPUS.ticks(bytes.fromhex(payload)) == ticks
