"""Keys from one peer to another, however each presses them: every key once, and no sound beside."""

import asyncio
from collections.abc import Iterable

import numpy as np
import pytest
from media_world import Peer, World, chosen, leg, stream, telephone_events, until
from msgspec.structs import replace

from gateway.media import wire
from gateway.media.graph import Join, Leg, both_ways
from gateway.media.mouth import LONGEST, SHORTEST
from protocols.rtp import codecs, formats, tones
from protocols.rtp.audio import Pcm, Samples, rms, silence
from protocols.rtp.dtmf import GAP, DigitReceiver, DigitSender
from protocols.rtp.dtmf_sound import KeyListener
from protocols.rtp.events import DigitEnded
from protocols.rtp.packet import Packet
from protocols.sdp.formats import G722, OPUS, PCMA, PCMU, Codec
from protocols.sdp.media import DtmfMode, Stream

EVENTS = telephone_events(101)
RATE = 8000
PTIME = 0.02


def agreed(peer: Peer, codec: Codec = PCMU, dtmf: Codec | None = None) -> Stream:
    return stream(peer.address, chosen(codec), dtmf=None if dtmf is None else chosen(dtmf))


def by(name: str, found: Stream, dtmf: DtmfMode = DtmfMode.RFC4733) -> Leg:
    return replace(leg(name, found), dtmf=dtmf)


def tone(key: str, seconds: float, rate: int) -> Samples:
    return tones.render(tones.KEYS[key], rate=rate, start=0, count=round(rate * seconds)).samples


def hush(seconds: float, rate: int) -> Samples:
    return silence(rate, round(rate * seconds)).samples


def hum(seconds: float, rate: int) -> Samples:
    """What somebody says beside the keys: 300 Hz."""
    at = np.arange(round(rate * seconds)) / rate
    return np.rint(6000 * np.sin(2 * np.pi * 300 * at)).astype(np.int16)


async def play(
    peer: Peer, place: wire.Place, codec: Codec, parts: Iterable[Samples], *, but: int = -1
) -> None:
    """Say this in real time, 20 ms a packet; the packet `but` is lost."""
    format = formats.find(codec.name, codec.clock_rate)
    assert format is not None
    encoder, loop = codecs.encoder(format, 20), asyncio.get_running_loop()
    samples = np.concatenate(list(parts))
    size, due = format.samples(20), loop.time()
    for number, at in enumerate(range(0, len(samples) - size + 1, size)):
        payload = encoder.encode(Pcm(rate=encoder.rate, samples=samples[at : at + size]))
        octets = peer.write(payload, payload_type=codec.payload_type, ticks=codec.clock_rate // 50)
        if number != but:
            peer.ports.send(octets, place.address)
        due += PTIME
        await asyncio.sleep(max(0.0, due - loop.time()))


async def press(peer: Peer, place: wire.Place, keys: str, duration: float = 0.1) -> None:
    """Press keys as events, in real time."""
    sender, loop = DigitSender(clock_rate=RATE, duration=duration), asyncio.get_running_loop()
    sender.press(keys, timestamp=peer.timestamp, now=loop.time())
    while (due := sender.timer()) is not None:
        while (made := sender.next_packet(loop.time())) is not None:
            octets = peer.write(made.payload, payload_type=101, ticks=0, marker=made.marker)
            written = octets[:4] + made.timestamp.to_bytes(4, "big") + octets[8:]
            peer.ports.send(written, place.address)
        await asyncio.sleep(max(0.0, due - loop.time()))


def heard(packets: Iterable[Packet], codec: Codec) -> tuple[Samples, int]:
    format = formats.find(codec.name, codec.clock_rate)
    assert format is not None
    decoder = codecs.decoder(format)
    parts = [
        decoder.decode(each.payload) for each in packets if each.payload_type == codec.payload_type
    ]
    found = [hush(0.1, decoder.rate), *(each.samples for each in parts if each is not None)]
    return np.concatenate([*found, hush(0.1, decoder.rate)]), decoder.rate


def tones_in(packets: Iterable[Packet], codec: Codec) -> list[tuple[str, float]]:
    samples, rate = heard(packets, codec)
    listener, found = KeyListener(rate), []
    listener.hear(samples)
    while (event := listener.next_event()) is not None:
        if isinstance(event, DigitEnded):
            found.append((event.digit, event.duration))
    return found


def events_in(packets: Iterable[Packet]) -> list[tuple[str, float]]:
    receiver = DigitReceiver(clock_rate=RATE)
    found = []
    for number, each in enumerate(packets):
        if each.payload_type == EVENTS.payload_type:
            receiver.receive(
                each.payload,
                ssrc=each.ssrc,
                sequence=each.sequence,
                timestamp=each.timestamp,
                now=number * PTIME,
            )
    while (event := receiver.next_event()) is not None:
        if isinstance(event, DigitEnded):
            found.append((event.digit, event.duration))
    return found


def told(world: World, name: str) -> str:
    return "".join(each.digit for each in world.of(wire.DigitPressed) if each.leg == name)


# From events


@pytest.mark.parametrize("codec", [PCMU, PCMA, G722, OPUS], ids=lambda codec: codec.name)
@pytest.mark.parametrize("mode", [DtmfMode.INBAND, DtmfMode.RFC4733, DtmfMode.AUTO])
async def test_events_become_sound_for_who_takes_no_events(
    world: World, codec: Codec, mode: DtmfMode
) -> None:
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one, PCMU, EVENTS)), by("b", agreed(other, codec), mode)]
    places = world.apply(legs, both_ways("a", "b"))
    await press(one, places["a"], "15#")
    await until(lambda: told(world, "a") == "15#")
    durations = [max(each.duration, SHORTEST) for each in world.of(wire.DigitPressed)]
    whole = sum(durations) + 3 * GAP
    await until(lambda: len(other.heard) >= whole / PTIME - 1)
    found = tones_in(other.heard, codec)
    assert [digit for digit, _ in found] == ["1", "5", "#"]
    near = 0.045 if codec is G722 else 0.015  # its decoder takes a while to follow a new encoder
    assert [duration for _, duration in found] == pytest.approx(durations, abs=near)
    assert not events_in(other.heard)
    assert world.of(wire.Pressed) == []  # nobody asked for it


