"""What a fact counts as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.tracking.counting import NO_DAY, count, day_of
from gateway.store.base import Fact

AT = 1_795_168_800.0  # 2026-11-20T10:00:00Z


def fact(kind: str, data: str = "{}", at: float = AT, account_sid: str = "AC1") -> Fact:
    return Fact(id=1, account_sid=account_sid, sid="SM1", version=1, type=kind, at=at, data=data)


def counted(*facts: Fact) -> dict[str, int]:
    return {metric: number for (_, _, metric), number in count(facts).items()}


def test_a_text_that_leaves_counts_by_status_segments_and_carrier() -> None:
    queued = fact("message.queued", '{"carrier":"acme","origin":"rest","segments":3}')
    assert counted(queued, queued) == {
        "message.queued": 2,
        "segments.outbound": 6,
        "carrier.acme.message.queued": 2,
    }


def test_a_text_that_comes_counts_its_segments_apart() -> None:
    received = fact("message.received", '{"carrier":"acme","segments":2}')
    assert counted(received)["segments.inbound"] == 2


@pytest.mark.parametrize(
    "direction, seconds, counts",
    [
        ('"inbound"', 1, {"minutes.inbound": 1}),
        ('"outbound-api"', 60, {"minutes.outbound": 1}),
        ('"outbound-dial"', 61, {"minutes.outbound": 2}),
        ('"inbound"', 0, {}),
        ('["sideways"]', 5, {"unknown": 1}),
    ],
)
def test_a_call_counts_its_minutes_each_begun_one_whole(
    direction: str, seconds: int, counts: dict[str, int]
) -> None:
    data = f'{{"direction":{direction},"duration":{seconds},"carrier":"acme"}}'
    assert counted(fact("call.completed", data)) == {
        "call.completed": 1,
        "carrier.acme.call.completed": 1,
        **counts,
    }


def test_an_error_counts_by_its_code() -> None:
    failed = fact("message.failed", '{"error_code":30003,"reason":"gone"}')
    assert counted(failed) == {"message.failed": 1, "error.30003": 1}


def test_days_and_accounts_are_apart() -> None:
    facts = [
        fact("message.sent", at=AT),
        fact("message.sent", at=AT + 14 * 3600 - 0.001),
        fact("message.sent", at=AT + 14 * 3600),
        fact("message.sent", account_sid="AC2"),
    ]
    assert count(facts) == {
        ("AC1", "2026-11-20", "message.sent"): 2,
        ("AC1", "2026-11-21", "message.sent"): 1,
        ("AC2", "2026-11-20", "message.sent"): 1,
    }


def test_what_is_not_known_is_counted_as_such() -> None:
    assert counted(fact("message.teleported", '{"segments":2}')) == {"unknown": 1}


@pytest.mark.parametrize("data", ["", "[]", "null", "{", '{"a":' + "[" * 50_000])
def test_what_can_not_be_read_is_counted_as_such(data: str) -> None:
    assert counted(fact("message.sent", data)) == {"message.sent": 1, "unreadable": 1}


@pytest.mark.parametrize("given", ["-1", "0", '"3"', "true", "null", "1.5", "1" + "0" * 40])
def test_a_number_that_is_none_counts_nothing(given: str) -> None:
    data = f'{{"segments":{given},"error_code":{given},"carrier":7}}'
    assert counted(fact("message.queued", data)) == {"message.queued": 1}


def test_an_event_of_a_customer_counts_by_its_type_alone() -> None:
    data = '{"carrier":"mine","error_code":7,"payload":{}}'
    assert counted(fact("track.track", data)) == {"track.track": 1}


@given(st.floats() | st.floats(min_value=-1e12, max_value=1e12))
def test_every_time_has_a_day(at: float) -> None:
    assert len(day_of(at)) == len(NO_DAY)
