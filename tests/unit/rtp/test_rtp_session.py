"""A leg's stream pair: two sessions that talk, and one with a peer that misbehaves."""

import random
from collections.abc import Callable, Iterator
from math import e

import pytest

from protocols.rtp import packet, rtcp
from protocols.rtp.events import (
    Event,
    Latched,
    Looped,
    MediaResumed,
    MediaTimedOut,
    PeerLeft,
    ReportReceived,
    SourceChanged,
    SsrcCollided,
)
from protocols.rtp.latch import LatchPolicy, Verdict
from protocols.rtp.packet import Packet
from protocols.rtp.reporting import ReporterConfig
from protocols.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
)
from protocols.rtp.session import Remote, Session, SessionConfig
from protocols.rtp.sources import MAX_SOURCES

A = ("127.0.0.1", 4000)
B = ("127.0.0.1", 5000)
UNIX = 1_800_000_000.0


def session(
    peer: tuple[str, int] = B,
    *,
    ssrc: int = 0xA,
    control: tuple[str, int] | None = None,
    timeout: float = 0.0,
    bandwidth: float = 400.0,
    unix: float = UNIX,
    policy: LatchPolicy = LatchPolicy.SIGNALLED,
    chance: Callable[[], float] | None = None,
) -> Session:
    return Session(
        SessionConfig(
            reports=ReporterConfig(cname=f"{ssrc:x}@test", bandwidth=bandwidth, unix=unix),
            timeout=timeout,
            policy=policy,
        ),
        Remote(address=peer, signalling=peer[0], control=control),
        ssrc=ssrc,
        new_ssrc=lambda: 0xCAFE,
        chance=chance or random.Random(ssrc).random,
        now=0.0,
    )


def rtp(number: int, ssrc: int = 0xB, **fields: int) -> bytes:
    values = {"payload_type": 0, "timestamp": number * 160 & 0xFFFF_FFFF} | fields
    return packet.write(
        Packet(sequence=number & 0xFFFF, ssrc=ssrc, payload=b"\xff" * 160, **values)
    )


def events_of(of: Session) -> list[Event]:
    events = []
    while (event := of.next_event()) is not None:
        events.append(event)
    return events


def control_of(of: Session) -> Iterator[tuple[rtcp.Report, ...]]:
    for octets in of.control_to_send():
        reports = rtcp.read(octets)
        assert isinstance(reports, tuple)
        yield reports


class Pair:
    """Two sessions that send each other 50 packets a second over a network with a delay."""

    def __init__(self, *, delay: float = 0.0, loss: float = 0.0, seed: int = 1) -> None:
        self.ends = (session(B, ssrc=0xA), session(A, ssrc=0xB, unix=UNIX + 1000))
        self.now = 0.0
        self.delay = delay
        self.loss = loss
        self.chance = random.Random(seed)
        self.number = 0
        self.lost = [0, 0]
        self.events: tuple[list[Event], list[Event]] = ([], [])
        self._on_the_way: list[tuple[float, int, bytes]] = []

    def run(self, seconds: float) -> None:
        """Both talk for so long; what is under way arrives."""
        for _ in range(round(seconds * 50)):
            self.now += 0.02
            for at, end in enumerate(self.ends):
                octets = rtp(self.number, ssrc=end.ssrc)
                end.packet_sent(octets, self.now)
                if self.number and self.chance.random() < self.loss:
                    self.lost[1 - at] += 1
                else:
                    self._send(at, octets)
                due = end.timer()
                if due is not None and due <= self.now:
                    end.handle_timer(self.now)
                for compound in end.control_to_send():
                    self._send(at, compound)
            self.number += 1
            self._arrive()
        self.now += self.delay
        self._arrive()

    def _send(self, at: int, octets: bytes) -> None:
        self._on_the_way.append((self.now + self.delay, 1 - at, octets))

    def _arrive(self) -> None:
        while self._on_the_way and self._on_the_way[0][0] <= self.now + 1e-9:
            at, to, octets = self._on_the_way.pop(0)
            end, source = self.ends[to], (B, A)[to]
            control = packet.kind(octets) is packet.Kind.RTCP
            verdict = (end.receive_control if control else end.receive_packet)(octets, source, at)
            assert verdict.is_accepted
            self.events[to].extend(events_of(end))


# Two ends


