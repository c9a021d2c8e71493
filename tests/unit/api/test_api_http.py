"""The kernel: forms, credentials, dates and errors, as bytes and values."""

from base64 import b64encode
from decimal import Decimal
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.http import (
    basic_credentials,
    iso8601,
    parse_form,
    parse_json,
    refusal_response,
    refuse,
    rfc2822,
)
from gateway.api.messages import price_text
from gateway.messages.draft import Refusal


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40)), max_size=8))
def test_a_form_is_read_as_it_was_written(pairs: list[tuple[str, str]]) -> None:
    pairs = [(name, value) for name, value in pairs if "\0" not in value]
    expected: dict[str, list[str]] = {}
    for name, value in pairs:
        expected.setdefault(name, []).append(value)
    assert parse_form(urlencode(pairs).encode()) == expected


@given(st.binary(max_size=200))
def test_any_octets_give_a_form_or_a_refusal(octets: bytes) -> None:
    form = parse_form(octets)
    if isinstance(form, Refusal):
        assert form.error_code == 20001
    else:
        assert all(isinstance(value, str) for values in form.values() for value in values)


def test_repeated_keys_keep_their_order() -> None:
    assert parse_form(b"MediaUrl=b&MediaUrl=a&To=%2B1") == {"MediaUrl": ["b", "a"], "To": ["+1"]}


@pytest.mark.parametrize("octets", [b"Body=%ff", b"Body=\xc3", b"%ff=1", b"Body=%ED%A0%80"])
def test_what_is_not_utf8_is_refused(octets: bytes) -> None:
    form = parse_form(octets)
    assert isinstance(form, Refusal)
    assert form.error_code == 20001
    assert "UTF-8" in form.message


def test_the_character_nul_is_refused() -> None:
    form = parse_form(b"To=%2B1&Body=a%00b")
    assert isinstance(form, Refusal)
    assert "'Body'" in form.message


def test_raw_utf8_and_broken_escapes_are_taken_as_they_are() -> None:
    assert parse_form("Body=grüß&X=100%".encode()) == {"Body": ["grüß"], "X": ["100%"]}


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b'{"text":"a","n":2,"on":true}', {"text": ["a"], "n": ["2"], "on": ["true"]}),
        (b"", {}),
    ],
)
def test_a_json_object_gives_parameters(octets: bytes, expected: dict[str, list[str]]) -> None:
    assert parse_json(octets) == expected


@pytest.mark.parametrize(
    "octets",
    [b"[1]", b"{", b'{"a":[1]}', b'{"a":null}', b"\xff", b"3", b'{"a":"\\u0000"}', b"[" * 100_000],
)
def test_other_json_is_refused(octets: bytes) -> None:
    refusal = parse_json(octets)
    assert isinstance(refusal, Refusal)
    assert refusal.error_code == 20001


def test_basic_credentials() -> None:
    header = "Basic " + b64encode(b"AC1:to:ken").decode()
    assert basic_credentials(header) == ("AC1", "to:ken")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Bearer abc",
        "Basic " + b64encode(b"no colon").decode(),
        "Basic /w==",
    ],
)
def test_headers_without_credentials(header: str) -> None:
    assert basic_credentials(header) is None


def test_dates() -> None:
    assert rfc2822(1_795_168_800.9) == "Fri, 20 Nov 2026 10:00:00 +0000"
    assert iso8601(1_795_168_800.25) == "2026-11-20T10:00:00.250Z"
    assert iso8601(0.0) is None


@pytest.mark.parametrize(
    ("code", "status", "header"),
    [
        (20003, 401, ("WWW-Authenticate", 'Basic realm="Twilio API"')),
        (20404, 404, None),
        (20429, 429, ("Retry-After", "13")),
        (20503, 503, ("Retry-After", "13")),
    ],
)
def test_a_refusal_is_twilios_error(code: int, status: int, header: tuple[str, str] | None) -> None:
    response = refusal_response(refuse(code, "why"), 100.0, 100.5, retry_after=12.2)
    assert response.status == status
    assert isinstance(response.body, bytes)
    assert msgspec.json.decode(response.body) == {
        "code": code,
        "message": "why",
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    assert response.headers["Twilio-Request-Id"].startswith("RQ")
    assert response.headers["Twilio-Request-Duration"] == "0.500"
    if header is not None:
        assert response.headers[header[0]] == header[1]


@pytest.mark.parametrize(
    ("price", "text"),
    [
        ("0.0075", "-0.00750"),
        ("0.02250", "-0.02250"),
        ("1E+1", "-10.00000"),
        ("0.1234567", "-0.1234567"),
        ("0", "0.00000"),
    ],
)
def test_a_price_is_negative_and_has_five_digits_or_all_it_needs(price: str, text: str) -> None:
    assert price_text(Decimal(price)) == text
