"""Digits of RFC 4733: whatever the network does to their packets, each is one, in its order."""

import random
from collections.abc import Iterable

import pytest

from protocols.rtp.dtmf import DIGITS, MAX_DURATION, DigitPacket, DigitReceiver, DigitSender
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.events import DigitEnded, DigitEvent, DigitStarted
from tests.floods import each

RATE = 8000
Arrival = tuple[float, int, int, bytes]  # time, sequence, timestamp, payload


def payload(digit: str, units: int, end: int = 0) -> bytes:
    return bytes((DIGITS.index(digit), end << 7 | 10)) + units.to_bytes(2, "big")


def events_of(receiver: DigitReceiver) -> list[DigitEvent]:
    events = []
    while (event := receiver.next_event()) is not None:
        events.append(event)
    return events


def feed(receiver: DigitReceiver, arrivals: Iterable[Arrival], ssrc: int = 7) -> list[DigitEvent]:
    """The packets, with the timer called when it is due."""
    for at, sequence, timestamp, octets in arrivals:
        due = receiver.timer()
        if due is not None and due <= at:
            receiver.handle_timer(due)
        receiver.receive(octets, ssrc=ssrc, sequence=sequence, timestamp=timestamp, now=at)
    return events_of(receiver)


def run_out(receiver: DigitReceiver) -> list[DigitEvent]:
    due = receiver.timer()
    if due is not None:
        receiver.handle_timer(due)
    return events_of(receiver)


def pressed(keys: str, rate: int = RATE, sequence: int = 100, **settings: float) -> list[Arrival]:
    """What a sender of ours makes of the keys, one packet after the other."""
    sender = DigitSender(clock_rate=rate, **settings)
    sender.press(keys, timestamp=5000, now=10.0)
    arrivals = []
    while (due := sender.timer()) is not None:
        while (packet := sender.next_packet(due)) is not None:
            number = (sequence + len(arrivals)) & 0xFFFF
            arrivals.append((due, number, packet.timestamp, packet.payload))
    return arrivals


def digits(events: list[DigitEvent]) -> str:
    """The digits that started; each ended before the next one did."""
    assert len(events) % 2 == 0
    for start, end in zip(events[::2], events[1::2], strict=True):
        assert isinstance(start, DigitStarted)
        assert isinstance(end, DigitEnded)
        assert start.digit == end.digit
    return "".join(event.digit for event in events[::2])


# Hearing


def test_one_digit() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    assert feed(receiver, pressed("5")) == [
        DigitStarted(digit="5"),
        DigitEnded(digit="5", duration=0.1),
    ]
    assert receiver.timer() is None


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_all_digits_at_any_clock(rate: int) -> None:
    receiver = DigitReceiver(clock_rate=rate)
    events = feed(receiver, pressed(DIGITS, rate))
    assert digits(events) == DIGITS
    assert [event.duration for event in events[1::2]] == [0.1] * 16


def test_a_digit_is_told_when_it_begins() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    assert feed(receiver, pressed("5")[:1]) == [DigitStarted(digit="5")]


@pytest.mark.parametrize("kept", range(7))
def test_one_packet_of_a_digit_is_enough_whichever_it_is(kept: int) -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    events = feed(receiver, pressed("5")[kept : kept + 1]) + run_out(receiver)
    assert digits(events) == "5"


def test_a_digit_without_end_is_over_after_three_packet_times() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    feed(receiver, pressed("5")[:3])  # at 10.00, 10.02 and 10.04
    assert receiver.timer() == pytest.approx(10.10)
    receiver.handle_timer(10.09)
    assert receiver.next_event() is None
    receiver.handle_timer(10.101)
    assert events_of(receiver) == [DigitEnded(digit="5", duration=0.06)]


def test_a_packet_that_comes_late_makes_a_digit_no_shorter() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    first, second, third = pressed("5")[:3]
    events = feed(receiver, [first, third, (10.045, *second[1:])]) + run_out(receiver)
    assert events == [DigitStarted(digit="5"), DigitEnded(digit="5", duration=0.06)]


def test_the_packet_time_is_the_peers() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    feed(receiver, pressed("5", packet_time=0.05, duration=0.5)[:2])  # at 10.00 and 10.05
    assert receiver.timer() == pytest.approx(10.20)


def test_packets_after_the_silence_are_the_same_digit() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    arrivals = pressed("5", duration=1.0)
    late = [(at + 0.5, *rest) for at, *rest in arrivals[3:]]
    assert digits(feed(receiver, [*arrivals[:3], *late])) == "5"


def test_the_next_digit_ends_one_whose_end_was_lost() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    one, two = pressed("11")[:7], pressed("11")[7:]
    soon = [(at - 0.08, *rest) for at, *rest in two]
    assert digits(feed(receiver, [*one[:4], *soon])) == "11"


