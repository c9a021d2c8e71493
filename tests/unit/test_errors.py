import re
from pathlib import Path

import pytest

import gateway
from gateway.errors import Level, describe


@pytest.mark.parametrize(
    ("code", "status", "level"),
    [
        (20003, 401, Level.ERROR),
        (20404, 404, Level.ERROR),
        (20429, 429, Level.ERROR),
        (21211, 400, Level.ERROR),
        (21617, 400, Level.ERROR),
        (21624, 400, Level.ERROR),
        (30409, 400, Level.ERROR),
        (20503, 503, Level.ERROR),
        (11200, 0, Level.ERROR),
        (12200, 0, Level.WARNING),
        (14110, 0, Level.WARNING),
        (30036, 0, Level.ERROR),
    ],
)
def test_a_code_has_its_status_and_level(code: int, status: int, level: Level) -> None:
    found = describe(code)
    assert (found.code, found.http_status, found.level) == (code, status, level)


def test_names_are_those_that_sdk_users_match_on() -> None:
    assert describe(21211).message == "Invalid 'To' Phone Number"
    assert describe(30003).message == "Unreachable destination handset"
    assert describe(14101).message == 'Invalid "To" attribute'


def test_more_info_is_the_page_of_the_code() -> None:
    assert describe(20404).more_info == "https://www.twilio.com/docs/errors/20404"


def test_a_code_outside_of_the_catalogue_is_described_plainly() -> None:
    assert (describe(29999).http_status, describe(29999).message) == (400, "Error 29999")
    assert describe(99999).http_status == 0


def test_what_the_fetcher_and_the_parser_report_is_in_the_catalogue() -> None:
    from gateway.webhooks import exchange, fetch, overrides, target
    from twiml import errors as document

    reported = {
        value
        for module in (exchange, fetch, overrides, target, document)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int) and 11000 <= value < 15000
    }
    assert len(reported) > 25
    assert {code for code in reported if describe(code).message.startswith("Error ")} == set()


_MESSAGE_ROOMS = ("messages/asked.py", "messages/service.py")


def test_every_code_that_rest_refuses_with_has_a_name_and_a_status_of_its_own() -> None:
    named = re.compile(
        r"(?:refuse\(|_refuse\(|error_code=|_[A-Z_]+(?:: Final)? = )(?P<code>[2-9]\d{4})\b(?![_.])"
    )
    note = re.compile(r"\bNote\(\s*error_code=")  # that is no refusal
    rooms = [*Path(gateway.__file__).parent.glob("api/*.py")]
    rooms += [Path(gateway.__file__).parent / each for each in _MESSAGE_ROOMS]
    said = [note.sub("Note(", room.read_text()) for room in rooms]
    codes = {int(found["code"]) for text in said for found in named.finditer(text)}
    assert {20404, 21624, 21655, 30409, 35118} <= codes
    plain = {
        c for c in codes if describe(c).http_status == 0 or describe(c).message.startswith("Error ")
    }
    assert plain == set()
