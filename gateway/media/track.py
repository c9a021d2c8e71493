"""One direction of a leg as sound in time: packets kept as they come, and laid out in bulk.

Where a packet belongs is said by its timestamp. What one clock counts drifts from another, so
where timestamps belong is said by the packets that came soonest: as long as those are off by less
than a hair nothing moves, and if not, all that follows does. So two directions stay together over
hours, and what the network delays is not heard. What is missing, or comes too late, is silence.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocols.rtp import codecs
from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.formats import LONGEST, Format
from protocols.rtp.packet import HEADER_OCTETS, Malformed, payload_bounds
from protocols.rtp.resample import Resampler

_HAIR: Final = 0.01  # seconds
_JUMP: Final = 0.5  # seconds by which time may be off before it is another one
_FEWEST: Final = 10  # packets that say that all come later than they did
_AHEAD: Final = 2.0  # seconds of sound that may be laid out before its time
_PLAIN: Final = 0x80  # the first octet of a packet with neither CSRCs, extension nor padding
_JOINED: Final = ("PCMU", "PCMA", "L16")  # whose packets can be decoded together
_HEADS: Final = np.dtype(
    [("flags", "u1"), ("kind", "u1"), ("number", ">u2"), ("stamp", ">u4"), ("ssrc", ">u4")]
)
_NOTHING: Final[Samples] = np.zeros(0, dtype=np.int16)
_Places = NDArray[np.float64]


class _Voice:
    """One codec, to samples at the track's rate."""

    def __init__(self, format: Format, rate: int) -> None:
        self.format = format
        self._decoder = codecs.decoder(format)
        self._resampler = Resampler(self._decoder.rate, rate)
        self._together = 1
        if format.name in _JOINED:
            self._together = LONGEST

    def samples(self, payloads: Sequence[bytes]) -> Samples:
        """What follows each other without a gap."""
        rate = self._decoder.rate
        parts = []
        for payload in self._pieces(payloads):
            pcm = self._decoder.decode(payload)
            if pcm is None:
                count = self.format.ticks(payload) * rate // self.format.clock_rate
                parts.append(np.zeros(count, dtype=np.int16))
            else:
                parts.append(pcm.samples)
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return self._resampler.convert(Pcm(rate=rate, samples=whole)).samples

    def _pieces(self, payloads: Sequence[bytes]) -> Iterator[bytes]:
        if self._together == 1:
            yield from payloads
            return
        whole = b"".join(payloads)
        octets = self.format.sample_rate * LONGEST // 1000
        for at in range(0, len(whole), octets):
            yield whole[at : at + octets]


class _Run(msgspec.Struct):
    """Packets of one codec that follow each other: where they begin, and where they end."""

    voice: _Voice
    begin: int
    end: int
    payloads: list[bytes]


