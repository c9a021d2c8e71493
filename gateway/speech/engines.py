"""The engines that need no network: espeak-ng in its process, a hum for tests, a tone for none."""

import asyncio
import hashlib
from array import array
from importlib.metadata import PackageNotFoundError, version
from math import pi, sin
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.speech import ssml, voices, wire
from gateway.speech.model import INVALID_VOICE, Cast, Remark, Unspoken, Words
from gateway.speech.wav import WavFile
from gateway.speech.workshop import Workshop

if TYPE_CHECKING:
    from protocols.rtp.audio import Samples

ESPEAK_PACKAGE: Final = "espeakng-loader"
NO_ENGINE: Final = 400.0  # Hz, for a second
_RATE: Final = 16000


class EspeakEngine:
    """espeak-ng in the process of a workshop."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        try:
            self.version = f"espeak {version(ESPEAK_PACKAGE)}"
        except PackageNotFoundError:
            self.version = "espeak"

    def cast(self, voice: str, language: str) -> Cast:
        """See `Synthesiser`."""
        return voices.cast_espeak(voice, language)

    async def speak(self, words: Words, cast: Cast, target: Path) -> Unspoken | None:
        """See `Synthesiser`."""
        text = words.text
        if words.ssml:
            marked = ssml.for_espeak(words.ssml)
            if isinstance(marked, Unspoken):
                return marked
            text = marked
        task = wire.Speak(text=text, is_ssml=bool(words.ssml), voice=cast.voice, target=str(target))
        answer = await self._workshop.ask(task)
        return Unspoken(reason=answer.reason) if isinstance(answer, wire.Unmade) else None

    async def close(self) -> None:
        """See `Synthesiser`."""
        await self._workshop.close()


class FakeEngine:
    """A hum in the rhythm of speech, the same for the same text: what tests can expect."""

    version: Final = "fake 1"

    def cast(self, voice: str, language: str) -> Cast:
        """See `Synthesiser`."""
        return Cast(voice=voice, language=language)

    async def speak(self, words: Words, cast: Cast, target: Path) -> Unspoken | None:
        """See `Synthesiser`."""
        await asyncio.to_thread(lambda: _write(target, hum(words.text).astype("<i2").tobytes()))
        return None

    async def close(self) -> None:
        """See `Synthesiser`."""


def pitch(text: str) -> float:
    """How high the hum of `text` is: Hz, between 300 and 1,280 in steps of 20."""
    return 300.0 + 20.0 * (hashlib.sha256(text.encode("utf-8", "replace")).digest()[0] % 50)


def length(text: str) -> float:
    """How long it is, seconds: 60 ms for a character, between 0.4 s and a minute."""
    return min(60.0, max(0.4, 0.06 * len(text)))


def hum(text: str) -> "Samples":
    """What `FakeEngine` makes of `text`: its pitch, louder and softer four times a second."""
    # Only tests hum, and the others do without what takes long to load.
    import numpy as np

    from protocols.rtp.audio import to_int16

    at = np.arange(round(length(text) * _RATE), dtype=np.float32) / _RATE
    loudness = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * at)
    return to_int16((9000 * loudness * np.sin(2 * np.pi * pitch(text) * at)).astype(np.float32))


class ToneEngine:
    """No engine: a tone where a text should be, and a word of how to have it spoken."""

    version: Final = "tone 1"

    def cast(self, voice: str, language: str) -> Cast:
        """See `Synthesiser`."""
        message = (
            "a tone is heard in place of speech, for there is no engine: install the extra"
            " `speech` (pip install '.[speech]' in the checkout) or give [speech] a url"
        )
        return Cast(voice="", language="", remarks=(Remark(code=INVALID_VOICE, message=message),))

    async def speak(self, words: Words, cast: Cast, target: Path) -> Unspoken | None:
        """See `Synthesiser`."""
        await asyncio.to_thread(_write, target, _tone())
        return None

    async def close(self) -> None:
        """See `Synthesiser`."""


def _tone() -> bytes:
    samples = (round(4000 * sin(2 * pi * NO_ENGINE * at / _RATE)) for at in range(_RATE))
    return array("h", samples).tobytes()


def _write(target: Path, octets: bytes) -> None:
    with WavFile(target, _RATE) as written:
        written.write(octets)
