"""The user data header, whole, crowded and broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp.udh import Element, Part, parse_udh, render_part


@pytest.mark.parametrize(
    ("octets", "part"),
    [
        ("050003ab0302", Part(reference=0xAB, width=8, total=3, number=2)),
        ("060804abcd0201", Part(reference=0xABCD, width=16, total=2, number=1)),
        ("0b0504158115810003ab0201", Part(reference=0xAB, width=8, total=2, number=1)),
        ("0b0003ab0201050415811581", Part(reference=0xAB, width=8, total=2, number=1)),
        ("082401010003ab0202", Part(reference=0xAB, width=8, total=2, number=2)),
        (
            "0b000301020108040506020 2".replace(" ", ""),
            Part(reference=0x0506, width=16, total=2, number=2),
        ),
        ("050003ab0200", None),
        ("050003ab0203", None),
        ("050003ab0000", None),
        ("040002ab02", None),
        ("0605041581 1581".replace(" ", ""), None),
        ("00", None),
    ],
)
def test_concatenation_is_found_wherever_it_stands(octets: str, part: Part | None) -> None:
    udh = parse_udh(bytes.fromhex(octets) + b"text")
    assert udh.problem == ""
    assert udh.octets == len(octets) // 2
    assert udh.part == part


def test_every_element_is_kept() -> None:
    udh = parse_udh(bytes.fromhex("0b0504158115810003ab0201") + b"x")
    assert udh.elements == (
        Element(identifier=5, data=bytes.fromhex("15811581")),
        Element(identifier=0, data=bytes.fromhex("ab0201")),
    )


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        ("", "no user data"),
        ("05", "UDHL is 5 and only 0"),
        ("ff414243", "UDHL is 255 and only 3"),
        ("050004ab0302", "element at octet 1"),
        ("0100ff", "element at octet 1"),
        ("060003ab030209", "element at octet 6"),
    ],
)
def test_a_broken_header_is_text_and_says_why(octets: str, problem: str) -> None:
    udh = parse_udh(bytes.fromhex(octets))
    assert (udh.octets, udh.elements, udh.part) == (0, (), None)
    assert problem in udh.problem


@given(st.sampled_from([8, 16]), st.integers(0, 255), st.integers(1, 255), st.data())
def test_what_is_written_is_read(
    width: int, reference: int, total: int, data: st.DataObject
) -> None:
    part = Part(
        reference=reference, width=width, total=total, number=data.draw(st.integers(1, total))
    )
    assert parse_udh(render_part(part)).part == part
    assert len(render_part(part)) == (6 if width == 8 else 7)


@given(st.binary(max_size=160))
def test_reading_never_fails(payload: bytes) -> None:
    udh = parse_udh(payload)
    assert 0 <= udh.octets <= len(payload)
    assert bool(udh.problem) == (udh.octets == 0)
