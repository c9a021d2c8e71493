"""What is to be done later comes out in order of time, with the clock in the hand."""

from sims.agenda import Agenda


def test_things_come_out_when_they_are_due_in_order_of_time() -> None:
    agenda: Agenda[str] = Agenda()
    for due, thing in ((3.0, "c"), (1.0, "a"), (2.0, "b")):
        agenda.add(due, thing)
    assert agenda.next() == 1.0
    assert agenda.take(0.9) == []
    assert agenda.take(2.0) == ["a", "b"]
    assert agenda.next() == 3.0
    assert agenda.take(9.0) == ["c"]
    assert agenda.next() is None


def test_things_of_the_same_moment_come_out_as_they_went_in() -> None:
    agenda: Agenda[object] = Agenda()
    things = [object() for _ in range(100)]  # which can't be compared with each other
    for thing in things:
        agenda.add(1.0, thing)
    assert agenda.take(1.0) == things
