"""From where a new owner reads: each finding, and its edges."""

import pytest

from gateway.core.dedup.ports import Span
from gateway.core.dedup.recovery import CatchUp, Finding, catch_up, forget_output, resume
from gateway.core.dedup.state import State, decode, encode

CLEAN = State(outputs={"primary": 50})
RAW = State(inputs={"primary": 80})


@pytest.mark.parametrize(
    ("state", "kept", "finding", "offset"),
    [
        (CLEAN, Span(first=0, next=50), Finding.AGREES, 50),
        (CLEAN, Span(first=50, next=50), Finding.AGREES, 50),
        (CLEAN, Span(first=0, next=51), Finding.BEHIND, 50),
        (CLEAN, Span(first=50, next=60), Finding.BEHIND, 50),
        (CLEAN, Span(first=51, next=60), Finding.EXPIRED, 51),
        (CLEAN, Span(first=0, next=49), Finding.REMADE, 0),
        (CLEAN, Span(first=7, next=9), Finding.REMADE, 7),
        (State(), Span(first=0, next=60), Finding.BEHIND, None),
        (None, Span(first=0, next=60), Finding.NO_INDEX, None),
    ],
)
def test_from_where_the_clean_topic_is_read(
    state: State | None, kept: Span, finding: Finding, offset: int | None
) -> None:
    assert catch_up(state, "primary", kept) == CatchUp(finding=finding, offset=offset)


@pytest.mark.parametrize(
    ("state", "kept", "finding", "offset", "lost", "base"),
    [
        (RAW, Span(first=0, next=80), Finding.AGREES, 80, 0, 0),
        (RAW, Span(first=80, next=90), Finding.BEHIND, 80, 0, 0),
        (RAW, Span(first=83, next=90), Finding.EXPIRED, 83, 3, 0),
        (RAW, Span(first=0, next=79), Finding.REMADE, 0, 0, 80),
        (RAW, Span(first=5, next=9), Finding.REMADE, 5, 0, 80),
        (State(), Span(first=4, next=9), Finding.NO_INDEX, 4, 0, 0),
    ],
)
def test_from_where_the_raw_topic_is_read(
    state: State, kept: Span, finding: Finding, offset: int, lost: int, base: int
) -> None:
    found = resume(state, "primary", kept)
    assert (found.finding, found.offset, found.lost) == (finding, offset, lost)
    assert found.state.base("primary") == base
    assert found.state.inputs["primary"] == offset + base


def test_a_topic_that_is_made_anew_twice_has_ever_higher_marks() -> None:
    state = resume(RAW, "primary", Span(first=0, next=0)).state
    state = state.read_up_to({"primary": 80 + 15}, 0)
    again = resume(state, "primary", Span(first=0, next=3))
    assert again.finding is Finding.REMADE
    assert again.state.base("primary") == 95


@pytest.mark.parametrize(("end", "finding", "mark"), [(84, "REMADE", 85), (85, "BEHIND", 80)])
def test_a_new_topic_has_higher_marks_than_a_batch_that_is_being_written(
    end: int, finding: str, mark: int
) -> None:
    found = resume(RAW, "primary", Span(first=0, next=end), ahead=85)
    assert found.finding is Finding[finding]
    assert found.state.inputs["primary"] == mark


def test_a_clean_topic_that_was_made_anew_is_forgotten_alone() -> None:
    state = State(outputs={"primary": 50, "secondary": 9}, epochs={"primary": 2, "secondary": 1})
    assert forget_output(state, "primary") == State(
        outputs={"secondary": 9}, epochs={"secondary": 1}
    )


def test_no_position_goes_back() -> None:
    state = State().read_up_to({"primary": 9}, 7).written_up_to("primary", 5, 3)
    assert state.read_up_to({"primary": 8}, 6).written_up_to("primary", 4, 2) == state
    assert state.made_at(5.0).made_at(4.0).at == 5.0


def test_a_state_is_read_as_it_was_written_and_another_format_is_none() -> None:
    state = State(inputs={"primary": 9}, bases={"primary": 1}, highest=7, at=2.5)
    assert decode(encode(state)) == state
    assert decode(encode(State(format=2))) is None
    assert decode(b"nonsense") is None
