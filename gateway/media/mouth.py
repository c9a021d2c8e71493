"""What a leg says by itself: a tone or a player, and keys, beside which nothing else is heard."""

from collections.abc import Callable
from math import inf, isfinite
from typing import Final

from gateway.media import speaker
from gateway.media.node import Sounding, Speaker
from gateway.media.outlet import Outlet
from gateway.media.speaker import Presser
from protocols.sdp.media import Stream

CHANGED: Final = "what the peer takes has changed"
DEAF: Final = "the peer takes neither events nor sound"
SHORTEST: Final = 0.06  # seconds of a key: what is shorter is not heard everywhere (Q.24)
LONGEST: Final = 3.0


class Mouth:
    """One leg's; `ssrc` gives random numbers of 32 bits, `wake` is called with the time of a timer.

    `done` is called when all keys are pressed that were commanded, with why not if they are not.
    """

    __slots__ = (
        "_done",
        "_is_asked",
        "_outlet",
        "_presser",
        "_sound",
        "_speaker",
        "_ssrc",
        "_stream",
        "_wake",
    )

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
        self._sound: Sounding | None = None
        self._speaker: Speaker | None = None
        self._presser: Presser | None = None
        self._is_asked = False  # keys are under way that were commanded

    def change(self, stream: Stream, now: float) -> None:
        """The peer takes something else from now on."""
        before, self._stream = self._stream, stream
        if before is not None and _takes(before) == _takes(stream):
            return
        if self._presser is not None:
            self._let_go(CHANGED)
        sound, self._sound, self._speaker = self._sound, None, None
        self.play(sound, now)

    def play(self, sound: Sounding | None, now: float) -> None:
        """Let the peer hear something; if it is what it hears, that goes on."""
        if sound == self._sound:
            return
        self._sound, self._speaker = sound, None
        if sound is None or self._stream is None:
            return
        ssrc, outlet = self._ssrc(), self._outlet
        self._speaker = sound.speaker(self._stream, ssrc=ssrc, outlet=outlet, now=now)
        self._wake(now)

    def press(self, keys: str, now: float, duration: float) -> None:
        """Press keys for so many seconds each, after those that are under way."""
        if not speaker.are_keys(keys):
            self._done(f"{keys!r} are no keys")
        elif (presser := self._taken()) is None:
            self._done(DEAF)
        else:
            self._is_asked = True
            presser.press(keys, now, _within_reason(duration))
            self._wake(now)

    def repeat(self, key: str, duration: float, now: float) -> None:
        """Press a key that the other party pressed; nobody asked for it, so nobody is told."""
        presser = self._taken()
        if presser is not None:
            presser.press(key, now, _within_reason(duration))
            self._wake(now)

    def _taken(self) -> Presser | None:
        """What presses keys, with the outlet for itself; None if the peer takes none."""
        if self._presser is None and self._stream is not None:
            ssrc = self._ssrc()
            self._presser = speaker.presser(self._stream, ssrc=ssrc, outlet=self._outlet)
            if self._presser is not None:
                self._outlet.keep_to(ssrc)
        return self._presser

    def _let_go(self, reason: str) -> None:
        self._presser = None
        self._outlet.keep_to(None)
        if self._is_asked:
            self._is_asked = False
            self._done(reason)

    def timer(self) -> float:
        """When `handle_timer` wants to be called, at the latest; infinity for never."""
        spoken = inf if self._speaker is None else self._speaker.timer()
        return spoken if self._presser is None else min(spoken, self._presser.timer())

    def handle_timer(self, now: float) -> None:
        """Say what is due by `now`."""
        if self._speaker is not None:
            self._speaker.handle_timer(now)
        if self._presser is not None:
            self._presser.handle_timer(now)
            if self._presser.timer() == inf:
                self._let_go("")


def _within_reason(duration: float) -> float:
    return min(max(duration, SHORTEST), LONGEST) if isfinite(duration) else SHORTEST


def _takes(stream: Stream) -> object:
    return stream.codecs[0].sent, stream.events, stream.ptime, stream.direction.sends
