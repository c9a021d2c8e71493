"""What a mixer hears: each source as frames of 20 ms at a rate of its own.

A leg comes as packets and passes a playout for each RTP clock that its peer may use; what makes
its sound itself is asked for it. Where a source is heard, by all or by one alone, may change from
one frame to the next, and is faded then.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from gateway.media.mixing import (
    FRAMES,
    Values,
    decoded,
    energies,
    faded,
    rising,
    size_of,
    stacked,
    summed,
)
from gateway.media.node import Pulled, Way
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


class Packets:
    """A leg's source; its packets come by `take` and `hush`, as `node.Listener` says.

    Without a `stream` none come, for nothing is agreed on.
    """

    def __init__(
        self, stream: Stream | None, seed: Callable[[], int], config: JitterConfig
    ) -> None:
        self._playouts = _playouts(stream, seed, config) if stream is not None else {}
        self._speaking = next(iter(self._playouts.values()), None)
        self.take: Way = self._turn
        self.pull_coded: Callable[[float], Pcm | Coded | None] = self._pull_coded
        self.weigh: Callable[[float], None] = self._weigh
        if self._speaking is not None and _has_one(stream, self._playouts):
            only = self._speaking
            self.take, self.pull_coded, self.weigh = only.push, only.pull_coded, only.weigh

    def _turn(self, octets: bytes, now: float) -> None:
        playout = self._playouts.get(octets[1] & 0x7F)
        if playout is not None:
            self._speaking = playout
            playout.push(octets, now)

    def hush(self, octets: bytes, now: float) -> None:
        """See `node.Listener`."""
        if self._speaking is not None:
            self._speaking.hush(now)

    def _pull_coded(self, now: float) -> Pcm | Coded | None:
        return None if self._speaking is None else self._speaking.pull_coded(now)

    def _weigh(self, energy: float) -> None:
        if self._speaking is not None:
            self._speaking.weigh(energy)

    def pull(self, now: float) -> Pcm | None:
        """What is to be heard at `now`, in a frame of the peer's; None for silence."""
        return None if self._speaking is None else self._speaking.pull(now)


def _playouts(stream: Stream, seed: Callable[[], int], config: JitterConfig) -> dict[int, Playout]:
    """One for each RTP clock, by the payload types that it takes."""
    by_clock: dict[int, dict[int, formats.Format]] = {}
    for each in stream.codecs:
        found = format_of(each.received)
        if found is not None:
            heard = by_clock.setdefault(found.clock_rate, {})
            heard.setdefault(each.received.payload_type, found)
    made: dict[int, Playout] = {}
    for clock_rate, heard in by_clock.items():
        noises = frozenset(
            each.received.payload_type
            for each in stream.noise
            if each.received.clock_rate == clock_rate
        )
        playout = Playout(heard, clock_rate=clock_rate, noises=noises, seed=seed(), config=config)
        made |= dict.fromkeys((*heard, *noises), playout)
    return made


def _has_one(stream: Stream | None, playouts: dict[int, Playout]) -> bool:
    """Whether one playout takes all that the stream has, as it most often is."""
    every = (*stream.codecs, *stream.noise) if stream is not None else ()
    return len({playouts.get(each.received.payload_type) for each in every}) == 1


class Made:
    """The source of what makes its sound itself, at `rate` samples a second."""

    def __init__(self, pulled: Pulled, rate: int) -> None:
        self._pulled = pulled
        self._rate = rate

    def pull_coded(self, now: float) -> Pcm | Coded | None:
        """As `pull`."""
        return self.pull(now)

    def weigh(self, energy: float) -> None:
        """Nothing of it comes coded."""

    def pull(self, now: float) -> Pcm | None:
        """A frame, whatever the time; None after the end."""
        samples = self._pulled.pull(size_of(self._rate))
        return None if samples is None else Pcm(rate=self._rate, samples=samples)


class Input:
    """One source of a room.

    `role` is who hears it: `ALL`, one seat's name, or `NOBODY`; `before` what it was when there
    was a sound last, for which nobody heard it at first.
    """

    __slots__ = (
        "_pull_coded",
        "_waiting",
        "before",
        "id",
        "key",
        "role",
        "source",
        "talker",
        "weigh",
    )

    def __init__(self, id: str, key: object, source: Packets | Made) -> None:
        self.id = id
        self.key = key  # what it was made of: as long as that stays, so does it
        self.source = source
        self.role: str | None = ALL
        self.before: str | None = NOBODY
        self.talker = Talker()
        self.weigh = source.weigh  # takes how loud each frame was that came coded
        self._pull_coded = source.pull_coded
        self._waiting: Pcm | None = None

    def frame(self, at: float) -> Pcm | Coded | None:
        """The next 20 ms, to be heard at `at`; None for silence."""
        if self._waiting is None:
            found = self._pull_coded(at)
            if type(found) is not Pcm or len(found.samples) * FRAMES == found.rate:
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
    """What these say in the frame that is to be heard at `at`; `silent` are those that don't."""

    def __init__(self, sources: Iterable[Input], at: float) -> None:
        self.silent: list[Input] = []
        self._pcm: dict[int, tuple[list[Input], list[Samples]]] = {}
        self._coded: dict[str, tuple[list[Input], list[bytes]]] = {}
        law, inputs, payloads = "", list[Input](), list[bytes]()
        for each in sources:
            frame = each.frame(at)
            if type(frame) is tuple:
                format, payload = frame
                if format.name != law:
                    law = format.name
                    inputs, payloads = self._coded.setdefault(law, ([], []))
                inputs.append(each)
                payloads.append(payload)
            elif isinstance(frame, Pcm):
                together = self._pcm.setdefault(frame.rate, ([], []))
                together[0].append(each)
                together[1].append(frame.samples)
            else:
                self.silent.append(each)

    def by_rate(self) -> Iterable["Part"]:
        """What was said at each rate."""
        found: dict[int, list[Part]] = {}
        for law, (inputs, payloads) in self._coded.items():
            rows = decoded(payloads, law)
            part = Part(_LAW_RATE, inputs, rows, energies(rows))
            for each, energy in zip(inputs, part.energies, strict=True):
                each.weigh(energy)
            found.setdefault(_LAW_RATE, []).append(part)
        for rate, (inputs, frames) in self._pcm.items():
            rows = stacked(frames, size_of(rate))
            found.setdefault(rate, []).append(Part(rate, inputs, rows, energies(rows)))
        for parts in found.values():
            yield parts[0] if len(parts) == 1 else _together(parts)


class Part(NamedTuple):
    """Who says something at a rate, what, as rows, and how loud each row is."""

    rate: int
    inputs: list[Input]
    rows: Values
    energies: list[float]


def _together(parts: Sequence[Part]) -> Part:
    return Part(
        parts[0].rate,
        [each for part in parts for each in part.inputs],
        np.concatenate([part.rows for part in parts]),
        [each for part in parts for each in part.energies],
    )


class Said:
    """What came at one rate in one frame: `rows`, and whose they are, by `inputs`.

    `rows` is what is said to all and `total` its sum; `apart` is what is said to one seat alone.
    """

    def __init__(self, rate: int, inputs: Sequence[Input], rows: Values) -> None:
        self.rate = rate
        self.inputs = inputs
        self.apart: list[tuple[str, Values]] = []
        self.rows = rows
        for place, each in enumerate(inputs):
            if each.role != ALL or each.before != ALL:
                self._part(place, each)
                each.before = each.role
        self.total = summed(rows)

    @cached_property
    def places(self) -> dict[str, int]:
        """Where in `rows` who is."""
        return {each.id: place for place, each in enumerate(self.inputs)}

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
