"""Peers that are recorded: what they say, and what is in the files."""

import asyncio
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from media_world import Peer, World, loudest, until

from gateway.media import wire
from protocols.rtp import codecs, formats
from protocols.rtp.audio import Pcm, Samples, rms
from protocols.sdp.formats import PCMU, Codec


def packets(
    frequency: float, seconds: float, codec: Codec = PCMU, peak: float = 8000.0
) -> list[bytes]:
    """Payloads of 20 ms of a tone; of silence without a frequency."""
    format = formats.find(codec.name, codec.clock_rate)
    assert format is not None
    encoder = codecs.encoder(format)
    at = np.arange(round(seconds * format.sample_rate)) / format.sample_rate
    samples = (np.sin(2 * np.pi * frequency * at) * peak).astype(np.int16)
    size = format.samples(20)
    return [
        encoder.encode(Pcm(rate=encoder.rate, samples=samples[start : start + size]))
        for start in range(0, len(samples) - size + 1, size)
    ]


async def talk(
    *said: tuple[Peer, wire.Place, Sequence[bytes]], codec: Codec = PCMU, ticks: int = 0
) -> None:
    """These say this at the same time, a packet every 20 ms; one that is empty is not sent."""
    step = ticks or codec.clock_rate // 50
    for number in range(max(len(payloads) for _, _, payloads in said)):
        for peer, place, payloads in said:
            if number >= len(payloads):
                continue
            written = peer.write(payloads[number], payload_type=codec.payload_type, ticks=step)
            if payloads[number]:
                peer.ports.send(written, place.address)
        await asyncio.sleep(0.02)


async def recorded(world: World, name: str = "r") -> wire.RecordingEnded:
    """What was told of a recorder's end."""

    def told() -> list[wire.RecordingEnded]:
        return [each for each in world.of(wire.RecordingEnded) if each.recorder == name]

    await until(told)
    (found,) = told()
    return found


def tracks(path: Path) -> tuple[list[Samples], int]:
    """The channels of a file, and its rate."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        count = file.getnchannels()
        return [samples[number::count] for number in range(count)], file.getframerate()


def loud(samples: Samples, rate: int) -> tuple[float, float]:
    """From when to when something is heard, in seconds."""
    size = rate // 200
    frames = [rms(samples[at : at + size]) > 1000 for at in range(0, len(samples) - size, size)]
    assert any(frames), "nothing is heard"
    return frames.index(True) / 200, (len(frames) - frames[::-1].index(True)) / 200


def pitch(samples: Samples, rate: int) -> float:
    """What is heard where it is loud, less its ends."""
    begin, end = (round(each * rate) for each in loud(samples, rate))
    rest = (end - begin) // 5
    return loudest(samples[begin + rest : end - rest], rate)
