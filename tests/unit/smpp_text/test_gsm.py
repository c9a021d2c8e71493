"""GSM 03.38 against a table that is not ours."""

import gsm0338
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp import gsm

ORACLE = gsm0338.Codec()


def test_every_septet_reads_and_writes_as_the_oracle_has_it() -> None:
    for septet in set(range(128)) - {gsm.ESCAPE}:
        octets = bytes((septet,))
        character = ORACLE.decode(octets)[0]
        assert gsm.decode(octets) == character
        assert gsm.encode(character) == octets


def test_the_extension_is_the_oracles() -> None:
    extension = gsm.CHARACTERS - gsm.BASIC_CHARACTERS
    assert len(extension) == 10
    for character in extension:
        octets = gsm.encode(character)
        assert octets == ORACLE.encode(character)[0]
        assert octets is not None and octets[0] == gsm.ESCAPE
        assert gsm.decode(octets) == character


def test_no_other_character_of_the_plane_is_taken() -> None:
    taken = {chr(code) for code in range(0x10000) if gsm.encode(chr(code)) is not None}
    assert taken == gsm.CHARACTERS
    assert len(taken) == 137


@pytest.mark.parametrize("character", ["`", "\x1b", "\x00", "á", "😀", "\u2019"])
def test_a_foreign_character_is_never_replaced(character: str) -> None:
    assert gsm.encode(f"text{character}") is None
    assert gsm.foreign(f"ab{character}c{character}", 5) == [2, 4]


@pytest.mark.parametrize(
    ("septets", "text"),
    [
        (b"\x1b", " "),
        (b"a\x1b", "a "),
        (b"\x1b\x1bb", " b"),
        (b"\x1bz", "z"),
        (b"\x1be\x1b\x65", "€€"),
        (b"\xe9\xff", "éÿ"),
        (b"\x1b\xe9", "é"),
        (b"", ""),
    ],
)
def test_reading_is_liberal(septets: bytes, text: str) -> None:
    assert gsm.decode(septets) == text


@given(st.text(alphabet=sorted(gsm.CHARACTERS)))
def test_what_is_written_is_read_and_is_what_the_oracle_writes(text: str) -> None:
    octets = gsm.encode(text)
    assert octets == ORACLE.encode(text)[0]
    assert gsm.decode(octets or b"") == text


@given(st.binary())
def test_reading_never_fails(septets: bytes) -> None:
    assert isinstance(gsm.decode(septets), str)
