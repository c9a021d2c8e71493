"""Two legs without a codec in common: a tone goes in, and the same tone comes out."""

import numpy as np
import pytest
from media_world import World, chosen, leg, stream, telephone_events, until

from gateway.media.graph import both_ways
from protocols.rtp import codecs, formats
from protocols.rtp.audio import Pcm, Samples
from protocols.sdp.formats import G722, L16_16000, OPUS, PCMA, PCMU, Codec

FREQUENCY = 1000
PACKETS = 60


def tone(rate: int) -> Samples:
    at = np.arange(PACKETS * rate // 50) / rate
    return np.rint(8000 * np.sin(2 * np.pi * FREQUENCY * at)).astype(np.int16)


def payloads(codec: Codec) -> list[bytes]:
    """The tone in packets of 20 ms."""
    format = _format(codec)
    encoder, size, samples = codecs.encoder(format), format.samples(20), tone(format.sample_rate)
    return [
        encoder.encode(Pcm(rate=encoder.rate, samples=samples[at : at + size]))
        for at in range(0, len(samples), size)
    ]


def _format(codec: Codec) -> formats.Format:
    found = formats.find(codec.name, codec.clock_rate)
    assert found is not None
    return found


def loudest(heard: list[bytes], codec: Codec) -> tuple[float, float]:
    """The loudest frequency in hertz of what was heard, and its share of the power."""
    decoder = codecs.decoder(_format(codec))
    parts = [pcm.samples for each in heard if (pcm := decoder.decode(each)) is not None]
    samples = np.concatenate(parts)[-decoder.rate // 2 :].astype(np.float64)
    power = np.abs(np.fft.rfft(samples * np.blackman(len(samples)))) ** 2
    peak = int(power.argmax())
    return peak * decoder.rate / len(samples), float(power[peak - 3 : peak + 4].sum() / power.sum())


@pytest.mark.parametrize(
    ("one_codec", "other_codec"),
    [(PCMU, PCMA), (PCMA, G722), (G722, PCMU), (PCMU, OPUS), (OPUS, PCMA), (L16_16000, PCMU)],
    ids=lambda codec: codec.name,
)
async def test_a_tone_stays_a_tone(world: World, one_codec: Codec, other_codec: Codec) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(
        stream(one.address, chosen(one_codec)), stream(other.address, chosen(other_codec))
    )
    ticks = one_codec.clock_rate // 50
    for each in payloads(one_codec):
        one.say(to_a, each, payload_type=one_codec.payload_type, ticks=ticks)
    await until(lambda: len(other.heard) >= PACKETS - 1)
    assert {each.payload_type for each in other.heard} == {other_codec.payload_type}
    frequency, share = loudest([each.payload for each in other.heard], other_codec)
    assert frequency == pytest.approx(FREQUENCY, abs=10)
    assert share > 0.95
    first, last = other.heard[0], other.heard[-1]
    steps = len(other.heard) - 1
    assert (last.sequence - first.sequence) & 0xFFFF == steps
    assert (last.timestamp - first.timestamp) & 0xFFFF_FFFF == steps * other_codec.clock_rate // 50


async def test_packets_of_another_length(world: World) -> None:
    one, other = world.peer(), world.peer()
    b = stream(other.address, chosen(PCMA), ptime=30)
    to_a, _ = world.joined(stream(one.address, chosen(PCMU)), b)
    for each in payloads(PCMU)[:6]:
        one.say(to_a, each)
    await until(lambda: len(other.heard) == 4)
    assert {len(each.payload) for each in other.heard} == {240}


async def test_a_gap_stays_a_gap_and_what_comes_late_is_left_out(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(stream(one.address, chosen(PCMU)), stream(other.address, chosen(PCMA)))
    first, late, third = (one.write(each) for each in payloads(PCMU)[:3])
    for octets in (first, third, late, third):
        one.ports.send(octets, to_a.address)
    one.say(to_a, payloads(PCMU)[3])
    await until(lambda: len(other.heard) == 3)
    clocks = [(each.timestamp - other.heard[0].timestamp) & 0xFFFF_FFFF for each in other.heard]
    numbers = [(each.sequence - other.heard[0].sequence) & 0xFFFF for each in other.heard]
    assert (numbers, clocks) == ([0, 2, 3], [0, 320, 480])


async def test_a_codec_in_common_is_relayed_beside_one_that_is_not(world: World) -> None:
    one, other = world.peer(), world.peer()
    a = stream(one.address, chosen(G722), chosen(PCMA))
    places = world.apply(
        [leg("a", a), leg("b", stream(other.address, chosen(PCMA)))], both_ways("a", "b")
    )
    one.say(places["a"], b"as it is", payload_type=8)
    one.say(places["a"], payloads(G722)[0], payload_type=9)
    await until(lambda: len(other.heard) == 2)
    assert other.heard[0].payload == b"as it is"
    assert len(other.heard[1].payload) == 160
    assert {each.payload_type for each in other.heard} == {8}


async def test_noise_in_a_payload_harms_nobody(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(stream(one.address, chosen(OPUS)), stream(other.address, chosen(PCMU)))
    for octets in (b"", b"\xff" * 40, bytes(range(200))):
        one.say(to_a, octets, payload_type=OPUS.payload_type, ticks=960)
    for each in payloads(OPUS)[:5]:
        one.say(to_a, each, payload_type=OPUS.payload_type, ticks=960)
    await until(lambda: len(other.heard) >= 4)


async def test_digits_go_from_one_clock_to_another(world: World) -> None:
    one, other = world.peer(), world.peer()
    a = stream(one.address, chosen(PCMU), dtmf=chosen(telephone_events(101)))
    b = stream(other.address, chosen(OPUS), dtmf=chosen(telephone_events(110, 48000)))
    to_a, _ = world.joined(a, b)
    for tick in range(3):
        payload = bytes((7, 10)) + (160 * (tick + 1)).to_bytes(2, "big")
        one.say(to_a, payload, payload_type=101, ticks=0)
    one.say(to_a, b"\x07", payload_type=101, ticks=0)
    one.say(to_a, b"\x07\x8a\xff\xff", payload_type=101, ticks=0)
    await until(lambda: len(other.heard) == 4)
    assert {each.payload_type for each in other.heard} == {110}
    assert len({each.timestamp for each in other.heard}) == 1
    durations = [int.from_bytes(each.payload[2:], "big") for each in other.heard]
    assert durations == [960, 1920, 2880, 0xFFFF]
    assert [each.payload[:2] for each in other.heard] == [b"\x07\x0a"] * 3 + [b"\x07\x8a"]
