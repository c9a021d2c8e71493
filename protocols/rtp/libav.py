"""One stream through a codec of FFmpeg, by PyAV: what G.722 and Opus have in common.

FFmpeg takes an empty packet for the end of the stream and would refuse all that follow, so none
gets there; what it can't decode costs only itself.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import LONGEST


def _context(
    name: str, mode: Literal["r", "w"], rate: int, options: Mapping[str, str]
) -> AudioCodecContext:
    # PyAV's stubs give a context by the codec's name, and know only a few names.
    context: Any = av.CodecContext.create(name, mode)
    if not isinstance(context, AudioCodecContext):
        raise LocalProtocolError(f"{name} is no audio codec")
    context.sample_rate = rate
    context.layout = "mono"
    context.format = "s16"
    context.options = dict(options)
    context.open()
    return context


class LibavDecoder:
    """Payloads to PCM at `rate`, one channel whatever was sent."""

    def __init__(self, name: str, rate: int) -> None:
        self.rate: Final = rate
        self._longest = rate * LONGEST // 1000
        self._context = _context(name, "r", rate, {})

    def decode(self, payload: bytes) -> Pcm | None:
        """See `audio.Decoder`; a payload of more octets than samples fit in 200 ms is none."""
        if not 0 < len(payload) <= self._longest:
            return None
        try:
            frames = self._context.decode(av.Packet(payload))
        except av.FFmpegError:
            return None
        if not frames:
            return None
        arrays: list[Samples] = [frame.to_ndarray()[0].astype(np.int16) for frame in frames]
        samples = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        if len(samples) > self._longest:
            return None
        return Pcm(rate=self.rate, samples=samples)


class LibavEncoder:
    """PCM at `rate` to payloads, each of `samples` samples."""

    def __init__(self, name: str, rate: int, samples: int, options: Mapping[str, str]) -> None:
        self.rate: Final = rate
        self._samples = samples
        self._context = _context(name, "w", rate, options)

    def encode(self, pcm: Pcm) -> bytes:
        """See `audio.Encoder`."""
        count = len(pcm.samples)
        if pcm.rate != self.rate or count != self._samples:
            raise LocalProtocolError(
                f"this encoder takes {self._samples} samples at {self.rate} a second,"
                f" not {count} at {pcm.rate}"
            )
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(pcm.samples).reshape(1, -1), "s16", "mono"
        )
        frame.sample_rate = self.rate
        return b"".join([bytes(packet) for packet in self._context.encode(frame)])
