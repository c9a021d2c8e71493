"""Calls that begin too often: who is held back, and who is not."""

import pytest

from gateway.browsers import call_paces
from gateway.browsers.call_paces import OF_ACCOUNT, OF_IDENTITY, CallPaces
from tests.unit.browsers.desks import OURS, THEIRS

NOW = 1000.0


def admitted(paces: CallPaces, account: str, identity: str, tries: int, now: float = NOW) -> int:
    return sum(paces.admits(account, identity, now) for _ in range(tries))


def test_an_identity_begins_so_many_at_once_and_one_a_second_from_then_on() -> None:
    paces = CallPaces()
    assert admitted(paces, OURS, "alice", 1000) == OF_IDENTITY.at_once
    assert paces.held(NOW) == 1
    assert admitted(paces, OURS, "alice", 1000, NOW + 3) == 3
    assert admitted(paces, OURS, "alice", 1000, NOW + 3600) == OF_IDENTITY.at_once
    assert paces.held(NOW + 7200) == 0


def test_what_an_identity_is_refused_costs_no_other_one_anything() -> None:
    paces = CallPaces()
    admitted(paces, OURS, "alice", 1000)
    assert admitted(paces, OURS, "bob", 5) == 5
    assert admitted(paces, THEIRS, "alice", 5) == 5


def test_an_account_with_many_identities_leaves_others_what_they_need() -> None:
    paces = CallPaces()
    begun = sum(admitted(paces, OURS, f"a{each}", 1) for each in range(1000))
    assert begun == OF_ACCOUNT.at_once
    assert admitted(paces, THEIRS, "alice", 5) == 5
    later = NOW + 1
    again = sum(admitted(paces, OURS, f"b{each}", 1, later) for each in range(1000))
    assert again == OF_ACCOUNT.per_second


def test_a_clock_that_is_set_back_gives_nothing_and_holds_nobody_for_long() -> None:
    paces = CallPaces()
    admitted(paces, OURS, "alice", 1000)
    assert admitted(paces, OURS, "alice", 5, NOW - 500) == 0
    assert admitted(paces, OURS, "alice", 5, NOW - 498) == 2


def test_names_that_are_made_up_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_paces, "_MOST_KNOWN", 10)
    paces = CallPaces(account=call_paces.Rate(per_second=1.0, at_once=50_000.0))
    for each in range(1000):
        admitted(paces, OURS, f"a{each}", 10)
    assert paces.held(NOW) == 10
