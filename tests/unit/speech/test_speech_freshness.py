"""How long a fetched sound is good."""

import pytest

from gateway.speech.freshness import Freshness, freshness, renewed

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"
DAY_BEFORE = "Thu, 14 Jan 2027 08:00:00 GMT"
LATER = "Fri, 15 Jan 2027 08:05:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"cache-control": "max-age=60"}, 60),
        ({"cache-control": "public, max-age=60", "age": "20"}, 40),
        ({"cache-control": 'max-age="60"'}, 60),
        ({"cache-control": "Max-Age = 60"}, 60),
        ({"cache-control": "max-age=60", "expires": DAY_BEFORE, "date": DATE}, 60),
        ({"cache-control": "no-cache, max-age=60"}, 0),
        ({"cache-control": "max-age=-5"}, 0),
        ({"cache-control": "max-age=" + "9" * 5000}, 0),
        ({"cache-control": "max-age=99999999999"}, 365 * 86400),
        ({"expires": LATER, "date": DATE}, 300),
        ({"expires": "0", "date": DATE}, 0),
        ({"expires": "0"}, 0),
        ({"last-modified": DAY_BEFORE, "date": DATE}, 3600),
        ({"last-modified": DATE, "date": LATER}, 30),
        ({"last-modified": "yesterday", "date": "today"}, 0),
        ({"vary": "*", "cache-control": "max-age=60"}, None),
        ({"cache-control": "no-store"}, None),
    ],
)
def test_lifetimes(headers: dict[str, str], seconds: float | None) -> None:
    found = freshness(headers.items(), NOW)
    if seconds is None:
        assert not found.may_be_stored
        assert found.until <= NOW
        assert found.conditions == ()
    else:
        assert found.may_be_stored
        assert found.until == pytest.approx(NOW + seconds)


def test_a_question_names_what_we_have() -> None:
    found = freshness([("etag", '"1"'), ("last-modified", DATE)], NOW)
    assert found.conditions == (("If-None-Match", '"1"'), ("If-Modified-Since", DATE))
    assert Freshness().conditions == ()


def test_a_304_renews_and_keeps_the_validators() -> None:
    known = freshness([("etag", '"1"'), ("cache-control", "max-age=1")], NOW)
    again = renewed(known, [("cache-control", "max-age=60")], NOW + 10)
    assert again.until == NOW + 70
    assert again.etag == '"1"'
    assert renewed(known, [("etag", '"2"')], NOW).etag == '"2"'
