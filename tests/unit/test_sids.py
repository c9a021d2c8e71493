"""SIDs that sort by their time."""

import os
from concurrent.futures import ThreadPoolExecutor

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


def test_no_random_part_is_given_out_twice() -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: new_sid(JOB, NOW), range(5_000)))
    assert len({sid[18:] for sid in made}) == 5_000


def test_a_forked_process_does_not_give_out_the_random_parts_of_its_parent() -> None:
    new_sid(JOB, NOW)
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.write(writes, new_sid(JOB, NOW)[18:].encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        theirs = pipe.read().decode()
    assert os.waitpid(child, 0)[1] == 0
    ours = {new_sid(JOB, NOW)[18:] for _ in range(2 * sids._AT_ONCE)}
    assert len(theirs) == 16 and theirs not in ours