def test_two_ends_know_how_it_went() -> None:
    pair = Pair(delay=0.1, loss=0.05)
    pair.run(60)
    for at, end in enumerate(pair.ends):
        found = end.statistics()
        assert found.received.packets + found.received.lost == 3000
        assert found.received.lost == pair.lost[at]
        assert found.received.octets == found.received.packets * 160
        assert found.sent.packets == 3000
        assert found.sent.octets == 480_000
        assert found.sent.fraction_lost == pytest.approx(0.05, abs=0.02)
        assert found.round_trip == pytest.approx(0.2, abs=0.001)
        assert found.received.delay == pytest.approx(0.16, abs=0.001)
        assert found.received.jitter == pytest.approx(0, abs=1e-6)
        assert found.received.mos == pytest.approx(3.75, abs=0.15)
        assert found.sent.mos == pytest.approx(3.75, abs=0.15)
        assert found.dropped == {}
    assert pair.ends[0].peer_cname == "b@test"


def test_reports_come_every_few_seconds_and_no_two_calls_in_step() -> None:
    pair = Pair()
    pair.run(120)
    for seen in pair.events:
        reports = [event for event in seen if isinstance(event, ReportReceived)]
        assert 15 <= len(reports) <= 40
        assert all(event.block.fraction_lost == 0 for event in reports)
    assert len(pair.events[0]) != len(pair.events[1])


def test_a_peer_that_leaves_says_so() -> None:
    pair = Pair()
    pair.run(10)
    left, stayed = pair.ends
    left.leave(pair.now, "over")
    assert left.timer() is None
    (compound,) = left.control_to_send()
    assert stayed.receive_control(compound, A, pair.now).is_accepted
    assert PeerLeft(ssrc=0xA, reason="over") in events_of(stayed)


def test_who_never_sent_leaves_without_a_word() -> None:
    alone = session()
    alone.leave(1.0)
    assert alone.control_to_send() == []


# What a report says


def due(of: Session, now: float) -> tuple[rtcp.Report, ...]:
    """The compound that goes out first from `now` on."""
    while True:
        now = max(now, of.timer() or 0.0)
        of.handle_timer(now)
        for reports in control_of(of):
            return reports


def test_who_sends_reports_as_a_sender() -> None:
    end = session()
    end.packet_sent(rtp(10, ssrc=0xA), 1.0)
    end.packet_sent(rtp(11, ssrc=0xA), 1.02)
    end.receive_packet(rtp(1), B, 1.02)
    at = end.timer() or 0.0
    report, names = due(end, at)
    assert isinstance(report, SenderReport)
    assert (report.ssrc, report.packets, report.octets) == (0xA, 2, 320)
    assert report.ntp >> 32 == int(UNIX + at) + rtcp.NTP_EPOCH
    assert report.rtp_timestamp == 11 * 160 + round((at - 1.02) * 8000)
    assert [block.ssrc for block in report.blocks] == [0xB]
    assert names == SourceDescription(names=((0xA, "a@test"),))


def test_who_only_listens_reports_as_a_receiver() -> None:
    end = session()
    end.receive_packet(rtp(1), B, 1.0)
    report = due(end, 1.0)[0]
    assert isinstance(report, ReceiverReport)
    assert [block.ssrc for block in report.blocks] == [0xB]


def test_who_stops_sending_becomes_a_receiver_with_the_second_report_after() -> None:
    end = session()
    end.packet_sent(rtp(10, ssrc=0xA), 1.0)
    kinds = [type(due(end, 1.0)[0]) for _ in range(3)]
    assert kinds == [SenderReport, SenderReport, ReceiverReport]


def test_a_source_that_fell_silent_is_reported_no_more() -> None:
    end = session()
    end.receive_packet(rtp(1), B, 1.0)
    first, second = due(end, 1.0)[0], due(end, 1.0)[0]
    assert isinstance(first, ReceiverReport) and isinstance(second, ReceiverReport)
    assert (len(first.blocks), len(second.blocks)) == (1, 0)


def test_the_first_report_comes_sooner_than_the_others() -> None:
    first = [session(ssrc=number).timer() or 0.0 for number in range(200)]
    assert min(first) >= 1.0 and max(first) <= 3.1  # 2.5 s by 0.5 to 1.5, over e - 1.5


def test_a_timer_that_is_due_is_reconsidered() -> None:
    """§6.3.6: another draw decides whether it is time."""
    draws = iter((0.0, 0.9, 0.0, 0.5))
    end = session(chance=lambda: next(draws))
    assert end.timer() == pytest.approx(2.5 * 0.5 / (e - 1.5))
    end.handle_timer(end.timer() or 0.0)
    assert end.control_to_send() == []
    assert end.timer() == pytest.approx(2.5 * 1.4 / (e - 1.5))
    at = end.timer() or 0.0
    end.handle_timer(at)
    assert len(end.control_to_send()) == 1
    assert end.timer() == pytest.approx(at + 5 / (e - 1.5))


