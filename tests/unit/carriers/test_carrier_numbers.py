"""Numbers and senders: their shape, their form on the wire, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carriers.numbers import (
    Address,
    Invalid,
    check_from,
    check_to,
    text_of_wire,
    wire_address,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+15550001000", "+15550001000"),
        ("+1 (555) 000-1000", "+15550001000"),
        ("+44 20.7183.8750", "+442071838750"),
        (" +15550001000 ", "+15550001000"),
        ("+1234567", "+1234567"),
        ("+123456789012345", "+123456789012345"),
        ("+15005550001", "+15005550001"),  # of E.164 shape, assigned or not
    ],
)
def test_a_destination(text: str, number: str) -> None:
    assert check_to(text) == Address(text=number, ton=1, npi=1, wire=number[1:])
    assert check_from(text) == check_to(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "E.164"),
        ("+", "7 to 15 digits after the +, this has 0"),
        ("+123456", "this has 6"),
        ("+1234567890123456", "this has 16"),
        ("15550001000", "is it +15550001000?"),
        ("0015550001000", "is it +15550001000?"),
        ("02071838750", "+ and the country code in place of the 0"),
        ("12345", "country code"),
        ("+1555000100x", "only digits"),
        ("++15550001000", "only digits"),
        ("Acme", "E.164"),
        ("+\u0661\u0665\u0665\u0665\u0660\u0660\u0660\u0661\u0660\u0660\u0660", "only digits"),
        ("whatsapp:+15550001000", "E.164"),
    ],
)
def test_no_destination(text: str, reason: str) -> None:
    answer = check_to(text)
    assert isinstance(answer, Invalid)
    assert answer.error_code == 21211
    assert reason in answer.reason


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("12345", Address(text="12345", ton=3, npi=0, wire="12345")),
        ("123", Address(text="123", ton=3, npi=0, wire="123")),
        ("12345678", Address(text="12345678", ton=3, npi=0, wire="12345678")),
        ("Acme", Address(text="Acme", ton=5, npi=0, wire="Acme")),
        ("Acme Co", Address(text="Acme Co", ton=5, npi=0, wire="Acme Co")),
        ("ELEVENCHARS", Address(text="ELEVENCHARS", ton=5, npi=0, wire="ELEVENCHARS")),
        ("24x7", Address(text="24x7", ton=5, npi=0, wire="24x7")),
        (" A&B-1 ", Address(text="A&B-1", ton=5, npi=0, wire="A&B-1")),
    ],
)
def test_a_sender(text: str, address: Address) -> None:
    assert check_from(text) == address
    assert wire_address(address.text) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("12", "3 to 8 digits"),
        ("123456789", "3 to 8 digits"),
        ("15550001000", "3 to 8 digits"),
        ("+12", "7 to 15 digits"),
        ("+1x", "7 to 15 digits"),
        ("TWELVE CHARS", "up to 11 characters, this has 12"),
        ("Ümlaut", "not 'Ü'"),
        ("a`b", "not '`'"),
        ("a{b", "not '{'"),
        ("a\nb", "not '\\n'"),
        ("a\0b", "not '\\x00'"),
        ("", "needs a letter"),
        ("&-&", "needs a letter"),
    ],
)
def test_no_sender(text: str, reason: str) -> None:
    answer = check_from(text)
    assert isinstance(answer, Invalid)
    assert answer.error_code == 21212
    assert reason in answer.reason


def test_a_long_text_is_shown_short() -> None:
    answer = check_to("x" * 5000)
    assert isinstance(answer, Invalid) and len(answer.reason) < 200


@pytest.mark.parametrize(
    ("ton", "npi", "wire", "text"),
    [
        (1, 1, "15550001000", "+15550001000"),
        (1, 0, "+15550001000", "+15550001000"),
        (1, 1, "0015550001000", "+15550001000"),
        (0, 0, "15550001000", "+15550001000"),
        (0, 1, "0044207183875", "+44207183875"),
        (0, 0, "12345", "12345"),
        (0, 0, "02071838750", "02071838750"),
        (2, 1, "2071838750", "2071838750"),
        (3, 0, "12345", "12345"),
        (5, 0, "Acme", "Acme"),
        (5, 0, "15550001000", "15550001000"),
        (1, 1, "Acme", "Acme"),
        (1, 1, "", ""),
    ],
)
def test_back_from_the_wire(ton: int, npi: int, wire: str, text: str) -> None:
    assert text_of_wire(ton, npi, wire) == text


@given(
    st.from_regex(r"\+[1-9][0-9]{6,14}|[1-9][0-9]{2,7}|[A-Za-z][A-Za-z0-9]{0,10}", fullmatch=True)
)
def test_what_goes_to_the_wire_comes_back(text: str) -> None:
    address = check_from(text)
    assert isinstance(address, Address)
    assert text_of_wire(address.ton, address.npi, address.wire) == text
    assert len(address.wire) <= 20


@given(st.text(max_size=40))
def test_any_text_gets_an_answer(text: str) -> None:
    for answer in (check_to(text), check_from(text)):
        if isinstance(answer, Address):
            assert answer.wire.isascii() and "\0" not in answer.wire
            assert wire_address(answer.text) == answer
