"""What a leg's peer hears of our own making: keys that are pressed, and tones.

A speaker is driven by its leg: it gives packets to the outlet when they are due, under an SSRC of
its own by which the outlet tells it from other sources.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from math import inf
from typing import Final, Protocol

import msgspec
import numpy as np

from gateway.media.node import Speaker
from gateway.media.outlet import Outlet
from gateway.media.transcode import format_of
from protocols.rtp import codecs, dtmf, formats, stillness, tones
from protocols.rtp.audio import Encoder, Pcm, Samples, silence
from protocols.rtp.dtmf import DigitSender
from protocols.rtp.packet import HEADER
from protocols.rtp.tones import Sound
from protocols.sdp.formats import Codec
from protocols.sdp.media import Stream

MOST_KEYS: Final = 256
_LATE: Final = 0.2  # seconds; who comes later than that leaves out what was missed
_WORD: Final = 0xFFFF_FFFF
_KINDS_OF_LOOPS: Final = 64
_NOTHING: Final[Samples] = np.zeros(0, dtype=np.int16)


class Presser(Speaker, Protocol):
    """A speaker that presses keys."""

    def press(self, keys: str, now: float, duration: float) -> None:
        """Press keys for `duration` seconds each, after those that are under way."""


def are_keys(keys: str) -> bool:
    """Whether these can be pressed: 0-9, *, #, A-D, and w and W for half a second and a whole."""
    known = all(each in dtmf.PAUSES or each.upper() in dtmf.DIGITS for each in keys)
    return known and 0 < len(keys) <= MOST_KEYS


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """A packet of silence, of `step` seconds."""

    payload_type: int
    payload: bytes
    step: float


class EventPresser:
    """Keys as events (RFC 4733) of the payload type that the peer has for them.

    In a pause among them the peer hears `rest` over and over, for nobody else is heard.
    """

    def __init__(self, events: Codec, *, ssrc: int, outlet: Outlet, rest: Rest | None) -> None:
        self._sender = DigitSender(clock_rate=events.clock_rate)
        self._events = events
        self._ssrc = ssrc
        self._outlet = outlet
        self._rest = rest
        self._rest_at = inf
        self._sequence = 0
        self._begun: float | None = None

    def press(self, keys: str, now: float, duration: float) -> None:
        """See `Presser`."""
        if self._begun is None:
            self._begun = now
        self._sender.press(keys, timestamp=self._clock(now), now=now, duration=duration)

    def _clock(self, now: float) -> int:
        """The timestamp of what begins now."""
        passed = 0.0 if self._begun is None else now - self._begun
        return round(passed * self._events.clock_rate) & _WORD

    def timer(self) -> float:
        """See `Speaker`."""
        due = self._sender.timer()
        return inf if due is None else min(due, self._rest_at)

    def handle_timer(self, now: float) -> None:
        """See `Speaker`."""
        while (packet := self._sender.next_packet(now)) is not None:
            marker = 0x80 if packet.marker else 0
            self._say(self._events.payload_type, marker, packet.timestamp, packet.payload, now=now)
        due = self._sender.timer()
        if self._rest is not None and due is not None:
            self._fill(self._rest, due, now)

    def _fill(self, rest: Rest, due: float, now: float) -> None:
        """Say silence that is over when the next key or pause is `due`."""
        if now - self._rest_at > _LATE:
            self._rest_at = inf
        if self._rest_at == inf and due - now > dtmf.GAP:
            self._rest_at = self._outlet.next(now)
        while self._rest_at <= now and self._rest_at + rest.step <= due:
            at = self._rest_at
            self._say(rest.payload_type, 0, self._clock(at), rest.payload, now=at)
            self._rest_at += rest.step
        if self._rest_at + rest.step > due:
            self._rest_at = inf

    def _say(
        self, payload_type: int, marker: int, timestamp: int, payload: bytes, *, now: float
    ) -> None:
        head = HEADER.pack(0x80, marker, self._sequence, timestamp, self._ssrc)
        self._outlet.relay(payload_type, head + payload, now)
        self._sequence = (self._sequence + 1) & 0xFFFF


class Framed(ABC):
    """What goes out as frames of sound, one in `ptime` milliseconds."""

    def __init__(self, codec: Codec, *, ptime: int, ssrc: int, outlet: Outlet) -> None:
        self._codec = codec
        self._step = ptime / 1000
        self._ticks = codec.clock_rate * ptime // 1000
        self._ssrc = ssrc
        self._outlet = outlet
        self._number = 0
        self._at = inf

    def timer(self) -> float:
        """See `Speaker`."""
        return self._at

    def handle_timer(self, now: float) -> None:
        """See `Speaker`."""
        if now - self._at > _LATE:
            missed = int((now - self._at) / self._step)
            self._number += missed
            self._at += missed * self._step
        while self._at <= now:
            payload = self._next(self._number)
            if payload is None:
                self._at = inf
                return
            timestamp = self._number * self._ticks & _WORD
            number = self._number & 0xFFFF
            head = (0x80, self._codec.payload_type, number, timestamp, self._ssrc)
            self._outlet.say(head, payload, self._at)
            self._number += 1
            self._at += self._step

    @abstractmethod
    def _next(self, number: int) -> bytes | None:
        """The payload of a frame by its number; None at the end."""