@pytest.mark.parametrize(("pressed", "sounds"), [(0.02, SHORTEST), (0.4, 0.4), (3.3, LONGEST)])
async def test_a_key_is_as_long_as_it_was_within_reason(
    world: World, pressed: float, sounds: float
) -> None:
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one, PCMU, EVENTS)), by("b", agreed(other), DtmfMode.INBAND)]
    places = world.apply(legs, both_ways("a", "b"))
    await press(one, places["a"], "7", pressed)
    await until(lambda: told(world, "a") == "7")
    (key,) = world.of(wire.DigitPressed)
    if key.duration < pressed - 0.01:  # a busy machine has let packets stop for a while
        sounds = min(max(key.duration, SHORTEST), LONGEST)
    await until(lambda: len(other.heard) >= (sounds + 0.06) / PTIME)
    assert tones_in(other.heard, PCMU) == [("7", pytest.approx(sounds, abs=0.015))]


async def test_events_are_relayed_and_not_repeated(world: World) -> None:
    one, other = world.peer(), world.peer()
    legs = [by(name, agreed(each, PCMU, EVENTS)) for name, each in (("a", one), ("b", other))]
    places = world.apply(legs, both_ways("a", "b"))
    await press(one, places["a"], "42")
    await until(lambda: len(events_in(other.heard)) == 2)
    await asyncio.sleep(0.2)  # nothing follows
    assert [digit for digit, _ in events_in(other.heard)] == ["4", "2"]
    assert {each.payload_type for each in other.heard} == {101}


async def test_who_hears_keys_by_info_is_left_to_signalling(world: World) -> None:
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one, PCMU, EVENTS)), by("b", agreed(other), DtmfMode.INFO)]
    places = world.apply(legs, both_ways("a", "b"))
    await press(one, places["a"], "9")
    await until(lambda: told(world, "a") == "9")
    await asyncio.sleep(0.2)  # nothing follows
    assert other.heard == []


# From sound


@pytest.mark.parametrize("codec", [PCMU, PCMA, G722, OPUS], ids=lambda codec: codec.name)
@pytest.mark.parametrize("mode", [DtmfMode.INBAND, DtmfMode.AUTO])
async def test_sound_becomes_events_and_goes_no_further(
    world: World, codec: Codec, mode: DtmfMode
) -> None:
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one, codec), mode), by("b", agreed(other, PCMU, EVENTS))]
    places = world.apply(legs, both_ways("a", "b"))
    rate = 8000 if codec.name.startswith("PCM") else 16000 if codec is G722 else 48000
    said = [hum(0.2, rate)]
    for key in "208":
        said += [tone(key, 0.1, rate), hush(0.1, rate)]
    await play(one, places["a"], codec, [*said, hum(0.2, rate)])
    await until(lambda: len(events_in(other.heard)) == 3)
    found = events_in(other.heard)
    assert [digit for digit, _ in found] == ["2", "0", "8"]
    assert [duration for _, duration in found] == pytest.approx([0.1] * 3, abs=0.025)
    assert tones_in(other.heard, PCMU) == []
    assert rms(heard(other.heard, PCMU)[0]) > 1000  # what was said beside them is heard
    assert told(world, "a") == "208"


