"""What the gateway asks of a workshop's process and what that answers: a line of JSON for each.

No sound passes here: files are named, which the process reads and writes.
"""

from typing import Final

import msgspec

RATES: Final = (8000, 16000)
"""Samples a second of what is written: the second where what came in has more than the first."""


class Speak(msgspec.Struct, frozen=True, kw_only=True, tag="speak"):
    """Have espeak-ng say `text`, SSML if that `is_ssml`, into a new file."""

    text: str
    voice: str
    target: str
    is_ssml: bool = False


class Clip(msgspec.Struct, frozen=True, kw_only=True, tag="clip"):
    """A sound file; `kind` says what it is where it has no header: `HEADLESS` below."""

    path: str
    kind: str = ""


class Gap(msgspec.Struct, frozen=True, kw_only=True, tag="gap"):
    """Seconds of silence."""

    seconds: float


class Decode(msgspec.Struct, frozen=True, kw_only=True, tag="decode"):
    """Write pieces one after the other into a new WAV file."""

    pieces: tuple[Clip | Gap, ...]
    target: str


class Compose(msgspec.Struct, frozen=True, kw_only=True, tag="compose"):
    """Write a sound of the house into a new WAV file: "music", or "beep"."""

    name: str
    target: str


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """The process is there."""


class Made(msgspec.Struct, frozen=True, kw_only=True, tag="made"):
    """The file is there, and on the disk."""

    seconds: float


class Unmade(msgspec.Struct, frozen=True, kw_only=True, tag="unmade"):
    """There is no file, and why, for a person."""

    reason: str


HEADLESS: Final = {
    "mulaw": ("mulaw", 8000),
    "gsm": ("gsm", 8000),
    "pcm24000": ("s16le", 24000),
}
"""Kinds of sound without a header: FFmpeg's name for it, and samples a second."""

Task = Speak | Decode | Compose
Answer = Started | Made | Unmade

_encoder: Final = msgspec.json.Encoder()
task_of: Final = msgspec.json.Decoder(Task).decode
answer_of: Final = msgspec.json.Decoder(Answer).decode


def line(value: Task | Answer) -> bytes:
    """`value` as it goes over the pipe."""
    return _encoder.encode(value) + b"\n"
