"""What is counted of a source: RFC 3550 §A.1, §A.3 and §A.8, and streams that networks bend."""

import random
from collections.abc import Iterable

import pytest

from protocols.rtp.reception import MAX_DROPOUT, MAX_MISORDER, Reception
from tests.floods import each

RATE = 8000
STEP = 160


def reception(sequence: int = 0, *, probation: int = 1) -> Reception:
    return Reception(
        ssrc=7, sequence=sequence, timestamp=0, clock_rate=RATE, now=0.0, probation=probation
    )


def feed(source: Reception, numbers: Iterable[int]) -> list[bool]:
    """Packets as a clock would send them, 20 ms apart."""
    return [
        source.update(number & 0xFFFF, number * STEP & 0xFFFF_FFFF, number * 0.02)
        for number in numbers
    ]


def test_a_whole_stream() -> None:
    source = reception()
    assert all(feed(source, range(500)))
    assert (source.received, source.expected, source.lost) == (500, 500, 0)
    assert source.jitter == pytest.approx(0, abs=1e-6)


def test_probation_takes_two_in_sequence() -> None:
    """The first of them is not counted (§A.1)."""
    source = reception(5, probation=2)
    assert feed(source, (5, 9, 11, 12, 13)) == [False, False, False, True, True]
    assert (source.received, source.expected, source.lost) == (2, 2, 0)


def test_a_longer_probation_begins_anew_with_each_gap() -> None:
    source = reception(5, probation=3)
    assert feed(source, (5, 6, 9, 10, 11)) == [False, False, False, False, True]


def test_a_late_packet_that_comes_twice_is_late_and_a_duplicate() -> None:
    source = reception()
    feed(source, (0, 1, 3, 2, 2))
    assert (source.reordered, source.duplicated, source.missing) == (1, 1, 0)


def test_nothing_is_counted_before_the_source_is_believed() -> None:
    source = reception(5, probation=2)
    feed(source, (5, 7, 9))
    assert not source.believed
    assert (source.received, source.expected, source.lost) == (0, 0, 0)
    assert source.block(1.0).fraction_lost == 0


def test_the_sequence_wraps() -> None:
    source = reception(0xFFF0)
    feed(source, range(0xFFF0, 0x2_0010))
    assert source.highest_extended == 0x2_000F
    assert source.lost == 0


def test_the_sequence_wraps_within_a_loss_and_a_late_packet_does_not_unwrap_it() -> None:
    source = reception(0xFFF0)
    feed(source, (*range(0xFFF0, 0xFFFE), 0x1_0003, 0xFFFF, 0x1_0004))
    assert source.highest_extended == 0x1_0004
    assert source.reordered == 1
    assert (source.expected, source.received, source.lost) == (21, 17, 4)


def test_timestamps_wrap_without_jitter() -> None:
    source = Reception(
        ssrc=7, sequence=0, timestamp=0xFFFF_FF60, clock_rate=RATE, now=0.0, probation=1
    )
    for number in range(10):
        source.update(number, (0xFFFF_FF60 + number * STEP) & 0xFFFF_FFFF, number * 0.02)
    assert source.jitter == pytest.approx(0, abs=1e-6)


@each("seed", range(20))
def test_a_stream_that_the_network_bent(seed: int) -> None:
    """Lost, late and double packets are told apart, whatever their order."""
    chance = random.Random(seed)
    start = chance.randrange(1 << 16)
    numbers = list(range(start, start + 2000))
    lost = set(chance.sample(numbers[1:-40], 60))
    doubled = set(chance.sample([n for n in numbers if n not in lost], 40))
    arriving = sorted(
        (number + (chance.uniform(0, 30) if at and chance.random() < 0.05 else 0), number)
        for at, number in enumerate(numbers)
        if number not in lost
        for _ in range(2 if number in doubled else 1)
    )
    source = reception(start)
    assert all(feed(source, (number for _, number in arriving)))
    assert source.received == len(arriving)
    assert source.duplicated == len(doubled)
    assert source.missing == len(lost)
    assert source.lost == len(lost) - len(doubled)


