"""One call that is in a conference: a `<Dial><Conference>` at work.

It waits until its caller can hear, comes into the room, lets the caller hear what the room says
that they hear, and tells the call when that is over.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.calls.aside import Aside, InRoom
from gateway.calls.conference import Ear, Leaving, Refused
from gateway.calls.dial import CALLER_GONE, LIMIT, STAR
from gateway.calls.hold_music import Pastime
from gateway.calls.hop import Hop
from gateway.calls.media import NoMedia
from gateway.calls.visitor import Visitor
from twiml.call import DialEnded, DialStatus, Ending
from twiml.errors import Finding, Level
from twiml.nouns import Conference
from twiml.outcome import Goto
from twiml.verbs import Dial

if TYPE_CHECKING:
    from gateway.calls.house import House
    from gateway.calls.room_run import Room

__all__ = ["Attending"]

_STAR: Final = "*"
_HUNG_UP: Final = frozenset({CALLER_GONE, LIMIT, STAR})


class Attending:
    """See the module; `start` begins it, `stop` ends it early."""

    def __init__(self, house: "House", visitor: Visitor, ask: int, dial: Dial) -> None:
        noun = dial.nouns[0]
        assert isinstance(noun, Conference)
        self.noun: Final = noun
        self.visitor: Final = visitor
        self.hop: Hop | None = None
        self._house = house
        self._ask = ask
        self._dial = dial
        self._room: Room | None = None
        self._hold: Goto | None = None
        self._meanwhile: Goto | None = None
        if noun.wait_url is not None:
            self._meanwhile = Goto(url=noun.wait_url, method=noun.wait_method)
        self._ear: Ear | None = None
        self._announced: Aside | None = None
        self._pastime = Pastime(house, visitor)
        self._entering: asyncio.Task[None] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._is_over = False

    @property
    def sid(self) -> str:
        """That of its call."""
        return self.visitor.line.call.sid

    def start(self) -> None:
        """Come in, when the caller can hear."""
        self._entering = self.visitor.spawn(self._enter())

    async def _enter(self) -> None:
        await self.visitor.ready()
        announced = await self._house.rooms.announced(self._house, self)
        self._entering = None
        try:
            came = self._house.rooms.enter(self._house, self, announced)
        except NoMedia as error:
            came = Refused(code=0, reason=str(error))
        if isinstance(came, Refused):
            self._refuse(came)
            return
        if self._is_over:  # it ended as it was entered
            return
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(self._dial.time_limit, self.stop, LIMIT)
        if self._dial.hangup_on_star:
            self.visitor.media.listen(self.visitor.leg().id)

    def _refuse(self, refused: Refused) -> None:
        if refused.code:
            level = Level.ERROR
            self.visitor.note(
                Finding(code=refused.code, level=level, line=0, message=refused.reason)
            )
        self._end(DialStatus.FAILED)

    def stop(self, reason: str) -> None:
        """Leave: the caller is gone, another document goes on, or the dial has its limit."""
        if self._room is None:
            self._end(DialStatus.CANCELED)
        else:
            why = Leaving.HUNG_UP if reason in _HUNG_UP else Leaving.SENT_ON
            self._room.leave(self, why)

    def on_key(self, key: str) -> None:
        """The caller pressed a key: the star may be their way out."""
        if key == _STAR and self._dial.hangup_on_star and self._room is not None:
            self.stop(STAR)

    # What its room asks

    def enter(self, room: "Room") -> None:
        """This is the room that it is in from now on."""
        self._room = room

    def held_with(self, goto: Goto | None) -> None:
        """What is heard on hold from now on; None is music."""
        before, self._hold = self._hold, goto
        if goto != before and self._ear is Ear.HOLD and self._announced is None:
            self._listen()

    def waits_with(self, goto: Goto) -> None:
        """What is heard from now on until the conference starts; the URL "" is silence."""
        self._meanwhile = goto
        if self._ear is Ear.WAITING and self._announced is None:
            self._listen()

    def hears(self, ear: Ear) -> None:
        """Let the caller hear something else."""
        if self._ear is not ear:
            self._ear = ear
            if self._announced is None:
                self._listen()

    def joined(self, hop: Hop) -> None:
        """The way to the room, which is in another worker, is open."""
        self.hop = hop
        if self._announced is None and self._ear is Ear.ROOM:
            self._listen()

    def announce(self, goto: Goto, done: Callable[[Ending], None]) -> None:
        """Let the caller hear a document, whatever else they hear; one at a time."""
        if self._announced is not None:
            self._announced.close()

        def over(ending: Ending) -> None:
            asyncio.get_running_loop().call_soon(self._unannounced, aside, ending, done)

        self._hush()
        self._announced = aside = Aside(self.visitor.hands_of, over)
        aside.start(goto)

    def dismiss(self) -> None:
        """It is in the room no more."""
        self._room = None
        self._end(DialStatus.ANSWERED)

    # Inside

    def _unannounced(self, aside: Aside, ending: Ending, done: Callable[[Ending], None]) -> None:
        if self._announced is aside:
            aside.close()
            self._announced = None
            if not self._is_over:
                self._listen()
                done(ending)

    def _listen(self) -> None:
        self._hush()
        match self._ear:
            case Ear.WAITING:
                self._wait(self._meanwhile)
            case Ear.HOLD:
                self._wait(self._hold)
            case Ear.ROOM if self.hop is not None:
                self.visitor.media.join(self.visitor.leg().id, self.hop.id)

    def _wait(self, goto: Goto | None) -> None:
        room = self._room
        assert room is not None
        if goto is not None:
            whose = (("ConferenceSid", room.sid), ("FriendlyName", room.name))
            goto = msgspec.structs.replace(goto, parameters=whose)
        self._pastime.play(goto, lambda: InRoom(self.visitor.hands_of))

    def _hush(self) -> None:
        """Let go of all that the caller hears in their own call."""
        self._pastime.stop()
        if self.hop is not None:
            self.visitor.media.part(self.visitor.leg().id)

    def _end(self, status: DialStatus) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._entering is not None:
            self._entering.cancel()
        if self._limit is not None:
            self._limit.cancel()
        if self._announced is not None:
            self._announced.close()
        self._hush()
        self.visitor.give(
            DialEnded(ask=self._ask, status=status, bridged=status is DialStatus.ANSWERED)
        )
