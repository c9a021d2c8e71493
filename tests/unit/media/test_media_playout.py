"""A playout under a clock that the test holds: what goes in late, lost or doubled is heard well."""

import random

import numpy as np
import pytest

from gateway.media.playout import Playout
from protocols.rtp import codecs, formats, packet
from protocols.rtp.audio import QUIETEST, Pcm, Samples, level, rms
from protocols.rtp.jitter import Arrival, JitterConfig
from protocols.rtp.packet import Packet

FRAMES = 150
STEP = 0.02
HIGH = 8000.0


def tone(rate: int, seconds: float, frequency: float = 440.0) -> Samples:
    at = np.arange(round(rate * seconds)) / rate
    return np.rint(HIGH * np.sin(2 * np.pi * frequency * at)).astype(np.int16)


def packets(format: formats.Format, payload_type: int, count: int = FRAMES) -> list[bytes]:
    encoder, size = codecs.encoder(format), format.samples(20)
    samples = tone(format.sample_rate, count * STEP)
    return [
        write(
            payload_type,
            number,
            number * format.clock_rate // 50,
            encoder.encode(Pcm(rate=encoder.rate, samples=samples[number * size :][:size])),
        )
        for number in range(count)
    ]


def write(payload_type: int, sequence: int, timestamp: int, payload: bytes) -> bytes:
    return packet.write(
        Packet(
            payload_type=payload_type,
            sequence=sequence & 0xFFFF,
            timestamp=timestamp,
            ssrc=5,
            payload=payload,
        )
    )


def play(playout: Playout, arrivals: list[tuple[float, bytes]], seconds: float) -> list[Pcm | None]:
    """Pull every 20 ms, with what had come by then."""
    waiting = sorted(arrivals)
    heard = []
    for pull in range(round(seconds / STEP)):
        now = 100.0 + pull * STEP
        while waiting and 100.0 + waiting[0][0] <= now:
            at, octets = waiting.pop(0)
            playout.push(octets, 100.0 + at)
        heard.append(playout.pull(now))
    return heard


def in_time(said: list[bytes]) -> list[tuple[float, bytes]]:
    return [(number * STEP, octets) for number, octets in enumerate(said)]


