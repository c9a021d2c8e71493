"""Makes another form of a recording: a program of its own, for the gateway has no use for the rest
of what it takes, and its memory.

    python -m gateway.recordings.conversion SOURCE TARGET mp3|wav CHANNELS
"""

import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

_FRAMES: Final = 1152 * 32  # of one piece, which is a whole number of MP3's
_BITS: Final = 32_000  # a second, for each channel


def convert(source: Path, target: Path, form: str, channels: int) -> None:
    """Write what `source` says to `target`."""
    with wave.open(str(source), "rb") as sound:
        _WRITERS[form](sound, target, channels)


def _pieces(sound: wave.Wave_read, channels: int) -> Iterator[NDArray[np.int16]]:
    while octets := sound.readframes(_FRAMES):
        samples = np.frombuffer(octets, dtype="<i2").reshape(-1, sound.getnchannels())
        if channels < samples.shape[1]:
            samples = (samples.sum(axis=1, dtype=np.int32) // 2).astype(np.int16)[:, np.newaxis]
        yield samples


def _write_wav(sound: wave.Wave_read, target: Path, channels: int) -> None:
    with wave.open(str(target), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(sound.getframerate())
        for samples in _pieces(sound, channels):
            file.writeframes(samples.tobytes())


def _write_mp3(sound: wave.Wave_read, target: Path, channels: int) -> None:
    rate, layout = sound.getframerate(), "stereo" if channels == 2 else "mono"
    with av.open(str(target), "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=rate, layout=layout)
        stream.bit_rate = _BITS * channels
        for samples in _pieces(sound, channels):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples.reshape(1, -1)), format="s16", layout=layout
            )
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


_WRITERS: Final = {"mp3": _write_mp3, "wav": _write_wav}


def main() -> None:
    """Do what the arguments say."""
    source, target, form, channels = sys.argv[1:]
    convert(Path(source), Path(target), form, int(channels))


if __name__ == "__main__":
    main()
