"""SIDs that sort by their time."""

import pytest

from gateway import sids
from gateway.sids import JOB, first_sid, is_sid, made_at, new_sid

NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def clock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made at times of the test must not push on the SIDs of others."""
    monkeypatch.setattr(sids, "_clock", sids._Clock())


def test_sids_sort_by_the_order_in_which_they_were_made() -> None:
    made = [new_sid(JOB, NOW) for _ in range(100)]
    assert made == sorted(made)
    assert all(is_sid(each, JOB) and not is_sid(each, "SM") for each in made)
    assert abs(made_at(made[0]) - NOW) < 0.002


def test_the_first_sid_of_a_moment_comes_before_all_of_it_and_after_all_before() -> None:
    earlier, later = new_sid(JOB, NOW + 1.0), new_sid(JOB, NOW + 2.0)
    assert earlier < first_sid(JOB, NOW + 2.0) < later
    assert first_sid(JOB, -5.0) < earlier
