"""One call while it lives: its scope, its legs, and what its documents make of it.

It forwards: documents ask through `twiml.call.Call`, legs tell, a dial is at work in `dial_run`.
How a call comes to its first leg is `live`'s, for one that came in, or `placed`'s, for one that
REST makes. Leaving `run` is the only way in which a call ends: then its tasks, ports and sessions
are gone.
"""

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final

import structlog

from carriers.caller_id import Caller
from gateway.calls import endings, tables
from gateway.calls.dial import CALLER_GONE
from gateway.calls.dialler import Dialler
from gateway.calls.endings import Ended
from gateway.calls.hands import Hands, Mouth
from gateway.calls.house import House
from gateway.calls.info_keys import Key
from gateway.calls.keeping import NotKept
from gateway.calls.leg import Answered, Event, Finished, Gone, Leg, PeerLeg, Transferred
from gateway.calls.line import Line
from gateway.calls.media import CallMedia, quality_of
from gateway.calls.model import Call, CallStatus, Crossing
from gateway.calls.ordered import Ordered
from gateway.calls.paths import Paths
from gateway.calls.places import Find
from gateway.calls.scope import Scope, untie
from gateway.calls.sip_leg import SipLeg
from gateway.calls.webrtc_leg import WebRtcLeg
from gateway.media.wire import (
    DigitPressed,
    FellSilent,
    Latched,
    LegClosed,
    PathLost,
    PlayerEnded,
    Pressed,
    RecordingEnded,
    Resumed,
    Told,
)
from gateway.store.base import Write
from gateway.webhooks.instructions import Fallback
from protocols.sip.agent_events import TransferProgressed
from twiml.call import Event as TwimlEvent
from twiml.call import HungUp, KeyPressed
from twiml.voice import Pickup

_log = structlog.get_logger(__name__)

_MAX_FORWARDS: Final = 70
BROKEN: Final = "the gateway had a fault"


async def _at_once() -> None:
    """Who is up hears everything."""