def test_large_compounds_make_reports_rarer() -> None:
    """§6.3.3: an average by sixteenths, with the headers of UDP and IP."""
    end = session(bandwidth=10, chance=lambda: 0.5)
    assert end.timer() == pytest.approx(120 * 2 / 7.5 / (e - 1.5))
    blocks = tuple(ReportBlock(ssrc=number) for number in range(31))
    octets = rtcp.write(ReceiverReport(ssrc=0xB, blocks=blocks))
    end.receive_control(octets, B, 1.0)
    end.handle_timer(end.timer() or 0.0)
    assert end.control_to_send() == []
    average = 120 + (len(octets) + 28 - 120) / 16
    assert end.timer() == pytest.approx(average * 2 / 7.5 / (e - 1.5))


def test_a_peer_that_sends_shares_the_bandwidth() -> None:
    end = session(bandwidth=10, chance=lambda: 0.5)
    at = end.timer() or 0.0
    end.receive_packet(rtp(1), B, at)
    end.handle_timer(at)
    assert end.timer() == pytest.approx(at + 120 * 2 / 10 / (e - 1.5))


def test_without_bandwidth_there_is_no_rtcp() -> None:
    end = session(bandwidth=0)
    end.packet_sent(rtp(1, ssrc=0xA), 0.0)
    assert end.timer() is None
    end.handle_timer(100.0)
    end.leave(100.0)
    assert end.control_to_send() == []


def test_nothing_is_reported_where_nothing_may_be_sent() -> None:
    end = session(("192.168.1.1", 5000))
    end.reoffered(Remote(address=("192.168.1.1", 5000), signalling="198.51.100.1"), 0.0)
    for _ in range(20):
        end.handle_timer(end.timer() or 0.0)
    assert end.control_destination() is None
    assert end.control_to_send() == []


# RTCP from the peer


def test_a_report_of_the_peer() -> None:
    end = session()
    end.packet_sent(rtp(10, ssrc=0xA), 1.0)
    block = ReportBlock(ssrc=0xA, fraction_lost=64, packets_lost=25, jitter=80)
    other = ReportBlock(ssrc=0xD, fraction_lost=255, packets_lost=9999)
    octets = rtcp.write(ReceiverReport(ssrc=0xB, blocks=(other, block)))
    assert end.receive_control(octets, B, 2.0) is Verdict.ACCEPTED
    assert events_of(end) == [ReportReceived(block=block, round_trip=None)]
    sent = end.statistics().sent
    assert (sent.lost, sent.jitter) == (25, 0.01)


def test_a_goodbye_of_another_source_means_nothing() -> None:
    end = session()
    end.receive_packet(rtp(1), B, 1.0)
    events_of(end)
    octets = rtcp.write(
        ReceiverReport(ssrc=0xB), Goodbye(ssrcs=(0xD, 0xA)), SourceDescription(names=((0xD, "x"),))
    )
    end.receive_control(octets, B, 2.0)
    assert events_of(end) == []
    assert end.peer_cname == ""


@pytest.mark.parametrize("octets", [b"", b"\x80\xc9", b"\x81\xc9\0\1\0\0\0\7", b"\x80\xcc\0\0"])
def test_what_is_no_rtcp_is_dropped(octets: bytes) -> None:
    end = session()
    assert end.receive_control(octets, B, 1.0) is Verdict.MALFORMED
    assert end.statistics().dropped == {Verdict.MALFORMED: 1}


def test_rtcp_from_a_stranger_is_not_read() -> None:
    end = session()
    end.packet_sent(rtp(10, ssrc=0xA), 1.0)
    octets = rtcp.write(ReceiverReport(ssrc=0xB, blocks=(ReportBlock(ssrc=0xA),)))
    assert end.receive_control(octets, ("192.0.2.6", 5000), 2.0) is Verdict.STRANGER
    assert events_of(end) == []


def test_rtcp_on_a_port_of_its_own() -> None:
    end = session(control=("127.0.0.1", 5001))
    assert end.destination() == B
    assert end.control_destination() == ("127.0.0.1", 5001)
    octets = rtcp.write(ReceiverReport(ssrc=0xB))
    assert end.receive_control(octets, ("127.0.0.1", 6001), 2.0) is Verdict.LATCHED
    assert end.control_destination() == ("127.0.0.1", 6001)
    assert end.destination() == B
    end.reoffered(Remote(address=B, signalling=B[0], control=("127.0.0.1", 7001)), 3.0)
    assert end.control_destination() == ("127.0.0.1", 7001)
    end.reoffered(Remote(address=B, signalling=B[0]), 3.0)
    assert end.control_destination() == B


