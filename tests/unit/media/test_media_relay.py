"""Two legs of one codec: packets go through as they are, under numbers of the leg's own."""

from itertools import pairwise

import pytest
from media_world import World, chosen, leg, stream, telephone_events, until

from gateway.media import wire
from gateway.media.graph import MOST_NODES, Join, both_ways
from protocols.rtp import rtcp
from protocols.rtp.dtmf import DigitSender
from protocols.rtp.latch import LatchPolicy, Verdict
from protocols.rtp.srtp import SrtpReceiver, SrtpSender, Suite, key_length
from protocols.sdp.description import Direction
from protocols.sdp.formats import COMFORT_NOISE, OPUS, PCMU, Codec
from protocols.sdp.media import Srtp

SOUND = bytes(range(160))
SUITE = Suite.AES_CM_128_HMAC_SHA1_80
ELSEWHERE = "192.0.2.7"  # a public host, which is nobody here


async def test_both_ways_and_one_stream_of_its_own_on_each_leg(world: World) -> None:
    one, other = world.peer(0x11), world.peer(0x22)
    to_a, to_b = world.joined(
        stream(one.address, chosen(PCMU)), stream(other.address, chosen(PCMU))
    )
    for number in range(10):
        one.say(to_a, bytes((number,)) * 160)
        other.say(to_b, bytes((100 + number,)) * 160)
    await until(lambda: len(one.heard) == len(other.heard) == 10)
    for heard, first in ((other.heard, 0), (one.heard, 100)):
        assert [each.payload[0] for each in heard] == list(range(first, first + 10))
        assert len({each.ssrc for each in heard}) == 1
        steps = {
            ((two.sequence - one.sequence) & 0xFFFF, (two.timestamp - one.timestamp) & 0xFFFF_FFFF)
            for one, two in pairwise(heard)
        }
        assert steps == {(1, 160)}
        assert heard[0].ssrc not in (0x11, 0x22)
    assert one.heard[0].ssrc != other.heard[0].ssrc


