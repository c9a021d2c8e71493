"""A conference at work: carries out what `conference` says, and tells it what became of that.

It lives beside the calls that are in it, from the first who comes until all that it has is
released. A call in the same media worker lends its leg; another one reaches it by a hop.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from gateway.calls import conference as machine
from gateway.calls.aside import Aside
from gateway.calls.conference import Change, Conference, Do, Ear, Leaving, Refused, Status
from gateway.calls.hands import Hands, Mouth
from gateway.calls.hop import Hop
from gateway.calls.keeping import NotKept
from gateway.calls.leg import Event, Finished, Gone, Leg
from gateway.calls.media import NoMedia
from gateway.calls.model import Call, CallDirection, CallLeg
from gateway.calls.room_book import RoomBook
from gateway.calls.room_graph import MIXER, seats_of
from gateway.calls.room_media import RoomMedia, mixer_of
from gateway.calls.room_tables import ConferenceRow
from gateway.calls.room_tape import RoomTape
from gateway.calls.scope import let_go
from gateway.media import graph
from gateway.media.wire import (
    PlayerEnded,
    Pressed,
    RecordingEnded,
    SpeechBegan,
    SpeechEnded,
    Told,
)
from gateway.recordings.model import RecordingStatus
from gateway.sids import CONFERENCE, new_sid
from protocols.rtp.tones import Sound
from twiml.call import Ending
from twiml.call import Event as TwimlEvent
from twiml.nouns import ConferenceEvent
from twiml.outcome import Goto

if TYPE_CHECKING:
    from gateway.calls.attending import Attending
    from gateway.calls.house import House

__all__ = ["Room"]

_log = structlog.get_logger(__name__)

_BEEP: Final = graph.Note(sound=Sound(frequencies=(620.0,)), seconds=0.3)
_OVER: Final = "the conference is over"


async def _at_once() -> None:
    """A room hears everything."""


class Room:
    """See the module; `announced` is what REST has made of it before anybody came.

    `gone` is told when nothing of it is left, `over` when nobody may come.
    """

    def __init__(
        self,
        house: "House",
        first: "Attending",
        announced: ConferenceRow | None,
        *,
        over: Callable[["Room"], None],
        gone: Callable[["Room"], None],
    ) -> None:
        noun = first.noun
        self.sid: Final = announced.sid if announced else new_sid(CONFERENCE, house.clock())
        self.name: Final = noun.name
        self.account_sid: Final = first.visitor.line.call.account_sid
        self.conference: Final = Conference(self.sid, noun)
        self._house = house
        self._over = over
        self._gone = gone
        speaker = ConferenceEvent.SPEAKER in self.conference.events
        self.media: Final = RoomMedia(house.plane, self.sid, mixer_of(tells_speech=speaker))
        self._book = RoomBook(house, self.account_sid, self.conference, noun, announced)
        self._here: dict[str, Attending] = {}
        self._nodes: dict[str, str] = {}
        self._hops: dict[str, Hop] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._announced: Aside | None = None
        self._tape = RoomTape(house.recordings, noun, self.media, self._book.keeping)
        self._count = 0
        self.media.settle(first.visitor.media.call)
        self._book.begin()

    @property
    def somebody(self) -> Call:
        """The call of who is in it longest; a room has nobody in it only when it is over."""
        return next(iter(self._here.values())).visitor.line.call

    # What is asked of it

    def join(self, one: "Attending") -> Refused | None:
        """Have somebody in; why not, if not."""
        dos = self.conference.join(one.sid, one.noun, self._house.clock())
        if isinstance(dos, Refused):
            return dos
        person = self.conference.person(one.sid)
        assert person is not None
        self._here[one.sid] = one
        one.enter(self)
        self._book.came(person)
        self._seat(one)
        self._do(dos)
        return None

    def leave(self, one: "Attending", why: Leaving) -> None:
        """Somebody goes."""
        status = one.visitor.line.call.status.value
        self._do(self.conference.leave(one.sid, why, self._house.clock(), status))

    def remove(self, call_sid: str) -> None:
        """Send somebody out, over REST."""
        self._do(self.conference.leave(call_sid, Leaving.REMOVED, self._house.clock()))

    def change(self, call_sid: str, change: Change, hold: Goto | None = None) -> None:
        """Mute, hold or otherwise change somebody; `hold` is what they hear then, None music."""
        one = self._here.get(call_sid)
        if one is None:
            return
        if change.hold or hold is not None:
            one.held_with(hold)
        dos = self.conference.change(call_sid, change, self._house.clock())
        person = self.conference.person(call_sid)
        if dos and person is not None:
            self._book.changed(person)
        self._do(dos)

    def wait_with(self, call_sid: str, goto: Goto) -> None:
        """Have somebody hear something else until it starts."""
        one = self._here.get(call_sid)
        if one is not None:
            one.waits_with(goto)

    def announce(self, goto: Goto, call_sid: str = "") -> None:
        """Have a document heard by one, or by all."""
        if call_sid:
            one = self._here.get(call_sid)
            if one is not None:
                one.announce(goto, partial(self._announcement_over, call_sid))
            return
        self._hush()
        self._announced = aside = Aside(self._hands_of, self._announced_to_all)
        aside.start(goto)

    def change_recording(self, sid: str, status: RecordingStatus, *, skips: bool) -> None:
        """Pause what is recorded, go on with it, or stop it."""
        self._tape.move(sid, status, skips=skips)

    def end(self) -> None:
        """Send everybody out."""
        self._do(self.conference.end(self._house.clock()))

    def hurry(self) -> None:
        """Wait no longer for a store that is away: the process ends."""
        self._book.keeping.hurry()

    def told(self, event: Told) -> None:
        """Take what happened to its media; what can't be coped with ends the conference."""
        try:
            self._take_told(event)
        except Exception:
            _log.exception("a conference fell", sid=self.sid, at=type(event).__name__)
            self.end()

    def _take_told(self, event: Told) -> None:
        now = self._house.clock()
        match event:
            case PlayerEnded():
                self.media.played(event)
            case Pressed(leg=leg):
                self.media.pressed(leg)
            case RecordingEnded():
                self.media.recorded(event)
            case SpeechBegan(node=node):
                self._do(self.conference.spoke(self._at(node), "start", now))
            case SpeechEnded(node=node):
                self._do(self.conference.spoke(self._at(node), "stop", now))

    # What the machine wants

    def _do(self, dos: Sequence[Do]) -> None:
        """Do all of it; what breaks in the midst ends the conference, and the rest is done."""
        broken = [each for each in dos if not self._did(each)]
        if broken:
            self.end()
        if self.conference.status is not Status.COMPLETED:
            self.media.sit(seats_of(self.conference, self._nodes))

    def _did(self, do: Do) -> bool:
        try:
            self._do_one(do)
        except Exception as error:
            if isinstance(error, NoMedia) and self.conference.status is not Status.COMPLETED:
                raise  # who comes in is told that they can't
            _log.exception("a conference fell", sid=self.sid, at=type(do).__name__)
            return False
        return True

    def _do_one(self, do: Do) -> None:
        match do:
            case machine.Hears(call_sid=call_sid, ear=ear):
                self._hears(call_sid, ear)
            case machine.Beeps():
                self._spawn(self._beep())
            case machine.Starts():
                self._book.move()
                if self.conference.records:
                    self._tape.begin(self.account_sid, self.sid)
            case machine.Dismiss(call_sid=call_sid):
                self._dismiss(call_sid)
            case machine.Tell(happening=happening):
                self._book.tell(happening)
            case machine.Over():
                self._close()

    def _hears(self, call_sid: str, ear: Ear) -> None:
        one = self._here.get(call_sid)
        if one is not None:
            one.hears(ear)

    def _dismiss(self, call_sid: str) -> None:
        one = self._here.pop(call_sid, None)
        if one is None:
            return
        self._nodes.pop(call_sid, None)
        hop = self._hops.pop(call_sid, None)
        if hop is not None:
            hop.hang_up(200, _OVER)
        self.media.give_back(call_sid)
        self._book.went(call_sid)
        one.dismiss()

    async def _beep(self) -> None:
        self._count += 1
        await self.media.hear(MIXER, graph.Player(id=f"beep{self._count}", clips=(_BEEP,)))

    def _close(self) -> None:
        self._over(self)
        self._hush()
        self._book.move()
        for task in list(self._tasks):
            task.cancel()
        self._spawn(self._release())

    async def _release(self) -> None:
        try:
            await self.media.close()
            await self._book.keeping.durable()
        except NotKept as error:
            _log.error("a conference can't be kept", sid=self.sid, reason=str(error))
        finally:
            self._gone(self)

    # Where its people are

    def _seat(self, one: "Attending") -> None:
        call, leg = one.visitor.media.call, one.visitor.leg()
        if self.media.is_beside(call):
            self.media.borrow(graph.Guest(id=one.sid, call=call, leg=leg.id))
            self._nodes[one.sid] = one.sid
        else:
            self._spawn(self._reach(one))

    async def _reach(self, one: "Attending") -> None:
        """Open the way to somebody whose call is in another worker; they go if it can't be."""
        try:
            await self._open_way(one)
        except NoMedia as error:
            _log.warning("a call can't reach its conference", call=one.sid, reason=str(error))
            self.remove(one.sid)
        except Exception:  # a defect in the way to one must not send everybody out
            _log.exception("a call fell on its way into a conference", call=one.sid)
            self.remove(one.sid)

    async def _open_way(self, one: "Attending") -> None:
        leg = one.visitor.leg()
        if leg.stream is None:
            return
        self._count += 1
        theirs = self._hop(one, one.visitor.media, f"{one.sid}.room{self._count}")
        ours = self._hops[one.sid] = self._hop(one, self.media, f"{one.sid}.{self._count}")
        ours.tie(theirs)
        await ours.open(leg.stream, leg.codecs)
        if self._here.get(one.sid) is one:
            self._nodes[one.sid] = ours.id
            one.joined(theirs)
            self._do(())

    def _hop(self, one: "Attending", media: Any, id: str) -> Hop:
        record = CallLeg(
            account_sid=self.account_sid,
            sid=one.sid,
            direction=CallDirection.OUTBOUND_DIAL,
            began=self._house.clock(),
        )
        return Hop(media, self._on_hop, id=id, record=record)

    def _on_hop(self, leg: Leg, event: Event) -> None:
        """Hops end with who is at them."""
        assert isinstance(event, Gone | Finished)

    def _at(self, node: str) -> str:
        return next((sid for sid, each in self._nodes.items() if each == node), "")

    # What it hears itself, and what is kept of it

    def _hands_of(self, give: Callable[[TwimlEvent], None]) -> Hands:
        one = next(iter(self._here.values()))
        mouth = Mouth(
            maker=self._house.prompts, media=self.media, leg=lambda: MIXER, ready=_at_once
        )
        return Hands(
            one.visitor.line,
            documents=self._house.documents,
            clock=self._house.clock,
            spawn=self._spawn,
            errand=self._spawn,
            give=give,
            mouth=mouth,
        )

    def _announced_to_all(self, ending: Ending) -> None:
        # It is in its last turn yet, and another one may begin before that is over.
        asyncio.get_running_loop().call_soon(self._heard, self._announced)
        self._announcement_over("", ending)

    def _announcement_over(self, call_sid: str, ending: Ending) -> None:
        event = "end" if ending is Ending.DONE else "fail"
        self._do(self.conference.announced(event, self._house.clock(), call_sid))

    def _heard(self, announced: Aside | None) -> None:
        if announced is self._announced:
            self._hush()

    def _hush(self) -> None:
        if self._announced is not None:
            self._announced.close()
            self._announced = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        task.add_done_callback(let_go)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, NoMedia):
                _log.error("a conference fell", sid=self.sid, exc_info=error)
            self.end()
