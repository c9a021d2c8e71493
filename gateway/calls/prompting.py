"""What documents let a leg hear: spoken texts, files that are played, keys that are pressed.

A prompt is made or fetched first, and what was wrong with it is kept for the app's developer. It is
a player of the call's media then, which goes when nobody waits for it any more.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import count
from typing import Final

from gateway.calls.ahead import Make, Maker
from gateway.calls.documents import Note
from gateway.calls.media import CallMedia
from gateway.media.graph import Clip, File, Player
from gateway.speech.model import INVALID_PLAY_TYPE, NoPrompt, Prompt
from twiml.errors import Level
from twiml.verbs import Play, Say

_NUMBERS: Final = count(1)


class Prompting:
    """For one leg of a call; `keep` takes notes, `ready` waits until its peer can hear anything."""

    def __init__(
        self,
        *,
        maker: Maker,
        media: CallMedia,
        leg: Callable[[], str],
        account_sid: str,
        keep: Callable[[Sequence[Note]], None],
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._maker = maker
        self._media = media
        self._leg = leg
        self._account_sid = account_sid
        self._keep = keep
        self._ready = ready

    async def say(self, say: Say, make: Make | None = None) -> bool:
        """Speak a text, which `make` makes if that is known; whether it was heard."""
        make = make or partial(self._maker.say, say, self._account_sid)
        return await self._hear(await make(), say.loop)

    async def play(self, play: Play, make: Make | None = None) -> bool:
        """Play a file, or press keys; whether that was heard."""
        if play.digits:
            await self._ready()
            await self._media.press(self._leg(), play.digits)
            return True
        make = make or partial(self._maker.sound, play.url, self._account_sid)
        return await self._hear(await make(), play.loop)

    async def clips(self, clips: Sequence[Clip], loop: int = 1) -> str:
        """Let these be heard; why they could not be, "" if they were. None of them is to wait."""
        await self._ready()
        if not clips:
            return ""
        leg = self._leg()
        # Others may let the same leg hear something: a player's name is never used again.
        player = Player(id=f"{leg}.{next(_NUMBERS)}", clips=tuple(clips), loop=loop)
        return await self._media.hear(leg, player)

    async def _hear(self, made: Prompt | NoPrompt, loop: int) -> bool:
        if made.notes:
            self._keep(made.notes)
        if isinstance(made, NoPrompt):
            return False
        fault = await self.clips((File(path=str(made.path)),), loop)
        if fault:
            reason = f"the prompt can't be played: {fault}"
            self._keep((Note(error_code=INVALID_PLAY_TYPE, level=Level.ERROR, message=reason),))
        return not fault and made.seconds > 0
