"""Whose ringing tone a number has, by its country code."""

import pytest

from gateway.calls.ringback import country_of
from protocols.rtp.tones import RINGING


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+15550001234", "us"),
        ("+447700900123", "uk"),
        ("+4930123456", "de"),
        ("+43123456", "at"),
        ("+420123456789", "cz"),
        ("+4212345678", "us"),  # Slovakia's is not known, and it is no 42
        ("+3531234567", "us"),
        ("+351212345678", "pt"),
        ("+79161234567", "ru"),
        ("sip:49@example.com", "us"),
        ("49", "us"),
        ("+", "us"),
        ("", "us"),
    ],
)
def test_the_country_of_a_number(number: str, country: str) -> None:
    assert country_of(number) == country


def test_every_country_has_a_tone() -> None:
    codes = [f"+{code}" for code in range(1, 1000)]
    assert {country_of(code) for code in codes} == RINGING.keys() - {"us-old"}
