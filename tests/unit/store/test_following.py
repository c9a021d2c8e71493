"""Which commits can't be written without those before them."""

import pytest

from gateway.calls.tables import LEG_INSERT, LEG_UPDATE
from gateway.store.base import Delete, Insert, Update, Write
from gateway.store.following import follows

KEY = ("account_sid", "sid")
MADE = Insert(table="calls", columns=("sid", "status", "account_sid", "version"))
TAKEN = Insert(table="calls", columns=MADE.columns, ignore_taken=KEY)
MOVED = Update(table="calls", key=KEY, columns=("status", "version"), guard="version")
SET = Update(table="calls", key=KEY, columns=("status", "version"))
GONE = Delete(table="calls", key=KEY)
OTHER = Update(table="jobs", key=KEY, columns=("status", "version"), guard="version")

made: Write = (MADE, ("CA1", "ringing", "AC1", 1))
moved: Write = (MOVED, ("AC1", "CA1", "in-progress", 2))
fact: Write = (Insert(table="facts", columns=("sid", "account_sid")), ("CA1", "AC1"))


@pytest.mark.parametrize(
    "later, earlier",
    [
        ([moved], [made]),
        ([fact, moved], [fact, made, fact]),
        ([(MOVED, ("AC1", "CA1", "completed", 3))], [moved]),
    ],
)
def test_a_version_goes_on_from_the_one_before(later: list[Write], earlier: list[Write]) -> None:
    assert follows(later, earlier)


@pytest.mark.parametrize(
    "later, earlier",
    [
        ([moved], []),
        ([], [made]),
        ([fact], [made]),
        ([moved], [fact]),
        ([(SET, moved[1])], [made]),  # a row that is not there is passed over
        ([moved], [(SET, moved[1])]),  # and was there before
        ([moved], [(TAKEN, made[1])]),
        ([moved], [(GONE, ("AC1", "CA1"))]),
        ([moved], [(OTHER, moved[1])]),
        ([moved], [(MADE, ("CA2", "ringing", "AC1", 1))]),
        ([moved], [(MADE, ("CA1", "ringing", "AC2", 1))]),
        ([(LEG_UPDATE, ())], [(LEG_INSERT, ())]),
    ],
)
def test_others_could_be_written_alone(later: list[Write], earlier: list[Write]) -> None:
    assert not follows(later, earlier)
