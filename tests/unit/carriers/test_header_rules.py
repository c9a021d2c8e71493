"""Headers that a trunk adds and takes out."""

import pytest

from carriers.header_rules import NAMES, problems_of_rules, with_rules
from protocols.sip.message import Headers

VALUES = {
    "from": "+442071838750",
    "to": "+15550001000",
    "call_sid": "CA1",
    "account_sid": "AC1",
    "carrier": "acme",
}


def test_templates_are_filled() -> None:
    rules = {"X-Call": "{call_sid} of {account_sid}", "X-Plain": "yes"}
    given = with_rules(Headers(), rules, (), VALUES)
    assert list(given) == [("X-Call", "CA1 of AC1"), ("X-Plain", "yes")]


def test_every_name_can_be_filled() -> None:
    assert VALUES.keys() == set(NAMES)
    for name in NAMES:
        given = with_rules(Headers(), {"X": f"{{{name}}}"}, (), VALUES)
        assert given.first("X") == VALUES[name]
        assert problems_of_rules({"X": f"{{{name}}}"}, ()) == ()


def test_what_is_removed_goes_in_any_spelling_and_what_is_set_stands_alone() -> None:
    headers = Headers([("X-A", "1"), ("X-B", "2"), ("x-a", "3"), ("X-C", "4")])
    given = with_rules(headers, {"X-C": "5"}, ("X-a",), VALUES)
    assert list(given) == [("X-B", "2"), ("X-C", "5")]


@pytest.mark.parametrize("hostile", ["1\r\nX-Evil: 1", "1\nX-Evil: 1", "1\x00X-Evil: 1"])
def test_a_value_of_a_peer_can_not_begin_a_header(hostile: str) -> None:
    given = with_rules(Headers(), {"X-From": "{from}"}, (), {**VALUES, "from": hostile})
    assert list(given) == [("X-From", "1X-Evil: 1")]


def test_a_value_is_bounded_and_braces_of_a_peer_name_nothing() -> None:
    given = with_rules(Headers(), {"X": "{from}"}, (), {**VALUES, "from": "a" * 5000})
    assert len(given.first("X") or "") == 1024
    given = with_rules(Headers(), {"X": "{from}"}, (), {**VALUES, "from": "{account_sid}"})
    assert given.first("X") == "{account_sid}"


@pytest.mark.parametrize(
    ("given", "removed", "said"),
    [
        ({"X Account": "1"}, (), "'X Account' is no name of a header"),
        ({}, ("a:b",), "'a:b' is no name of a header"),
        ({"CONTACT": "1"}, (), "CONTACT can't be set or removed"),
        ({}, ("Max-Forwards",), "Max-Forwards can't be set or removed"),
        ({"X": "a\r\nb"}, (), "X has a character in its value that no header can have"),
        ({"X": "{sid}"}, (), "X: there is no {sid}; there are from, to, call_sid"),
    ],
)
def test_what_is_wrong_with_rules(
    given: dict[str, str], removed: tuple[str, ...], said: str
) -> None:
    (problem,) = problems_of_rules(given, removed)
    assert said in problem
