"""Sounds for the tests of speech: written as strangers write them, judged by their spectrum."""

import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from gateway.speech import builtin, decoding, wire
from gateway.speech.wav import TooLong
from protocols.rtp.audio import Samples
from protocols.rtp.tones import Sound, render


def tone(frequency: float, seconds: float, rate: int) -> Samples:
    sound = Sound(frequencies=(frequency,))
    return render(sound, rate=rate, start=0, count=round(seconds * rate)).samples


def encoded(
    path: Path, samples: Samples, rate: int, form: str, codec: str, layout: str = "mono"
) -> Path:
    """A file of the format `form`, as FFmpeg writes it."""
    with av.open(str(path), "w", format=form) as container:
        # FFmpeg calls its own encoder of Vorbis an experiment.
        options = {"strict": "experimental"}
        stream: Any = container.add_stream(codec, rate=rate, layout=layout, options=options)
        columns = 2 if layout == "stereo" else 1
        shaped = np.ascontiguousarray(np.repeat(samples, columns).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(shaped, format="s16", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        fifo = av.AudioFifo()
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate)
        for each in resampler.resample(frame):
            fifo.write(each)
        size = stream.codec_context.frame_size or 1024
        while (piece := fifo.read(size, partial=True)) is not None:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def read(path: Path) -> tuple[int, Samples]:
    """The rate and the samples of a WAV file as we write them."""
    with wave.open(str(path)) as found:
        assert (found.getnchannels(), found.getsampwidth()) == (1, 2)
        return found.getframerate(), np.frombuffer(found.readframes(found.getnframes()), "<i2")


def strongest(path: Path) -> float:
    """The frequency that is heard most in a file, Hz."""
    rate, samples = read(path)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


class Inline:
    """A workshop without a process: it decodes and composes at once."""

    def __init__(self) -> None:
        self.asked: list[wire.Task] = []
        self.closed = 0

    async def ask(self, task: wire.Task) -> wire.Made | wire.Unmade:
        self.asked.append(task)
        if isinstance(task, wire.Compose):
            return wire.Made(seconds=builtin.compose(task.name, Path(task.target)))
        assert isinstance(task, wire.Decode)
        try:
            return wire.Made(seconds=decoding.decode(task.pieces, Path(task.target)))
        except (decoding.Undecodable, TooLong) as error:
            return wire.Unmade(reason=str(error))

    async def close(self) -> None:
        self.closed += 1