class Track:
    """See the module; times are counted in samples, `rate` a second, since `origin` seconds."""

    def __init__(self, rate: int, origin: float) -> None:
        self.rate: Final = rate
        self.origin = origin
        self._came: list[tuple[bytes, float]] = []
        self._voices: dict[int, _Voice] = {}
        self._read = 0  # up to where it was read
        self._laid = _NOTHING  # from there on
        self._followed = -1
        self._stamp = 0  # of the newest packet
        self._at = 0.0  # the same in samples, since some time
        self._shift = 0.0  # from that time to `origin`
        self._seen, self._least = 0, inf  # packets, and how the soonest of them is off
        self._scales: dict[int, float] = {}  # of a tick of each payload type, in samples
        self._resampler = Resampler(rate, rate)  # of what is tapped

    # What comes

    def take(self, octets: bytes, now: float) -> None:
        """A packet; see `node.Listener`."""
        self._came.append((octets, now))

    def hush(self, octets: bytes, now: float) -> None:
        """What is no sound is silence."""

    def tap(self, pcm: Pcm, at: float) -> None:
        """Samples that are heard from a time on; see `node.Tap`."""
        if pcm.rate != self._resampler.from_rate:
            self._resampler = Resampler(pcm.rate, self.rate)
        samples = self._resampler.convert(pcm).samples
        self._lay(round((at - self.origin) * self.rate), samples)

    def speak(self, formats: Mapping[int, Format]) -> None:
        """From now on the payload types of sound are these; those that stay go on."""
        if self._came:
            self._lay_out()
        kept, self._voices = self._voices, {}
        for number, format in formats.items():
            voice = kept.get(number)
            if voice is None or voice.format != format:
                voice = _Voice(format, self.rate)
            self._voices[number] = voice
        clock = next((each.clock_rate for each in formats.values()), self.rate)
        self._scales = dict.fromkeys(range(128), self.rate / clock)
        self._scales |= {name: self.rate / each.clock_rate for name, each in formats.items()}

    def begin(self, origin: float) -> None:
        """Count time from another `origin` on, and forget what came."""
        self.origin = origin
        self._came, self._laid = [], _NOTHING
        self._followed = -1

    # What is read

    @property
    def held(self) -> int:
        """How many samples are kept that were not read."""
        return len(self._laid)

    def read(self, end: int) -> Samples:
        """All from where it was read to up to here."""
        if self._came:
            self._lay_out()
        count = max(0, end - self._read)
        found, self._laid = self._laid[:count], self._laid[count:]
        self._read += count
        if len(found) == count:
            return found
        whole = np.zeros(count, dtype=np.int16)
        whole[: len(found)] = found
        return whole

    def _lay(self, at: int, samples: Samples) -> None:
        """Put samples where they belong, as far as that was not read."""
        at -= self._read
        if at < 0:
            samples, at = samples[-at:], 0
        end = at + len(samples)
        if not len(samples) or end > _AHEAD * self.rate:
            return
        if end > len(self._laid):
            longer = np.zeros(end + self.rate // 2, dtype=np.int16)
            longer[: len(self._laid)] = self._laid
            self._laid = longer
        self._laid[at:end] = samples

    def _lay_out(self) -> None:
        came, self._came = self._came, []
        heads = np.frombuffer(b"".join(octets[:HEADER_OCTETS] for octets, _ in came), dtype=_HEADS)
        places = self._places(heads, np.array([time for _, time in came]))
        order: Sequence[int] = range(len(came))
        if len(places) > 1 and int(np.diff(places).min()) < 0:
            order = np.argsort(places, kind="stable").tolist()
        kinds = (heads["kind"] & 0x7F).tolist()
        where = places.tolist()
        for run in self._runs((kinds[each], where[each], came[each][0]) for each in order):
            self._lay(run.begin, run.voice.samples(run.payloads))

    def _runs(self, packets: Iterator[tuple[int, int, bytes]]) -> Iterator[_Run]:
        run: _Run | None = None
        last: int | None = None
        for kind, at, octets in packets:
            voice, payload = self._voices.get(kind), _payload(octets)
            if voice is None or not payload or at == last:  # twice the same
                continue
            last = at
            format = voice.format
            count = format.ticks(payload) * self.rate // format.clock_rate
            if run is not None and run.voice is voice and at == run.end:
                run.payloads.append(payload)
                run.end += count
                continue
            if run is not None:
                yield run
            run = _Run(voice=voice, begin=at, end=at + count, payloads=[payload])
        if run is not None:
            yield run

    # Time

    def _places(self, heads: NDArray[np.void], times: _Places) -> NDArray[np.int64]:
        """Where each packet belongs."""
        at = self._counted(heads["stamp"], (heads["kind"] & 0x7F).astype(np.uint8))
        off = (times - self.origin) * self.rate - at
        sources = heads["ssrc"].astype(np.int64)
        others = np.flatnonzero(
            (np.diff(sources, prepend=self._followed) != 0)
            | (np.abs(np.diff(off, prepend=self._shift)) > _JUMP * self.rate)
        )
        self._followed = int(sources[-1])
        shifts = np.empty(len(at), dtype=np.float64)
        edges = [*others.tolist(), len(at)]
        if edges[0]:
            shifts[: edges[0]] = self._follow(off[: edges[0]])
        for begin, end in pairwise(edges):
            self._seen, self._least = 0, inf
            self._shift = float(off[begin:end].min())
            shifts[begin:end] = self._shift
        return np.rint(at + shifts).astype(np.int64)

    def _counted(self, stamps: NDArray[np.uint32], kinds: NDArray[np.uint8]) -> _Places:
        """Timestamps as samples, past the end of 32 bits."""
        stamps = stamps.astype(np.uint32)
        steps = np.diff(stamps, prepend=np.uint32(self._stamp)).astype(np.int32)
        scale = np.array([self._scales.get(kind, 1.0) for kind in kinds.tolist()])
        at: _Places = self._at + np.cumsum(steps * scale)
        self._stamp, self._at = int(stamps[-1]), float(at[-1])
        return at

    def _follow(self, off: _Places) -> float:
        """How packets are off: at once if they come sooner, later only if all of some do."""
        self._seen += len(off)
        self._least = min(self._least, float(off.min()))
        drift = self._least - self._shift
        hair = _HAIR * self.rate
        if drift < -hair or (drift > hair and self._seen >= _FEWEST):
            self._shift = self._least
        if self._seen >= _FEWEST:
            self._seen, self._least = 0, inf
        return self._shift


def _payload(octets: bytes) -> bytes:
    if octets[0] == _PLAIN:
        return octets[HEADER_OCTETS:]
    bounds = payload_bounds(octets)
    return b"" if isinstance(bounds, Malformed) else octets[bounds[0] : bounds[1]]
