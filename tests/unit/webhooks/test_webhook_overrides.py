import pytest

from gateway.webhooks.overrides import (
    DEFAULTS,
    BadOverride,
    Overrides,
    RetryOn,
    parse_overrides,
)


def test_without_overrides_twilios_defaults_hold() -> None:
    expected = Overrides(
        connect_timeout=5.0,
        read_timeout=15.0,
        total_timeout=15.0,
        retries=1,
        retry_on=frozenset({RetryOn.CONNECT}),
    )
    assert parse_overrides("") == DEFAULTS == expected
    assert parse_overrides("section-2") == DEFAULTS


def test_every_key_is_read() -> None:
    assert parse_overrides("ct=2000&rt=3000&tt=4000&rc=2&rp=rt,5xx") == Overrides(
        connect_timeout=2.0,
        read_timeout=3.0,
        total_timeout=4.0,
        retries=2,
        retry_on=frozenset({RetryOn.READ, RetryOn.SERVER_ERROR}),
    )


@pytest.mark.parametrize(
    ("fragment", "field", "value"),
    [
        ("ct=1", "connect_timeout", 0.1),
        ("ct=10001", "connect_timeout", 10.0),
        ("rt=99", "read_timeout", 0.1),
        ("rt=15001", "read_timeout", 15.0),
        ("tt=0", "total_timeout", 0.1),
        ("tt=999999999999", "total_timeout", 15.0),
        ("rc=0", "retries", 0),
        ("rc=6", "retries", 5),
        ("rc=-1", "retries", 1),
        ("ct=fast", "connect_timeout", 5.0),
        ("tt=", "total_timeout", 15.0),
        ("tt=\u0661\u0660\u0660\u0660", "total_timeout", 15.0),
    ],
)
def test_numbers_stay_in_their_ranges(fragment: str, field: str, value: float) -> None:
    overrides = parse_overrides(fragment)
    assert isinstance(overrides, Overrides)
    assert getattr(overrides, field) == value


def test_all_is_every_policy() -> None:
    overrides = parse_overrides("rp=all")
    assert isinstance(overrides, Overrides)
    assert overrides.retry_on == frozenset(RetryOn)


@pytest.mark.parametrize("edge", ["ashburn", "dublin,tokyo", "roaming"])
def test_the_names_of_edges_change_nothing(edge: str) -> None:
    assert parse_overrides(f"e={edge}") == DEFAULTS


@pytest.mark.parametrize(
    ("fragment", "code"),
    [
        ("rp=sometimes", 11243),
        ("rp=ct,", 11243),
        ("rp=", 11243),
        ("e=", 11240),
        ("e=No Where", 11240),
        ("e=atlantis", 11241),
        ("e=ashburn,ashburn-ix", 11242),
    ],
)
def test_what_cannot_be_honoured_is_an_error(fragment: str, code: int) -> None:
    refused = parse_overrides(fragment)
    assert isinstance(refused, BadOverride)
    assert refused.error_code == code
