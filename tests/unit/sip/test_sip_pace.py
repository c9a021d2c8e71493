"""A bucket of tokens for what comes several at a time."""

from protocols.sip.pace import Pace, Rate


def test_many_are_in_order_together_or_not_at_all() -> None:
    pace = Pace(Rate(per_second=1.0, at_once=3.0), 0.0)
    assert pace.admits(0.0, 2)
    assert not pace.admits(0.0, 2)
    assert pace.admits(0.0)


def test_more_than_there_ever_are_at_once_are_in_order_when_all_of_these_are() -> None:
    pace = Pace(Rate(per_second=1.0, at_once=1.0), 0.0)
    assert pace.admits(0.0, 2)
    assert not pace.admits(1.0, 2)  # the second of them is paid for
    assert pace.admits(2.0, 2)


def test_where_none_are_at_once_none_is_in_order() -> None:
    pace = Pace(Rate(per_second=0.0, at_once=0.0), 0.0)
    assert not pace.admits(9.0)
    assert not pace.admits(9.0, 2)