def test_packets_that_overtake_the_end_do_not_open_the_digit_again() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    arrivals = pressed("5")
    assert digits(feed(receiver, [*arrivals[:2], *arrivals[4:], *arrivals[2:4]])) == "5"


def test_a_digit_that_was_overtaken_whole_would_come_out_of_order() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    arrivals = pressed("12")
    overtaken = [(10.3, *rest) for _, *rest in arrivals[:7]]
    assert digits(feed(receiver, [*arrivals[7:], *overtaken])) == "2"
    assert receiver.late == 7


def test_a_pause_of_any_length_makes_no_digit_late() -> None:
    """Audio goes on in between and takes the sequence numbers half around."""
    receiver = DigitReceiver(clock_rate=RATE)
    first = pressed("1")
    second = [
        (at + 700, (sequence + 35_000) & 0xFFFF, timestamp + 5_600_000, octets)
        for at, sequence, timestamp, octets in pressed("2")
    ]
    assert digits(feed(receiver, [*first, *second])) == "12"


def test_timestamps_that_go_back_make_no_digit_late() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    first = pressed("1")
    second = [
        (at + 0.3, sequence + 20, timestamp - 4000, octets)
        for at, sequence, timestamp, octets in pressed("2")
    ]
    assert digits(feed(receiver, [*first, *second])) == "12"


def test_the_same_digit_again_under_another_source() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    events = feed(receiver, pressed("1"), ssrc=7) + feed(receiver, pressed("1"), ssrc=8)
    assert digits(events) == "11"


def test_a_peer_whose_timestamp_stands_still() -> None:
    """It breaks the rule; its digits are told apart by their codes, or by time."""
    receiver = DigitReceiver(clock_rate=RATE)
    arrivals = [(at, number, 0, octets) for at, number, _, octets in pressed("12WWw2")]
    assert digits(feed(receiver, arrivals)) == "122"


def test_a_long_press_goes_on_over_its_segments() -> None:
    """§2.5.1.3: at 65,535 units a new segment begins, with a timestamp so much later."""
    receiver = DigitReceiver(clock_rate=RATE)
    arrivals = [(0.0, 1, 1000, payload("9", 160)), (8.17, 2, 1000, payload("9", MAX_DURATION))]
    arrivals += [
        (8.21, 3, 1000 + MAX_DURATION, payload("9", 320)),
        (8.23, 4, 1000 + MAX_DURATION, payload("9", 480, 1)),
        (8.25, 5, 1000, payload("9", MAX_DURATION)),
    ]
    for arrival in arrivals:
        at, sequence, timestamp, octets = arrival
        receiver.receive(octets, ssrc=7, sequence=sequence, timestamp=timestamp, now=at)
    assert events_of(receiver) == [
        DigitStarted(digit="9"),
        DigitEnded(digit="9", duration=(MAX_DURATION + 480) / RATE),
    ]


def test_sequence_and_timestamp_wrap() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    arrivals = [
        (at, number, (timestamp + 0xFFFF_E000) & 0xFFFF_FFFF, octets)
        for at, number, timestamp, octets in pressed("1234", sequence=0xFFFA)
    ]
    assert digits(feed(receiver, arrivals)) == "1234"


@each("seed", range(40))
def test_a_network_that_loses_doubles_and_delays(seed: int) -> None:
    """Of each digit at least one packet comes, none later than the next digit begins."""
    chance = random.Random(seed)
    keys = "".join(chance.choice(DIGITS) for _ in range(12))
    arrivals = pressed(keys)
    bent: list[Arrival] = []
    for start in range(0, len(arrivals), 7):
        kept = chance.sample(range(7), chance.randrange(1, 8))
        for at in kept:
            when, *rest = arrivals[start + at]
            for _ in range(chance.choice((1, 1, 2))):
                bent.append((when + chance.uniform(0, 0.055), *rest))
    receiver = DigitReceiver(clock_rate=RATE)
    assert digits(feed(receiver, sorted(bent)) + run_out(receiver)) == keys


@pytest.mark.parametrize("octets", [b"", b"\5", b"\5\x80\0", b"\x10\x0a\0\xa0", b"\xff\0\0\0"])
def test_what_is_no_digit_is_ignored(octets: bytes) -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    receiver.receive(octets, ssrc=7, sequence=1, timestamp=1, now=0.0)
    assert receiver.next_event() is None
    assert receiver.ignored == 1


def test_what_is_remembered_has_a_bound() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    for number in range(1000):
        receiver.receive(
            payload("1", 160, 1), ssrc=7, sequence=number, timestamp=number * 7, now=1.0
        )
    assert digits(events_of(receiver)) == "1" * 1000
    assert len(receiver._over) <= 16


# Pressing