# Sources


def test_the_first_packet_latches_and_names_its_source() -> None:
    end = session()
    assert end.receive_packet(rtp(1), B, 1.0) is Verdict.LATCHED
    assert end.receive_packet(rtp(2), B, 1.02) is Verdict.ACCEPTED
    assert events_of(end) == [Latched(source=B), SourceChanged(ssrc=0xB, before=None)]


def test_a_source_that_changes_loses_nothing() -> None:
    end = session()
    for number in range(100):
        end.receive_packet(rtp(number, ssrc=0xB), B, number * 0.02)
    for number in range(100):
        end.receive_packet(rtp(number + 30_000, ssrc=0xC), B, 2 + number * 0.02)
    received = end.statistics().received
    assert (received.packets, received.lost) == (200, 0)
    assert SourceChanged(ssrc=0xC, before=0xB) in events_of(end)


def test_two_sources_in_turn_are_counted_apart_and_told_once() -> None:
    """Digits under an SSRC of their own."""
    end = session()
    for number in range(100):
        end.receive_packet(rtp(number, ssrc=0xB), B, number * 0.02)
        end.receive_packet(rtp(number + 30_000, ssrc=0xC), B, number * 0.02)
    received = end.statistics().received
    assert (received.packets, received.lost, received.reordered) == (200, 0, 0)
    assert received.jitter == pytest.approx(0, abs=1e-6)
    assert sum(isinstance(event, SourceChanged) for event in events_of(end)) == 2
    report = due(end, 2.0)[0]
    assert isinstance(report, ReceiverReport)
    assert {block.ssrc for block in report.blocks} == {0xB, 0xC}


def test_sources_without_end_have_a_bound_and_keep_their_counts() -> None:
    end = session()
    for number in range(500):
        end.receive_packet(rtp(number, ssrc=number + 100), B, number * 0.02)
    assert end.statistics().received.packets == 500
    report = due(end, 10.0)[0]
    assert isinstance(report, ReceiverReport)
    assert {block.ssrc for block in report.blocks} == set(range(600 - MAX_SOURCES, 600))


def test_a_peer_that_chose_our_ssrc() -> None:
    end = session(ssrc=0xB)
    end.packet_sent(rtp(1, ssrc=0xB), 1.0)
    block = ReportBlock(ssrc=0xB, packets_lost=1)
    end.receive_control(rtcp.write(ReceiverReport(ssrc=1, blocks=(block,))), B, 1.0)
    assert end.statistics().sent.lost == 1
    end.receive_packet(rtp(1, ssrc=0xB), B, 1.0)
    assert end.ssrc == 0xCAFE
    assert end.statistics().sent.lost == 0  # that was said of the former
    assert SsrcCollided(ssrc=0xCAFE, before=0xB) in events_of(end)
    ((report, _, goodbye),) = control_of(end)
    assert report.ssrc == 0xB
    assert goodbye == Goodbye(ssrcs=(0xB,), reason="SSRC collision")
    end.packet_sent(rtp(1, ssrc=0xCAFE), 1.0)
    report = due(end, 1.0)[0]
    assert isinstance(report, SenderReport)
    assert (report.ssrc, report.packets, report.octets) == (0xCAFE, 1, 160)


def test_a_peer_that_sends_back_what_it_gets() -> None:
    """An echo: our SSRC changes once, then it is a loop, and heard all the same."""
    end = session(ssrc=0xA)
    for number in range(200):
        octets = rtp(number, ssrc=end.ssrc)
        end.packet_sent(octets, number * 0.02)
        assert end.receive_packet(octets, B, number * 0.02).is_accepted
    events = events_of(end)
    assert sum(isinstance(event, SsrcCollided) for event in events) == 1
    assert events.count(Looped(ssrc=0xCAFE)) == 1
    assert end.statistics().received.packets == 200


def test_a_loop_is_told_once_though_other_sources_come_between() -> None:
    end = session(ssrc=0xA)
    for number in range(50):
        end.receive_packet(rtp(number, ssrc=end.ssrc), B, number * 0.02)
        end.receive_packet(rtp(number, ssrc=0xC), B, number * 0.02)
    assert events_of(end).count(Looped(ssrc=0xCAFE)) == 1