async def test_sound_is_told_where_info_carries_keys(world: World) -> None:
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one), DtmfMode.INBAND), by("b", agreed(other), DtmfMode.INFO)]
    places = world.apply(legs, both_ways("a", "b"))
    await play(one, places["a"], PCMU, [hum(0.1, RATE), tone("6", 0.1, RATE), hum(0.1, RATE)])
    await until(lambda: told(world, "a") == "6")
    await until(lambda: len(other.heard) >= 13)
    assert tones_in(other.heard, PCMU) == []
    sequences = [each.sequence for each in other.heard]
    assert len({(each - sequences[0]) & 0xFFFF for each in sequences}) == len(sequences)
    assert (sequences[-1] - sequences[0]) & 0xFFFF == len(sequences) - 1  # and none is missing


@pytest.mark.parametrize("mode", [DtmfMode.RFC4733, DtmfMode.INFO])
async def test_nobody_listens_where_keys_are_not_in_the_sound(world: World, mode: DtmfMode) -> None:
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one), mode), by("b", agreed(other, PCMU, EVENTS))]
    await _sound_is_relayed(world, one, other, legs)


@pytest.mark.parametrize("mode", [DtmfMode.RFC4733, DtmfMode.INBAND, DtmfMode.AUTO])
async def test_nobody_listens_for_who_hears_keys_as_sound(world: World, mode: DtmfMode) -> None:
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one), DtmfMode.INBAND), by("b", agreed(other), mode)]
    await _sound_is_relayed(world, one, other, legs)


async def test_auto_listens_to_nobody_who_has_events(world: World) -> None:
    one, other = world.peer(), world.peer()
    legs = [
        by("a", agreed(one, PCMU, EVENTS), DtmfMode.AUTO),
        by("b", agreed(other, PCMU, EVENTS)),
    ]
    await _sound_is_relayed(world, one, other, legs)


async def _sound_is_relayed(world: World, one: Peer, other: Peer, legs: list[Leg]) -> None:
    places = world.apply(legs, both_ways("a", "b"))
    await play(one, places["a"], PCMU, [tone("3", 0.1, RATE), hush(0.1, RATE)])
    await until(lambda: len(other.heard) == 10)
    assert [digit for digit, _ in tones_in(other.heard, PCMU)] == ["3"]
    assert told(world, "a") == ""


async def test_a_lost_packet_makes_no_second_key(world: World) -> None:
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one), DtmfMode.INBAND), by("b", agreed(other, PCMU, EVENTS))]
    places = world.apply(legs, both_ways("a", "b"))
    parts = [hush(0.1, RATE), tone("5", 0.2, RATE), hush(0.2, RATE)]
    await play(one, places["a"], PCMU, parts, but=9)
    await until(lambda: events_in(other.heard))
    assert [digit for digit, _ in events_in(other.heard)] == ["5"]
    assert told(world, "a") == "5"


async def test_a_key_that_breaks_off_is_let_go(world: World) -> None:
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one), DtmfMode.INBAND), by("b", agreed(other, PCMU, EVENTS))]
    places = world.apply(legs, both_ways("a", "b"))
    await play(one, places["a"], PCMU, [tone("5", 0.1, RATE)])  # and nothing after it
    await until(lambda: events_in(other.heard))
    assert [digit for digit, _ in events_in(other.heard)] == ["5"]


async def test_what_only_began_like_a_key_is_passed_on(world: World) -> None:
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one), DtmfMode.INBAND), by("b", agreed(other, PCMU, EVENTS))]
    places = world.apply(legs, both_ways("a", "b"))
    before = [hush(0.047, RATE), tone("5", 0.013, RATE)]
    await play(one, places["a"], PCMU, [*before, hum(0.1, RATE)])
    await until(lambda: len(other.heard) == 8)
    await play(one, places["a"], PCMU, before)  # nothing says what that was
    await until(lambda: len(other.heard) == 11)
    first = other.heard[0].sequence
    assert [(each.sequence - first) & 0xFFFF for each in other.heard] == list(range(11))
    assert told(world, "a") == ""


async def test_an_ear_stays_while_the_codecs_do(world: World) -> None:
    """A graph that changes elsewhere splits no key."""
    one, other = world.peer(), world.peer()
    legs = [by("a", agreed(one), DtmfMode.INBAND), by("b", agreed(other, PCMU, EVENTS))]
    places = world.apply(legs, both_ways("a", "b"))
    await play(one, places["a"], PCMU, [tone("5", 0.1, RATE)])
    world.apply([*legs, leg("c")], both_ways("a", "b"))
    await play(one, places["a"], PCMU, [tone("5", 0.1, RATE), hush(0.1, RATE)])
    await until(lambda: events_in(other.heard))
    assert told(world, "a") == "5"
    world.apply(legs, [Join(source="b", hearer="a")])
    other.heard.clear()
    await play(one, places["a"], PCMU, [tone("5", 0.1, RATE), hush(0.1, RATE)])
    assert told(world, "a") == "5"
    assert {each.payload_type for each in other.spoken} <= {101}  # the end of the first one
