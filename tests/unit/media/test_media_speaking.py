"""What a leg says by itself: keys as events and as sound, and tones."""

import asyncio
from collections.abc import Iterable
from itertools import groupby

import numpy as np
import pytest
from media_world import STILL, Peer, World, chosen, heard_as, leg, stream, telephone_events, until
from msgspec.structs import replace

from gateway.media import wire
from gateway.media.graph import Join, Leg, Tone, both_ways, ringing
from gateway.media.mouth import CHANGED, DEAF
from protocols.rtp.audio import Samples, rms
from protocols.rtp.dtmf import DigitReceiver
from protocols.rtp.events import DigitEnded
from protocols.rtp.packet import Packet
from protocols.rtp.tones import KEYS, RINGING, Sound
from protocols.sdp.description import Direction
from protocols.sdp.formats import G722, OPUS, PCMA, PCMU, Codec
from protocols.sdp.media import Stream

EVENTS = telephone_events(101)
SOUND = bytes(range(160))
GSM = Codec(payload_type=3, name="GSM", clock_rate=8000)
BEEPS = Tone(id="tone", sound=Sound(frequencies=(440.0,), cadence=(0.2, 0.2)))


def press(world: World, keys: str, name: str = "b", call: str = "call") -> None:
    world.switch.press(call, name, keys, asyncio.get_running_loop().time())


async def pressed(world: World, commands: int = 1) -> wire.Pressed:
    """What so many commands were told, all the same."""
    await until(lambda: len(world.of(wire.Pressed)) >= commands)
    told = world.of(wire.Pressed)
    assert len(told) == commands and len(set(told)) == 1
    for each in told:
        world.told.remove(each)
    assert isinstance(told[0], wire.Pressed)
    return told[0]


def digits(packets: Iterable[Packet]) -> list[DigitEnded]:
    receiver = DigitReceiver(clock_rate=8000)
    for number, each in enumerate(packets):
        if each.payload_type == EVENTS.payload_type:
            receiver.receive(
                each.payload,
                ssrc=each.ssrc,
                sequence=each.sequence,
                timestamp=each.timestamp,
                now=number * 0.02,
            )
    found = []
    while (event := receiver.next_event()) is not None:
        if isinstance(event, DigitEnded):
            found.append(event)
    return found


def keys_in(samples: Samples, rate: int) -> str:
    """The keys that sound for 60 ms at least."""
    found = ""
    size = rate // 50
    every = sorted({each for sound in KEYS.values() for each in sound.frequencies})
    at = np.arange(size) / rate
    for start in range(0, len(samples) - size + 1, size):
        part = samples[start : start + size].astype(np.float64)
        power = {each: abs(part @ np.exp(-2j * np.pi * each * at)) for each in every}
        two = tuple(sorted(sorted(every, key=power.__getitem__)[-2:]))
        loud = rms(samples[start : start + size]) > 1000
        key = next((key for key, each in KEYS.items() if each.frequencies == two), "?")
        found += key if loud else " "
    runs = [(key, len(list(same))) for key, same in groupby(found)]
    return "".join(key for key, length in runs if length >= 3).replace(" ", "")


async def test_keys_as_events_and_nobody_speaks_beside_them(world: World) -> None:
    one, other = world.peer(), world.peer()
    a, b = (_agreed(each, dtmf=chosen(EVENTS)) for each in (one, other))
    to_a, _ = world.joined(a, b)
    one.say(to_a, SOUND)
    await until(lambda: other.heard)
    press(world, "1w*d")
    while not world.of(wire.Pressed):
        one.say(to_a, SOUND)
        await asyncio.sleep(0.02)
    assert await pressed(world) == wire.Pressed(call="call", leg="b")
    one.say(to_a, b"again" * 32)
    await until(lambda: other.heard[-1].payload == b"again" * 32)
    keys = [each for each in other.heard if each.payload_type == 101]
    assert [each.digit for each in digits(keys)] == ["1", "*", "D"]
    assert {each.duration for each in digits(keys)} == {0.1}
    assert len(keys) == 3 * 7
    assert [each.marker for each in keys] == ([True] + [False] * 6) * 3
    between = other.heard[other.heard.index(keys[0]) : other.heard.index(keys[-1])]
    paused = [each for each in between if each.payload_type != 101]
    assert len(paused) == pytest.approx(0.5 / 0.02, abs=3)
    assert {each.payload for each in paused} <= STILL
    first = other.heard[0].sequence
    assert [(each.sequence - first) & 0xFFFF for each in other.heard] == list(
        range(len(other.heard))
    )
    begun = sorted({(each.timestamp - keys[0].timestamp) & 0xFFFF_FFFF for each in keys})
    assert begun[0] == 0
    assert begun[1] == pytest.approx(8000 * (0.18 + 0.5), abs=800)
    assert not one.heard


