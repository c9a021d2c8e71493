"""How calls of an account begin one after the other."""

from gateway.calls.pace import Paces


def test_each_has_its_turn_and_too_many_have_none() -> None:
    paces = Paces(2, most=3)
    turns = [paces.take("AC1", 10.0) for _ in range(6)]
    assert turns == [0.0, 0.5, 1.0, 1.5, None, None]
    assert paces.waiting(10.0) == 3
    assert paces.take("AC2", 10.0) == 0.0
    assert paces.take("AC1", 11.0) == 1.0
    assert paces.take("AC1", 60.0) == 0.0
    assert paces.waiting(61.0) == 0


def test_without_a_rate_nobody_waits() -> None:
    paces = Paces(0, most=1)
    assert [paces.take("AC1", 10.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert paces.waiting(10.0) == 0


def test_accounts_that_have_nothing_waiting_are_forgotten() -> None:
    paces = Paces(1, most=1)
    for each in range(1002):
        assert paces.take(f"AC{each}", float(each)) == 0.0
    assert len(paces._next) < 10
