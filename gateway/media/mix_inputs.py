"""What a mixer hears: each source as frames of 20 ms at a rate of its own.

A leg comes as packets and passes a playout for each RTP clock that its peer may use; what makes
its sound itself is asked for it. Where a source is heard, by all or by one alone, may change from
one frame to the next, and is faded then.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Final

import numpy as np

from gateway.media.mixing import FRAMES, Values, decoded, faded, rising, size_of, stacked
from gateway.media.node import Pulled
from gateway.media.playout import Coded, Playout
from gateway.media.talk import Talker
from gateway.media.transcode import format_of
from protocols.rtp import formats
from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.jitter import JitterConfig
from protocols.sdp.media import Stream

ALL: Final = ""  # heard by all
NOBODY: Final = None

_NOTHING: Final[Samples] = np.zeros(0, dtype=np.int16)
_LAW_RATE: Final = 8000
_OCTETS: Final = _LAW_RATE // FRAMES  # of a frame in a law of G.711
_STILL: Final = 1.0  # seconds without a packet after which a playout isn't asked any more


class Packets:
    """A leg's source; its packets come by `take` and `hush`, as `node.Listener` says.

    Without a `stream` none come, for nothing is agreed on.
    """

    def __init__(
        self, stream: Stream | None, seed: Callable[[], int], config: JitterConfig
    ) -> None:
        by_clock: dict[int, dict[int, formats.Format]] = {}
        for each in stream.codecs if stream is not None else ():
            found = format_of(each.received)
            if found is not None:
                heard = by_clock.setdefault(found.clock_rate, {})
                heard.setdefault(each.received.payload_type, found)
        self._playouts: dict[int, Playout] = {}
        for clock_rate, heard in by_clock.items():
            noises = frozenset(
                each.received.payload_type
                for each in (stream.noise if stream is not None else ())
                if each.received.clock_rate == clock_rate
            )
            made = Playout(heard, clock_rate=clock_rate, noises=noises, seed=seed(), config=config)
            self._playouts |= dict.fromkeys((*heard, *noises), made)
        self._speaking: Playout | None = None
        self._heard = -inf

    def take(self, octets: bytes, now: float) -> None:
        """See `node.Listener`."""
        playout = self._playouts.get(octets[1] & 0x7F)
        if playout is not None:
            self._speaking, self._heard = playout, now
            playout.push(octets, now)

    def hush(self, octets: bytes, now: float) -> None:
        """See `node.Listener`."""
        if self._speaking is not None:
            self._speaking.hush(now)

    def pull(self, now: float) -> Pcm | None:
        """What is to be heard at `now`, in a frame of the peer's; None for silence."""
        if self._speaking is None or now - self._heard > _STILL:
            return None
        return self._speaking.pull(now)

    def pull_coded(self, now: float) -> Pcm | Coded | None:
        """The same, or a frame of the room's in a law of G.711."""
        if self._speaking is None or now - self._heard > _STILL:
            return None
        return self._speaking.pull_coded(now, _OCTETS)


class Made:
    """The source of what makes its sound itself, at `rate` samples a second."""

    def __init__(self, pulled: Pulled, rate: int) -> None:
        self._pulled = pulled
        self._rate = rate

    def pull_coded(self, now: float) -> Pcm | Coded | None:
        """As `pull`."""
        return self.pull(now)

    def pull(self, now: float) -> Pcm | None:
        """A frame, whatever the time; None after the end."""
        samples = self._pulled.pull(size_of(self._rate))
        return None if samples is None else Pcm(rate=self._rate, samples=samples)


