"""What an attempt to call means: who is asked next, as what it ends, and what the caller hears."""

import pytest

from carriers.call_outcomes import (
    INVALID_NUMBER,
    STOP_CODES,
    UNREACHABLE,
    CallEnd,
    Next,
    outcome_of_call,
    relayed,
)
from protocols.sip.status import PHRASES
from tests.floods import each


@pytest.mark.parametrize(
    ("status", "following", "end", "error_code"),
    [
        (200, Next.NOBODY, CallEnd.COMPLETED, 0),
        (486, Next.NOBODY, CallEnd.BUSY, 0),
        (600, Next.NOBODY, CallEnd.BUSY, 0),
        (603, Next.NOBODY, CallEnd.BUSY, 0),
        (480, Next.NOBODY, CallEnd.NO_ANSWER, 0),
        (487, Next.NOBODY, CallEnd.NO_ANSWER, 0),
        (410, Next.NOBODY, CallEnd.FAILED, INVALID_NUMBER),
        (604, Next.NOBODY, CallEnd.FAILED, INVALID_NUMBER),
        (607, Next.NOBODY, CallEnd.FAILED, UNREACHABLE),
        (0, Next.GATEWAY, CallEnd.FAILED, UNREACHABLE),
        (408, Next.GATEWAY, CallEnd.NO_ANSWER, 0),
        (500, Next.GATEWAY, CallEnd.FAILED, UNREACHABLE),
        (503, Next.GATEWAY, CallEnd.FAILED, UNREACHABLE),
        (599, Next.GATEWAY, CallEnd.FAILED, UNREACHABLE),
        (404, Next.CARRIER, CallEnd.FAILED, INVALID_NUMBER),
        (403, Next.CARRIER, CallEnd.FAILED, UNREACHABLE),
        (407, Next.CARRIER, CallEnd.FAILED, UNREACHABLE),
        (488, Next.CARRIER, CallEnd.FAILED, UNREACHABLE),
        (302, Next.CARRIER, CallEnd.FAILED, UNREACHABLE),
        (606, Next.CARRIER, CallEnd.FAILED, UNREACHABLE),
    ],
)
def test_what_an_attempt_means(status: int, following: Next, end: CallEnd, error_code: int) -> None:
    outcome = outcome_of_call(status)
    assert (outcome.next, outcome.end, outcome.error_code) == (following, end, error_code)
    assert outcome.sip_code == status


@each("status", [status for status in PHRASES if status >= 200])
def test_every_code_means_something(status: int) -> None:
    outcome = outcome_of_call(status)
    assert (outcome.next is Next.NOBODY) == (status < 300 or status in STOP_CODES)
    assert outcome.reason == (f"{status} {PHRASES[status]}" if status >= 300 else "")


def test_a_trunk_says_itself_which_codes_stop() -> None:
    assert outcome_of_call(486, stop_codes=()).next is Next.CARRIER
    assert outcome_of_call(503, stop_codes=(503,)).next is Next.NOBODY
    assert outcome_of_call(503, stop_codes=(503,)).end is CallEnd.FAILED


@pytest.mark.parametrize("status", [0, 404, 408, 500, 503])
def test_who_was_rung_is_not_rung_by_another_way(status: int) -> None:
    assert outcome_of_call(status, progress=180).next is Next.NOBODY
    assert outcome_of_call(status, progress=100).next is not Next.NOBODY
    assert outcome_of_call(status, progress=183).next is not Next.NOBODY, "an announcement"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (503, 500),
        (401, 500),
        (407, 500),
        (500, 500),
        (302, 500),
        (481, 500),
        (422, 500),
        (0, 480),
        (504, 480),
        (402, 403),
        (403, 403),
        (404, 404),
        (486, 486),
        (488, 488),
        (603, 603),
    ],
)
def test_what_the_caller_hears(status: int, told: int) -> None:
    assert relayed(status) == told


@each("status", range(300, 700))
def test_nobody_hears_of_a_carriers_troubles(status: int) -> None:
    assert relayed(status) in PHRASES
    assert relayed(status) not in (401, 407, 503)
