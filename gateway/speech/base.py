"""The port to engines of speech: text in a voice becomes a WAV file."""

from pathlib import Path
from typing import Protocol

from gateway.speech.model import Cast, Unspoken, Words


class Synthesiser(Protocol):
    """An engine. What goes wrong is a value."""

    @property
    def version(self) -> str:
        """What of the engine its sound depends on: another one makes other prompts."""
        ...

    def cast(self, voice: str, language: str) -> Cast:
        """Who speaks where a document asks for `voice` and `language`, both as Twilio names them
        and either empty where it does not say.
        """
        ...

    async def speak(self, words: Words, cast: Cast, target: Path) -> Unspoken | None:
        """Have `words` said into a new WAV file at `target`, 16 bits, one channel."""
        ...

    async def close(self) -> None:
        """End what belongs to the engine."""
        ...
