"""A player at work: clips that all who hear it hear from one beginning, and their end told.

It begins when the first is joined to it who can hear it, and goes on by the clock from then on,
whoever comes, goes or is on hold.
"""

from math import ceil, inf
from typing import Final

import numpy as np

from gateway.media import graph, sounds, wire
from gateway.media.node import Speaker, Tools
from gateway.media.outlet import Outlet
from gateway.media.reel import Reel, Reels, Wanted
from gateway.media.speaker import Framed
from gateway.media.transcode import format_of
from protocols.rtp.audio import Samples
from protocols.rtp.formats import Format
from protocols.sdp.formats import Codec
from protocols.sdp.media import Stream

DUMB: Final = "a peer takes no sound of ours"
NOTHING: Final = "there is nothing to play"
_PULLED: Final = 20  # milliseconds of samples that are read at once
_NETWORK: Final = np.dtype(">i2")
_ROUNDED: Final = 1e-6  # of a packet


class Playing:
    """See the module, and `node.Sounding`."""

    def __init__(
        self, call: str, node: graph.Player, tools: Tools, reels: Reels, now: float
    ) -> None:
        self.due = inf
        self._call = call
        self._id = node.id
        self._tools = tools
        self._reels = reels
        self._taken: dict[Wanted, Reel] = {}
        self._pieces, self._fault = sounds.measure(node.clips)
        self._seconds = sum(map(sounds.seconds, self._pieces))
        self._passes = node.loop or inf
        self._begun: float | None = None
        self._ends = inf
        if not self._seconds:
            self._fault = self._fault or NOTHING
            self._end_at(now)

    # Who hears it

    def speaker(self, stream: Stream, *, ssrc: int, outlet: Outlet, now: float) -> Speaker | None:
        """See `node.Sounding`."""
        codec = stream.codecs[0].sent
        format = format_of(codec)
        begun = self._begin(now)
        if format is None:
            self._fault = self._fault or DUMB
            self._end_at(begun + self._seconds * self._passes)
            return None
        if not self._seconds:
            return None
        reel, number = self._reel(format, format.ptime(stream.ptime), now)
        last = reel.packets * self._passes
        return _Played(reel, number, last, codec, ssrc=ssrc, outlet=outlet, begun=begun)

    def pcm(self, rate: int, now: float) -> "_Pulled":
        """See `node.Sounding`."""
        self._begin(now)
        if not self._seconds:
            return _Pulled(None, 0, 0)
        format = Format(name="L16", clock_rate=rate, sample_rate=rate)
        reel, number = self._reel(format, _PULLED, now)
        return _Pulled(reel, number, reel.packets * self._passes)

    def _begin(self, now: float) -> float:
        if self._begun is None:
            self._begun = now
        return self._begun

    def _reel(self, format: Format, ptime: int, now: float) -> tuple[Reel, int]:
        """The packets to play, and the number of the next one of all passes together."""
        begun = self._begin(now)
        wanted = Wanted(pieces=self._pieces, format=format, ptime=ptime)
        number = max(0, ceil((now - begun) * 1000 / ptime - _ROUNDED))
        reel = self._taken.get(wanted)
        if reel is None:
            reel = self._taken[wanted] = self._reels.take(wanted, number)
        self._end_at(begun + reel.packets * reel.step * self._passes)
        return reel, number

    # Its end

    def _end_at(self, time: float) -> None:
        """Not before this, which is the last of what each hearer has to hear."""
        self._ends = time if self._ends == inf else max(self._ends, time)
        self._tools.wake(self, self._ends)

    def timer(self, now: float) -> float:
        """See `node.Timed`."""
        return self._ends

    def handle_timer(self, now: float) -> None:
        """See `node.Timed`."""
        if now >= self._ends:
            self._ends = inf
            self._give_back()
            told = wire.PlayerEnded(call=self._call, player=self._id, fault=self._fault)
            self._tools.tell(told)

    def close(self, now: float) -> None:
        """Play no more, and tell nobody."""
        self.due = -inf
        self._give_back()

    def _give_back(self) -> None:
        for reel in self._taken.values():
            self._reels.give_back(reel)
        self._taken.clear()


class _Played(Framed):
    """What one leg is played: packets of a reel from `number` on, until there were `last`."""

    def __init__(
        self,
        reel: Reel,
        number: int,
        last: float,
        codec: Codec,
        *,
        ssrc: int,
        outlet: Outlet,
        begun: float,
    ) -> None:
        super().__init__(codec, ptime=reel.wanted.ptime, ssrc=ssrc, outlet=outlet)
        self._reel = reel
        self._last = last
        self._number = number
        self._at = begun + number * reel.step

    def _next(self, number: int) -> bytes | None:
        if number >= self._last:
            return None
        return self._reel.payload(number % self._reel.packets)


class _Pulled:
    """The same as samples."""

    def __init__(self, reel: Reel | None, number: int, last: float) -> None:
        self._reel = reel
        self._number = number
        self._last = last
        self._rest: Samples = np.zeros(0, dtype=np.int16)

    def pull(self, count: int) -> Samples | None:
        """See `node.Pulled`."""
        parts, there = [self._rest], len(self._rest)
        while there < count and self._reel is not None and self._number < self._last:
            payload = self._reel.payload(self._number % self._reel.packets)
            parts.append(np.frombuffer(payload, dtype=_NETWORK).astype(np.int16))
            there += len(parts[-1])
            self._number += 1
        if not there:
            return None
        parts.append(np.zeros(max(0, count - there), dtype=np.int16))
        whole = np.concatenate(parts)
        self._rest = whole[count:]
        return whole[:count]
