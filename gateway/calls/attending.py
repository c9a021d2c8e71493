"""One call that is in a conference: a `<Dial><Conference>` at work.

It waits until its caller can hear, comes into the room, lets the caller hear what the room says
that they hear, and tells the call when that is over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.calls.aside import Aside, InRoom, MakeHands
from gateway.calls.conference import Ear, Leaving, Refused
from gateway.calls.dial import LIMIT, STAR
from gateway.calls.hands import Spawn
from gateway.calls.hop import Hop
from gateway.calls.line import Line
from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.sip_leg import SipLeg
from gateway.media.graph import File, Player
from gateway.speech.model import NoPrompt
from twiml.call import DialEnded, DialStatus, Ending
from twiml.errors import Finding, Level
from twiml.nouns import Conference
from twiml.outcome import Goto
from twiml.verbs import Dial

if TYPE_CHECKING:
    from gateway.calls.house import House
    from gateway.calls.room_run import Room

__all__ = ["Attending", "Visitor"]

_STAR: Final = "*"
_HUNG_UP: Final = frozenset({LIMIT, STAR})


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """A call that dials a room or a queue, and what it takes to work in it.

    `ready` returns when the caller can hear, `hands_of` makes hands for what they hear then, `note`
    keeps what was wrong, and `ended` takes the result.
    """

    line: Line
    leg: Callable[[], SipLeg]
    media: CallMedia
    spawn: Spawn
    ready: Callable[[], Awaitable[None]]
    hands_of: MakeHands
    note: Callable[[Finding], None]
    ended: Callable[[DialEnded], None]


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
        self._ear: Ear | None = None
        self._announced: Aside | None = None
        self._documents: InRoom | None = None
        self._music: asyncio.Task[None] | None = None
        self._entering: asyncio.Task[None] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._players = 0
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
        self._entering = None
        try:
            came = self._house.rooms.enter(self._house, self)
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
        """Leave: another document goes on, or the dial has its limit."""
        if self._room is None:
            self._end(DialStatus.CANCELED)
        else:
            why = Leaving.HUNG_UP if reason in _HUNG_UP else Leaving.SENT_ON
            self._room.leave(self, why)

    def left(self) -> None:
        """The caller is gone."""
        if self._room is None:
            self._end(DialStatus.CANCELED)
        else:
            self._room.leave(self, Leaving.HUNG_UP)

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
        self._hold = goto

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
                noun = self.noun
                wait = None
                if noun.wait_url is not None:
                    wait = Goto(url=noun.wait_url, method=noun.wait_method)
                self._wait(wait)
            case Ear.HOLD:
                self._wait(self._hold)
            case Ear.ROOM if self.hop is not None:
                self.visitor.media.join(self.visitor.leg().id, self.hop.id)

    def _wait(self, goto: Goto | None) -> None:
        """Music, a document, or silence where the URL is ""."""
        if goto is None:
            self._music = self.visitor.spawn(self._play_music())
        elif goto.url:
            room = self._room
            assert room is not None
            whose = (("ConferenceSid", room.sid), ("FriendlyName", room.name))
            self._documents = InRoom(self.visitor.hands_of)
            self._documents.start(msgspec.structs.replace(goto, parameters=whose))

    async def _play_music(self) -> None:
        made = await self._house.prompts.music()
        if isinstance(made, NoPrompt):
            return
        self._players += 1
        leg = self.visitor.leg().id
        player = Player(
            id=f"{leg}.music{self._players}", clips=(File(path=str(made.path)),), loop=0
        )
        self.visitor.media.play(leg, player)

    def _hush(self) -> None:
        """Let go of all that the caller hears in their own call."""
        if self._documents is not None:
            self._documents.close()
            self._documents = None
        if self._music is not None:
            self._music.cancel()
            self._music = None
        leg = self.visitor.leg().id
        self.visitor.media.hush(leg)
        if self.hop is not None:
            self.visitor.media.part(leg)

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
        self.visitor.ended(
            DialEnded(ask=self._ask, status=status, bridged=status is DialStatus.ANSWERED)
        )
