"""The media of one call: the graph as it should be, made true one version after the other.

Changes may come faster than a worker answers: the newest graph is sent when the last one is true.
Whoever needs a port or sound waits for the version that has it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from gateway.calls.info_keys import Key
from gateway.calls.keyboard import Keyboard
from gateway.calls.model import Quality
from gateway.media.graph import Graph, Join, Leg, Node, Player, Recorder, Tone, WebRtc
from gateway.media.plane import Full, Lost, Plane
from gateway.media.wire import Applied, Place, PlayerEnded, RecordingEnded, Refused
from protocols.rtp.quality import StreamQuality
from protocols.sdp.ice import IceSide
from protocols.sdp.media import Stream

_log = structlog.get_logger(__name__)


class NoMedia(Exception):
    """The call can't have what it needs; the text says why. `is_full` if a later time might."""

    def __init__(self, reason: str, *, is_full: bool) -> None:
        super().__init__(reason)
        self.is_full = is_full


_OVER: Final = "the call is over"
_LOST: Final = "the media worker of the call is gone"
_NEVER: Final = "the call was over before its media were there"
_NO_LEG: Final = "the leg is gone"


class CallMedia:
    """Made by whoever begins a call and closed by its end; `call` is its name in the plane."""

    def __init__(
        self, plane: Plane, call: str, on_key: Callable[[str, Key], None] | None = None
    ) -> None:
        """`on_key` is told of each key that the peer of a leg presses, and of the leg."""
        self.call = call
        self._keyboard = Keyboard(plane, call, on_key)
        self._plane = plane
        self._nodes: dict[str, Leg] = {}
        self._heard: dict[str, str] = {}  # hearer -> source
        self._tones: dict[str, Tone | Player] = {}  # by those who hear them
        self._playing: dict[str, asyncio.Future[str]] = {}  # by player
        self._recorders: dict[str, Recorder] = {}
        self._recorded: dict[str, Callable[[RecordingEnded], None]] = {}  # by recorder
        self._listened: set[str] = set()
        self._places: dict[str, Place] = {}
        self._before: dict[str, WebRtc] = {}  # by leg, what holds while ICE is to begin anew
        self._version = self._said = self._true = 0  # wanted, asked for, and made true
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._is_busy = False  # something is being made true, or is about to be
        self._closed = False
        self._is_released = False
        self._is_lost = False
        self._was_there = False  # a worker has made something true

    def open(self) -> None:
        """Take a place in the plane; raises `NoMedia` if there is none."""
        opened = self._plane.open(self.call)
        if isinstance(opened, Full):
            raise NoMedia(opened.reason, is_full=True)

    def expect(self, leg: Leg, press: Callable[[Key], None] | None = None) -> None:
        """Take a leg for one that is `placed` next: what it hears may be said, and who records it.

        `press` presses keys towards its peer, if they do not go with the media.
        """
        self._nodes[leg.id] = leg
        if press is not None:
            self._keyboard.tie(leg.id, press)

    async def placed(self, id: str) -> Place:
        """Give a leg that is expected its ports; raises `NoMedia`."""
        self._change()
        await self.settled(id)
        place = self._places.get(id)
        if place is None:  # it was taken away meanwhile
            raise NoMedia(_NO_LEG, is_full=False)
        return place

    async def place(self, leg: Leg) -> Place:
        """Give a leg its ports at once; raises `NoMedia`."""
        self.expect(leg)
        return await self.placed(leg.id)

    def describe(
        self, id: str, stream: Stream | None, offers: int, ice: IceSide | None = None
    ) -> None:
        """Say what a leg's offer and answer came to; `offers` counts them. One gone is none.

        `ice` is the peer's side, of a leg over WebRTC.
        """
        leg = self._nodes.get(id)
        if leg is None:
            return
        webrtc = leg.webrtc
        if webrtc is not None and ice is not None:
            webrtc = msgspec.structs.replace(webrtc, remote=ice)
            self._before.pop(id, None)
        changed = msgspec.structs.replace(leg, stream=stream, offers=offers, webrtc=webrtc)
        if changed != leg:
            self._nodes[id] = changed
            self._change()

    async def restart(self, id: str) -> Place:
        """Let ICE begin anew on a leg over WebRTC: it has another place; raises `NoMedia`.

        What it had goes on until the peer's new side is described, and holds if it is to `stay`.
        """
        leg = self._nodes.get(id)
        if leg is None or leg.webrtc is None:
            raise NoMedia(_NO_LEG, is_full=False)
        webrtc = msgspec.structs.replace(leg.webrtc, remote=None, restarts=leg.webrtc.restarts + 1)
        self._before.setdefault(id, leg.webrtc)
        self._nodes[id] = msgspec.structs.replace(leg, webrtc=webrtc)
        try:
            self._change()
            await self.settled(id)
        except NoMedia:  # nothing was changed, so nothing else is to fail by it
            self._put_back(id)
            raise
        except asyncio.CancelledError:
            self.stay(id)
            raise
        place = self._places.get(id)
        if place is None:
            raise NoMedia(_NO_LEG, is_full=False)
        return place

    def stay(self, id: str) -> None:
        """Let what a `restart` began come to nothing: the leg has the place that it had."""
        if self._put_back(id) and not self._closed:
            self._change()

    def _put_back(self, id: str) -> bool:
        before, leg = self._before.pop(id, None), self._nodes.get(id)
        if before is None or leg is None:
            return False
        self._nodes[id] = msgspec.structs.replace(leg, webrtc=before)
        return True

    def join(self, one: str, other: str) -> None:
        """Let two legs hear each other, and nobody else."""
        if self._heard.get(one) == other and self._heard.get(other) == one:
            return
        self._heard[one], self._heard[other] = other, one
        for each in (one, other):
            self._tones.pop(each, None)
        self._change()

    def play(self, id: str, tone: Tone | Player) -> None:
        """Let a leg hear a tone while it hears nobody, until it is joined anew or hushed."""
        if id in self._nodes and self._tones.get(id) != tone:
            self._tones[id] = tone
            self._change()

    def hush(self, id: str) -> None:
        """Let a leg hear its tone no more."""
        if self._tones.pop(id, None) is not None:
            self._change()

    async def hear(self, id: str, player: Player) -> str:
        """Let a leg hear all that a player has; why it could not, "" if it did.

        Whoever is cancelled has it hushed at once. Raises `NoMedia` if there is no such leg.
        """
        if id not in self._nodes:
            raise NoMedia(_NO_LEG, is_full=False)
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._playing[player.id] = done
        try:
            self.play(id, player)
            return await done
        finally:
            self._playing.pop(player.id, None)
            if self._tones.get(id) == player:
                self.hush(id)

    def played(self, event: PlayerEnded) -> None:
        """A player has played all that it had."""
        done = self._playing.get(event.player)
        if done is not None and not done.done():
            done.set_result(event.fault)

    def echo(self, id: str) -> None:
        """Let a leg hear itself, until it is parted."""
        if id in self._nodes and self._heard.get(id) != id:
            self._heard[id] = id
            self._tones.pop(id, None)
            self._change()

    def listen(self, id: str) -> None:
        """Have keys in a leg's sound told, whoever hears it."""
        if id in self._nodes and id not in self._listened:
            self._listened.add(id)
            self._change()

    def record(self, recorder: Recorder, ended: Callable[[RecordingEnded], None]) -> None:
        """Record a leg; `ended` is told once how that ended, whatever becomes of the call.

        Raises `NoMedia` if there is no such leg.
        """
        if recorder.of not in self._nodes:
            raise NoMedia(_NO_LEG, is_full=False)
        self._recorders[recorder.id] = recorder
        self._recorded[recorder.id] = ended
        self._change()

    def amend(self, id: str, **changes: bool) -> None:
        """Change how a recorder that runs works: whether it is paused, and skips the time."""
        recorder = self._recorders.get(id)
        if recorder is not None:
            self._recorders[id] = msgspec.structs.replace(recorder, **changes)
            self._change()

    def finish(self, id: str) -> None:
        """Let a recorder end; one that has is passed over."""
        if self._recorders.pop(id, None) is not None:
            self._change()

    def recorded(self, event: RecordingEnded) -> None:
        """A recorder's file is closed."""
        self.finish(event.recorder)
        ended = self._recorded.pop(event.recorder, None)
        if ended is not None:
            ended(event)

    def part(self, id: str) -> None:
        """Let a leg hear nobody, and nobody hear it."""
        kept = {
            hearer: source for hearer, source in self._heard.items() if id not in (hearer, source)
        }
        if kept != self._heard:
            self._heard = kept
            self._change()

    def remove(self, id: str) -> None:
        """Take a leg's ports away; one that is gone is passed over."""
        if self._nodes.pop(id, None) is not None:
            self.part(id)
            self._silence(id)
            self._keyboard.remove(id)
            self._places.pop(id, None)
            self._before.pop(id, None)
            self._listened.discard(id)
            for each in [each.id for each in self._recorders.values() if each.of == id]:
                del self._recorders[each]
            self._change()

    def heard_key(self, id: str, key: Key) -> None:
        """A leg's peer pressed a key in its media, which has gone on to whom that carries it."""
        self._keyboard.heard(id, key, partial(self._hearers, id))

    def told_key(self, id: str, key: Key) -> None:
        """A leg's peer pressed a key in its signalling."""
        self._keyboard.signalled(id, key, partial(self._hearers, id))

    async def press(self, id: str, digits: str) -> None:
        """Press keys towards a leg's peer, and return when they are: as `wire.Press` has them."""

        async def ready() -> None:
            with suppress(NoMedia):  # a leg has no keys before what was agreed on is true
                await self.settled()

        await self._keyboard.press(id, digits, ready)

    def pressed(self, id: str) -> None:
        """The worker has pressed all that it was asked for on a leg, once."""
        self._keyboard.pressed(id)

    def _hearers(self, id: str) -> list[str]:
        return [hearer for hearer, source in self._heard.items() if source == id != hearer]

    async def settled(self, id: str = "") -> None:
        """Return when all that was said until now is true; raises `NoMedia`.

        Where others were too much, what is left is said anew, and waited for: as long as the leg
        `id` is there, if one is named.
        """
        wanted = self._version
        while self._true < wanted:
            try:
                await self._wait(wanted)
            except NoMedia:
                is_left = self._true < self._version and (not id or id in self._nodes)
                if self._is_lost or self._closed or not is_left:
                    raise
                wanted = self._said

    def retire(self) -> None:
        """Change nothing any more: all that there is goes at once when it is closed."""
        if self._closed:
            return
        self._closed = True
        self._nodes.clear()
        self._heard.clear()
        self._tones.clear()
        self._keyboard.close()
        self._recorders.clear()
        self._fail(NoMedia(_OVER, is_full=False), self._version)

    async def close(self) -> None:
        """Release everything; the readings of each leg have come when this returns."""
        self.retire()
        if self._is_released:
            return
        self._is_released = True
        try:
            await self._plane.end(self.call)
        finally:
            fault = _LOST if self._is_lost or self._was_there else _NEVER
            for recorder in list(self._recorded):
                self.recorded(_unheard_of(self.call, recorder, fault))

    # Inside

    async def _wait(self, version: int) -> None:
        if self._is_lost:
            raise NoMedia(_LOST, is_full=False)
        if self._closed:
            raise NoMedia(_OVER, is_full=False)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((version, done))
        try:
            await done
        finally:
            del done  # what it raises knows this frame

    def _change(self) -> None:
        if self._closed:
            raise NoMedia(_OVER, is_full=False)
        self._version += 1
        if not self._is_busy and not self._is_lost:
            # What else this turn changes goes with it.
            self._is_busy = True
            asyncio.get_running_loop().call_soon(self._make_true)

    def _make_true(self) -> None:
        if self._closed or self._true >= self._version:
            self._is_busy = False
            return
        wanted = self._wanted()
        self._said = wanted.version
        try:
            applying = self._plane.apply(wanted)
        except Exception:
            self._on_broken()
        else:
            applying.add_done_callback(partial(self._on_applied, wanted))

    def _wanted(self) -> Graph:
        """The graph as it should be now."""
        tones = {id: tone for id, tone in self._tones.items() if id not in self._heard}
        nodes: list[Any] = [*self._legs(), *tones.values(), *self._recorders.values()]
        return Graph(
            call=self.call,
            version=self._version,
            nodes=tuple(nodes),
            joins=tuple(
                [
                    Join(source=source, hearer=hearer)
                    for hearer, source in self._heard.items()
                    if source in self._nodes and hearer in self._nodes
                ]
                + [Join(source=tone.id, hearer=hearer) for hearer, tone in tones.items()]
            ),
        )

    def _legs(self) -> list[Node]:
        """Whoever hears nobody may be asked for keys, wherever its peer presses them."""
        return [
            msgspec.structs.replace(leg, listens_for_keys=True)
            if id in self._listened or id not in self._heard
            else leg
            for id, leg in self._nodes.items()
        ]

    def _on_applied(
        self, wanted: Graph, applying: "asyncio.Future[Applied | Refused | Lost]"
    ) -> None:
        try:
            result = applying.result()
        except (Exception, asyncio.CancelledError):
            self._on_broken()
            return
        match result:
            case Applied(places=places):
                self._places = places
                self._true, self._was_there = wanted.version, True
                self._wake()
            case Refused(reason=reason, is_full=is_full):
                self._take_back(wanted)
                self._fail(NoMedia(reason, is_full=is_full), wanted.version)
            case Lost():
                self._lose()
                return
        self._make_true()

    def _on_broken(self) -> None:
        _log.exception("a graph could not be made true", call=self.call)
        self._lose()

    def _lose(self) -> None:
        self._is_lost = True
        self._fail(NoMedia(_LOST, is_full=False), self._version)
        self._is_busy = False

    def _take_back(self, refused: Graph) -> None:
        """Forget the legs that are new in a graph that was refused, and say the rest anew.

        Of several the first stays: there may be ports for one.
        """
        self._true = refused.version
        legs = [each.id for each in refused.nodes if isinstance(each, Leg)]
        new = [each for each in legs if each not in self._places]
        left = [each for each in new if each in self._nodes]
        for id in left[1:] if len(new) > 1 else left:
            self._version = max(self._version, refused.version + 1)
            self._nodes.pop(id, None)
            self._silence(id)
        self._heard = {
            hearer: source
            for hearer, source in self._heard.items()
            if hearer in self._nodes and source in self._nodes
        }

    def _silence(self, id: str) -> None:
        """A leg is gone, and what it was to hear is over."""
        tone = self._tones.pop(id, None)
        done = None if tone is None else self._playing.get(tone.id)
        if done is not None and not done.done():
            done.set_result(_NO_LEG)

    def _wake(self) -> None:
        ready = [done for version, done in self._waiting if version <= self._true]
        self._waiting = [each for each in self._waiting if each[0] > self._true]
        for done in ready:
            if not done.done():
                done.set_result(None)

    def _fail(self, error: NoMedia, version: int) -> None:
        """Tell those who wait for this version or an earlier one."""
        failed = [done for awaited, done in self._waiting if awaited <= version]
        self._waiting = [each for each in self._waiting if each[0] > version]
        for done in failed:
            if not done.done():
                done.set_exception(error)


def _unheard_of(call: str, recorder: str, fault: str) -> RecordingEnded:
    """How a recording ended of which no worker could say so."""
    return RecordingEnded(
        call=call, recorder=recorder, seconds=0.0, cause="removed", spoke=True, fault=fault
    )


def quality_of(stream: StreamQuality) -> Quality:
    """How one direction was, as a leg's record has it."""
    return Quality(
        packets=stream.packets, lost=stream.lost, jitter=stream.jitter, mos=stream.mos or 0.0
    )
