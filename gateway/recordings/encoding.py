"""A recording in other forms than the one that it is kept in: MP3, and two channels as one.

Each is made once, beside the recording, by a thread: as many at once as `MOST`, the others wait.
"""

import asyncio
import os
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.recordings.files import MP3, WAV, Files, sound_of

MOST: Final = 2
_FRAMES: Final = 1152 * 32  # of one piece, which is a whole number of MP3's
_BITS: Final = 32_000  # a second, for each channel


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: `suffix` is `.wav` or `.mp3`, 0 `channels` are as many as there are."""

    suffix: str
    channels: int = 0


class Unplayable(Exception):
    """There is no such sound; the text says why."""


class Encoder:
    """See the module."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._room = asyncio.Semaphore(MOST)
        self._making: dict[Path, asyncio.Task[None]] = {}

    async def file(self, account_sid: str, sid: str, form: Form) -> Path:
        """The file of a recording that is over in this form; raises `Unplayable`."""
        source = self._files.path(account_sid, sid)
        sound = await asyncio.to_thread(sound_of, source)
        if sound is None:
            raise Unplayable("its file is not here")
        channels = form.channels or sound.channels
        if channels > sound.channels:
            raise Unplayable("it has one channel")
        if channels == sound.channels and form.suffix == WAV:
            return source
        mark = f".{channels}" if channels < sound.channels else ""
        target = self._files.path(account_sid, sid, f"{mark}{form.suffix}")
        making = self._making.get(target)
        if making is None:
            work = self._make(source, target, channels)
            making = self._making[target] = asyncio.get_running_loop().create_task(work)
            making.add_done_callback(lambda _: self._making.pop(target, None))
        await asyncio.shield(making)  # others may wait for the same
        return target

    async def _make(self, source: Path, target: Path, channels: int) -> None:
        async with self._room:
            await asyncio.to_thread(_make, source, target, channels)


def _make(source: Path, target: Path, channels: int) -> None:
    if target.exists():
        return
    scratch = target.with_name(f"{target.name}.part")
    try:
        os.close(os.open(scratch, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        with wave.open(str(source), "rb") as sound:
            if target.suffix == MP3:
                _write_mp3(sound, scratch, channels)
            else:
                _write_wav(sound, scratch, channels)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    if not source.exists():  # it was deleted meanwhile
        target.unlink(missing_ok=True)


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
