"""What is played as packets: encoded once, a packet when it is first wanted, for all who play it.

Packets are kept as long as there is room for all of them. When there is none, what nobody plays
goes first, and then what was said already of that which one alone plays.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Final

import msgspec
import numpy as np

from gateway.media import sounds
from gateway.media.sounds import Piece
from protocols.rtp import codecs
from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.formats import Format

MOST_OCTETS: Final = 64 << 20
MOST_REELS: Final = 512  # that are kept though nobody plays them: each may hold files open
AHEAD: Final = 1.0  # seconds of packets that are made at once so that a reel can be shared
_KEPT: Final = 50  # packets behind the one that is played, of what is not kept whole
_SLOT: Final = 100  # octets that a packet costs beside its own


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is played, and as what."""

    pieces: tuple[Piece, ...]
    format: Format
    ptime: int


class Reel:
    """The packets of `wanted` from `first` on; `grown` is told of octets that it takes."""

    def __init__(self, wanted: Wanted, first: int, grown: Callable[[int], None]) -> None:
        self.wanted: Final = wanted
        self.first = first
        self.octets = 0
        self.players = 0
        self._grown = grown
        self._frame = wanted.format.samples(wanted.ptime)
        self._rate = wanted.format.sample_rate
        length = sum(map(sounds.seconds, wanted.pieces))
        self.packets: Final = ceil(round(length * self._rate) / self._frame)
        """How many they are, the last one filled up with silence."""
        self._made: deque[bytes] = deque()
        self._begin(first)

    @property
    def step(self) -> float:
        """Seconds of a packet."""
        return self.wanted.ptime / 1000

    def _begin(self, first: int) -> None:
        self.forget()
        self.first = first
        skipped = first * self.step
        self._tape: Iterator[Samples] = sounds.tape(self.wanted.pieces, self._rate, skipped)
        self._encoder = codecs.encoder(self.wanted.format, self.wanted.ptime)
        self._rest = np.zeros(0, dtype=np.int16)

    def reaches(self, number: int) -> bool:
        """Whether a packet is there, or soon will be, without going back."""
        return self.first <= number <= self.first + len(self._made) + AHEAD / self.step

    def payload(self, number: int) -> bytes:
        """A packet's payload, `number` less than `packets`."""
        if not self.reaches(number):
            self._begin(number)
        before = self.octets
        while self.first + len(self._made) <= number:
            made = self._encoder.encode(Pcm(rate=self._rate, samples=self._next()))
            self._made.append(made)
            self.octets += len(made) + _SLOT
        payload = self._made[number - self.first]
        if self.octets != before:
            self._grown(self.octets - before)
        return payload

    def _next(self) -> Samples:
        """A packet's samples."""
        parts, count = [self._rest], len(self._rest)
        while count < self._frame:
            more = next(self._tape, None)
            if more is None:
                more = np.zeros(self._frame - count, dtype=np.int16)
            parts.append(more)
            count += len(more)
        whole = np.concatenate(parts)
        self._rest = whole[self._frame :]
        return whole[: self._frame]

    def forget(self, keep: int = 0) -> None:
        """Have no more than the newest packets."""
        before = self.octets
        while len(self._made) > keep:
            self.octets -= len(self._made.popleft()) + _SLOT
            self.first += 1
        if self.octets != before:
            self._grown(self.octets - before)


class Reels:
    """All reels of a worker, which take no more than `most` octets while that can be helped."""

    def __init__(self, most: int = MOST_OCTETS) -> None:
        self.octets = 0
        self.most = most
        self._shared: OrderedDict[Wanted, Reel] = OrderedDict()
        self._apart: set[Reel] = set()

    @property
    def players(self) -> int:
        """How many play something."""
        return sum(reel.players for reel in self._reels())

    def take(self, wanted: Wanted, number: int) -> Reel:
        """A reel for one who plays from a packet on, until it is given back."""
        reel = self._shared.get(wanted)
        if reel is None and number == 0:
            self._make_place()
            reel = self._shared[wanted] = Reel(wanted, 0, self._grow)
        elif reel is None or reel.first > 0 or not reel.reaches(number):
            reel = Reel(wanted, number, self._grow)
            self._apart.add(reel)
        else:
            self._shared.move_to_end(wanted)
        reel.players += 1
        return reel

    def give_back(self, reel: Reel) -> None:
        """One plays it no more."""
        reel.players -= 1
        if reel.players:
            return
        if reel in self._apart:
            self._apart.discard(reel)
            reel.forget()
        elif reel.first > 0 and self._shared.get(reel.wanted) is reel:
            self._shared.pop(reel.wanted).forget()  # it is not whole, so nobody else can have it

    def _make_place(self) -> None:
        if len(self._shared) >= MOST_REELS:
            idle = next((key for key, reel in self._shared.items() if not reel.players), None)
            if idle is not None:
                self._shared.pop(idle).forget()

    def _grow(self, octets: int) -> None:
        self.octets += octets
        if octets > 0 and self.octets > self.most:
            self._shrink()

    def _shrink(self) -> None:
        """Make room for a while, so that it need not be looked for at each packet."""
        enough = self.most * 7 // 8
        for wanted in [key for key, reel in self._shared.items() if not reel.players]:
            self._shared.pop(wanted).forget()
            if self.octets <= enough:
                return
        for reel in self._reels():
            if reel.players == 1:
                reel.forget(_KEPT)
                if self.octets <= enough:
                    return

    def _reels(self) -> Sequence[Reel]:
        return [*self._shared.values(), *self._apart]
