"""A mixer at work: a room in which each hears all the others.

A room has one clock. Every 20 ms it asks its sources for a frame and says one to each seat.
Sources stay at the rates that they come in, and add up to one sum for each rate; the sums, not the
sources, are carried over to the other rates. A seat hears the sum less itself, and what is said to
it alone. So a room costs what its packets cost, and little more for each that speaks; those who
only listen hear the same octets.
"""

from collections.abc import Sequence
from math import inf
from typing import Final

import numpy as np

from gateway.media import graph, wire
from gateway.media.mix_inputs import NOBODY, Came, Input, Made, Packets, Said
from gateway.media.mix_seats import Apart, Chair, Voices, key_of
from gateway.media.mixing import (
    FRAME,
    QUIET,
    Bridge,
    Limiter,
    Values,
    added,
    faded,
    rising,
    size_of,
)
from gateway.media.node import Heard, Listener, Seat, Tap, Tools
from gateway.media.transcode import format_of
from protocols.rtp.audio import Pcm
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.jitter import JitterConfig
from protocols.rtp.resample import RATES

TAP_RATE: Final = 8000  # samples a second of what is tapped
_WIDE: Final = 16_000  # samples a second, the most that are asked of what makes its sound itself
_LATE: Final = 0.2  # seconds; who comes later than that leaves out what was missed


