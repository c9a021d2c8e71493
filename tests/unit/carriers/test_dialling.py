"""Numbers as carriers want them dialled, and as they send them."""

from typing import Any

import pytest

from carriers.dialling import number_of, request_uri, written
from carriers.trunks import Gateway, NumberFormat, Trunk
from protocols.sip.uri import format_uri, parse_uri
from tests.floods import each

LONDON, BERLIN, NEW_YORK = "+442071838750", "+493012345678", "+12125551234"
F = NumberFormat


def trunk(**fields: Any) -> Trunk:
    return Trunk(**{"uri": "sip:gw.example", **fields})


@pytest.mark.parametrize(
    ("number", "form", "fields", "text"),
    [
        (LONDON, F.E164, {}, "+442071838750"),
        (LONDON, F.DIGITS, {}, "442071838750"),
        (LONDON, F.INTERNATIONAL, {}, "00442071838750"),
        (LONDON, F.INTERNATIONAL, {"country_code": "1"}, "011442071838750"),
        (LONDON, F.NATIONAL, {"country_code": "44"}, "02071838750"),
        (BERLIN, F.NATIONAL, {"country_code": "44"}, "00493012345678"),
        (NEW_YORK, F.NATIONAL, {"country_code": "1", "trunk_prefix": "1"}, "12125551234"),
        (NEW_YORK, F.NATIONAL, {"country_code": "1", "trunk_prefix": ""}, "2125551234"),
        ("112", F.NATIONAL, {"country_code": "44"}, "112"),
        ("112", F.INTERNATIONAL, {}, "112"),
        ("alice", F.DIGITS, {}, "alice"),
    ],
)
def test_how_a_number_is_written(
    number: str, form: NumberFormat, fields: dict[str, Any], text: str
) -> None:
    assert written(number, form, trunk(**fields)) == text


@pytest.mark.parametrize(
    ("gateway", "fields", "uri"),
    [
        ("sip:gw.example", {}, "sip:+442071838750@gw.example;user=phone"),
        (
            "sip:gw.example:5070;transport=tcp",
            {"dial": F.DIGITS},
            "sip:442071838750@gw.example:5070;transport=tcp;user=phone",
        ),
        ("sips:[2001:db8::1]", {}, "sips:+442071838750@[2001:db8::1];user=phone"),
        ("sip:gw.example;user=ip", {}, "sip:+442071838750@gw.example;user=ip"),
        ("sip:old:pw@gw.example", {}, "sip:+442071838750@gw.example;user=phone"),
        (
            "sip:gw.example",
            {"dial_prefix": "99", "dial": F.DIGITS},
            "sip:99442071838750@gw.example;user=phone",
        ),
        ("sip:gw.example", {"dial_prefix": "9#"}, "sip:9%23+442071838750@gw.example"),
    ],
)
def test_what_an_invite_asks_for(gateway: str, fields: dict[str, Any], uri: str) -> None:
    asked = request_uri(LONDON, trunk(**fields), Gateway(uri=gateway))
    assert format_uri(asked) == uri


@pytest.mark.parametrize(
    ("uri", "fields", "number"),
    [
        ("sip:+442071838750@us.example", {}, LONDON),
        ("sip:+44-20-7183-8750@us.example;user=phone", {}, LONDON),
        ("sip:442071838750@us.example", {}, LONDON),
        ("sip:00442071838750@us.example", {}, LONDON),
        ("sip:011442071838750@us.example", {"country_code": "1"}, LONDON),
        ("sip:02071838750@us.example", {"country_code": "44"}, LONDON),
        ("sip:02071838750@us.example", {}, "02071838750"),
        ("sip:+442071838750;npdi;rn=+441234@us.example", {}, LONDON),
        ("sip:2071838750;phone-context=+44@us.example", {}, LONDON),
        ("tel:+44-20-7183-8750", {}, LONDON),
        ("tel:2071838750;phone-context=+44", {}, LONDON),
        ("tel:2071838750;phone-context=example.com", {}, "+2071838750"),
        ("sip:2125551234@us.example", {"country_code": "1"}, NEW_YORK),
        ("sip:12125551234@us.example", {"country_code": "1", "trunk_prefix": "1"}, NEW_YORK),
        ("sip:12125551234@us.example", {"country_code": "1"}, NEW_YORK),
        (
            "sip:22334455@us.example",
            {"country_code": "47", "trunk_prefix": "", "caller_id": F.NATIONAL},
            "+4722334455",
        ),
        (
            "sip:4722334455@us.example",
            {"country_code": "47", "trunk_prefix": "", "caller_id": F.NATIONAL},
            "+4722334455",
        ),
        (
            "sip:442071838750@us.example",
            {"country_code": "47", "trunk_prefix": ""},
            LONDON,
        ),
        (
            "sip:47223344@us.example",
            {"country_code": "47", "trunk_prefix": "", "caller_id": F.NATIONAL},
            "+4747223344",
        ),
        (
            "sip:471234567@us.example",
            {"country_code": "47", "trunk_prefix": "", "caller_id": F.NATIONAL},
            "+471234567",
        ),
        ("sip:0123456@us.example", {"country_code": "44"}, "+44123456"),
        ("sip:012345@us.example", {"country_code": "44"}, "012345"),
        ("sip:442071838@us.example", {}, "+442071838"),
        ("sip:44207183@us.example", {}, "44207183"),
        ("sip:112@us.example", {"country_code": "44"}, "112"),
        ("sip:0800@us.example", {"country_code": "44"}, "0800"),
        ("sip:alice@us.example", {}, "alice"),
        ("sip:+44123456789012345@us.example", {}, "+44123456789012345"),
        ("sip:0000@us.example", {}, "0000"),
        ("sip:us.example", {}, ""),
        ("urn:service:sos", {}, ""),
    ],
)
def test_which_number_a_carrier_means(uri: str, fields: dict[str, Any], number: str) -> None:
    assert number_of(parse_uri(uri), trunk(**fields)) == number


@pytest.mark.parametrize(
    "home", [("44", "0"), ("49", "0"), ("1", "1"), ("1", "")], ids=["GB", "DE", "US", "CA"]
)
@each("form", list(NumberFormat))
@each("number", [LONDON, BERLIN, NEW_YORK, "+33123456789"])
def test_what_is_written_is_read_as_the_same(
    form: NumberFormat, number: str, home: tuple[str, str]
) -> None:
    given = trunk(dial=form, country_code=home[0], trunk_prefix=home[1])
    uri = request_uri(number, given, Gateway(uri="sip:gw.example"))
    assert number_of(uri, given) == number
