"""All calls of one worker: graphs made true, legs told the time.

The worker's process drives it: it gives graphs and ends of calls, calls `handle_timer` when `timer`
says so, and sends what `Tools.tell` is given. Times are seconds of one clock that never goes back.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Final

from gateway.media import faults, graph, wire
from gateway.media.call import Call, Kinds
from gateway.media.graph import Graph
from gateway.media.joining import Joining
from gateway.media.lending import Lending
from gateway.media.mixer import Mixer
from gateway.media.node import Timed, Tools
from gateway.media.player import Playing
from gateway.media.recorder import Ends, Recording
from gateway.media.reel import Reels
from gateway.media.shelf import Kind
from gateway.media.wav import Disk
from protocols.rtp.dtmf import DURATION
from protocols.rtp.endpoint import PortPair, PortRange, Reader
from protocols.sip.pace import Pace, Rate

NO_PORT: Final = "no port is free"
SET_UPS: Final = 20
"""Legs over WebRTC that begin in a second: each takes some 4 ms, in which no packet goes on."""
TICK: Final = 0.005  # seconds between two calls of `handle_timer` are soon enough
REST: Final = 1.0  # seconds in which a node that raised is left alone


class Switch:
    """The worker's calls; see `Tools` for what it is given."""

    def __init__(
        self,
        *,
        ports: PortRange,
        most_calls: int,
        reader: Reader,
        tell: Callable[[wire.Told | wire.Ended], None],
        chance: Callable[[], float],
        unix: float,
        cname: str,
        disk: Disk,
        advertised: str = "",
        set_ups: int = SET_UPS,
    ) -> None:
        self._ports = ports
        self._set_ups = Pace(Rate(per_second=set_ups, at_once=set_ups), 0.0)
        self._most_calls = most_calls
        self._tell = tell
        self.lending = Lending()
        self.reels = Reels()
        self._calls: dict[str, Call] = {}
        self._waiting: list[tuple[float, int, Timed]] = []
        self._next = inf  # when the first of those wants its time, as far as was told
        self.wanted: Callable[[float], None] = _told_nobody  # of a time, when `timer` came nearer
        self._counter = itertools.count()
        self._tools = Tools(
            reader=reader,
            chance=chance,
            ssrc=lambda: int(chance() * (1 << 32)),
            unix=unix,
            cname=cname,
            tell=tell,
            wake=self._wake,
            advertised=advertised,
        )
        self.disk = disk
        self._files: Counter[str] = Counter()  # that are not closed, by calls
        self._leaving: set[str] = set()  # calls that end when their files are closed
        self._ends = Ends(over=self._over, gone=self._gone)
        self._kinds = self._made()

    def _made(self) -> Kinds:
        tools, reels = self._tools, self.reels
        return Kinds(
            players=Kind(
                node=graph.Player,
                make=lambda call, node, now: Playing(call, node, tools, reels, now),
            ),
            mixers=Kind(
                node=graph.Mixer,
                make=lambda call, node, now: Mixer(call, node, tools, now),
                become=Mixer.update,
            ),
            recorders=Kind(node=graph.Recorder, make=self._record, become=Recording.become),
        )

    def _record(self, call: str, node: graph.Recorder, now: float) -> Recording:
        self._files[call] += 1
        return Recording(call, node, self._tools, self.disk, self._ends, now)

    @property
    def calls(self) -> int:
        """How many there are, those among them that wait for their files to be closed."""
        return len(self._calls) + len(self._leaving)

    # What signalling wants

    def apply(self, wanted: Graph, now: float) -> wire.Applied | wire.Refused:
        """Make a graph true, or leave all as it was.

        The version that holds may come again; an older one is refused.
        """
        call = self._calls.get(wanted.call)
        held = call.version if call is not None else 0
        if wanted.version < max(1, held):
            return _refused(wanted, f"version {held} holds already")
        reason = graph.fault(wanted) or faults.of_nodes(wanted.nodes)
        if reason is not None:
            return _refused(wanted, reason)
        if call is None:
            if len(self._calls) >= self._most_calls:
                return _full(wanted, "the worker has all the calls that it takes")
            call = Call(wanted.call, self._kinds, self._tools)
        if wanted.version > held:
            refused = self._change(call, wanted, now)
            if refused is not None:
                return refused
        places = {name: leg.place for name, leg in call.legs.items()}
        return wire.Applied(call=wanted.call, version=wanted.version, places=places)

    def _change(self, call: Call, wanted: Graph, now: float) -> wire.Refused | None:
        legs = [each for each in wanted.nodes if isinstance(each, graph.Leg)]
        wanting = [each for each in legs if each.id not in call.legs]
        fresh = self._open(wanting)
        if isinstance(fresh, str):
            return _full(wanted, fresh)
        browsers = sum(each.webrtc is not None for each in wanting)
        if browsers and not self._set_ups.admits(now, browsers):
            for ports in fresh.values():
                ports.close()
            return _full(wanted, "the worker sets up as many browsers as it may in a second")
        self._calls[wanted.call] = call
        shared, was_mute = self.lending.sharing(call.name), call.is_mute
        call.change(wanted, fresh, now)
        self.lending.borrow(call.name, {each.call for each in call.guests.values()})
        shared |= self.lending.sharing(call.name)
        if len(shared) > 1 or not (was_mute and call.is_mute):
            self._join(shared, now)
        return None

    def _join(self, names: Iterable[str], now: float) -> None:
        Joining(sorted(names), self._calls).join(now)

    def _open(self, nodes: Sequence[graph.Leg]) -> dict[str, PortPair] | str:
        """Ports for legs that are new, for all or for none; else why not."""
        fresh: dict[str, PortPair] = {}
        reason = NO_PORT
        for node in nodes:
            try:
                pair = self._ports.open(node.host)
            except OSError as error:
                pair, reason = None, f"no port on {node.host}: {error.strerror}"
            if pair is None:
                for each in fresh.values():
                    each.close()
                return reason
            fresh[node.id] = pair
        return fresh

    def press(self, name: str, leg: str, keys: str, now: float, duration: float = DURATION) -> None:
        """Press keys towards a leg's peer, and tell when that is done or why it can't be."""
        call = self._calls.get(name)
        if call is None or leg not in call.legs:
            self._tell(wire.Pressed(call=name, leg=leg, fault="there is no such leg"))
        else:
            call.legs[leg].mouth.press(keys, now, duration)

    def measure(self, name: str) -> None:
        """Tell how each leg of a call is; of a call that is not there, nothing."""
        call = self._calls.get(name)
        for leg in call.legs.values() if call is not None else ():
            self._tell(wire.Measured(call=name, leg=leg.id, readings=leg.readings()))

    def end(self, name: str, now: float) -> None:
        """Release all that a call has, and tell `Ended`; harmless when it is not there.

        While a file of its recordings waits for the disk, `Ended` waits for the file.
        """
        call = self._calls.pop(name, None)
        try:
            if call is not None:
                shared = self.lending.sharing(name)
                self.lending.borrow(name, ())
                call.close(now)
                if len(shared) > 1:
                    self._join(shared, now)
        finally:
            self._leaving.add(name)
            self._leave(name)

    def _leave(self, name: str) -> None:
        if name in self._leaving and not self._files[name]:
            self._leaving.remove(name)
            self._tell(wire.Ended(call=name))
        if not self.calls:  # nobody has time until there are others
            self._waiting.clear()

    def _over(self, recording: Recording) -> None:
        """Have nobody tell a recording anything that has ended by itself."""
        self._join(self.lending.sharing(recording.call), recording.ended_at)

    def _gone(self, recording: Recording) -> None:
        self._files[recording.call] -= 1
        if not self._files[recording.call]:
            del self._files[recording.call]
        self._leave(recording.call)

    def close(self, now: float) -> None:
        """End all calls."""
        for name in list(self._calls):
            self.end(name, now)

    # Time

    def _wake(self, node: Timed, due: float) -> None:
        if due < node.due:
            node.due = due
            heapq.heappush(self._waiting, (due, next(self._counter), node))
            if due < self._next:
                self._next = due
                self.wanted(due)

    def timer(self) -> float:
        """When `handle_timer` wants to be called; infinity for never."""
        waiting = self._waiting
        while waiting and waiting[0][0] != waiting[0][2].due:
            heapq.heappop(waiting)  # it was woken before, or is closed
        self._next = waiting[0][0] if waiting else inf
        return self._next

    def handle_timer(self, now: float) -> None:
        """Let the nodes do what is due by `now`.

        One that raises has its time again after `REST`, the others at the next call.
        """
        while self.timer() <= now:
            _, _, node = heapq.heappop(self._waiting)
            node.due = inf
            try:
                node.handle_timer(now)
            except Exception:
                self._wake(node, now + REST)
                raise
            self._wake(node, max(node.timer(now), now + TICK))


def _told_nobody(due: float) -> None:
    """Whoever drives a switch may ask it for its timer often enough."""


def _refused(wanted: Graph, reason: str) -> wire.Refused:
    return wire.Refused(call=wanted.call, version=wanted.version, reason=reason)


def _full(wanted: Graph, reason: str) -> wire.Refused:
    return wire.Refused(call=wanted.call, version=wanted.version, reason=reason, is_full=True)