def test_the_packets_of_a_digit() -> None:
    sender = DigitSender(clock_rate=RATE)
    sender.press("5", timestamp=5000, now=10.0)
    packets: list[tuple[float, DigitPacket]] = []
    while (due := sender.timer()) is not None:
        while (packet := sender.next_packet(due)) is not None:
            packets.append((round(due, 6), packet))
    units = (160, 320, 480, 640, 800, 800, 800)
    assert packets == [
        (
            round(10.0 + 0.02 * at, 6),
            DigitPacket(timestamp=5000, marker=at == 0, payload=payload("5", each, int(at >= 4))),
        )
        for at, each in enumerate(units)
    ]
    assert not sender.busy


def test_digits_keep_their_distance_and_their_time() -> None:
    starts = {timestamp: at for at, _, timestamp, _ in reversed(pressed("123"))}
    assert {t: round(at, 6) for t, at in starts.items()} == {
        5000: 10.0,
        5000 + 1440: 10.18,
        5000 + 2880: 10.36,
    }


@pytest.mark.parametrize(("keys", "start"), [("w1", 10.5), ("W1", 11.0), ("wWw1", 12.0)])
def test_pauses(keys: str, start: float) -> None:
    at, _, timestamp, _ = pressed(keys)[0]
    assert at == pytest.approx(start)
    assert timestamp == 5000 + round((start - 10) * RATE)


def test_a_pause_at_the_end_is_waited_for() -> None:
    sender = DigitSender(clock_rate=RATE)
    sender.press("w", timestamp=0, now=10.0)
    assert sender.next_packet(10.0) is None
    assert sender.busy and sender.timer() == 10.5
    assert sender.next_packet(10.5) is None
    assert not sender.busy and sender.timer() is None


def test_small_letters_are_keys() -> None:
    receiver = DigitReceiver(clock_rate=RATE)
    assert digits(feed(receiver, pressed("abcd"))) == "ABCD"


def test_keys_may_be_pressed_while_others_are_under_way() -> None:
    sender = DigitSender(clock_rate=RATE)
    sender.press("1", timestamp=5000, now=10.0)
    assert sender.next_packet(10.0) is not None
    sender.press("2", timestamp=5160, now=10.02)
    stamps = []
    while (due := sender.timer()) is not None:
        while (packet := sender.next_packet(due)) is not None:
            stamps.append(packet.timestamp)
    assert stamps == [5000] * 6 + [6440] * 7


def test_a_driver_that_comes_late_makes_no_burst() -> None:
    sender = DigitSender(clock_rate=RATE)
    sender.press("12", timestamp=5000, now=10.0)
    assert sender.next_packet(10.5) is not None
    assert sender.next_packet(10.5) is None
    assert sender.timer() == pytest.approx(10.52)


def test_a_digit_is_let_go_with_its_next_packet() -> None:
    sender = DigitSender(clock_rate=RATE)
    sender.press("12", timestamp=5000, now=10.0)
    sender.next_packet(10.0)
    sender.stop()
    payloads = []
    while (due := sender.timer()) is not None:
        while (packet := sender.next_packet(due)) is not None:
            payloads.append(packet.payload)
    assert payloads == [payload("1", 320, 1)] * 3


def test_stop_while_nothing_sounds() -> None:
    sender = DigitSender(clock_rate=RATE)
    sender.press("WW", timestamp=5000, now=10.0)
    sender.next_packet(10.0)
    sender.stop()
    assert not sender.busy


def test_stop_at_the_end_of_a_digit_repeats_it_no_more_than_otherwise() -> None:
    sender = DigitSender(clock_rate=RATE)
    sender.press("1", timestamp=5000, now=10.0)
    for _ in range(6):
        assert sender.next_packet(sender.timer() or 0.0) is not None
    sender.stop()
    rest = []
    while (due := sender.timer()) is not None:
        while (packet := sender.next_packet(due)) is not None:
            rest.append(packet.payload)
    assert rest == [payload("1", 800, 1)]


@pytest.mark.parametrize("keys", ["x", "1 2", "5é", "1,2"])
def test_what_is_no_key_is_refused_and_nothing_is_pressed(keys: str) -> None:
    sender = DigitSender(clock_rate=RATE)
    with pytest.raises(LocalProtocolError):
        sender.press(keys, timestamp=0, now=0.0)
    assert not sender.busy


@pytest.mark.parametrize("settings", [{"duration": 9.0}, {"volume": 64}, {"volume": -1}])
def test_what_a_packet_cannot_tell_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(LocalProtocolError):
        DigitSender(clock_rate=RATE, **settings)


def test_pressing_nothing_is_nothing() -> None:
    sender = DigitSender(clock_rate=RATE)
    sender.press("", timestamp=0, now=0.0)
    assert not sender.busy
