"""What a leg listens for in its peer's sound: keys, where they are pressed in no other way.

Only what has to be heard is decoded: a leg has an ear while somebody who hears it takes keys in
another way than as sound. A key that was heard goes its own way then, so the sound of it goes no
further: those packets become silent ones. What may be the beginning of a key waits for the next
packet to say so; the rest passes as it came.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Final

from gateway.media.node import Way
from gateway.media.transcode import format_of
from protocols.rtp import codecs
from protocols.rtp.audio import Decoder, silence
from protocols.rtp.dtmf_sound import KeyListener, Verdict
from protocols.rtp.events import DigitEnded
from protocols.rtp.formats import Format
from protocols.rtp.packet import HEADER, HEADER_OCTETS, Malformed, payload_bounds
from protocols.sdp.media import Chosen

MOST_HELD: Final = 3  # packets; a key is sure after 32.5 ms
WAIT: Final = 0.06  # seconds for which they are held at most
STILL: Final = 0.3  # seconds without a packet after which nothing more of a key is to come
_PLAIN: Final = b"\x80"  # the first octet of a packet with neither CSRCs, extension nor padding


class _Voice:
    """One codec of the peer's: its decoder, and packets of silence."""

    def __init__(self, format: Format) -> None:
        self.decoder: Decoder = codecs.decoder(format)
        self._format = format
        self._silences: dict[int, bytes] = {}

    def silence(self, count: int) -> bytes:
        """A payload of `count` silent samples; empty if the codec has no packet of that length."""
        if count not in self._silences:
            rate = self.decoder.rate
            ptime = count * 1000 // rate
            fits = ptime in self._format.ptimes and self._format.samples(ptime) == count
            made = b""
            if fits:
                made = codecs.encoder(self._format, ptime).encode(silence(rate, count))
            self._silences[count] = made
        return self._silences[count]


class Ear:
    """One leg's, for the codecs of its peer.

    `pressed` takes a key, how long it was pressed in seconds, and the time; `wake` is called with
    a time when `timer` came nearer.
    """

    def __init__(
        self,
        spoken: Sequence[Chosen],
        *,
        pressed: Callable[[str, float, float], None],
        wake: Callable[[float], None],
    ) -> None:
        self.spoken = tuple(spoken)
        self._voices: dict[int, _Voice] = {}
        for each in spoken:
            format = format_of(each.received)
            if format is not None:
                self._voices[each.received.payload_type] = _Voice(format)
        self._pressed = pressed
        self._wake = wake
        self._listener: KeyListener | None = None
        self._rate = 0
        self._is_key = False
        self._held: deque[tuple[bytes, bytes, Way]] = deque()  # as it came, and silent
        self._newest = -1
        self._heard = 0.0

    def listening(self, payload_type: int, ways: Sequence[Way]) -> tuple[Way, ...]:
        """The ways of a payload type by way of the ear, where that is sound."""
        voice = self._voices.get(payload_type)
        return tuple(ways) if voice is None else (partial(self._take, voice, _all(ways)),)

    def _take(self, voice: _Voice, onward: Way, octets: bytes, now: float) -> None:
        bounds = payload_bounds(octets)
        if isinstance(bounds, Malformed):
            return
        _, _, sequence, _, _ = HEADER.unpack_from(octets)
        is_late = self._newest >= 0 and (sequence - self._newest - 1) & 0x8000
        pcm = None if is_late else voice.decoder.decode(octets[bounds[0] : bounds[1]])
        if pcm is None:
            if not self._is_key:
                onward(octets, now)
            return
        self._newest, self._heard = sequence, now
        verdict = self._listening_at(voice.decoder.rate, now).hear(pcm.samples)
        quiet = voice.silence(len(pcm.samples))
        silent = _PLAIN + octets[1:HEADER_OCTETS] + quiet if quiet else b""
        self._held.append((octets, silent, onward))
        self._decide(verdict, now)
        self._tell(now)

    def _listening_at(self, rate: int, now: float) -> KeyListener:
        listener = self._listener
        if listener is None or rate != self._rate:
            if listener is not None:
                listener.stop()
                self._tell(now)
            listener = self._listener = KeyListener(rate)
            self._rate = rate
        return listener

    def _decide(self, verdict: Verdict, now: float) -> None:
        self._is_key = verdict is Verdict.KEY
        kept = MOST_HELD if verdict is Verdict.PERHAPS else 0
        while len(self._held) > kept:
            octets, silent, onward = self._held.popleft()
            passed = silent if self._is_key else octets
            if passed:
                onward(passed, now)
        if self._is_key or self._held:
            self._wake(self.timer())

    def _tell(self, now: float) -> None:
        listener = self._listener
        while listener is not None and (event := listener.next_event()) is not None:
            if isinstance(event, DigitEnded):
                self._pressed(event.digit, event.duration, now)

    def timer(self) -> float:
        """When `handle_timer` wants to be called, at the latest; infinity for never."""
        if self._is_key:
            return self._heard + STILL
        return self._heard + WAIT if self._held else inf

    def handle_timer(self, now: float) -> None:
        """Let go of a key whose end does not come, and of what waits."""
        if now < self.timer() or self._listener is None:
            return
        if self._is_key:
            self._listener.stop()
        self._decide(Verdict.NO_KEY, now)
        self._tell(now)


def _all(ways: Sequence[Way]) -> Way:
    if len(ways) == 1:
        return ways[0]

    def onward(octets: bytes, now: float) -> None:
        for way in ways:
            way(octets, now)

    return onward
