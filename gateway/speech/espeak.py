"""espeak-ng, by its C library. Runs in a workshop's process and nowhere else.

The library keeps its state in globals and may crash on what it is given: both are that process's
matter. It comes with the package `espeakng-loader` (GPLv3), the extra `speech`.
"""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import av

from gateway.speech.wav import TooLong, WavFile

RATE: Final = 16000
LONGEST: Final = 900.0  # seconds: what is spoken is kept in memory until it is all there
_SYNCHRONOUS: Final = 2  # AUDIO_OUTPUT_SYNCHRONOUS
_NO_EXIT: Final = 0x8000  # espeakINITIALIZE_DONT_EXIT
_UTF8: Final = 1  # espeakCHARS_UTF8
_SSML: Final = 0x10  # espeakSSML
_FRAME: Final = 4096
_CALLBACK: Final = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
)  # fmt: skip


class Speechless(Exception):
    """The library is not here, or does not do what it should."""


class Espeak:
    """The library, loaded and ready."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise Speechless("the package espeakng-loader is not installed") from None
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _NO_EXIT))
        if self._rate <= 0:
            raise Speechless("espeak-ng does not start")
        self._most = round(LONGEST * self._rate) * 2
        self._said = bytearray()
        self._callback = _CALLBACK(self._take)  # kept: the library keeps only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: str, target: Path, *, is_ssml: bool) -> float:
        """Say `text` into a new WAV file; how many seconds it has.

        `Speechless` and `TooLong` if it can't be.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise Speechless(f"espeak-ng has no voice {voice}")
        self._said.clear()
        octets = text.replace("\x00", " ").encode("utf-8", "replace")
        flags = _UTF8 | (_SSML if is_ssml else 0)
        size = ctypes.c_size_t(len(octets) + 1)
        failed = self._library.espeak_Synth(octets, size, 0, 0, 0, flags, None, None)
        self._library.espeak_Synchronize()
        if failed:
            raise Speechless(f"espeak-ng did not take the text ({failed})")
        if len(self._said) >= self._most:
            raise TooLong
        with WavFile(target, RATE) as written:
            for frame in self._resampled(bytes(self._said)):
                written.write(frame)
        return written.seconds

    def _take(self, samples: int | None, count: int, events: int | None) -> int:
        """What the library calls with each piece; 1 ends it."""
        if samples and count > 0:
            self._said += ctypes.string_at(samples, count * 2)
        return int(len(self._said) >= self._most)

    def _resampled(self, pcm: bytes) -> Iterator[bytes]:
        resampler = av.AudioResampler("s16", "mono", RATE)
        for start in range(0, len(pcm), _FRAME * 2):
            piece = pcm[start : start + _FRAME * 2]
            frame = av.AudioFrame("s16", "mono", samples=len(piece) // 2)
            plane: Any = frame.planes[0]
            plane.update(piece.ljust(plane.buffer_size, b"\x00"))
            frame.sample_rate = self._rate
            for each in resampler.resample(frame):
                yield bytes(each.planes[0])[: each.samples * 2]
        for each in resampler.resample(None):
            yield bytes(each.planes[0])[: each.samples * 2]