class Input:
    """One source of a room.

    `role` is who hears it: `ALL`, one seat's name, or `NOBODY`; `before` what it was when there
    was a sound last, for which nobody heard it at first.
    """

    __slots__ = ("_waiting", "before", "id", "key", "role", "source", "talker")

    def __init__(self, id: str, key: object, source: Packets | Made) -> None:
        self.id = id
        self.key = key  # what it was made of: as long as that stays, so does it
        self.source = source
        self.role: str | None = ALL
        self.before: str | None = NOBODY
        self.talker = Talker()
        self._waiting: Pcm | None = None

    def frame(self, at: float) -> Pcm | Coded | None:
        """The next 20 ms, to be heard at `at`; None for silence."""
        if self._waiting is None:
            found = self.source.pull_coded(at)
            if not isinstance(found, Pcm) or len(found.samples) * FRAMES == found.rate:
                return found
            self._waiting = found
        return self._cut(self._waiting, at)

    def _cut(self, waiting: Pcm, at: float) -> Pcm:
        """A frame out of pieces of other lengths; what is missing in it is silence."""
        rate, samples = waiting.rate, waiting.samples
        size = size_of(rate)
        while len(samples) < size:
            more = self.source.pull(at + len(samples) / rate)
            if more is None:
                rest = np.zeros(size - len(samples), dtype=np.int16)
                more = Pcm(rate=rate, samples=rest)
            elif more.rate != rate:  # another codec: less than a frame of the old one is left out
                rate, samples, size = more.rate, _NOTHING, size_of(more.rate)
            samples = np.concatenate((samples, more.samples))
        rest = samples[size:]
        self._waiting = Pcm(rate=rate, samples=rest) if len(rest) else None
        return Pcm(rate=rate, samples=samples[:size])


class Came:
    """What came in one frame, until all of it is there."""

    def __init__(self) -> None:
        self._pcm: defaultdict[int, tuple[list[Input], list[Samples]]]
        self._pcm = defaultdict(lambda: ([], []))
        self._coded: defaultdict[str, tuple[list[Input], list[bytes]]]
        self._coded = defaultdict(lambda: ([], []))

    def add(self, source: Input, frame: Pcm | Coded) -> None:
        """Take what one source says."""
        if isinstance(frame, Pcm):
            self._pcm[frame.rate][0].append(source)
            self._pcm[frame.rate][1].append(frame.samples)
        else:
            coded = self._coded[frame[0].name]
            coded[0].append(source)
            coded[1].append(frame[1])

    def by_rate(self) -> Iterable[tuple[int, list[Input], Values]]:
        """Who says something at a rate, and what, as rows."""
        found: dict[int, list[tuple[list[Input], Values]]] = {}
        for law, (inputs, payloads) in self._coded.items():
            found.setdefault(_LAW_RATE, []).append((inputs, decoded(payloads, law)))
        for rate, (inputs, frames) in self._pcm.items():
            found.setdefault(rate, []).append((inputs, stacked(frames, size_of(rate))))
        for rate, parts in found.items():
            if len(parts) == 1:
                yield rate, *parts[0]
            else:
                together = [each for inputs, _ in parts for each in inputs]
                yield rate, together, np.concatenate([rows for _, rows in parts])


class Said:
    """What came at one rate in one frame: `rows`, and where in them who is, by `places`.

    `rows` is what is said to all and `total` its sum; `apart` is what is said to one seat alone.
    """

    def __init__(self, rate: int, inputs: Sequence[Input], rows: Values) -> None:
        self.rate = rate
        self.apart: list[tuple[str, Values]] = []
        self.places = {each.id: place for place, each in enumerate(inputs)}
        self.rows = rows
        for place, each in enumerate(inputs):
            if each.role != ALL or each.before != ALL:
                self._part(place, each)
                each.before = each.role
        self.total: Values = self.rows.sum(axis=0)

    def _part(self, place: int, each: Input) -> None:
        """Say this one to whom it is for, faded if that was another for the frame before."""
        row = self.rows[place].copy()
        self.rows[place] = 0.0
        if each.role == each.before:
            self._add(place, each.role, row)
            return
        gain = rising(self.rate)
        self._add(place, each.role, faded(row, gain))
        self._add(place, each.before, faded(row, 1.0 - gain))

    def _add(self, place: int, role: str | None, row: Values) -> None:
        if role == ALL:
            self.rows[place] = row
        elif role is not NOBODY:
            self.apart.append((role, row))
