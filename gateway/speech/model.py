"""What is asked of speech and what comes of it, as values."""

from pathlib import Path
from typing import Final

import msgspec

from gateway.calls.documents import Note

INVALID_PLAY_TYPE: Final = 13420
INVALID_VOICE: Final = 13511
INVALID_LANGUAGE: Final = 13512
INVALID_TEXT: Final = 13520
TEXT_TOO_LONG: Final = 13521


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """Something to play: a WAV file as `graph.File` wants it, and what the app should know.

    The file stays for a minute after it was asked for, and longer where there is room: whoever
    plays it opens it by then.
    """

    path: Path
    seconds: float
    notes: tuple[Note, ...] = ()


class NoPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing to play; the notes say why."""

    notes: tuple[Note, ...]


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said: `text`, or `ssml` (a `<speak>` document) where that is not empty."""

    text: str
    ssml: str = ""


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """One of Twilio's codes, and what it is about here."""

    code: int
    message: str


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks: a voice and a language as the engine names them."""

    voice: str
    language: str
    remarks: tuple[Remark, ...] = ()


class Unspoken(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was said, and why, for a person."""

    reason: str
