"""Two legs without a codec in common: a tone goes in, and the same tone comes out."""

import asyncio
from collections.abc import Iterable

import numpy as np
import pytest
from media_world import Peer, World, chosen, leg, stream, telephone_events, until
from msgspec.structs import replace

from gateway.media import wire
from gateway.media.graph import both_ways
from protocols.rtp import codecs, formats, rtcp
from protocols.rtp.audio import Pcm, Samples, level, rms
from protocols.rtp.packet import Packet
from protocols.sdp.formats import COMFORT_NOISE, G722, L16_16000, OPUS, PCMA, PCMU, Codec

FREQUENCY = 1000
PACKETS = 60


def tone(rate: int) -> Samples:
    at = np.arange(PACKETS * rate // 50) / rate
    return np.rint(8000 * np.sin(2 * np.pi * FREQUENCY * at)).astype(np.int16)


def payloads(codec: Codec, ptime: int = 20) -> list[bytes]:
    """The tone in packets of `ptime` milliseconds."""
    format = _format(codec)
    encoder, size = codecs.encoder(format, ptime), format.samples(ptime)
    samples = tone(format.sample_rate)
    return [
        encoder.encode(Pcm(rate=encoder.rate, samples=samples[at : at + size]))
        for at in range(0, len(samples), size)
    ]


def _format(codec: Codec) -> formats.Format:
    found = formats.find(codec.name, codec.clock_rate)
    assert found is not None
    return found


def _pcm(payload: bytes, codec: Codec) -> Samples:
    pcm = codecs.decoder(_format(codec)).decode(payload)
    assert pcm is not None
    return pcm.samples


def loudest(heard: list[bytes], codec: Codec) -> tuple[float, float]:
    """The loudest frequency in hertz of what was heard, and its share of the power."""
    decoder = codecs.decoder(_format(codec))
    parts = [pcm.samples for each in heard if (pcm := decoder.decode(each)) is not None]
    samples = np.concatenate(parts)[-decoder.rate // 2 :].astype(np.float64)
    power = np.abs(np.fft.rfft(samples * np.blackman(len(samples)))) ** 2
    peak = int(power.argmax())
    return peak * decoder.rate / len(samples), float(power[peak - 3 : peak + 4].sum() / power.sum())


async def speak(
    peer: Peer, to: wire.Place, said: Iterable[bytes | None], codec: Codec, *, ptime: int = 20
) -> None:
    """Send packets as a phone does, one in `ptime` milliseconds; None is one that gets lost."""
    ticks = codec.clock_rate * ptime // 1000
    loop = asyncio.get_running_loop()
    due = loop.time()
    for payload in said:
        octets = peer.write(payload or b"", payload_type=codec.payload_type, ticks=ticks)
        if payload is not None:
            peer.ports.send(octets, to.address)
        due += ptime / 1000
        await asyncio.sleep(due - loop.time())


async def test_what_two_agree_on_and_do_not_speak_is_not_made_ready_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page agrees on Opus beside PCMU, and speaks PCMU: nobody decodes then."""
    asked: list[object] = []
    decoder = codecs.decoder
    monkeypatch.setattr(codecs, "decoder", lambda format: asked.append(format) or decoder(format))
    page, phone = world.peer(), world.peer()
    to_page, _ = world.joined(
        stream(page.address, chosen(PCMU), chosen(OPUS)), stream(phone.address, chosen(PCMU))
    )
    await speak(page, to_page, payloads(PCMU)[:5], PCMU)
    await until(lambda: len(phone.heard) >= 5)
    assert asked == []
    await speak(page, to_page, payloads(OPUS)[:5], OPUS)
    await until(lambda: len(phone.heard) >= 8)
    assert asked == [formats.OPUS]


def clocks(heard: list[Packet]) -> list[int]:
    return [(each.timestamp - heard[0].timestamp) & 0xFFFF_FFFF for each in heard]


def numbers(heard: list[Packet]) -> list[int]:
    return [(each.sequence - heard[0].sequence) & 0xFFFF for each in heard]


@pytest.mark.parametrize(
    ("one_codec", "other_codec"),
    [
        (PCMU, PCMA),
        (PCMA, G722),
        (G722, PCMU),
        (PCMU, OPUS),
        (OPUS, PCMA),
        (OPUS, G722),
        (G722, OPUS),
        (L16_16000, PCMU),
    ],
    ids=lambda codec: codec.name,
)
async def test_a_tone_stays_a_tone(world: World, one_codec: Codec, other_codec: Codec) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(
        stream(one.address, chosen(one_codec)), stream(other.address, chosen(other_codec))
    )
    await speak(one, to_a, payloads(one_codec), one_codec)
    await until(lambda: len(other.heard) >= PACKETS - 3)
    assert {each.payload_type for each in other.heard} == {other_codec.payload_type}
    heard = other.heard[: PACKETS - 3]  # what comes after the end is made up
    frequency, share = loudest([each.payload for each in heard], other_codec)
    assert frequency == pytest.approx(FREQUENCY, abs=10)
    assert share > 0.95
    assert numbers(heard) == list(range(len(heard)))
    assert heard[0].marker
    assert clocks(heard)[-1] == (len(heard) - 1) * other_codec.clock_rate // 50


@pytest.mark.parametrize(("came", "goes"), [(20, 30), (30, 20), (10, 40), (60, 20), (20, 10)])
async def test_packets_of_another_length(world: World, came: int, goes: int) -> None:
    one, other = world.peer(), world.peer()
    b = stream(other.address, chosen(PCMA), ptime=goes)
    to_a, _ = world.joined(stream(one.address, chosen(PCMU), ptime=came), b)
    await speak(one, to_a, payloads(PCMU, came), PCMU, ptime=came)
    wanted = 1000 // goes
    await until(lambda: len(other.heard) >= wanted)
    heard = other.heard[:wanted]
    assert {len(each.payload) for each in heard} == {8 * goes}
    assert clocks(heard) == [8 * goes * number for number in range(wanted)]
    frequency, share = loudest([each.payload for each in heard], PCMA)
    assert frequency == pytest.approx(FREQUENCY, abs=10)
    assert share > 0.9


@pytest.mark.parametrize(("one_codec", "other_codec"), [(PCMU, PCMA), (PCMA, PCMU)])
async def test_one_law_becomes_the_other_as_packets_come(
    world: World, one_codec: Codec, other_codec: Codec
) -> None:
    """What is lost stays lost, as in any relay, and what is late is passed on late."""
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(
        stream(one.address, chosen(one_codec)), stream(other.address, chosen(other_codec))
    )
    number = one_codec.payload_type
    said = [one.write(each, payload_type=number) for each in payloads(one_codec)[:5]]
    padded = bytes((said[3][0] | 0x20,)) + said[3][1:] + b"\0\0\0\4"
    for octets in (said[0], said[2], said[1], padded):
        one.ports.send(octets, to_a.address)
    await until(lambda: len(other.heard) == 4)
    assert numbers(other.heard) == [0, 2, 1, 3]
    assert clocks(other.heard) == [0, 320, 160, 480]
    assert {each.payload_type for each in other.heard} == {other_codec.payload_type}
    assert [_pcm(each.payload, other_codec).tolist() for each in other.heard] == [
        pytest.approx(_pcm(octets[12:172], one_codec).tolist(), rel=0.05, abs=100)
        for octets in (said[0], said[2], said[1], said[3])
    ]


async def test_what_is_lost_is_concealed_and_what_comes_late_is_waited_for(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(
        stream(one.address, chosen(PCMU), ptime=40), stream(other.address, chosen(PCMA))
    )
    said: list[bytes | None] = list(payloads(PCMU))
    for number in range(10, 60, 10):
        said[number] = None
    await speak(one, to_a, said, PCMU)
    await until(lambda: len(other.heard) >= PACKETS - 3)
    heard = other.heard[: PACKETS - 3]
    assert numbers(heard) == list(range(len(heard)))
    assert min(rms(_pcm(each.payload, PCMA)) for each in heard[5:]) > 1500  # of 5,657
    assert world.readings("a").received.lost == 5


async def test_a_pause_is_a_pause(world: World) -> None:
    """Nothing is made up for a peer that stops, and its clock goes on."""
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(
        stream(one.address, chosen(PCMU), ptime=40), stream(other.address, chosen(PCMA))
    )
    await speak(one, to_a, payloads(PCMU)[:10], PCMU)
    await until(lambda: len(other.heard) >= 10)
    await asyncio.sleep(0.6)
    before = len(other.heard)
    assert before < 30  # what might still have come was concealed for a fifth of a second
    one.timestamp = (one.timestamp + 4800) & 0xFFFF_FFFF
    await speak(one, to_a, payloads(PCMU)[:10], PCMU)
    await until(lambda: len(other.heard) > before + 5)
    again = other.heard[before]
    assert again.marker
    assert 3000 < (again.timestamp - other.heard[before - 1].timestamp) & 0xFFFF_FFFF < 8000
    assert numbers(other.heard) == list(range(len(other.heard)))


async def test_comfort_noise_is_heard_by_who_does_not_know_it(world: World) -> None:
    one, other = world.peer(), world.peer()
    a = replace(stream(one.address, chosen(PCMU), ptime=40), noise=(chosen(COMFORT_NOISE),))
    to_a, _ = world.joined(a, stream(other.address, chosen(PCMA)))
    await speak(one, to_a, payloads(PCMU)[:10], PCMU)
    one.say(to_a, bytes((40,)), payload_type=13, ticks=160)
    await until(lambda: len(other.heard) >= 60)
    levels = {level(_pcm(each.payload, PCMA)) for each in other.heard[40:60]}
    assert levels <= set(range(37, 44))


async def test_comfort_noise_passes_to_who_knows_it(world: World) -> None:
    one, other = world.peer(), world.peer()
    noise = (chosen(COMFORT_NOISE),)
    a = replace(stream(one.address, chosen(PCMU), ptime=40), noise=noise)
    b = replace(stream(other.address, chosen(PCMA)), noise=noise)
    to_a, _ = world.joined(a, b)
    one.say(to_a, bytes((40,)), payload_type=13)
    await until(lambda: other.heard)
    assert (other.heard[0].payload_type, other.heard[0].payload) == (13, bytes((40,)))


async def test_a_graph_that_changes_elsewhere_is_not_heard(world: World) -> None:
    one, other = world.peer(), world.peer()
    a, b = stream(one.address, chosen(PCMU), ptime=40), stream(other.address, chosen(PCMA))
    to_a, _ = world.joined(a, b)
    await speak(one, to_a, payloads(PCMU)[:20], PCMU)
    legs = [leg("a", a), leg("b", b), leg("c")]
    world.apply(legs, both_ways("a", "b"))
    await speak(one, to_a, payloads(PCMU)[20:40], PCMU)
    await until(lambda: len(other.heard) >= 37)
    assert [each.marker for each in other.heard[:37]] == [True] + [False] * 36
    assert clocks(other.heard[:37]) == [160 * number for number in range(37)]


async def test_a_codec_in_common_is_relayed_beside_one_that_is_not(world: World) -> None:
    """A peer that changes its codec is heard in one way at a time."""
    one, other = world.peer(), world.peer()
    a = stream(one.address, chosen(G722), chosen(PCMA))
    places = world.apply(
        [leg("a", a), leg("b", stream(other.address, chosen(PCMA)))], both_ways("a", "b")
    )
    await speak(one, places["a"], payloads(G722)[:20], G722)
    await until(lambda: len(other.heard) >= 18)
    await speak(one, places["a"], [b"as it is"] * 20, PCMA)
    await until(lambda: other.heard[-1].payload == b"as it is")
    relayed = [each for each in other.heard if each.payload == b"as it is"]
    assert len(relayed) == 20
    assert len(other.heard) < 46
    assert {each.payload_type for each in other.heard} == {8}


async def test_noise_in_a_payload_harms_nobody(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(stream(one.address, chosen(OPUS)), stream(other.address, chosen(PCMU)))
    wild = [b"", b"\xff" * 40, bytes(range(200)), *payloads(OPUS)[:20]]
    await speak(one, to_a, wild, OPUS)
    await until(lambda: len(other.heard) >= 15)


async def test_what_comes_too_late_counts_as_unheard(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(
        stream(one.address, chosen(PCMU), ptime=40), stream(other.address, chosen(PCMA))
    )
    said = payloads(PCMU)
    await speak(one, to_a, said[:10], PCMU)
    late = one.write(said[10])
    await speak(one, to_a, said[11:40], PCMU)
    before = world.readings("a").received
    one.ports.send(late, to_a.address)
    await until(lambda: world.readings("a").received.reordered == 1)
    after = world.readings("a").received
    assert before.lost == 1
    assert after.lost == 0
    assert after.mos is not None
    assert before.mos is not None
    assert after.mos == pytest.approx(before.mos, abs=0.02)


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


# FEC


def hum(seconds: float) -> list[bytes]:
    """Something like a voice, in packets of PCMU."""
    at = np.arange(round(8000 * seconds)) / 8000
    sound = sum(np.sin(2 * np.pi * 120 * each * at + each * each) / each for each in range(1, 28))
    sound *= 4000 * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * at))
    encode = codecs.encoder(formats.PCMU)
    samples = np.rint(sound).astype(np.int16)
    return [
        encode.encode(Pcm(rate=8000, samples=samples[start : start + 160]))
        for start in range(0, len(samples), 160)
    ]


def doubled(heard: list[Packet]) -> int:
    """How many packets have FEC (RFC 6716 §4.2.3): in one SILK frame, the second bit."""
    return sum(each.payload[1] >> 6 & 1 for each in heard if each.payload[0] >> 3 < 16)


@pytest.mark.parametrize(
    ("codec", "lost", "is_doubled"),
    [(OPUS, 20, True), (OPUS, 0, False), (replace(OPUS, params=()), 20, False)],
    ids=["asked for, with losses", "asked for, without", "not asked for"],
)
async def test_opus_has_fec_for_who_asks_and_loses(
    world: World, codec: Codec, lost: int, is_doubled: bool
) -> None:
    one, other = world.peer(0x11), world.peer(0x22)
    to_a, to_b = world.joined(
        stream(one.address, chosen(PCMU)), stream(other.address, chosen(codec, OPUS))
    )
    sounds = iter(hum(4.0))
    await speak(one, to_a, [next(sounds) for _ in range(50)], PCMU)
    await until(lambda: len(other.heard) >= 40)
    assert doubled(other.heard) == 0
    block = rtcp.ReportBlock(
        ssrc=other.heard[0].ssrc,
        fraction_lost=lost,
        packets_lost=lost,
        highest_sequence=other.heard[-1].sequence,
    )
    report = rtcp.write(
        rtcp.ReceiverReport(ssrc=other.ssrc, blocks=(block,)),
        rtcp.SourceDescription(names=((other.ssrc, "peer"),)),
    )
    other.ports.send_control(report, (to_b.address[0], to_b.control))
    other.heard.clear()
    await speak(one, to_a, [next(sounds) for _ in range(100)], PCMU)
    await until(lambda: len(other.heard) >= 90)
    assert (doubled(other.heard) > 25) is is_doubled
    decoder = codecs.decoder(formats.OPUS)
    assert all(decoder.decode(each.payload) is not None for each in other.heard)
