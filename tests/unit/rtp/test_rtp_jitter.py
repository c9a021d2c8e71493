"""The playout buffer against networks made from a seed, with the clock in the hand."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.jitter import (
    Arrival,
    Frame,
    Gap,
    JitterBuffer,
    JitterConfig,
    Squeeze,
)
from tests.floods import each

FRAME = 0.02
PATH = 0.05  # seconds that the best packet takes

Network = Callable[[int, random.Random], float | None]
"""How much longer than `PATH` the packet of that number takes; None if it is lost."""


def frame(
    number: int, *, ssrc: int = 5, timestamp: int = 2**32 - 8000, marker: int = -1, ptime: int = 20
) -> Frame:
    """The packet of that number, whose payload is the number; both counters wrap early."""
    return Frame(
        ssrc=ssrc,
        sequence=(65500 + number) & 0xFFFF,
        timestamp=(timestamp + 8 * ptime * number) & 0xFFFFFFFF,
        payload_type=0,
        marker=number == marker,
        ticks=8 * ptime,
        payload=b"%d" % number,
    )


def buffer(**bounds: float) -> JitterBuffer:
    return JitterBuffer(JitterConfig(**bounds), clock_rate=8000, ticks=160)


class Line:
    """One sender, a network, a buffer, and an ear that pulls every 20 ms."""

    def __init__(self, network: Network, *, packets: int = 500, seed: int = 1) -> None:
        chance = random.Random(seed)
        coming = []
        for number in range(packets):
            late = network(number, chance)
            if late is not None:
                coming.append((number * FRAME + PATH + late, number))
        self.coming = sorted(coming, reverse=True)
        self.packets = packets
        self.buffer = buffer()
        self.heard: list[Frame | Squeeze | Gap] = []
        self.delays: list[tuple[float, float]] = []  # when, and from saying to hearing
        self.arrivals: list[Arrival] = []

    def run(self, *, until: float | None = None, rhythm: float = FRAME) -> "Line":
        end = until if until is not None else self.packets * FRAME + PATH
        tick = 0
        while (now := 0.007 + tick * rhythm) < end:
            tick += 1
            while self.coming and self.coming[-1][0] <= now:
                at, number = self.coming.pop()
                self.arrivals.append(self.buffer.push(frame(number), at))
            played = self.buffer.pull(now)
            self.heard.append(played)
            if isinstance(played, Frame):
                self.delays.append((now, now - int(played.payload) * FRAME - PATH))
        return self

    def numbers(self) -> list[int]:
        made = []
        for played in self.heard:
            match played:
                case Frame():
                    made.append(int(played.payload))
                case Squeeze():
                    made += [int(played.first.payload), int(played.second.payload)]
        return made


def steady(number: int, chance: random.Random) -> float:
    return 0.0


def shaken(most: float) -> Network:
    return lambda number, chance: chance.random() * most


# A good path


def test_a_steady_stream_is_heard_whole_and_soon() -> None:
    line = Line(steady).run()
    assert line.numbers() == list(range(len(line.numbers())))
    assert len(line.numbers()) > 495
    assert line.delays[0][1] < 0.07  # the first delay and one pull's rhythm
    assert line.delays[-1][1] < 0.045
    first = next(at for at, played in enumerate(line.heard) if isinstance(played, Frame))
    assert all(played is Gap.PAUSE for played in line.heard[:first])
    assert Gap.LOST not in line.heard and Gap.LATE not in line.heard


def test_order_is_restored() -> None:
    line = Line(lambda number, chance: 0.03 if number % 5 == 2 else 0.0).run()
    numbers = line.numbers()
    assert numbers == sorted(numbers)
    assert line.buffer.statistics.reordered > 90
    assert line.buffer.statistics.late <= 2


@pytest.mark.parametrize("most", [0.01, 0.03, 0.06, 0.1])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_delay_follows_the_jitter(most: float, seed: int) -> None:
    line = Line(shaken(most), seed=seed).run(until=10.0)
    # At first nothing is known of the path.
    assert line.arrivals[:50].count(Arrival.LATE) <= 25
    assert line.arrivals[100:].count(Arrival.LATE) <= 0.03 * len(line.arrivals[100:])
    settled = [delay for at, delay in line.delays if at > 2.0]
    assert sum(settled) / len(settled) < most + 0.06
    assert max(settled) < most + 0.07
    assert line.numbers() == sorted(set(line.numbers()))


def test_the_delay_stays_within_its_bounds() -> None:
    line = Line(shaken(0.5))
    line.buffer = buffer(least=0.02, first=0.04, most=0.1)
    line.run()
    assert line.buffer.statistics.target == 0.1
    delays = sorted(delay for _, delay in line.delays)
    assert delays[len(delays) * 3 // 4] < 0.1 + 2 * FRAME
    quiet = Line(steady)
    quiet.buffer = buffer(least=0.08, first=0.08)
    quiet.run()
    assert quiet.buffer.statistics.target == 0.08
    assert all(delay > 0.08 - FRAME for _, delay in quiet.delays)


def test_bounds_in_no_order_are_refused() -> None:
    for bounds in ({"least": 0.1}, {"first": 0.5}, {"most": 0.01}, {"least": -0.1}, {"packets": 1}):
        with pytest.raises(LocalProtocolError):
            JitterConfig(**bounds)
    with pytest.raises(LocalProtocolError):
        JitterBuffer(JitterConfig(), clock_rate=0, ticks=160)


# Loss


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_lost_packet_is_a_gap_in_its_place(seed: int) -> None:
    def network(number: int, chance: random.Random) -> float | None:
        late = chance.random() * 0.02
        return None if chance.random() < 0.05 and number > 5 else late

    line = Line(network, seed=seed).run()
    statistics = line.buffer.statistics
    sent, numbers = line.packets, line.numbers()
    assert statistics.lost == numbers[-1] + 1 - len(numbers)
    assert len(numbers) > 0.93 * sent
    gaps = sum(played in (Gap.LOST, Gap.LATE) for played in line.heard)
    assert gaps == pytest.approx(statistics.lost + statistics.late, abs=3)
    assert max(delay for _, delay in line.delays) < 0.1


def test_a_lost_packet_among_kept_ones_is_lost_at_once_and_the_next_on_time() -> None:
    jitter = buffer(least=0.06, first=0.06)
    for number in (0, 1, 3, 4):
        jitter.push(frame(number), number * FRAME)
    heard = [jitter.pull(0.061 + tick * FRAME) for tick in range(5)]
    assert heard == [frame(0), frame(1), Gap.LOST, frame(3), frame(4)]
    assert jitter.statistics.lost == 1
    assert jitter.push(frame(2), 0.2) is Arrival.LATE
    assert jitter.statistics.late == 1


def test_an_ear_that_is_too_hungry_makes_no_packet_lost() -> None:
    """It pulls packet 2 long before its time, when 3 is there: 2 may still come."""
    jitter = buffer(least=0.06, first=0.06)
    for number in (0, 1, 3):
        jitter.push(frame(number), number * FRAME)
    heard = [jitter.pull(0.061 + tick / 1000) for tick in range(4)]
    assert heard == [frame(0), Gap.LATE, frame(1), Gap.LATE]
    assert jitter.push(frame(2), 0.066) is Arrival.KEPT
    assert jitter.pull(0.067) == frame(2)


def test_duplicates_are_dropped_before_and_after_they_were_played() -> None:
    jitter = buffer()
    assert jitter.push(frame(0), 0.0) is Arrival.KEPT
    assert jitter.push(frame(0), 0.001) is Arrival.DUPLICATE
    assert jitter.pull(0.05) == frame(0)
    assert jitter.push(frame(0), 0.06) is Arrival.DUPLICATE
    assert (jitter.statistics.duplicate, jitter.statistics.late) == (2, 0)


def test_a_duplicate_is_told_from_what_was_lost_and_comes_late() -> None:
    jitter = buffer()
    for number in (0, 1, 3, 4):
        jitter.push(frame(number), number * FRAME)
    heard = [jitter.pull(0.05 + number * FRAME) for number in range(5)]
    assert heard == [frame(0), frame(1), Gap.LOST, frame(3), frame(4)]
    found = [jitter.push(frame(number), 0.14) for number in range(5)]
    duplicate = Arrival.DUPLICATE
    assert found == [duplicate, duplicate, Arrival.LATE, duplicate, duplicate]


# Spikes


@pytest.mark.parametrize("spike", [0.1, 0.3, 0.6, 1.0, 2.0])
def test_the_delay_is_back_within_2_seconds_of_a_spike(spike: float) -> None:
    """The network stops for a time, then brings all that it held back, in order."""
    over = 4.0 + spike

    def network(number: int, chance: random.Random) -> float:
        return max(0.0, over - number * FRAME) if number * FRAME >= 4.0 else 0.0

    line = Line(network).run()
    statistics = line.buffer.statistics
    before = [delay for at, delay in line.delays if 2 < at < 4]
    after = [delay for at, delay in line.delays if at > over + PATH + 2.0]
    assert max(after) <= max(before) + 0.001
    assert max(delay for _, delay in line.delays) < 0.3 + 2 * FRAME
    assert statistics.squeezed > 0
    numbers = line.numbers()
    assert numbers == sorted(set(numbers))
    held = round(spike / FRAME)
    assert statistics.discarded <= max(0, held - 13)
    assert statistics.played + statistics.discarded >= len(numbers)


def test_frames_are_squeezed_one_at_a_time_and_rarely() -> None:
    def network(number: int, chance: random.Random) -> float:
        return max(0.0, 4.2 - number * FRAME) if number * FRAME >= 4.0 else 0.0

    line = Line(network).run()
    places = [at for at, played in enumerate(line.heard) if isinstance(played, Squeeze)]
    assert len(places) >= 5
    assert all(later - sooner >= 3 for sooner, later in pairwise(places))
    for place in places:
        squeeze = line.heard[place]
        assert int(squeeze.second.payload) == int(squeeze.first.payload) + 1


@pytest.mark.parametrize(("payload_types", "squeezed"), [((0, 0), True), ((0, 13), False)])
def test_only_frames_of_one_format_are_squeezed(
    payload_types: tuple[int, int], squeezed: bool
) -> None:
    jitter = buffer()
    for number in range(14):
        told = Frame(
            ssrc=5,
            sequence=number,
            timestamp=160 * number,
            payload_type=payload_types[number % 2],
            marker=False,
            ticks=160,
            payload=b"",
        )
        jitter.push(told, number * FRAME)
    heard = [jitter.pull(0.26 + tick * FRAME) for tick in range(6)]
    assert any(isinstance(played, Squeeze) for played in heard) is squeezed


def test_when_the_path_gets_longer_the_buffer_waits_and_is_not_late_for_ever() -> None:
    line = Line(lambda number, chance: 0.15 if number >= 200 else 0.0).run()
    lost = [played for played in line.heard[260:] if isinstance(played, Gap)]
    assert lost == []
    assert line.delays[-1][1] == pytest.approx(0.15 + 0.03, abs=0.03)


@pytest.mark.parametrize("rhythm", [FRAME * 0.999, FRAME * 1.001])
def test_an_ear_with_another_clock_hears_a_minute_without_the_delay_running_off(
    rhythm: float,
) -> None:
    line = Line(shaken(0.01), packets=3000).run(rhythm=rhythm)
    assert max(delay for at, delay in line.delays if at > 2) < 0.08
    assert line.buffer.statistics.lost + line.buffer.statistics.late < 30
    numbers = line.numbers()
    assert numbers == sorted(set(numbers))


# Pauses


def test_a_pause_of_the_sender_is_a_pause_and_the_next_words_come_soon() -> None:
    jitter = buffer()
    now = 0.0
    for number in range(50):
        jitter.push(frame(number), number * FRAME)
        now = number * FRAME + 0.005
        jitter.pull(now)
    gaps = [jitter.pull(now + tick * FRAME) for tick in range(1, 60)]
    assert Gap.LOST not in gaps
    after = gaps[next(i for i, gap in enumerate(gaps) if isinstance(gap, Gap)) :]
    assert Gap.PAUSE in after[:12] and set(after[12:]) == {Gap.PAUSE}
    # 2.5 s after it began the sender speaks again; its timestamp went on, its sequence didn't.
    heard = []
    for number in range(125, 150):
        late = frame(number, marker=125)
        told = Frame(
            ssrc=5,
            sequence=(65500 + number - 75) & 0xFFFF,
            timestamp=late.timestamp,
            payload_type=0,
            marker=late.marker,
            ticks=160,
            payload=late.payload,
        )
        jitter.push(told, number * FRAME)
        heard.append(jitter.pull(number * FRAME + 0.005))
    first = next(at for at, played in enumerate(heard) if isinstance(played, Frame))
    assert first <= 3
    assert [int(played.payload) for played in heard[first:]] == list(range(125, 150 - first))
    assert jitter.statistics.lost == 0
    assert jitter.statistics.resynced == 0


@pytest.mark.parametrize("told_by", ["marker", "sequence"])
def test_words_that_wait_for_their_time_are_no_loss(told_by: str) -> None:
    jitter = buffer(least=0.1, first=0.1)
    jitter.push(frame(0), 0.0)
    after = frame(4, marker=4 if told_by == "marker" else -1)
    if told_by == "sequence":
        after = Frame(
            ssrc=5,
            sequence=frame(1).sequence,
            timestamp=after.timestamp,
            payload_type=0,
            marker=False,
            ticks=160,
            payload=b"4",
        )
    jitter.push(after, 0.08)
    heard = [jitter.pull(0.101 + tick * FRAME) for tick in range(5)]
    assert heard == [frame(0), Gap.PAUSE, Gap.PAUSE, Gap.PAUSE, after]


def test_a_pause_of_a_minute_needs_no_new_start() -> None:
    """The timestamp goes on with the clock while the sender is silent."""
    jitter = buffer()
    for number in range(20):
        jitter.push(frame(number), number * FRAME)
        jitter.pull(number * FRAME + 0.005)
    for tick in range(20, 3020):
        jitter.pull(tick * FRAME + 0.005)
    assert jitter.push(frame(3020, marker=3020), 3020 * FRAME) is Arrival.KEPT
    assert jitter.statistics.resynced == 0


# Another stream


def second(number: int) -> Frame:
    return frame(number, ssrc=77, timestamp=123456)


def test_a_new_source_takes_over_with_its_second_packet_and_loses_none() -> None:
    line = Line(steady, packets=50).run()
    jitter, now = line.buffer, 1.2
    assert jitter.push(second(0), now) is Arrival.SUSPECT
    assert jitter.push(second(1), now + FRAME) is Arrival.KEPT
    heard = [jitter.pull(now + FRAME + tick * FRAME) for tick in range(4)]
    assert [played for played in heard if isinstance(played, Frame)] == [second(0), second(1)]
    assert jitter.statistics.resynced == 1


def test_a_single_packet_of_a_stranger_changes_nothing() -> None:
    """Nor do many, as long as the stream itself goes on between them."""
    plain, disturbed = buffer(), buffer()
    for number in range(200):
        now = number * FRAME
        if number > 2 and number % 3 == 0:
            far = frame(number, timestamp=99999999 + 1000000 * number)
            assert disturbed.push(far, now) is Arrival.SUSPECT
            assert disturbed.push(frame(number, ssrc=number), now) is Arrival.SUSPECT
        plain.push(frame(number), now)
        disturbed.push(frame(number), now)
        assert plain.pull(now + 0.005) == disturbed.pull(now + 0.005)
    assert disturbed.statistics.resynced == 0
    assert disturbed.statistics.played == plain.statistics.played > 190


@pytest.mark.parametrize(
    ("sequence", "timestamp"), [(65500, 320), (50, 320), (4, 320), (1, -1), (1, 24_001)]
)
def test_two_packets_that_do_not_follow_each_other_are_no_stream(
    sequence: int, timestamp: int
) -> None:
    jitter = buffer()
    jitter.push(frame(0), 0.0)
    stray = second(0)
    other = Frame(
        ssrc=stray.ssrc,
        sequence=(stray.sequence + sequence) & 0xFFFF,
        timestamp=stray.timestamp + timestamp,
        payload_type=0,
        marker=False,
        ticks=160,
        payload=b"",
    )
    assert jitter.push(stray, 0.02) is Arrival.SUSPECT
    assert jitter.push(other, 0.04) is Arrival.SUSPECT
    assert jitter.pull(0.05) == frame(0)


def test_a_timestamp_that_jumps_starts_anew() -> None:
    jitter = buffer()
    for number in range(50):
        jitter.push(frame(number), number * FRAME)
        jitter.pull(number * FRAME + 0.005)
    heard = []
    for number in range(50, 100):
        jitter.push(frame(number, timestamp=40_000_000), number * FRAME)
        heard.append(jitter.pull(number * FRAME + 0.005))
    numbers = [int(played.payload) for played in heard if isinstance(played, Frame)]
    assert jitter.statistics.resynced == 1
    assert [number for number in numbers if number >= 50][:3] == [50, 51, 52]
    assert len(numbers) > 44


def test_the_length_of_a_packet_may_change() -> None:
    jitter = buffer()
    now, heard = 0.0, []
    sequence, timestamp = 7, 0
    for ptime in (20, 30, 10, 60, 20):
        for _ in range(20):
            told = Frame(
                ssrc=1,
                sequence=sequence,
                timestamp=timestamp,
                payload_type=0,
                marker=False,
                ticks=8 * ptime,
                payload=b"",
            )
            jitter.push(told, now)
            heard.append(jitter.pull(now + 0.03))
            sequence, timestamp, now = sequence + 1, timestamp + 8 * ptime, now + ptime / 1000
    played = sum(1 for one in heard if isinstance(one, Frame))
    assert played > 90
    assert jitter.statistics.lost == 0
    assert jitter.ticks == 160


# Bounds


def test_what_nobody_pulls_is_bounded_and_the_newest_is_kept() -> None:
    jitter = buffer(packets=10)
    arrivals = [jitter.push(frame(number), number * FRAME) for number in range(25)]
    assert arrivals[:10] == [Arrival.KEPT] * 10
    assert set(arrivals[10:]) == {Arrival.TOO_MANY}
    assert len(jitter) == 10
    assert jitter.statistics.too_many == 15


@pytest.mark.parametrize(("said", "believed"), [(1, 160), (20, 20), (0, 160), (80_000, 1600)])
def test_a_length_that_no_frame_has_is_not_believed(said: int, believed: int) -> None:
    jitter = buffer()
    first = frame(0)
    told = Frame(
        ssrc=first.ssrc,
        sequence=first.sequence,
        timestamp=first.timestamp,
        payload_type=0,
        marker=False,
        ticks=said,
        payload=b"0",
    )
    jitter.push(told, 0.0)
    assert jitter.pull(0.05) == told
    assert jitter.ticks == believed


@each("seed", range(20))
def test_any_packets_at_any_time_leave_every_frame_played_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    jitter = buffer(packets=30)
    now, pushed, sounded = 0.0, 0, 0
    last, resynced = (-1, -1), 0
    for _ in range(3000):
        now += chance.choice((0.0, 0.001, 0.02, 0.02, chance.random() / 4))
        if chance.random() < 0.6:
            number = round(now / FRAME) + chance.choice((0, 0, 0, -1, -3, 2, 40, -500, 10**6))
            told = frame(
                number, ssrc=chance.choice((5, 5, 5, 5, 9)), marker=chance.choice((number, -1))
            )
            jitter.push(told, now)
            pushed += 1
        else:
            for played in _parts(jitter.pull(now)):
                at = (played.ssrc, int(played.payload))
                if jitter.statistics.resynced == resynced:
                    assert at > last
                last, resynced = at, jitter.statistics.resynced
                sounded += 1
        assert len(jitter) <= 30
    statistics = jitter.statistics
    assert statistics.received == pushed
    assert statistics.played == sounded > 0


def _parts(played: Frame | Squeeze | Gap) -> list[Frame]:
    match played:
        case Frame():
            return [played]
        case Squeeze():
            return [played.first, played.second]
    return []