def test_an_echo_of_what_is_passed_on() -> None:
    """The SSRC is that of another leg: it is not ours to change."""
    end = session(ssrc=0xA)
    for number in range(100):
        octets = rtp(number, ssrc=0x77)
        end.packet_sent(octets, number * 0.02)
        end.receive_packet(octets, B, number * 0.02)
    assert end.ssrc == 0x77
    assert events_of(end) == [
        Latched(source=B),
        Looped(ssrc=0x77),
        SourceChanged(ssrc=0x77, before=None),
    ]
    assert end.control_to_send() == []


# What is dropped


@pytest.mark.parametrize("octets", [b"", b"\x80" * 11, b"\x40" + bytes(20)])
def test_what_is_no_rtp_is_dropped(octets: bytes) -> None:
    end = session()
    assert end.receive_packet(octets, B, 1.0) is Verdict.MALFORMED


def test_drops_are_counted_by_their_reason() -> None:
    end = session()
    end.receive_packet(rtp(1), B, 1.0)
    for number in range(3):
        end.receive_packet(rtp(number), ("192.0.2.6", 5000), 1.0)
    end.receive_packet(rtp(1), ("127.0.0.1", 5002), 1.0)
    end.receive_packet(b"", B, 1.0)
    found = end.statistics()
    assert found.dropped == {Verdict.STRANGER: 3, Verdict.LOCKED: 1, Verdict.MALFORMED: 1}
    assert found.received.packets == 1


def test_the_policy_reaches_the_latch() -> None:
    end = session(policy=LatchPolicy.ANY)
    for number in range(2):
        verdict = end.receive_packet(rtp(number), ("192.0.2.6", 5000), 1.0)
    assert verdict is Verdict.LATCHED


def test_what_came_too_late_costs_quality_and_is_not_lost() -> None:
    end = session()
    for number in range(100):
        end.receive_packet(rtp(number), B, number * 0.02)
    before = end.statistics().received
    end.discard(10)
    after = end.statistics().received
    assert (after.lost, after.packets) == (0, 100)
    assert before.mos is not None and after.mos is not None
    assert after.mos < before.mos - 0.5


# Silence


def silent(of: Session) -> float | None:
    """When silence is told; RTCP is off."""
    at = of.timer()
    if at is not None:
        of.handle_timer(at)
    return at


def test_a_leg_on_which_nothing_ever_came() -> None:
    end = session(timeout=30, bandwidth=0)
    assert silent(end) == 30
    assert events_of(end) == [MediaTimedOut(since=0.0)]
    assert end.timer() is None


def test_silence_is_told_once_and_ends_with_a_packet() -> None:
    end = session(timeout=30, bandwidth=0)
    end.receive_packet(rtp(1), B, 10.0)
    events_of(end)
    assert end.timer() == 40
    end.handle_timer(39.9)
    assert events_of(end) == []
    assert silent(end) == 40
    end.handle_timer(100.0)
    assert events_of(end) == [MediaTimedOut(since=10.0)]
    end.receive_packet(rtp(2), B, 110.0)
    assert events_of(end) == [MediaResumed(silence=100.0)]
    assert end.timer() == 140


def test_a_stranger_does_not_break_the_silence() -> None:
    end = session(timeout=30, bandwidth=0)
    end.receive_packet(rtp(1), ("192.0.2.6", 5000), 20.0)
    assert silent(end) == 30


def test_a_leg_on_hold_may_be_silent() -> None:
    end = session(timeout=30, bandwidth=0)
    end.expect_silence()
    assert end.timer() is None
    end.expect_media(500.0)
    assert silent(end) == 530
    assert events_of(end) == [MediaTimedOut(since=500.0)]


def test_a_leg_that_was_left_may_be_silent() -> None:
    end = session(timeout=30)
    end.leave(1.0)
    assert end.timer() is None


def test_without_a_bound_silence_is_never_told() -> None:
    assert session(bandwidth=0).timer() is None


# Another codec


def test_a_codec_with_another_clock_goes_on_without_jitter() -> None:
    end = session()
    for number in range(50):
        end.receive_packet(rtp(number), B, number * 0.02)
    end.reoffered(Remote(address=B, signalling=B[0], codec="opus", clock_rate=48_000), 1.0)
    for number in range(50, 100):
        stamp = 50 * 160 + (number - 50) * 960
        end.receive_packet(rtp(number, timestamp=stamp, payload_type=96), B, number * 0.02)
        end.packet_sent(rtp(number, ssrc=0xA, timestamp=stamp, payload_type=96), number * 0.02)
    found = end.statistics().received
    assert found.lost == 0
    assert found.jitter < 0.0001
    at = end.timer() or 0.0
    report = due(end, at)[0]
    assert isinstance(report, SenderReport)
    assert report.rtp_timestamp == stamp + round((at - 99 * 0.02) * 48_000)