class Mixer:
    """See the module, and `node.Mixing`."""

    def __init__(self, call: str, node: graph.Mixer, tools: Tools, now: float) -> None:
        self.id = node.id
        self.due = inf
        self._call = call
        self._tells_speech = node.tells_speech
        self._tools = tools
        self._inputs: dict[str, Input] = {}
        self._leaving: list[Input] = []
        self._chairs: list[Chair] = []
        self._by_rate: dict[int, list[Chair]] = {}
        # Who sits where in the rows of a rate, as long as the same say something as before.
        self._plans: dict[int, tuple[Sequence[Input], list[tuple[Chair, int]]]] = {}
        self._voices = Voices(tools.ssrc)
        self._taps: tuple[Tap, ...] = ()
        self._tapped = Apart(TAP_RATE, None)
        self._tap_limiter = Limiter(TAP_RATE)
        self._bridges: dict[tuple[int, int], Bridge] = {}
        self._limiters: dict[int, Limiter] = {}
        self._at = inf  # when the next frame is due
        self._now = now
        self._number = 0  # of the next frame

    def update(self, node: graph.Mixer, now: float) -> None:
        """Become what the newer graph says."""
        self._tells_speech = node.tells_speech
        self._go_on(now)

    # Who is there

    def connect(self, heard: Sequence[Heard], seats: Sequence[Seat], now: float) -> None:
        """See `node.Mixing`."""
        self._seat(seats)
        self._hear(heard, now)
        said_alone = {each.only for each in heard}
        for chair in self._chairs:
            chair.only_listens = chair.id not in self._inputs and chair.id not in said_alone
        self._voices.forget(self._chairs)
        self._go_on(now)

    def _seat(self, seats: Sequence[Seat]) -> None:
        before = {each.key: each for each in self._chairs}
        self._chairs = []
        for seat in seats:
            format = format_of(seat.stream.codecs[0].sent)
            if format is not None:
                chair = before.get(key_of(seat))
                self._chairs.append(chair or Chair(seat, format))
        self._plans.clear()
        self._by_rate = {}
        for each in self._chairs:
            self._by_rate.setdefault(each.rate, []).append(each)

    def _hear(self, heard: Sequence[Heard], now: float) -> None:
        before, self._inputs = self._inputs, {}
        for each in heard:
            stream = each.stream
            key = (each.sound, each.buffer, stream and (stream.codecs, stream.noise))
            known = before.get(each.id)
            if known is not None and known.key == key:
                del before[each.id]
                found = known
            else:
                found = Input(each.id, key, self._source(each, now))
                if known is not None:
                    found.talker = known.talker
            found.role = each.only
            self._inputs[each.id] = found
        for gone in before.values():
            gone.role = NOBODY
            self._leaving.append(gone)
            if gone.talker.speaks and gone.id not in self._inputs:
                self._tools.tell(wire.SpeechEnded(call=self._call, node=gone.id))

    def _source(self, heard: Heard, now: float) -> Packets | Made:
        if heard.sound is not None:
            widest = max((each.rate for each in self._chairs), default=TAP_RATE)
            rate = min(_WIDE, widest)
            return Made(heard.sound.pcm(rate, now), rate)
        return Packets(heard.stream, self._tools.ssrc, _within(heard.buffer))

    def listener(self, id: str) -> Listener:
        """See `node.Mixing`."""
        source = self._inputs[id].source
        if not isinstance(source, Packets):
            raise LocalProtocolError(f"{id} makes its sound itself and sends no packets")
        return source

    def tap(self, taps: Sequence[Tap]) -> None:
        """See `node.Mixing`; what is given has 8,000 samples a second."""
        self._taps = tuple(taps)
        self._go_on(self._now)

    def close(self, now: float) -> None:
        """See `node.Mixing`."""
        self._inputs, self._leaving, self._taps = {}, [], ()
        self._seat(())
        self._at = inf

    # Time

    def _go_on(self, now: float) -> None:
        """Mix from now on, or no more if nobody would hear it."""
        self._now = now
        if not (self._chairs or self._taps or (self._tells_speech and self._inputs)):
            self._at = inf
            self._leaving = []
        elif self._at == inf:
            self._at = now
            self._tools.wake(self, now)

    def timer(self, now: float) -> float:
        """See `node.Timed`."""
        return self._at

    def handle_timer(self, now: float) -> None:
        """See `node.Timed`."""
        self._now = now
        if now - self._at > _LATE:
            missed = int((now - self._at) / FRAME)
            self._number += missed
            self._at += missed * FRAME
        while self._at <= now:
            said = self._listen(self._at)
            self._say(said, now)
            self._number += 1
            self._at += FRAME

    # A frame

    def _listen(self, at: float) -> dict[int, Said]:
        """What all say at `at`, by its rate."""
        came = Came((*self._inputs.values(), *self._leaving), at)
        self._watch(came.silent, [0.0] * len(came.silent))
        said = {}
        for rate, inputs, rows, found in came.by_rate():
            self._watch(inputs, found)
            loud = [place for place, energy in enumerate(found) if energy > QUIET]
            if loud:
                if len(loud) < len(inputs):
                    rows, inputs = rows[loud], [inputs[place] for place in loud]
                said[rate] = Said(rate, inputs, rows)
        self._leaving.clear()
        return said

    def _watch(self, sources: Sequence[Input], found: Sequence[float]) -> None:
        """Tell who begins and who ends to speak, by the energies of their frames."""
        if not self._tells_speech:
            return
        for source, energy in zip(sources, found, strict=True):
            if source.role is not NOBODY and source.talker.hear(energy):
                kind = wire.SpeechBegan if source.talker.speaks else wire.SpeechEnded
                self._tools.tell(kind(call=self._call, node=source.id))

    def _say(self, said: dict[int, Said], now: float) -> None:
        """Say to every seat what it hears, and to the taps what all hear."""
        by_rate = self._by_rate
        tapped: Values | None = None
        for rate in (*by_rate, *((TAP_RATE,) if self._taps and TAP_RATE not in by_rate else ())):
            sum_ = self._sum(rate, said)
            if rate == TAP_RATE:
                tapped = sum_
            if rate in by_rate:
                rows, chairs = self._rows(by_rate[rate], sum_, said)
                self._voices.say(self._limiter(rate).limit(rows), chairs, self._number, now)
        if self._taps:
            self._give(added(tapped, self._tapped.find(said)))

    def _limiter(self, rate: int) -> Limiter:
        if rate not in self._limiters:
            self._limiters[rate] = Limiter(rate)
        return self._limiters[rate]

    def _sum(self, rate: int, said: dict[int, Said]) -> Values | None:
        """What is said to all, at this rate."""
        total = said[rate].total if rate in said else None
        if total is not None and len(said) == 1 and not self._bridges:
            return total
        for other in RATES:
            bridge = self._bridges.get((other, rate))
            if other == rate or (bridge is None and other not in said):
                continue
            if bridge is None:
                bridge = self._bridges[other, rate] = Bridge(other, rate)
            total = added(total, bridge.carry(said[other].total if other in said else None))
        return total

    def _rows(
        self, chairs: Sequence[Chair], total: Values | None, said: dict[int, Said]
    ) -> tuple[Values, list[tuple[Chair, int]]]:
        """What these seats of one rate hear: the first row is for who says nothing itself."""
        rate = chairs[0].rate
        own = said.get(rate)
        inputs = own.inputs if own is not None else ()
        count = len(inputs)
        rows = np.empty((count + 1, size_of(rate)), dtype=np.float32)
        rows[0] = 0.0 if total is None else total
        if own is not None:
            np.subtract(rows[0], own.rows, out=rows[1:])
        # Without these the row of each seat is all that it hears.
        is_mixed = bool(said) and (own is None or len(said) > 1 or bool(own.apart))
        plan = self._plans.pop(rate, None)
        if plan is not None and not is_mixed and plan[0] == inputs:
            self._plans[rate] = plan
            return rows, plan[1]
        placed: list[tuple[Chair, int]] = []
        more: list[Values] = []
        for chair in chairs:
            place = own.places.get(chair.id, -1) + 1 if own is not None else 0
            apart = chair.apart.find(said) if is_mixed or chair.apart.bridges else None
            if apart is not None or chair.is_new:
                row = rows[place] if apart is None else rows[place] + apart
                more.append(faded(row, rising(rate)) if chair.is_new else row)
                place = count + len(more)
                chair.is_new = False
            placed.append((chair, place))
        if not (is_mixed or more or any(each.apart.bridges for each in chairs)):
            self._plans[rate] = inputs, placed
        return (np.vstack((rows, *more)) if more else rows), placed

    def _give(self, row: Values | None) -> None:
        if row is None:
            return
        samples = self._tap_limiter.limit(row.reshape(1, -1))[0]
        for tap in self._taps:
            tap(Pcm(rate=TAP_RATE, samples=samples), self._at)


def _within(most: float) -> JitterConfig:
    """The usual bounds of a delay, but for one that is no longer than `most` seconds."""
    usual = JitterConfig()
    return JitterConfig(least=min(usual.least, most), first=min(usual.first, most), most=most)
