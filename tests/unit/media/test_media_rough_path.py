"""3 % of packets lost and 30 ms of jitter: no gap beyond what is lost, and soon no delay left."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from mix_world import Ear, Person, Room, decoded
from rough_path import PIECE, RoughPath, delays, longest_gap, noise

from gateway.media import transcode
from gateway.media.playout import Playout
from protocols.rtp.audio import Samples
from protocols.sdp.formats import G722, OPUS, PCMA, PCMU, Codec

BEGINS, ENDS, SECONDS = 1.6, 3.8, 6.6
CODECS = (PCMU, G722, OPUS)
SEEDED = [
    pytest.param(codec, seed, id=f"{codec.name}-{seed}")
    for codec, seeds in ((PCMU, (1, 2, 3)), (G722, (1, 2, 3)), (OPUS, (1, 2)))
    for seed in seeds
]


def judge(said: Samples, heard: Samples, lost: set[int]) -> None:
    """Both at 8,000 samples a second."""
    found = delays(said, heard, 8000)

    def between(begin: float, end: float) -> list[float]:
        part = found[round(begin / PIECE) : round(end / PIECE)]
        return [each for each in part if each is not None]

    before = float(np.median(between(0.8, BEGINS)))
    assert lost
    assert longest_gap(found[round(1.0 / PIECE) :], {each - 50 for each in lost}) <= 0.06
    # What goes out after the network is well again was said up to the delay before.
    late = between(ENDS + 0.1 + 2.0, SECONDS - 0.3)
    assert len(late) > 15
    assert max(late) <= before + 0.02
    assert max(between(BEGINS, ENDS)) < before + 0.1
    assert len(between(BEGINS, ENDS)) / (ENDS - BEGINS) * PIECE > 0.92


def person(codec: Codec, seed: int, path: RoughPath) -> tuple[Person, Samples]:
    said = noise(_rate(codec), SECONDS, seed)
    speaker = Person("speaker", codec, said, network=path, seed=seed)
    return speaker, narrowed(said, codec)


def narrowed(samples: Samples, codec: Codec) -> Samples:
    """At 8,000 samples a second; there is nothing above 3,400 Hz to fold back."""
    return samples[:: _rate(codec) // 8000]


def _rate(codec: Codec) -> int:
    return {"G722": 16_000, "opus": 48_000}.get(codec.name, 8000)


def through(
    speaker: Person, take: Callable[[bytes, float], object], tick: Callable[[float], None]
) -> None:
    """Have all packets of a person taken when they come, and the time told every 10 ms."""
    chance = random.Random(speaker.id)
    coming = []
    for number in range(round(SECONDS / PIECE)):
        octets, late = speaker.next(), speaker.takes()
        if octets is not None and late is not None:
            coming.append((number * PIECE + late, octets))
    coming.sort(reverse=True)
    for number in range(round(SECONDS * 100)):
        now = number / 100 + chance.random() * 0.003
        while coming and coming[-1][0] <= now:
            at, octets = coming.pop()
            take(octets, at)
        tick(now)


@pytest.mark.parametrize(("codec", "seed"), SEEDED)
def test_a_playout_bears_a_rough_path(codec: Codec, seed: int) -> None:
    path = RoughPath(BEGINS, ENDS)
    speaker, said = person(codec, seed, path)
    numbers = {codec.payload_type: speaker.format}
    playout = Playout(numbers, clock_rate=codec.clock_rate, seed=seed)
    heard: list[Samples] = []
    size = speaker.format.samples(20)

    def tick(now: float) -> None:
        if now >= len(heard) * PIECE:
            pcm = playout.pull(now)
            heard.append(np.zeros(size, dtype=np.int16) if pcm is None else pcm.samples)

    through(speaker, playout.push, tick)
    judge(said, narrowed(np.concatenate(heard), codec), path.lost)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_a_transcoder_bears_a_rough_path(codec: Codec) -> None:
    path, ear = RoughPath(BEGINS, ENDS), Ear()
    speaker, said = person(codec, 4, path)
    made = transcode.between(
        {codec.payload_type: speaker.format},
        PCMA,
        noises=(),
        ptime=20,
        ssrc=4,
        outlet=ear,
        wake=lambda due: None,
        late=lambda: None,
    )
    through(speaker, made.push, lambda now: made.handle_timer(now))
    begins = round(ear.times[0] / PIECE) * 160
    samples = decoded(ear.packets, PCMA)
    heard = np.concatenate((np.zeros(begins, dtype=np.int16), samples))
    judge(said, heard, path.lost)


@pytest.mark.parametrize(("codec", "seed"), SEEDED)
def test_a_room_bears_a_rough_path(codec: Codec, seed: int) -> None:
    path = RoughPath(BEGINS, ENDS)
    speaker, said = person(codec, seed, path)
    listener = Person("listener", PCMA, said[:0])
    room = Room()
    room.connect([speaker, listener])
    room.run(SECONDS)
    judge(said, listener.heard(), path.lost)