async def test_a_peer_sees_what_was_lost_before_it(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(stream(one.address, chosen(PCMU)), stream(other.address, chosen(PCMU)))
    one.say(to_a, SOUND)
    one.write(SOUND)
    one.say(to_a, SOUND)
    await until(lambda: len(other.heard) == 2)
    assert (other.heard[1].sequence - other.heard[0].sequence) & 0xFFFF == 2
    assert (other.heard[1].timestamp - other.heard[0].timestamp) & 0xFFFF_FFFF == 320


async def test_each_side_hears_its_own_payload_types(world: World) -> None:
    one, other = world.peer(), world.peer()
    theirs = Codec(payload_type=120, name="OPUS", clock_rate=48000, channels=2)
    a = stream(one.address, chosen(Codec(payload_type=98, name="opus", **_opus()), OPUS))
    to_a, to_b = world.joined(a, stream(other.address, chosen(theirs, OPUS)))
    one.say(to_a, b"opus", payload_type=111, marker=True)
    other.say(to_b, b"back", payload_type=111)
    await until(lambda: one.heard and other.heard)
    assert (other.heard[0].payload_type, other.heard[0].payload) == (120, b"opus")
    assert (one.heard[0].payload_type, one.heard[0].payload) == (98, b"back")


def _opus() -> dict[str, int]:
    return {"clock_rate": 48000, "channels": 2}


async def test_comfort_noise_passes(world: World) -> None:
    one, other = world.peer(), world.peer()
    a = stream(one.address, chosen(PCMU), chosen(COMFORT_NOISE))
    to_a, _ = world.joined(a, stream(other.address, chosen(PCMU), chosen(COMFORT_NOISE)))
    one.say(to_a, b"\x40", payload_type=13)
    await until(lambda: other.heard)
    assert (other.heard[0].payload_type, other.heard[0].payload) == (13, b"\x40")


async def test_what_was_not_agreed_on_goes_no_way(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(stream(one.address, chosen(PCMU)), stream(other.address, chosen(PCMU)))
    one.say(to_a, SOUND, payload_type=96)
    one.ports.send(b"\x80", to_a.address)
    one.ports.send(b"\x9f" + one.write(SOUND)[1:20], to_a.address)  # 15 CSRCs, and none there
    one.say(to_a, SOUND)
    await until(lambda: other.heard)
    assert [each.payload_type for each in other.heard] == [0]
    dropped = world.readings("a").dropped
    assert dropped == {Verdict.UNASKED.value: 1, "no RTP": 1, Verdict.MALFORMED.value: 1}


async def test_a_leg_without_an_answer_has_ports_and_takes_nothing(world: World) -> None:
    one, other = world.peer(), world.peer()
    b = stream(other.address, chosen(PCMU))
    places = world.apply([leg("a"), leg("b", b)], both_ways("a", "b"))
    one.say(places["a"], SOUND)
    other.say(places["b"], SOUND)
    await until(lambda: world.readings("b").received.packets == 1)
    assert world.readings("a").received.packets == 0
    assert not one.raw
    assert not other.raw


@pytest.mark.parametrize("ssrc", [0x11, 0x22])
async def test_who_takes_over_goes_on_with_the_stream(world: World, ssrc: int) -> None:
    one, two, other = world.peer(0x11), world.peer(ssrc), world.peer()
    two.sequence, two.timestamp = 100, 1 << 30
    legs = [
        leg(name, stream(each.address, chosen(PCMU)))
        for name, each in (("a", one), ("b", other), ("c", two))
    ]
    places = world.apply(legs, both_ways("a", "b"))
    one.say(places["a"], b"one")
    two.say(places["c"], b"not heard")
    await until(lambda: other.heard)
    world.apply(legs, both_ways("c", "b"))
    one.say(places["a"], b"not heard")
    two.say(places["c"], b"two")
    await until(lambda: len(other.heard) == 2)
    first, second = other.heard
    assert [first.payload, second.payload] == [b"one", b"two"]
    assert second.ssrc == first.ssrc
    assert (second.sequence - first.sequence) & 0xFFFF == 1
    assert 0 <= (second.timestamp - first.timestamp) & 0xFFFF_FFFF < 8000 * 20
    assert second.marker


async def test_a_source_after_a_late_packet_goes_on_from_the_newest(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(stream(one.address, chosen(PCMU)), stream(other.address, chosen(PCMU)))
    first, late, newest = (one.write(SOUND) for _ in range(3))
    for octets in (first, newest, late):
        one.ports.send(octets, to_a.address)
    one.ssrc = 0x99
    one.say(to_a, SOUND)
    await until(lambda: len(other.heard) == 4)
    numbers = [(each.sequence - other.heard[0].sequence) & 0xFFFF for each in other.heard]
    assert numbers == [0, 2, 1, 3]


async def test_what_was_said_during_a_hold_is_no_loss(world: World) -> None:
    one, other = world.peer(), world.peer()
    a = leg("a", stream(one.address, chosen(PCMU)))
    for offers, direction in enumerate((Direction.SENDRECV, Direction.RECVONLY) * 2, 1):
        agreed = stream(other.address, chosen(PCMU), direction=direction)
        places = world.apply([a, leg("b", agreed, offers=offers)], both_ways("a", "b"))
        one.say(places["a"], SOUND)
        await until(lambda offers=offers: world.readings("a").received.packets == offers)
    await until(lambda: len(other.heard) == 2)
    numbers = [each.sequence for each in other.heard]
    assert (numbers[1] - numbers[0]) & 0xFFFF == 1


async def test_an_ssrc_that_changes_by_turns_keeps_each_clock(world: World) -> None:
    one, other = world.peer(0x11), world.peer()
    to_a, _ = world.joined(stream(one.address, chosen(PCMU)), stream(other.address, chosen(PCMU)))
    for ssrc in (0x11, 0x99, 0x11, 0x99):
        one.ssrc = ssrc
        one.say(to_a, SOUND)
    await until(lambda: len(other.heard) == 4)
    clocks = [each.timestamp for each in other.heard]
    assert len({each.ssrc for each in other.heard}) == 1
    assert [(b - a) & 0xFFFF_FFFF for a, b in zip(clocks, clocks[2:], strict=False)] == [320, 320]
    numbers = [each.sequence for each in other.heard]
    assert [(b - a) & 0xFFFF for a, b in pairwise(numbers)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("direction", "is_heard", "hears"),
    [
        (Direction.SENDONLY, False, True),
        (Direction.RECVONLY, True, False),
        (Direction.INACTIVE, False, False),
    ],
)
async def test_a_leg_on_hold(
    world: World, direction: Direction, *, is_heard: bool, hears: bool
) -> None:
    one, other = world.peer(), world.peer()
    a = stream(one.address, chosen(PCMU), direction=direction)
    to_a, to_b = world.joined(a, stream(other.address, chosen(PCMU)))
    one.say(to_a, SOUND)
    other.say(to_b, SOUND)
    await until(
        lambda: (
            (world.readings("a").received.packets, world.readings("b").received.packets) == (1, 1)
        )
    )
    back = stream(one.address, chosen(PCMU))
    world.apply([leg("a", back, offers=2), leg("b", stream(other.address, chosen(PCMU)))])
    world.apply(
        [leg("a", back, offers=2), leg("b", stream(other.address, chosen(PCMU)))],
        both_ways("a", "b"),
    )
    one.say(to_a, b"again")
    other.say(to_b, b"again")
    await until(lambda: one.heard and other.heard and other.heard[-1].payload == b"again")
    await until(lambda: one.heard[-1].payload == b"again")
    assert [each.payload for each in other.heard] == [SOUND] * is_heard + [b"again"]
    assert [each.payload for each in one.heard] == [SOUND] * hears + [b"again"]


async def test_the_old_hold_and_its_end(world: World) -> None:
    one, other = world.peer(), world.peer()
    b = leg("b", stream(other.address, chosen(PCMU)))
    joins = both_ways("a", "b")
    places = world.apply([leg("a", stream(None, chosen(PCMU))), b], joins)
    other.say(places["b"], b"on hold")
    await until(lambda: world.readings("b").received.packets == 1)
    world.apply([leg("a", stream(one.address, chosen(PCMU)), offers=2), b], joins)
    other.say(places["b"], b"back")
    await until(lambda: one.heard)
    assert [each.payload for each in one.heard] == [b"back"]


# Latching


async def test_media_goes_where_the_peer_really_is(world: World) -> None:
    one, other = world.peer(), world.peer()
    a = stream(("10.0.0.7", 4000), chosen(PCMU))
    to_a, to_b = world.joined(a, stream(other.address, chosen(PCMU)))
    other.say(to_b, b"early")
    await until(lambda: world.readings("b").received.packets == 1)
    assert world.readings("a").sent.packets == 0  # a private address that nobody was heard from
    one.say(to_a, SOUND)
    await until(lambda: other.heard)
    assert wire.Latched(call="call", leg="a", source=one.address) in world.told
    other.say(to_b, b"late")
    await until(lambda: one.heard)
    assert [each.payload for each in one.heard] == [b"late"]


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [(LatchPolicy.SIGNALLED, Verdict.STRANGER), (LatchPolicy.ANY, Verdict.LOCKED)],
)
async def test_a_stranger_never_reaches_the_call(
    world: World, policy: LatchPolicy, verdict: Verdict
) -> None:
    one, other, stranger = world.peer(), world.peer(), world.peer(0x66)
    places = world.apply(
        [
            leg("a", stream(one.address, chosen(PCMU)), signalling=ELSEWHERE, latch=policy),
            leg("b", stream(other.address, chosen(PCMU))),
        ],
        both_ways("a", "b"),
    )
    one.say(places["a"], SOUND)
    await until(lambda: other.heard)
    stranger.say(places["a"], b"let me in")
    other.say(places["b"], SOUND)
    await until(lambda: one.heard and world.readings("a").dropped)
    assert [each.payload for each in other.heard] == [SOUND]
    assert not stranger.raw
    assert world.readings("a").dropped == {verdict.value: 1}


async def test_a_new_offer_lets_the_peer_move(world: World) -> None:
    one, moved, other = world.peer(), world.peer(), world.peer()
    b = leg("b", stream(other.address, chosen(PCMU)))
    a = stream(one.address, chosen(PCMU))
    places = world.apply([leg("a", a), b], both_ways("a", "b"))
    one.say(places["a"], SOUND)
    await until(lambda: other.heard)
    moved.say(places["a"], b"too early")
    await until(lambda: world.readings("a").dropped == {Verdict.LOCKED.value: 1})
    world.apply([leg("a", a, offers=2), b], both_ways("a", "b"))
    moved.say(places["a"], b"moved")
    await until(lambda: len(other.heard) == 2)
    other.say(places["b"], SOUND)
    await until(lambda: moved.heard)
    assert other.heard[1].payload == b"moved"
    assert not one.heard


# SRTP, RTCP, digits, silence


@pytest.mark.parametrize("suite", Suite)
async def test_srtp_on_one_side_and_rtp_on_the_other(world: World, suite: Suite) -> None:
    length = key_length(suite)
    ours, theirs = bytes(range(length)), bytes(range(1, length + 1))
    one, other = world.peer(), world.peer()
    keys = Srtp(suite=suite.value, send_key=ours, receive_key=theirs)
    to_a, to_b = world.joined(
        stream(one.address, chosen(PCMU), srtp=keys), stream(other.address, chosen(PCMU))
    )
    sealer, opener = SrtpSender(suite, theirs), SrtpReceiver(suite, ours)
    one.ports.send(one.write(SOUND), to_a.address)  # in the clear
    for _ in range(3):
        sealed = sealer.protect(one.write(SOUND))
        assert isinstance(sealed, bytes)
        one.ports.send(sealed, to_a.address)
        other.say(to_b, SOUND)
    one.ports.send(sealed, to_a.address)  # once more
    await until(lambda: len(one.raw) == 3 and len(other.heard) == 3)
    assert [each.payload for each in other.heard] == [SOUND] * 3
    for each in one.raw:
        assert SOUND not in each
        opened = opener.unprotect(each)
        assert isinstance(opened, bytes)
        assert opened.endswith(SOUND)
    await until(
        lambda: world.readings("a").dropped == {"SRTP: authentication": 1, "SRTP: replayed": 1}
    )


async def test_keys_that_stay_go_on_over_an_offer_and_new_ones_hold(world: World) -> None:
    one, other = world.peer(), world.peer()
    first = Srtp(suite=SUITE.value, send_key=b"a" * 30, receive_key=b"b" * 30)
    second = Srtp(suite=SUITE.value, send_key=b"c" * 30, receive_key=b"d" * 30)
    b = leg("b", stream(other.address, chosen(PCMU)))
    openers = {"a": SrtpReceiver(SUITE, b"a" * 30), "c": SrtpReceiver(SUITE, b"c" * 30)}
    for offers, keys, name in ((1, first, "a"), (2, first, "a"), (3, second, "c")):
        agreed = stream(one.address, chosen(PCMU), srtp=keys)
        places = world.apply([leg("a", agreed, offers=offers), b], both_ways("a", "b"))
        other.say(places["b"], SOUND)
        await until(lambda offers=offers: len(one.raw) == offers)
        assert isinstance(openers[name].unprotect(one.raw[-1]), bytes)
    sealed = SrtpSender(SUITE, b"b" * 30).protect(one.write(SOUND))
    assert isinstance(sealed, bytes)
    one.ports.send(sealed, places["a"].address)
    await until(lambda: world.readings("a").dropped == {"SRTP: authentication": 1})


async def test_a_key_that_stays_keeps_count_of_the_wraps(world: World) -> None:
    one, other = world.peer(), world.peer()
    keys = Srtp(suite=SUITE.value, send_key=b"a" * 30, receive_key=b"b" * 30)
    b = leg("b", stream(other.address, chosen(PCMU)))
    opener = SrtpReceiver(SUITE, b"a" * 30)
    for offers in range(1, 6):
        agreed = stream(one.address, chosen(PCMU), srtp=keys)
        places = world.apply([leg("a", agreed, offers=offers), b], both_ways("a", "b"))
        other.say(places["b"], SOUND)
        other.sequence = (other.sequence + 20_000) & 0xFFFF
        await until(lambda offers=offers: len(one.raw) == offers)
        assert isinstance(opener.unprotect(one.raw[-1]), bytes)


@pytest.mark.parametrize(
    "srtp", [None, Srtp(suite=SUITE, send_key=b"a" * 30, receive_key=b"b" * 30)]
)
@pytest.mark.parametrize("mux", [False, True])
async def test_each_leg_reports_for_itself(world: World, srtp: Srtp | None, *, mux: bool) -> None:
    one, other = world.peer(0x11), world.peer()
    a = stream(one.address, chosen(PCMU), mux=mux, srtp=srtp)
    to_a, to_b = world.joined(a, stream(other.address, chosen(PCMU)))
    sealed: object = one.write(SOUND)
    if srtp is not None:
        sealed = SrtpSender(SUITE, b"b" * 30).protect(one.write(SOUND))
    assert isinstance(sealed, bytes)
    one.ports.send(sealed, to_a.address)
    other.say(to_b, SOUND)
    await until(lambda: other.heard and one.raw)
    world.switch.end("call", world.now())
    came = (lambda: one.raw[1:]) if mux else (lambda: one.controls)
    await until(came)
    octets: object = came()[-1]
    if srtp is not None:
        assert rtcp.read(came()[-1])
        octets = SrtpReceiver(SUITE, b"a" * 30).unprotect_rtcp(came()[-1])
    assert isinstance(octets, bytes)
    report, names, goodbye = _reports(octets)
    assert isinstance(report, rtcp.SenderReport)
    assert report.packets == 1
    assert [each.ssrc for each in report.blocks] == [0x11]
    assert isinstance(names, rtcp.SourceDescription)
    assert names.names[0][1] == "trunkline"
    assert isinstance(goodbye, rtcp.Goodbye)


def _reports(octets: bytes) -> tuple[rtcp.Report, ...]:
    read = rtcp.read(octets)
    assert isinstance(read, tuple)
    return read


async def test_what_the_peer_reports_is_read(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, to_b = world.joined(
        stream(one.address, chosen(PCMU)), stream(other.address, chosen(PCMU))
    )
    other.say(to_b, SOUND)
    await until(lambda: one.heard)
    block = rtcp.ReportBlock(ssrc=one.heard[0].ssrc, packets_lost=1, jitter=80)
    report = rtcp.write(rtcp.ReceiverReport(ssrc=0x11, blocks=(block,)))
    one.ports.send_control(report, (to_a.address[0], to_a.control))
    await until(lambda: world.readings("a").sent.lost == 1)
    assert world.readings("a").sent.jitter == pytest.approx(0.01)
    assert world.readings("a").sent.mos is not None


async def test_digits_are_told_and_passed_on(world: World) -> None:
    one, other = world.peer(), world.peer()
    a = stream(one.address, chosen(PCMU), dtmf=chosen(telephone_events(101)))
    b = stream(other.address, chosen(PCMU), dtmf=chosen(telephone_events(96)))
    to_a, _ = world.joined(a, b)
    sender = DigitSender(clock_rate=8000, duration=0.1)
    sender.press("5", timestamp=one.timestamp, now=0.0)
    sent = 0
    for tick in range(12):
        while (made := sender.next_packet(tick * 0.02)) is not None:
            one.timestamp = made.timestamp
            one.say(to_a, made.payload, payload_type=101, ticks=0, marker=made.marker)
            sent += 1
    await until(lambda: len(other.heard) == sent)
    assert {each.payload_type for each in other.heard} == {96}
    assert len({each.timestamp for each in other.heard}) == 1
    (pressed,) = world.of(wire.DigitPressed)
    assert pressed == wire.DigitPressed(call="call", leg="a", digit="5", duration=0.1)


async def test_a_digit_whose_end_is_lost_ends(world: World) -> None:
    one = world.peer()
    a = stream(one.address, chosen(PCMU), dtmf=chosen(telephone_events(101)))
    places = world.apply([leg("a", a)])
    one.say(places["a"], b"\x01\x0a\x00\xa0", payload_type=101)
    await until(lambda: world.of(wire.DigitPressed))
    assert world.of(wire.DigitPressed)[0].digit == "1"


async def test_silence_and_its_end_are_told(world: World) -> None:
    one = world.peer()
    places = world.apply([leg("a", stream(one.address, chosen(PCMU)), silence=0.2)])
    await until(lambda: world.of(wire.FellSilent))
    one.say(places["a"], SOUND)
    await until(lambda: world.of(wire.Resumed))
    assert world.of(wire.Resumed)[0].silence >= 0.2


# Graphs


async def test_a_leg_that_is_gone_is_released_and_told(world: World) -> None:
    one, other = world.peer(), world.peer()
    a, b = stream(one.address, chosen(PCMU)), stream(other.address, chosen(PCMU))
    to_a, _ = world.joined(a, b)
    one.say(to_a, SOUND)
    await until(lambda: other.heard)
    assert world.ports.free == world.ports.size - 2
    world.apply([leg("b", b)])
    assert world.ports.free == world.ports.size - 1
    (closed,) = world.of(wire.LegClosed)
    assert (closed.leg, closed.readings.received.packets) == ("a", 1)
    assert closed.readings.received.mos > 4


async def test_a_graph_that_has_no_room_changes_nothing(world: World) -> None:
    many = [leg(str(number)) for number in range(world.ports.size + 1)]
    before = world.apply(many[:2])
    refused = world.try_to(many)
    assert isinstance(refused, wire.Refused)
    assert refused.is_full
    assert world.ports.free == world.ports.size - 2
    assert world.apply(many[:2]) == before


async def test_a_worker_takes_so_many_calls(world: World) -> None:
    for number in range(10):
        world.apply([], call=str(number))
    refused = world.try_to([], call="one more")
    assert isinstance(refused, wire.Refused)
    assert refused.is_full
    world.apply([], call="3")
    world.switch.end("3", 0.0)
    world.apply([], call="one more")


async def test_versions_go_up(world: World) -> None:
    first = world.apply([leg("a")])
    second = world.apply([leg("a"), leg("b")])
    assert second["a"] == first["a"]
    world._versions["call"] = 0
    old = world.try_to([leg("a")])
    assert isinstance(old, wire.Refused)
    assert not old.is_full
    assert world.apply([leg("a")]) == second  # the version that holds


@pytest.mark.parametrize(
    ("legs", "joins", "reason"),
    [
        ([leg("a"), leg("a")], [], "the same id"),
        ([leg("a")], [Join(source="a", hearer="b")], "no node"),
        (
            [leg("a"), leg("b"), leg("c")],
            [Join(source="a", hearer="c"), Join(source="b", hearer="c")],
            "mixes",
        ),
        ([leg(str(number)) for number in range(MOST_NODES + 1)], [], "at most"),
    ],
)
async def test_graphs_that_cannot_be(
    world: World, legs: list[object], joins: list[Join], reason: str
) -> None:
    refused = world.try_to(legs, joins)  # type: ignore[arg-type]
    assert isinstance(refused, wire.Refused)
    assert reason in refused.reason
    assert world.switch.calls == 0