def purity(heard: list[Pcm | None], frequency: float = 440.0) -> float:
    """dB by which the tone is over all else, without the first second."""
    parts = [each.samples for each in heard if each is not None]
    rate = next(each.rate for each in heard if each is not None)
    samples = np.concatenate(parts)[rate : 2 * rate + rate // 2].astype(np.float64)
    power = np.abs(np.fft.rfft(samples * np.blackman(len(samples)))) ** 2
    at = round(frequency * len(samples) / rate)
    wanted = power[at - 6 : at + 7].sum()
    return float(10 * np.log10(wanted / (power.sum() - wanted)))


FORMATS = {
    "PCMU": (formats.PCMU, 0, 30.0),
    "PCMA": (formats.PCMA, 8, 30.0),
    "G722": (formats.G722, 9, 20.0),
    "opus": (formats.OPUS, 111, 20.0),
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_comes_in_time_is_heard_as_it_was_said(name: str) -> None:
    format, payload_type, least = FORMATS[name]
    playout = Playout({payload_type: format}, clock_rate=format.clock_rate)
    heard = play(playout, in_time(packets(format, payload_type)), 3.0)
    assert purity(heard) > least
    assert heard[0] is None  # it waits for its delay first
    assert None not in heard[5:150]


@pytest.mark.parametrize("name", FORMATS)
def test_one_in_ten_lost_is_concealed(name: str) -> None:
    format, payload_type, _ = FORMATS[name]
    said = in_time(packets(format, payload_type))
    kept = [each for number, each in enumerate(said) if number % 10 != 7]
    heard = play(Playout({payload_type: format}, clock_rate=format.clock_rate), kept, 3.0)
    assert None not in heard[5:145]
    assert min(rms(each.samples) for each in heard[10:145] if each is not None) > HIGH / 8
    assert purity(heard) > 8.0


def test_packets_out_of_order_late_and_doubled_sound_the_same() -> None:
    chance = random.Random(3)
    said = in_time(packets(formats.PCMU, 0))
    late = [(at + chance.random() * 0.06, octets) for at, octets in said]
    doubled = [(at + 0.005, octets) for at, octets in late[::7]]
    heard = play(Playout({0: formats.PCMU}, clock_rate=8000), late + doubled, 3.0)
    assert purity(heard) > 12.0


def test_the_delay_is_what_the_network_asks_for() -> None:
    chance = random.Random(3)
    smooth, rough = (Playout({0: formats.PCMU}, clock_rate=8000) for _ in range(2))
    said = in_time(packets(formats.PCMU, 0))
    play(smooth, said, 3.0)
    play(rough, [(at + chance.random() * 0.08, octets) for at, octets in said], 3.0)
    assert smooth.delay < 0.05
    assert 0.05 < rough.delay < 0.15


def test_a_pause_is_silent_and_comfort_noise_is_not() -> None:
    said = in_time(packets(formats.PCMU, 0, 50))
    quiet = play(Playout({0: formats.PCMU}, clock_rate=8000), said, 2.0)
    assert quiet[70:] == [None] * 30
    noise = (50 * STEP, write(13, 50, 50 * 160, bytes((50,))))
    told = Playout({0: formats.PCMU}, clock_rate=8000, noises=(13,))
    heard = play(told, [*said, noise], 2.0)
    for each in heard[60:]:
        assert each is not None
        assert len(each.samples) == 160
        assert 45 <= level(each.samples) <= 55


def test_comfort_noise_ends_with_the_next_word() -> None:
    said = packets(formats.PCMU, 0, 100)
    arrivals = in_time(said[:25]) + [(at, each) for at, each in in_time(said) if at >= 1.0]
    arrivals.append((0.5, write(13, 49, 25 * 160, bytes((QUIETEST,)))))
    heard = play(Playout({0: formats.PCMU}, clock_rate=8000, noises=(13,)), arrivals, 2.0)
    loud = [each is not None and rms(each.samples) > 1000 for each in heard]
    assert not any(loud[35:48])
    assert all(loud[60:98])


def test_g711_comes_as_it_was_said_but_for_a_loss_and_the_frame_after_it() -> None:
    said = packets(formats.PCMU, 0)
    playout = Playout({0: formats.PCMU}, clock_rate=8000, config=JitterConfig(first=0.02))
    heard = []
    for number, octets in enumerate(said):
        if number != 100:
            playout.push(octets, 100 + number * STEP)
        heard.append(playout.pull_coded(100.001 + number * STEP))
    made = [at for at, each in enumerate(heard) if isinstance(each, Pcm)]
    assert made == [101, 102]
    coded = [each[1] for each in heard if isinstance(each, tuple)]
    assert coded == [each[12:] for each in (*said[:100], *said[102:149])]
    # What stands for the loss goes on with what was said before it.
    decoder = codecs.decoder(formats.PCMU)
    parts = [each if isinstance(each, Pcm) else decoder.decode(each[1]) for each in heard if each]
    assert purity(parts[25:125]) > 20


@pytest.mark.parametrize("quiet", [10, 60])
def test_a_loss_fades_into_the_background_of_what_came_coded(quiet: int) -> None:
    playout = Playout({0: formats.PCMU}, clock_rate=8000)
    for number, octets in enumerate(packets(formats.PCMU, 0)):
        playout.push(octets, 100 + number * STEP)
        found = playout.pull_coded(100.001 + number * STEP)
        if isinstance(found, tuple):
            playout.weigh(quiet**2)
    lost = [playout.pull_coded(100.001 + (FRAMES + number) * STEP) for number in range(8)]
    last = [each for each in lost if isinstance(each, Pcm)][-1]
    assert rms(last.samples) == pytest.approx(quiet, rel=0.3)


def test_a_second_after_the_last_packet_nothing_is_made_up() -> None:
    playout = Playout({0: formats.PCMU}, clock_rate=8000)
    assert playout.pull_coded(100.0) is None
    for number, octets in enumerate(packets(formats.PCMU, 0, 10)):
        playout.push(octets, 100 + number * STEP)
    assert playout.pull_coded(100.2) is not None
    assert playout.pull_coded(101.3) is None


def test_what_went_another_way_is_no_loss() -> None:
    playout = Playout({0: formats.PCMU}, clock_rate=8000)
    said = in_time(packets(formats.PCMU, 0, 20))
    for at, octets in said:
        playout.push(octets, 100 + at)
        playout.pull(100 + at + 0.001)
    made_up = 0
    for number in range(20, 30):
        now = 100 + number * STEP
        playout.hush(now)
        made_up += playout.pull(now + 0.001) is not None
    assert made_up <= 3  # what was buffered


def test_a_peer_may_change_its_codec_of_one_clock() -> None:
    one, other = packets(formats.PCMU, 0, 50), packets(formats.G722, 9, 100)[50:]
    playout = Playout({0: formats.PCMU, 9: formats.G722}, clock_rate=8000)
    heard = play(playout, in_time(one + other), 2.0)
    rates = [each.rate for each in heard if each is not None]
    assert rates[:40] == [8000] * 40
    assert rates[60:90] == [16000] * 30


@pytest.mark.parametrize("payload", [b"", b"\xff" * 500, bytes(1500)])
def test_what_cannot_be_decoded_is_concealed(payload: bytes) -> None:
    said = packets(formats.OPUS, 111)
    for number in range(20, 100, 10):
        said[number] = write(111, number, number * 960, payload)
    heard = play(Playout({111: formats.OPUS}, clock_rate=48000), in_time(said), 3.0)
    assert None not in heard[5:140]


def test_octets_that_are_no_packet_are_none() -> None:
    playout = Playout({0: formats.PCMU}, clock_rate=8000)
    assert playout.push(b"\x9f\x00" + bytes(12), 0.0) is None
    assert playout.push(packets(formats.PCMU, 0, 1)[0], 0.0) is Arrival.KEPT