def test_a_step_too_large_is_no_packet_until_another_goes_on_from_it() -> None:
    source = reception()
    feed(source, range(10))
    far = 9 + MAX_DROPOUT
    assert feed(source, (far, 10, far + 100)) == [False, True, False]
    assert feed(source, (far + 101, far + 102)) == [True, True]
    assert source.misplaced == 2
    assert (source.received, source.expected, source.lost) == (13, 13, 0)


def test_the_widest_steps_that_are_believed() -> None:
    source = reception(200)
    feed(source, range(200, 310))
    assert feed(source, (309 + MAX_DROPOUT - 1,)) == [True]
    behind = 309 + MAX_DROPOUT - MAX_MISORDER
    assert feed(source, (behind,)) == [True]
    assert feed(source, (behind - 1,)) == [False]


def test_jitter_is_that_of_the_appendix() -> None:
    """Every second packet 5 ms late: the mean difference is 40 units, approached by sixteenths."""
    source = reception()
    expected = 0.0
    for number in range(400):
        source.update(number, number * STEP, number * 0.02 + 0.005 * (number % 2))
        if number:
            expected += (40 - expected) / 16
    assert source.jitter == pytest.approx(expected)
    assert source.block(8.0).jitter == 39  # the part after the point is cut


def test_the_packets_of_a_digit_are_no_jitter() -> None:
    """They all bear the moment at which it began (RFC 4733 §2.2.1)."""
    source = reception()
    feed(source, range(10))
    for number in range(10, 60):
        source.update(number, 10 * STEP, number * 0.02)
    source.update(60, 60 * STEP, 60 * 0.02)
    assert source.jitter == pytest.approx(0, abs=1e-6)


def test_a_clock_that_jumps_is_no_jitter() -> None:
    source = reception()
    feed(source, range(10))
    for number in range(10, 20):
        source.update(number, number * STEP + 0x5555_0000, number * 0.02)
    assert source.jitter == pytest.approx(0, abs=1e-6)


def test_jitter_is_kept_when_the_clock_is_another() -> None:
    source = reception()
    for number in range(400):
        source.update(number, number * STEP, number * 0.02 + 0.005 * (number % 2))
    seconds = source.jitter / RATE
    source.retime(48_000)
    assert source.jitter / source.clock_rate == pytest.approx(seconds)


# Reports


def test_the_fraction_counts_from_the_report_before() -> None:
    source = reception(1)
    feed(source, [n for n in range(100) if n % 4])
    feed(source, (100,))
    first = source.block(2.0)
    assert (first.ssrc, first.highest_sequence) == (7, 100)
    assert first.packets_lost == 24  # 1 to 100, the multiples of 4 but the last
    assert first.fraction_lost == 24 * 256 // 100
    feed(source, range(101, 201))
    second = source.block(4.0)
    assert (second.packets_lost, second.fraction_lost) == (24, 0)
    assert source.block(4.0).fraction_lost == 0


def test_more_duplicates_than_losses_are_a_negative_loss() -> None:
    source = reception()
    feed(source, (0, 1, 1, 1, 3))
    block = source.block(1.0)
    assert (block.packets_lost, block.fraction_lost) == (-1, 0)


def test_losing_all_but_one_is_reported_within_eight_bits() -> None:
    source = reception()
    feed(source, (0,))
    source.block(0.0)
    feed(source, (2999,))
    assert source.block(60.0).fraction_lost == 255


def test_losing_more_than_a_report_can_say() -> None:
    source = reception()
    feed(source, range(0, 2999 * 3000, 2999))
    assert source.lost > 0x7F_FFFF
    assert source.block(0.0).packets_lost == 0x7F_FFFF


def test_a_report_tells_of_the_last_one_and_since_when() -> None:
    source = reception()
    feed(source, range(3))
    assert (source.block(1.0).last_report, source.block(1.0).delay) == (0, 0)
    source.reported(0xB44D_B705_2000_0000, 2.0)
    block = source.block(7.25)
    assert block.last_report == 0xB705_2000
    assert block.delay == 0x0005_4000