class Scoped(Dialler, Ordered):
    """See the module; `run` it. `find` is `places.Joint`'s."""

    _is_fallen = False

    def __init__(
        self,
        house: House,
        call: Call,
        find: Find,
        *,
        caller: Caller,
        pickup: Pickup,
        fallback: Fallback | None = None,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._house = house
        self._caller = caller
        self._keeping = house.keeping(call.sid)
        self._media = CallMedia(house.plane, call.sid, partial(self._dare, self._on_key))
        self.line = house.line(call, self._keeping, extra)
        self.first: PeerLeg | None = None  # whose documents run
        self._legs: dict[str, PeerLeg] = {}
        self._paths = Paths(self._on_path_lost)
        self._unfinished: set[str] = set()
        self._over = asyncio.Event()
        self._empty = asyncio.Event()
        self._ending = Ended(status=CallStatus.NO_ANSWER)
        self._find = find
        self._scope: Scope | None = None
        self._up = asyncio.Event()  # its first leg can hear something
        self._stands = asyncio.Event()  # its peer knows that it was answered
        self._equip(pickup)
        if fallback is not None:
            self._hands.fall_back_to(fallback)

    # What calls differ in

    @abstractmethod
    async def _begin(self) -> None:
        """Find the call a place among the media, and do what comes first."""

    @abstractmethod
    def _let_first_go(self, code: int, ended: Ended) -> None:
        """End the first leg, or what is to become one: `code` refuses who still rings."""

    @property
    def _max_forwards(self) -> int:
        """How often an INVITE of its may be passed on."""
        return _MAX_FORWARDS

    @property
    def _is_ours(self) -> bool:
        """Whether its first leg is a user of a domain of ours."""
        return False

    # Its life

    async def run(self) -> None:
        """Live until nothing is left."""
        try:
            async with asyncio.TaskGroup() as group:
                self._scope = scope = Scope(group)
                scope.spawn(self._begin())
                await self._over.wait()
                # What is recorded ends with the media, and verbs tell of that.
                await self._media.close()
                await scope.leave()
        except* Exception as errors:
            _log.error("a call fell", call=self.line.call.sid, exc_info=errors)
            scope.shut()
            self._fall()
        scope.shut()
        try:
            await self._media.close()
        except Exception:
            _log.exception("the media of a call are not released", call=self.line.call.sid)
        await self._empty.wait()
        self._paths.close()
        self._keep_legs()
        with contextlib.suppress(NotKept):
            await self._keeping.durable()
        self._house.documents.forget(self.line.call.sid)
        self._applications.forget()
        if self._transfers is not None:
            self._transfers.forget()

    def dissolve(self) -> None:
        """Let all of it be free at once: it is over, or never began, and nobody asks it again."""
        if not self._unfinished:  # else the process ends
            applied = self._applications.parts()
            untie(*self._legs.values(), *applied, self._interpreter, self._hands, self)

    # What its dial asks

    def _track(self, leg: PeerLeg) -> None:
        self._legs[leg.id] = leg
        self._unfinished.add(leg.id)

    def hands_of(
        self,
        line: Line,
        give: Callable[[TwimlEvent], None],
        leg: PeerLeg | None = None,
    ) -> Hands:
        """What a document of this call may ask, for its first leg or for one that is up."""
        mouth = Mouth(
            maker=self._house.prompts,
            media=self._media,
            leg=lambda: (leg or self.leg).id,
            ready=self._can_hear if leg is None else _at_once,
        )
        return Hands(
            line,
            documents=self._house.documents,
            clock=self._house.clock,
            spawn=self._spawn,
            errand=self._errand,
            give=give,
            mouth=mouth,
        )

    async def _can_hear(self) -> None:
        await self._up.wait()

    async def _taken(self) -> None:
        """A room and a queue are joined at once, which answers who still rings."""
        if not self._up.is_set():
            self.answer()
        await self._up.wait()

    async def _stood(self) -> None:
        await self._stands.wait()

    @property
    def leg(self) -> PeerLeg:
        """Its first leg, once there is one."""
        assert self.first is not None, "nobody has answered"
        return self.first

    @property
    def devices(self) -> list[str]:
        """The directions of its legs at browsers of the Voice SDK, as long as they last."""
        legs = [self._legs[each] for each in self._unfinished]
        return [leg.record.direction.value for leg in legs if isinstance(leg, WebRtcLeg)]

    # What legs tell

    def on(self, leg: Leg, event: Event) -> None:
        """Take what a leg of this call tells; what can't be coped with ends the call."""
        self._dare(self._take, leg, event)
        if isinstance(event, Finished):
            self._finish(leg.id)

    def _take(self, leg: Leg, event: Event) -> None:
        if isinstance(event, Transferred) and isinstance(leg, SipLeg):
            self.transfers.ask(leg, event)
            return
        if isinstance(event, Gone) and (whisper := self._whispers.pop(leg.id, None)):
            whisper.close()
        if isinstance(event, Answered) and leg is self.first:
            self._stands.set()
        if isinstance(event, TransferProgressed):
            self.elsewhere.on(event)
            return
        if self._transfers is not None and self._transfers.on(leg, event):
            return
        if self._dial is not None and self._dial.on(leg, event):
            return
        if leg is self.first and isinstance(event, Gone):
            self._on_gone(event)

    def told(self, event: Told) -> None:
        """Take what happened to its media; what can't be coped with ends the call."""
        self._dare(self._take_told, event)

    def _take_told(self, event: Told) -> None:
        match event:
            case LegClosed(leg=leg_id, readings=readings):
                leg = self._legs.get(leg_id)
                if leg is not None:
                    leg.measured(quality_of(readings.received), quality_of(readings.sent))
            case DigitPressed(leg=leg_id, digit=digit, duration=duration):
                key = Key(digit=digit, duration=duration)
                self._media.heard_key(leg_id, key)
            case Pressed(leg=leg_id):
                self._media.pressed(leg_id)
            case PlayerEnded():
                self._media.played(event)
            case RecordingEnded():
                self._media.recorded(event)
            case PathLost():
                self._paths.lost(event)
            case Latched(leg=leg_id):
                self._paths.found(leg_id)
            case FellSilent(leg=leg_id):
                _log.warning("nothing comes from a peer", call=event.call, leg=leg_id)
            case Resumed(leg=leg_id, silence=silence) if silence:
                seconds = round(silence, 1)
                _log.info("a peer is heard again", call=event.call, leg=leg_id, after=seconds)

    def _on_path_lost(self, leg_id: str, reason: str) -> None:
        """Nobody is heard on a leg, nor will be."""
        if (leg := self._legs.get(leg_id)) is not None:
            self._dare(leg.hang_up, endings.TIMEOUT, reason)

    def _on_key(self, leg_id: str, key: Key) -> None:
        """The peer of a leg pressed a key, in whichever way."""
        if (whisper := self._whispers.get(leg_id)) is not None:
            whisper.pressed(key.digit)
        if self._dial is not None:
            self._dial.on_key(leg_id, key.digit)
        if self.first is not None and leg_id == self.first.id:
            if self._meetings is not None:
                self._meetings.on_key(key.digit)
            self._give(KeyPressed(key=key.digit))

    def _on_gone(self, gone: Gone) -> None:
        """Its first leg is over: so is the call, but for what is reported of it."""
        ending, record = self._ending, self.leg.record
        self.line.end(
            ending.status,
            reason=ending.reason or gone.reason,
            sip_code=record.sip_code,
            error_code=ending.error_code,
            answered=record.answered,
        )
        self._give(HungUp())
        if self._elsewhere is not None:
            self._elsewhere.left()
        if self._transfers is None or not self._transfers.keeps:
            self._leave(CALLER_GONE)

    def _leave(self, reason: str) -> None:
        """Nobody has the caller's place any more."""
        self._media.retire()
        if self._meetings is not None:
            self._meetings.left()
        if self._dial is not None:
            self._dial.stop(reason)
        self._over.set()
        self._look_whether_empty()

    def _finish(self, leg_id: str) -> None:
        self._unfinished.discard(leg_id)
        self._look_whether_empty()

    def _look_whether_empty(self) -> None:
        """Legs may all have finished before the call is over: hops stood in for them."""
        if not self._unfinished and self._over.is_set():
            self._empty.set()

    # Ends

    def end(self, reason: str) -> None:
        """End it, whatever it does: the process drains, or its media is lost."""
        self._dare(self._end, endings.FAULT, Ended(status=CallStatus.FAILED, reason=reason))

    def abandon(self) -> None:
        """Wait no longer for its legs, nor for the store: the process ends."""
        self._keeping.hurry()
        self._empty.set()

    def _end(self, code: int, ended: Ended) -> None:
        """Let the first leg go: `code` refuses one that still rings."""
        if self._transfers is not None:
            self._transfers.end(ended.reason)
        if not self._over.is_set():
            self._ending = ended
            self._let_first_go(code, ended)

    def _fall(self) -> None:
        """Something here broke: let everybody go, whatever else is broken."""
        if self._is_fallen:
            return
        self._is_fallen = True
        fault = Ended(status=CallStatus.FAILED, reason=BROKEN)
        steps = [
            partial(self._end, endings.FAULT, fault),
            partial(self._leave, BROKEN),
            *(
                partial(self._legs[each].hang_up, endings.FAULT, BROKEN)
                for each in self._unfinished
            ),
            partial(self.line.end, CallStatus.FAILED, reason=BROKEN),
        ]
        for step in steps:
            try:
                step()
            except Exception:
                _log.exception("a part of a call that fell", call=self.line.call.sid)
        self._over.set()
        self._look_whether_empty()

    def keep_ladder(self) -> None:
        """Keep what has passed so far, for whoever looks at the call while it lives."""
        self.line.note(self._ladder(self._house.ladder.fetch))

    def _keep_legs(self) -> None:
        """Keep what is known of each leg in the end, and the rest of the ladder."""
        closed = [leg.closed for leg in self._legs.values() if leg.record.call_id]
        writes = [write for leg in closed for write in self._house.book.leg_closed(leg)]
        self.line.note([*writes, *self._ladder(self._house.ladder.take)])

    def _ladder(self, get: Callable[[Iterable[str]], list[Crossing]]) -> list[Write]:
        crossings = get([leg.record.call_id for leg in self._legs.values()])
        return [tables.ladder_kept(self.line.call.sid, crossings)] if crossings else []

    # Inside

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._scope is not None, "the call does not run"
        return self._scope.spawn(work)

    def _errand(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._scope is not None, "the call does not run"
        return self._scope.errand(work)

    def _give(self, event: TwimlEvent) -> None:
        """Tell the interpreter, which may be asking at this moment, a little later."""
        self._later(self._interpreter.on, event)

    def _later(self, take: Callable[..., None], *given: object) -> None:
        if self._scope is not None:
            asyncio.get_running_loop().call_soon(self._dare, take, *given)

    def _dare(self, take: Callable[..., None], *given: object) -> None:
        try:
            take(*given)
        except Exception:
            _log.exception("a call fell", call=self.line.call.sid, at=type(given[-1]).__name__)
            self._fall()
