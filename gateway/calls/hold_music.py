"""What a caller hears in their own call while they wait: music, documents, or nothing."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gateway.calls.visitor import Visitor
from gateway.media.graph import File, Player
from gateway.speech.model import NoPrompt
from twiml.outcome import Goto

if TYPE_CHECKING:
    from gateway.calls.house import House

__all__ = ["Documents", "Pastime"]


class Documents(Protocol):
    """Documents for who waits."""

    def start(self, goto: Goto) -> None:
        """Fetch and run them."""

    def close(self) -> None:
        """Nobody hears them any more."""


class Pastime:
    """See the module."""

    def __init__(self, house: "House", visitor: Visitor) -> None:
        self._house = house
        self._visitor = visitor
        self._documents: Documents | None = None
        self._music: asyncio.Task[None] | None = None
        self._players = 0

    def play(self, goto: Goto | None, make: Callable[[], Documents]) -> None:
        """Let them hear what `make` makes of the URL of `goto`; None is music, no URL nothing."""
        self.stop()
        if goto is None:
            self._music = self._visitor.spawn(self._play_music())
        elif goto.url:
            self._documents = made = make()
            made.start(goto)

    def stop(self) -> None:
        """Let them hear nothing of it any more."""
        if self._documents is not None:
            self._documents.close()
            self._documents = None
        if self._music is not None:
            self._music.cancel()
            self._music = None
            self._visitor.media.hush(self._visitor.leg().id)

    async def _play_music(self) -> None:
        made = await self._house.prompts.music()
        if isinstance(made, NoPrompt):
            return
        self._players += 1
        leg = self._visitor.leg().id
        clips = (File(path=str(made.path)),)
        player = Player(id=f"{leg}.music{self._players}", clips=clips, loop=0)
        self._visitor.media.play(leg, player)
