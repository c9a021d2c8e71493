"""Calls for help: which they are, who takes them, and that somebody has said so."""

import pytest

from carriers.emergency import (
    NUMBERS,
    call_for_help,
    countries_of,
    dialled_for_help,
    may_be_for_help,
    problems_of_emergency,
)
from carriers.trunks import Trunk
from protocols.sip.uri import parse_uri

LONDON, BERLIN, NEW_YORK = "+442071838750", "+493012345678", "+12125551234"


def trunks(**said: tuple[str, ...] | None) -> dict[str, Trunk]:
    return {name: Trunk(uri="sip:a.example", emergency=each) for name, each in said.items()}


@pytest.mark.parametrize(
    ("dialled", "caller", "carriers"),
    [
        ("999", LONDON, ("british", "all")),
        ("112", LONDON, ("british", "all")),
        ("+112", LONDON, ("british", "all")),
        ("1 1 2", LONDON, ("british", "all")),
        ("110", BERLIN, ("german", "all")),
        ("911", NEW_YORK, ("all",)),
        ("911", LONDON, ("british", "all")),
        ("999", "", ("all", "british")),
        ("112", "anonymous", ("all", "british", "german")),
    ],
)
def test_who_takes_it(dialled: str, caller: str, carriers: tuple[str, ...]) -> None:
    given = trunks(none=None, all=("*",), refusing=(), british=("GB",), german=("DE",))
    call = call_for_help(dialled, caller, given)
    assert call is not None and call.carriers == carriers
    assert call.reason().startswith(f"emergency call to {call.number}, by {carriers[0]}")


@pytest.mark.parametrize(
    ("dialled", "caller"),
    [
        (BERLIN, LONDON),
        ("110", LONDON),
        ("000", LONDON),
        ("1", LONDON),
        ("alice", LONDON),
        ("", LONDON),
        ("44112", LONDON),
    ],
)
def test_other_calls_are_none(dialled: str, caller: str) -> None:
    assert call_for_help(dialled, caller, trunks(british=("GB",))) is None


def test_a_number_of_the_file_is_one_for_help_and_its_trunk_comes_before_all() -> None:
    given = trunks(all=("*",), campus=("5555",))
    call = call_for_help("5555", LONDON, given)
    assert call is not None and call.carriers == ("campus", "all")
    assert call_for_help("5555", LONDON, trunks(all=("*",))) is None


@pytest.mark.parametrize("said", [(), None, ("GB",)])
def test_where_nobody_takes_it_it_is_still_a_call_for_help(said: tuple[str, ...] | None) -> None:
    call = call_for_help("110", BERLIN, trunks(acme=said))
    assert call is not None and call.carriers == ()
    assert call.reason().startswith("emergency call to 110 refused: no carrier takes it")


@pytest.mark.parametrize(
    ("number", "countries"),
    [
        (LONDON, {"GB"}),
        (NEW_YORK, {"US", "CA"}),
        ("+35312345678", {"IE"}),
        ("+999123456789", set()),
        ("442071838750", set()),
        ("+", set()),
        ("", set()),
    ],
)
def test_countries_of_a_number(number: str, countries: set[str]) -> None:
    assert countries_of(number) == countries


@pytest.mark.parametrize(
    ("uri", "dialled"),
    [
        ("sip:112@gw.example", "112"),
        ("sip:112;phone-context=+49@gw.example", "112"),
        ("tel:911;phone-context=+1", "911"),
        ("urn:service:sos", "112"),
        ("urn:service:sos.police", "112"),
        ("urn:service:counseling", ""),
        ("mailto:a@b.example", ""),
    ],
)
def test_what_a_phone_dialled(uri: str, dialled: str) -> None:
    assert dialled_for_help(parse_uri(uri)) == dialled


def test_every_country_has_numbers_that_can_be_dialled() -> None:
    for country, numbers in NUMBERS.items():
        assert numbers and all(each.isdecimal() and 2 <= len(each) <= 6 for each in numbers)
        assert len(country) == 2


def test_somebody_must_say_where_they_go() -> None:
    (problem,) = problems_of_emergency(trunks(a=None, b=None))
    assert 'emergency = ["GB"]' in problem and "emergency = []" in problem
    assert problems_of_emergency(trunks(a=None, b=())) == ()
    assert problems_of_emergency(trunks(a=None, b=("*", "GB", "5555"))) == ()
    assert problems_of_emergency({}) == ()


@pytest.mark.parametrize("said", ["gb", "XX", "1", "1234567", "+112"])
def test_what_can_not_be_meant(said: str) -> None:
    (problem,) = problems_of_emergency(trunks(acme=(said,)))
    assert problem.startswith(f"carrier acme: emergency has {said!r}; it must be a country")


def test_all_that_are_known_count_where_nobody_knows_who_calls() -> None:
    everything = trunks(acme=("*",))
    for dialled in ("999", "110", "911"):
        call = call_for_help(dialled, "", everything)
        assert call is not None and call.carriers == ("acme",)
    assert call_for_help("110", LONDON, everything) is None
    assert call_for_help("999", "", trunks(acme=("DE",))) is None


@pytest.mark.parametrize(
    ("uri", "may_be"),
    [
        ("sip:112@a.example", True),
        ("sip:+999@a.example;user=phone", True),
        ("tel:911", True),
        ("urn:service:sos.fire", True),
        ("sip:191@a.example", True),  # the file names it
        ("sip:1669@a.example", False),
        ("sip:+447700900001@a.example", False),
        ("sip:alice@a.example", False),
    ],
)
def test_what_may_be_for_help_is_known_before_the_caller_is(uri: str, may_be: bool) -> None:
    given = trunks(none=None, thai=("191",), british=("GB",)).values()
    assert may_be_for_help(parse_uri(uri), given) is may_be
