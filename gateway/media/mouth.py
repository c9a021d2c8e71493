"""What a leg says by itself: one tone at most, and keys, beside which nothing else is heard."""

from collections.abc import Callable
from math import inf

from gateway.media import speaker
from gateway.media.outlet import Outlet
from gateway.media.speaker import Presser, Speaker
from protocols.rtp.tones import Sound
from protocols.sdp.media import Stream

CHANGED = "what the peer takes has changed"
DEAF = "the peer takes neither events nor sound"


class Mouth:
    """One leg's; `ssrc` gives random numbers of 32 bits, `wake` is called with the time of a timer.

    `done` is called when all keys are pressed, with why not if they are not.
    """

    __slots__ = ("_done", "_outlet", "_presser", "_sound", "_ssrc", "_stream", "_tone", "_wake")

    def __init__(
        self,
        outlet: Outlet,
        *,
        ssrc: Callable[[], int],
        wake: Callable[[float], None],
        done: Callable[[str], None],
    ) -> None:
        self._outlet = outlet
        self._ssrc = ssrc
        self._wake = wake
        self._done = done
        self._stream: Stream | None = None
        self._sound: Sound | None = None
        self._tone: Speaker | None = None
        self._presser: Presser | None = None

    def change(self, stream: Stream, now: float) -> None:
        """The peer takes something else from now on."""
        before, self._stream = self._stream, stream
        if before is not None and _takes(before) == _takes(stream):
            return
        if self._presser is not None:
            self._let_go(CHANGED)
        sound, self._sound, self._tone = self._sound, None, None
        self.play(sound, now)

    def play(self, sound: Sound | None, now: float) -> None:
        """Let the peer hear a tone, from its beginning; the one that it hears goes on."""
        if sound == self._sound:
            return
        self._sound, self._tone = sound, None
        if sound is None or self._stream is None:
            return
        ssrc, outlet = self._ssrc(), self._outlet
        self._tone = speaker.tone(sound, self._stream, ssrc=ssrc, outlet=outlet, now=now)
        self._wake(now)

    def press(self, keys: str, now: float) -> None:
        """Press keys, after those that are under way."""
        if not speaker.are_keys(keys):
            self._done(f"{keys!r} are no keys")
            return
        if self._presser is None:
            ssrc = self._ssrc()
            stream = self._stream
            made = stream and speaker.presser(stream, ssrc=ssrc, outlet=self._outlet)
            if not made:
                self._done(DEAF)
                return
            self._presser = made
            self._outlet.keep_to(ssrc)
        self._presser.press(keys, now)
        self._wake(now)

    def _let_go(self, reason: str) -> None:
        self._presser = None
        self._outlet.keep_to(None)
        self._done(reason)

    def timer(self) -> float:
        """When `handle_timer` wants to be called, at the latest; infinity for never."""
        tone = inf if self._tone is None else self._tone.timer()
        return tone if self._presser is None else min(tone, self._presser.timer())

    def handle_timer(self, now: float) -> None:
        """Say what is due by `now`."""
        if self._tone is not None:
            self._tone.handle_timer(now)
        if self._presser is not None:
            self._presser.handle_timer(now)
            if self._presser.timer() == inf:
                self._let_go("")


def _takes(stream: Stream) -> object:
    return stream.codecs[0].sent, stream.events, stream.ptime, stream.direction.sends
