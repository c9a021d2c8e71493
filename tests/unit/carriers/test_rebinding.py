"""When a bind is tried again and where, with the time in the hand."""

import pytest

from carriers.model import Carrier, CarrierKind
from carriers.rebinding import (
    FIRST_DELAY,
    FIRST_REFUSED_DELAY,
    LONGEST_DELAY,
    LONGEST_REFUSED_DELAY,
    STABLE_AFTER,
    Rebinding,
    addresses_of,
)

A, B = ("a.example", 2775), ("b.example", 2776)


def no_spread() -> float:
    return 1.0


def test_delays_double_up_to_the_longest() -> None:
    rebinding = Rebinding((A,), no_spread)
    delays = [rebinding.failed() for _ in range(11)]
    assert delays[:4] == pytest.approx([FIRST_DELAY, 0.2, 0.4, 0.8])
    assert delays[-2:] == [LONGEST_DELAY, LONGEST_DELAY]
    assert Rebinding((A,), no_spread)._spread(1.0, 30.0, 100_000) == 30.0


def test_delays_are_spread_over_their_upper_half() -> None:
    drawn = iter([0.0, 0.5, 1.0])
    rebinding = Rebinding((A,), lambda: next(drawn))
    assert [rebinding.failed() for _ in range(3)] == pytest.approx([0.05, 0.15, 0.4])


def test_a_bind_that_held_starts_the_delays_anew_and_a_flapping_one_does_not() -> None:
    rebinding = Rebinding((A,), no_spread)
    assert rebinding.lost(0.0) == pytest.approx(FIRST_DELAY)
    assert rebinding.lost(0.1) == pytest.approx(2 * FIRST_DELAY)
    assert rebinding.lost(STABLE_AFTER) == pytest.approx(FIRST_DELAY)


@pytest.mark.parametrize("command_status", [0x0D, 0x0E, 0x0F])
def test_a_refused_account_waits_long(command_status: int) -> None:
    rebinding = Rebinding((A,), no_spread)
    delays = [rebinding.refused(command_status) for _ in range(6)]
    assert delays[:3] == [FIRST_REFUSED_DELAY, 120.0, 240.0]
    assert delays[-1] == LONGEST_REFUSED_DELAY


@pytest.mark.parametrize("command_status", [0x04, 0x05, 0x08, 0x58, 0x400])
def test_other_refusals_wait_as_any_failure(command_status: int) -> None:
    assert Rebinding((A,), no_spread).refused(command_status) == pytest.approx(FIRST_DELAY)


def test_the_backup_is_tried_in_turn_and_the_first_one_first_after_a_good_bind() -> None:
    rebinding = Rebinding((A, B), no_spread)
    assert [rebinding.next_address() for _ in range(3)] == [A, B, A]
    assert rebinding.next_address() == B
    rebinding.lost(0.5)  # it did not hold: go on in turn
    assert rebinding.next_address() == A
    assert rebinding.next_address() == B
    rebinding.lost(60.0)
    assert rebinding.next_address() == A


@pytest.mark.parametrize(
    ("backup", "expected"),
    [
        ("", (A,)),
        ("b.example:2776", (A, B)),
        ("b.example", (A, ("b.example", 2775))),
        ("[::1]:2776", (A, ("::1", 2776))),
        ("[::1]", (A, ("::1", 2775))),
    ],
)
def test_addresses(backup: str, expected: tuple[tuple[str, int], ...]) -> None:
    carrier = Carrier(
        name="acme", kind=CarrierKind.SMPP, host="a.example", port=2775, backup=backup
    )
    assert addresses_of(carrier) == expected
