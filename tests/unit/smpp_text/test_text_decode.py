"""Reading what peers write: every data_coding, and octets that make no sense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp.text import decode


@pytest.mark.parametrize(
    ("data_coding", "payload", "text"),
    [
        (0x00, b"\x00\x1be", "@€"),
        (0x01, b"@_\xe9", "@_é"),
        (0x01, b"a\tb\r\nc\fd", "a\tb\r\nc\fd"),
        (0x01, b"me\x00here \x1be", "me@here €"),  # GSM under the name of ASCII
        (0x02, b"\x00\xff", "\x00ÿ"),
        (0x03, b"\xa3_", "£_"),
        (0x04, b"\xa3", "£"),
        (0x05, "漢字".encode("shift_jis"), "漢字"),
        (0x06, "Привет".encode("iso8859_5"), "Привет"),
        (0x07, "שלום".encode("iso8859_8"), "שלום"),
        (0x08, b"\x04\x1f\xd8\x3d\xde\x00", "П😀"),
        (0x0A, "漢".encode("iso2022_jp"), "漢"),
        (0x0E, "한".encode("euc_kr"), "한"),
        (0x0B, b"\x00", "@"),
        (0x10, b"\x00", "@"),  # class 0, default alphabet
        (0x14, b"\xa3", "£"),  # class 0, 8-bit
        (0x18, b"\x04\x1f", "П"),  # class 0, UCS2
        (0x48, b"\x04\x1f", "П"),  # marked for deletion
        (0xC8, b"\x00", "@"),  # message waiting, discard
        (0xD0, b"\x00", "@"),
        (0xE0, b"\x04\x1f", "П"),
        (0xF0, b"\x00", "@"),
        (0xF1, b"\x00", "@"),
        (0xF5, b"\xa3", "£"),
        (0x90, b"\x00", "@"),
    ],
)
def test_each_coding_group(data_coding: int, payload: bytes, text: str) -> None:
    assert decode(payload, data_coding) == text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"\x00A\x00", "A\ufffd"),
        (b"\xd8\x3d\x00A", "\ufffdA"),
        (b"\xde\x00\x00A", "\ufffdA"),
        (b"\xd8\x3d", "\ufffd"),
        (b"\xd8\x3d\xd8\x3d\xde\x00", "\ufffd😀"),
    ],
)
def test_broken_ucs2_loses_no_neighbour(payload: bytes, text: str) -> None:
    assert decode(payload, 0x08) == text


@given(st.binary(max_size=200), st.integers(0, 255))
def test_reading_never_fails_and_gives_text(payload: bytes, data_coding: int) -> None:
    decode(payload, data_coding).encode()