class TonePresser(Framed):
    """Keys as sound, for a peer that knows no events; pauses and gaps are silence."""

    def __init__(
        self, codec: Codec, format: formats.Format, *, ptime: int, ssrc: int, outlet: Outlet
    ) -> None:
        super().__init__(codec, ptime=ptime, ssrc=ssrc, outlet=outlet)
        self._encoder = codecs.encoder(format, ptime)
        self._frame = format.samples(ptime)
        self._keys: deque[tuple[str, float]] = deque()
        self._waiting = _NOTHING

    def press(self, keys: str, now: float, duration: float) -> None:
        """See `Presser`."""
        self._keys.extend((each, duration) for each in keys)
        if self._at == inf:
            self._at = now

    def _next(self, number: int) -> bytes | None:
        while len(self._waiting) < self._frame and self._keys:
            parts = [self._waiting, *_sound_of(*self._keys.popleft(), self._encoder.rate)]
            self._waiting = np.concatenate(parts)
        if not len(self._waiting):
            return None
        frame, self._waiting = self._waiting[: self._frame], self._waiting[self._frame :]
        rest = np.zeros(self._frame - len(frame), dtype=np.int16)
        samples = np.concatenate((frame, rest))
        return self._encoder.encode(Pcm(rate=self._encoder.rate, samples=samples))


def _sound_of(key: str, duration: float, rate: int) -> Iterable[Samples]:
    pause = dtmf.PAUSES.get(key)
    if pause is not None:
        return (silence(rate, round(rate * pause)).samples,)
    count = round(rate * duration)
    tone = tones.render(tones.KEYS[key.upper()], rate=rate, start=0, count=count)
    return tone.samples, silence(rate, round(rate * dtmf.GAP)).samples


class _Loop:
    """A sound in packets, each encoded when it is first wanted; all who play it share them."""

    def __init__(self, sound: Sound, name: str, clock_rate: int, ptime: int) -> None:
        format = formats.find(name, clock_rate)
        assert format is not None  # `Toned` has looked
        self._sound = sound
        self._encoder: Encoder = codecs.encoder(format, ptime)
        self._frame = format.samples(ptime)
        self._payloads: list[bytes] = []
        self._length = max(1, round(tones.period(sound) * 1000 / ptime))

    def payload(self, number: int) -> bytes:
        place = number % self._length
        while len(self._payloads) <= place:
            start = len(self._payloads) * self._frame
            rate = self._encoder.rate
            pcm = tones.render(self._sound, rate=rate, start=start, count=self._frame)
            self._payloads.append(self._encoder.encode(pcm))
        return self._payloads[place]


_loop = lru_cache(maxsize=_KINDS_OF_LOOPS)(_Loop)


class ToneSpeaker(Framed):
    """A tone that begins at `now` and goes on until its leg hears something else."""

    def __init__(
        self, sound: Sound, codec: Codec, *, ptime: int, ssrc: int, outlet: Outlet, now: float
    ) -> None:
        super().__init__(codec, ptime=ptime, ssrc=ssrc, outlet=outlet)
        self._loop = _loop(sound, codec.name.lower(), codec.clock_rate, ptime)
        self._at = now

    def _next(self, number: int) -> bytes | None:
        return self._loop.payload(number)


def presser(stream: Stream, *, ssrc: int, outlet: Outlet) -> Presser | None:
    """How keys are pressed towards this peer: as events if it takes them, else as sound.

    None if it takes neither.
    """
    if not stream.direction.sends:
        return None
    codec = stream.codecs[0].sent
    format = format_of(codec)
    ptime = stream.ptime if format is None else format.ptime(stream.ptime)
    if stream.events:
        events = stream.events[0].sent
        # A stream has one clock at a time: what has another can't be said among these.
        is_one = format is not None and codec.clock_rate == events.clock_rate
        rest = _rest(codec, format, ptime) if format is not None and is_one else None
        return EventPresser(events, ssrc=ssrc, outlet=outlet, rest=rest)
    if format is None:
        return None
    return TonePresser(codec, format, ptime=ptime, ssrc=ssrc, outlet=outlet)


def _rest(codec: Codec, format: formats.Format, ptime: int) -> Rest:
    payload = stillness.payload(format, ptime)
    return Rest(payload_type=codec.payload_type, payload=payload, step=ptime / 1000)


class Toned(msgspec.Struct, frozen=True, kw_only=True):
    """A tone at work: whoever hears it has it from its beginning."""

    sound: Sound

    def speaker(self, stream: Stream, *, ssrc: int, outlet: Outlet, now: float) -> Speaker | None:
        """See `node.Sounding`."""
        codec = stream.codecs[0].sent
        format = format_of(codec)
        if format is None:
            return None
        ptime = format.ptime(stream.ptime)
        return ToneSpeaker(self.sound, codec, ptime=ptime, ssrc=ssrc, outlet=outlet, now=now)

    def pcm(self, rate: int, now: float) -> "_Rendered":
        """See `node.Sounding`."""
        return _Rendered(self.sound, rate)

    def close(self, now: float) -> None:
        """Be no tone any more: those who hear it are told otherwise."""


class _Rendered:
    """A tone as samples."""

    def __init__(self, sound: Sound, rate: int) -> None:
        self._sound = sound
        self._rate = rate
        self._at = 0
        self._again = round(tones.period(sound) * rate)

    def pull(self, count: int) -> Samples:
        pcm = tones.render(self._sound, rate=self._rate, start=self._at, count=count)
        self._at = (self._at + count) % self._again
        return pcm.samples