def _agreed(peer: Peer, *spoken: Codec, **rest: object) -> Stream:
    return stream(peer.address, *map(chosen, spoken or (PCMU,)), **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", [PCMU, PCMA, G722, OPUS], ids=lambda codec: codec.name)
async def test_keys_as_sound_to_who_takes_no_events(world: World, codec: Codec) -> None:
    other = world.peer()
    world.apply([leg("b", _agreed(other, codec))])
    press(world, "159")
    press(world, "0#a")
    assert (await pressed(world, 2)).fault == ""
    await until(lambda: len(other.heard) >= 6 * 9)
    samples, rate = heard_as(other.heard, codec)
    assert keys_in(samples, rate) == "159" + "0#A"
    assert {each.payload_type for each in other.heard} == {codec.payload_type}
    assert len(samples) / rate == pytest.approx(6 * 0.18, abs=0.04)


async def test_a_second_press_waits_for_the_first(world: World) -> None:
    other = world.peer()
    world.apply([leg("b", _agreed(other, dtmf=chosen(EVENTS)))])
    press(world, "12")
    await until(lambda: other.heard)
    press(world, "3")
    await pressed(world, 2)
    await until(lambda: len(digits(other.heard)) == 3)
    assert "".join(each.digit for each in digits(other.heard)) == "123"


@pytest.mark.parametrize(
    ("keys", "name", "call", "fault"),
    [
        ("12x", "b", "call", "no keys"),
        ("", "b", "call", "no keys"),
        ("1" * 257, "b", "call", "no keys"),
        ("1", "c", "call", "no such leg"),
        ("1", "b", "none", "no such leg"),
        ("1", "deaf", "call", DEAF),
        ("1", "held", "call", DEAF),
        ("1", "ringing", "call", DEAF),
    ],
)
async def test_what_cannot_be_pressed_is_told(
    world: World, keys: str, name: str, call: str, fault: str
) -> None:
    other = world.peer()
    good = _agreed(other)
    legs = [
        leg("b", good),
        leg("deaf", _agreed(other, GSM)),
        leg("held", replace(good, direction=Direction.RECVONLY)),
        leg("ringing"),
    ]
    world.apply(legs)
    press(world, keys, name, call)
    told = await pressed(world)
    assert (told.call, told.leg) == (call, name)
    assert fault in told.fault
    assert not other.heard


async def test_keys_that_a_new_answer_makes_impossible_are_told(world: World) -> None:
    one, other = world.peer(), world.peer()
    a = leg("a", _agreed(one))
    world.apply([a, leg("b", _agreed(other, dtmf=chosen(EVENTS)))], both_ways("a", "b"))
    press(world, "123456789")
    await until(lambda: other.heard)
    places = world.apply([a, leg("b", _agreed(other), offers=2)], both_ways("a", "b"))
    assert (await pressed(world)).fault == CHANGED
    one.say(places["a"], SOUND)
    await until(lambda: other.heard[-1].payload == SOUND)


# Tones


async def test_a_caller_hears_ringing_until_the_other_speaks(world: World) -> None:
    one, other = world.peer(), world.peer()
    legs: list[Leg | Tone] = [leg("a", _agreed(one)), leg("b", _agreed(other)), BEEPS]
    places = world.apply(legs, [Join(source="tone", hearer="a")])
    await until(lambda: len(one.heard) >= 40)
    world.apply(legs, [Join(source="tone", hearer="a")])  # it goes on
    await until(lambda: len(one.heard) >= 60)
    world.apply(legs[:2], both_ways("a", "b"))
    count = len(one.heard)
    other.say(places["b"], SOUND)
    await until(lambda: one.heard[-1].payload == SOUND)
    assert len(one.heard) <= count + 2
    ring, first = one.heard[:60], one.heard[0]
    assert first.marker
    assert [(each.sequence - first.sequence) & 0xFFFF for each in ring] == list(range(60))
    clocks = [(each.timestamp - first.timestamp) & 0xFFFF_FFFF for each in ring]
    assert clocks == [160 * number for number in range(60)]
    samples, rate = heard_as(ring, PCMU)
    loud = [rms(samples[at : at + 160]) > 1000 for at in range(0, len(samples), 160)]
    assert loud == ([True] * 10 + [False] * 10) * 3
    power = np.abs(np.fft.rfft(samples[:1600].astype(np.float64)))
    assert int(power.argmax()) * rate / 1600 == pytest.approx(440, abs=5)
    assert not other.spoken


@pytest.mark.parametrize("codec", [G722, OPUS], ids=lambda codec: codec.name)
async def test_two_callers_hear_the_same_tone_in_any_codec(world: World, codec: Codec) -> None:
    one, other = world.peer(), world.peer()
    legs: list[Leg | Tone] = [leg("a", _agreed(one, codec)), leg("b", _agreed(other, codec))]
    joins = [Join(source="tone", hearer="a"), Join(source="tone", hearer="b")]
    world.apply([*legs, BEEPS], joins)
    await until(lambda: len(one.heard) >= 30 and len(other.heard) >= 30)
    for each in (one, other):
        samples, rate = heard_as(each.heard[:30], codec)
        assert rms(samples[: rate // 5]) > 1000
        assert rms(samples[rate // 4 : rate // 3]) < 200


async def test_a_tone_waits_for_an_answer_and_ends_with_the_hold(world: World) -> None:
    one = world.peer()
    joins = [Join(source="tone", hearer="a")]
    world.apply([leg("a"), BEEPS], joins)
    world.apply([leg("a", _agreed(one)), BEEPS], joins)
    await until(lambda: one.heard)
    held = replace(_agreed(one), direction=Direction.RECVONLY)
    world.apply([leg("a", held, offers=2), BEEPS], joins)
    one.heard.clear()
    await asyncio.sleep(0.1)
    assert len(one.heard) <= 1
    world.apply([leg("a", _agreed(one), offers=3), BEEPS], joins)
    await until(lambda: len(one.heard) > 3)


def test_countries_ring_each_in_its_way() -> None:
    assert ringing("ring").sound == RINGING["us"]
    assert ringing("ring", "DE").sound.frequencies == (425.0,)
    assert ringing("ring", "atlantis").sound == RINGING["us"]


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (Sound(frequencies=()), "frequencies"),
        (Sound(frequencies=(440.0,) * 9), "frequencies"),
        (Sound(frequencies=(0.0,)), "Hz"),
        (Sound(frequencies=(9000.0,)), "Hz"),
        (Sound(frequencies=(440.0,), cadence=(0.0, 0.0)), "cadence"),
        (Sound(frequencies=(440.0,), cadence=(-1.0, 2.0)), "cadence"),
        (Sound(frequencies=(440.0,), cadence=(1.0, 300.0)), "cadence"),
        (Sound(frequencies=(440.0,), cadence=(float("nan"), 1.0)), "cadence"),
        (Sound(frequencies=(440.0,), level=-1), "level"),
    ],
)
async def test_tones_that_cannot_be(world: World, sound: Sound, reason: str) -> None:
    refused = world.try_to([leg("a"), Tone(id="t", sound=sound)])
    assert isinstance(refused, wire.Refused)
    assert reason in refused.reason
    assert world.ports.free == world.ports.size


async def test_a_tone_hears_nobody(world: World) -> None:
    refused = world.try_to([leg("a"), BEEPS], [Join(source="a", hearer="tone")])
    assert isinstance(refused, wire.Refused)
    assert "hears nobody" in refused.reason
