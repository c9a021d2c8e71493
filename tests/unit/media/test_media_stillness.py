"""Who hears nobody hears silence, at the pace and in the codec of what it would hear."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from media_world import STILL, Peer, World, chosen, leg, stream, telephone_events, until, wav

from gateway.media import wire
from gateway.media.graph import File, Join, Mixer, Player, Tone, both_ways
from gateway.media.transcode import format_of
from protocols.rtp import srtp, stillness
from protocols.rtp.packet import Packet
from protocols.rtp.tones import Sound
from protocols.sdp.description import Direction
from protocols.sdp.formats import G722, L16_16000, OPUS, PCMA, PCMU, Codec
from protocols.sdp.media import Srtp, Stream

EVENTS = telephone_events(101)
GSM = Codec(payload_type=3, name="GSM", clock_rate=8000)
SOUND = bytes(range(160))
TO_A = [Join(source="p", hearer="a")]


def agreed(peer: Peer, codec: Codec = PCMU, **rest: object) -> Stream:
    return stream(peer.address, chosen(codec), **rest)  # type: ignore[arg-type]


def player(folder: Path, seconds: float = 0.1) -> Player:
    return Player(id="p", clips=(File(path=wav(folder, (440.0, seconds))),))


def are_gapless(packets: Sequence[Packet], ticks: int = 160) -> bool:
    """Whether each begins where the one before it ends."""
    first = packets[0]
    numbers = [(each.sequence - first.sequence) & 0xFFFF for each in packets]
    clocks = [(each.timestamp - first.timestamp) & 0xFFFF_FFFF for each in packets]
    count = range(len(packets))
    return numbers == list(count) and clocks == [ticks * each for each in count]


def begin_after_the_others(packets: Sequence[Packet], codec: Codec = PCMU) -> bool:
    """Whether none begins before the one ahead of it is over."""
    format = format_of(codec)
    assert format is not None
    return all(
        format.ticks(one.payload) <= (other.timestamp - one.timestamp) & 0xFFFF_FFFF < 0x8000_0000
        for one, other in pairwise(packets)
    )


async def within(world: World, peer: Peer, seconds: float) -> int:
    """How many packets come in that time."""
    before = len(peer.heard)
    await asyncio.sleep(seconds)
    return len(peer.heard) - before


@pytest.mark.parametrize(
    ("codec", "ptime", "ticks"),
    [
        (PCMU, 20, 160),
        (PCMA, 30, 240),
        (G722, 20, 160),
        (L16_16000, 20, 320),
        (OPUS, 20, 960),
        (OPUS, 40, 1920),
    ],
)
async def test_what_is_between_two_prompts_is_filled(
    world: World, tmp_path: Path, codec: Codec, ptime: int, ticks: int
) -> None:
    one = world.peer()
    to = leg("a", agreed(one, codec, ptime=ptime))
    world.apply([to, player(tmp_path, 0.12)], TO_A)
    await until(lambda: world.of(wire.PlayerEnded))
    world.apply([to])
    await asyncio.sleep(0.5)
    world.apply([to, player(tmp_path, 0.24)], TO_A)
    await until(lambda: len(world.of(wire.PlayerEnded)) == 2)
    await asyncio.sleep(0.2)
    assert len({each.ssrc for each in one.heard}) == 1
    assert {each.payload_type for each in one.heard} == {codec.payload_type}
    assert are_gapless(one.heard, ticks)
    spoken = [each.payload not in STILL for each in one.heard]
    prompts = [120 // ptime, 240 // ptime]
    begins = [at for at, now in enumerate(spoken) if now and (at == 0 or not spoken[at - 1])]
    assert [spoken[at:].index(False) for at in begins] == prompts
    assert begins[1] - prompts[0] == pytest.approx(500 / ptime, abs=2)
    assert all(one.heard[at].marker for at in begins)


async def test_who_was_never_spoken_to_hears_silence(world: World) -> None:
    one = world.peer()
    world.apply([leg("a")])
    assert await within(world, one, 0.2) == 0  # nothing is agreed on
    world.apply([leg("a", agreed(one))])
    assert await within(world, one, 1.0) == pytest.approx(50, abs=2)
    assert not one.spoken and are_gapless(one.heard)
    world.apply([leg("a", agreed(one, PCMA), offers=2)])
    await until(lambda: one.heard[-1].payload_type == PCMA.payload_type)
    assert await within(world, one, 0.2) == pytest.approx(10, abs=1)


@pytest.mark.parametrize("direction", [Direction.RECVONLY, Direction.INACTIVE])
async def test_hold_stops_it(world: World, direction: Direction) -> None:
    one = world.peer()
    world.apply([leg("a", agreed(one))])
    await until(lambda: len(one.heard) > 5)
    world.apply([leg("a", agreed(one, direction=direction), offers=2)])
    await asyncio.sleep(0.02)
    assert await within(world, one, 0.5) == 0
    held = one.heard[-1]
    world.apply([leg("a", agreed(one), offers=3)])
    count = len(one.heard)
    await until(lambda: len(one.heard) > count)
    again = one.heard[count]
    assert again.sequence == (held.sequence + 1) & 0xFFFF
    assert (again.timestamp - held.timestamp) & 0xFFFF_FFFF > 4000
    assert again.marker


async def test_another_leg_stops_it_though_that_says_nothing(world: World) -> None:
    one, other = world.peer(), world.peer()
    legs = [leg("a", agreed(one)), leg("b", agreed(other))]
    places = world.apply(legs)
    await until(lambda: one.heard and other.heard)
    world.apply(legs, both_ways("a", "b"))
    await asyncio.sleep(0.02)
    assert await within(world, one, 0.5) == 0
    last = one.heard[-1]
    other.say(places["b"], SOUND)
    await until(lambda: one.spoken)
    spoken = one.heard[-1]
    assert spoken.payload == SOUND and spoken.marker
    assert spoken.sequence == (last.sequence + 1) & 0xFFFF
    world.apply(legs[:1])
    assert await within(world, one, 0.5) == pytest.approx(25, abs=2)


async def test_whose_party_is_on_hold_hears_silence_until_it_is_back(world: World) -> None:
    """The peer of b sends nothing, and said so (RFC 3264 §8.4)."""
    one, other = world.peer(), world.peer()
    a, b = leg("a", agreed(one)), leg("b", agreed(other))
    places = world.apply([a, b], both_ways("a", "b"))
    other.say(places["b"], SOUND)
    await until(lambda: one.heard)
    held = leg("b", agreed(other, direction=Direction.INACTIVE), offers=2)
    world.apply([a, held], both_ways("a", "b"))
    assert await within(world, one, 0.5) == pytest.approx(25, abs=2)
    assert one.spoken == one.heard[:1] and are_gapless(one.heard)
    world.apply([a, leg("b", agreed(other), offers=3)], both_ways("a", "b"))
    await asyncio.sleep(0.02)
    assert await within(world, one, 0.3) == 0
    other.say(places["b"], SOUND)
    await until(lambda: len(one.spoken) == 2)
    assert one.heard[-1].marker and begin_after_the_others(one.heard)


async def test_whose_holder_plays_no_music_hears_silence_and_the_music_if_it_does(
    world: World,
) -> None:
    """The peer of b says that it will send on and hears nothing; many phones then send nothing."""
    one, other = world.peer(), world.peer()
    a = leg("a", agreed(one))
    held = leg("b", agreed(other, direction=Direction.RECVONLY))
    places = world.apply([a, held], both_ways("a", "b"))
    assert await within(world, one, 1.0) == pytest.approx(40, abs=3)
    still = len(one.heard)
    for _ in range(15):  # ten times longer than silence waits, every second packet 60 ms late
        other.say(places["b"], SOUND)
        other.say(places["b"], SOUND)
        await asyncio.sleep(0.1)
    assert [each.payload for each in one.heard[still + 1 :]].count(SOUND) >= 29
    assert len(one.spoken) == 30
    assert len(one.heard) - still <= 32
    music = len(one.heard)
    assert await within(world, one, 1.0) == pytest.approx(40, abs=6)
    assert not set(one.spoken) & set(one.heard[music + 1 :])
    numbers = [(each.sequence - one.heard[0].sequence) & 0xFFFF for each in one.heard]
    assert numbers == list(range(len(one.heard)))
    assert begin_after_the_others(one.heard)


@pytest.mark.parametrize("codec", [PCMU, G722, OPUS], ids=lambda codec: codec.name)
@pytest.mark.parametrize("theirs", [10, 20, 60])
@pytest.mark.parametrize("ours", [10, 20, 60])
async def test_nothing_begins_before_what_was_said_is_over(
    world: World, codec: Codec, theirs: int, ours: int
) -> None:
    """RFC 3550 §5.1: the timestamp is when the first sample was made, of which each is one."""
    one, other, third = world.peer(), world.peer(), world.peer(ssrc=0x77)
    a = leg("a", agreed(one, codec, ptime=ours))
    b, c = (leg(name, agreed(each, codec)) for name, each in (("b", other), ("c", third)))
    places = world.apply([a, b, c], [Join(source="b", hearer="a")])
    format = format_of(codec)
    assert format is not None
    payload, ticks = stillness.payload(format, theirs), codec.clock_rate * theirs // 1000
    said = {"payload_type": codec.payload_type, "ticks": ticks}
    for _ in range(3):
        other.say(places["b"], payload, **said)
        await asyncio.sleep(theirs / 1000)
    other.say(places["b"], payload, **said)
    await until(lambda: len(one.heard) == 4)
    world.apply([a, b, c], [Join(source="c", hearer="a")])
    third.say(places["c"], payload, **said)
    await until(lambda: len(one.heard) == 5)
    world.apply([a, b, c])
    await until(lambda: len(one.heard) >= 8)
    world.apply([a, b, c], [Join(source="b", hearer="a")])
    other.say(places["b"], payload, **said)
    count = len(one.heard)
    await until(lambda: len(one.heard) > count)
    assert begin_after_the_others(one.heard, codec)
    spoken = [format.ticks(each.payload) for each in one.heard]
    assert spoken[:5] == [ticks] * 5 and codec.clock_rate * ours // 1000 in spoken


async def test_nobody_begins_before_a_key_is_let_go(world: World) -> None:
    """All packets of a key bear the time at which it was pressed, and say how long it is by now."""
    one, other = world.peer(), world.peer()
    legs = [
        leg(name, stream(each.address, chosen(PCMU), dtmf=chosen(EVENTS)))
        for name, each in (("a", one), ("b", other))
    ]
    places = world.apply(legs, both_ways("a", "b"))
    pressed = []
    for units in (160, 320, 480, 640, 800):
        octets = other.write(bytes([5, 10]) + units.to_bytes(2, "big"), payload_type=101, ticks=0)
        other.ports.send(octets, places["b"].address)
        pressed.append(octets)
        await asyncio.sleep(0.02)
    await until(lambda: len(one.heard) == len(pressed))
    world.apply(legs)
    await until(lambda: len(one.heard) > len(pressed))
    key, after = one.heard[0], one.heard[len(pressed)]
    assert {each.timestamp for each in one.heard[: len(pressed)]} == {key.timestamp}
    assert 800 <= (after.timestamp - key.timestamp) & 0xFFFF_FFFF <= 1200


async def test_nobody_begins_before_the_silence_is_over(world: World) -> None:
    """Its last packet would lie over the first one of the sound."""
    one, other = world.peer(), world.peer()
    legs = [leg("a", agreed(one)), leg("b", agreed(other))]
    places = world.apply(legs)
    await until(lambda: len(one.heard) > 3)
    count = len(one.heard)
    await until(lambda: len(one.heard) > count)
    world.apply(legs, [Join(source="b", hearer="a")])
    other.say(places["b"], SOUND)
    await until(lambda: one.spoken)
    assert are_gapless(one.heard)


async def test_a_room_and_a_tone_are_heard_alone(world: World) -> None:
    one = world.peer()
    to, tone = leg("a", agreed(one)), Tone(id="p", sound=Sound(frequencies=(440.0,)))
    world.apply([to])
    await asyncio.sleep(0.1)
    for source in (tone, Mixer(id="p")):
        world.apply([to, source], TO_A)
        assert await within(world, one, 1.0) == pytest.approx(50, abs=2)


async def test_the_end_of_a_call_ends_it(world: World) -> None:
    one = world.peer()
    world.apply([leg("a", agreed(one))])
    await until(lambda: len(one.heard) > 5)
    world.switch.end("call", world.now())
    await asyncio.sleep(0.02)
    assert await within(world, one, 0.5) == 0
    assert not world.switch._waiting


async def test_between_keys_of_another_clock_there_is_nothing(world: World) -> None:
    """Phones offer events of 8000 beside Opus, whose clock is 48000 (RFC 7587 §4.1)."""
    one = world.peer()
    world.apply([leg("a", agreed(one, OPUS, dtmf=chosen(EVENTS)))])
    await until(lambda: one.heard)
    world.switch.press("call", "a", "1w2", world.now(), 0.1)
    await until(lambda: world.of(wire.Pressed))
    await until(lambda: one.heard[-1].payload_type != 101)
    types = [each.payload_type for each in one.heard]
    first, last = types.index(101), len(types) - types[::-1].index(101)
    assert set(types[first:last]) == {101}
    assert len({each.timestamp for each in one.heard[first:last]}) == 2
    assert (one.heard[last].timestamp - one.heard[last - 1].timestamp) & 0xFFFF_FFFF < 0x8000_0000


async def test_keys_have_the_leg_for_themselves(world: World) -> None:
    one = world.peer()
    world.apply([leg("a", agreed(one, dtmf=chosen(EVENTS)))])
    await until(lambda: one.heard)
    world.switch.press("call", "a", "12", world.now(), 0.1)
    await until(lambda: world.of(wire.Pressed))
    await until(lambda: one.heard[-1].payload_type != 101)
    keys = [at for at, each in enumerate(one.heard) if each.payload_type == 101]
    assert keys == list(range(keys[0], keys[-1] + 1))
    stamps = list(dict.fromkeys(one.heard[at].timestamp for at in keys))
    before, after = one.heard[keys[0] - 1], one.heard[keys[-1] + 1]
    assert len(stamps) == 2
    assert (stamps[0] - before.timestamp) & 0xFFFF_FFFF >= 160
    assert (after.timestamp - stamps[-1]) & 0xFFFF_FFFF >= 800
    numbers = [(each.sequence - one.heard[0].sequence) & 0xFFFF for each in one.heard]
    assert numbers == list(range(len(one.heard)))


async def test_it_is_sealed_as_all_else_is(world: World) -> None:
    one = world.peer()
    suite, key = "AES_CM_128_HMAC_SHA1_80", bytes(range(30))
    keys = Srtp(suite=suite, send_key=key, receive_key=bytes(30))
    world.apply([leg("a", agreed(one, srtp=keys))])
    await until(lambda: len(one.raw) > 5)
    receiver = srtp.SrtpReceiver(srtp.Suite(suite), key)
    opened = [receiver.unprotect(each) for each in one.raw]
    assert all(isinstance(each, bytes) and each[12:] in STILL for each in opened)


async def test_who_has_no_codec_of_ours_hears_nothing(world: World) -> None:
    one = world.peer()
    world.apply([leg("a", agreed(one, GSM))])
    assert await within(world, one, 0.3) == 0


async def test_who_is_nowhere_is_sent_nothing_until_it_is_somewhere(world: World) -> None:
    one = world.peer()
    world.apply([leg("a", stream(None, chosen(PCMU)))])
    assert await within(world, one, 0.3) == 0
    assert world.readings("a").sent.packets == 0
    world.apply([leg("a", agreed(one), offers=2)])
    await until(lambda: len(one.heard) > 5)
    assert are_gapless(one.heard)
