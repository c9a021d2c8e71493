"""What a leg says by itself: tone, player or silence, and keys, beside which nothing is heard."""

from collections.abc import Callable
from math import inf, isfinite
from typing import Final

from gateway.media import speaker, stillness
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

    `done` is called for each command when all keys are pressed, with why not if they are not.
    """

    __slots__ = (
        "_asked",
        "_done",
        "_outlet",
        "_patience",
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
        self._patience = inf
        self._speaker: Speaker | None = None
        self._presser: Presser | None = None
        self._asked = 0  # commands whose keys are under way

    def play(
        self, stream: Stream | None, sound: Sounding | None, now: float, *, patience: float = 0.0
    ) -> None:
        """Let a peer that takes `stream` hear something; if it is what it hears, that goes on.

        It hears silence when there was nothing from anybody for `patience` seconds.
        """
        is_other = self._takes_other(stream)
        if is_other and self._presser is not None:
            self._let_go(CHANGED)
        if is_other or (sound, patience) != (self._sound, self._patience):
            self._sound, self._patience = sound, patience
            self._begin(now)

    def _takes_other(self, stream: Stream | None) -> bool:
        """Note what the peer takes from now on; whether that is something else than before."""
        before = self._stream
        if stream is None or stream is before:
            return False
        self._stream = stream
        return before is None or _takes(before) != _takes(stream)

    def _begin(self, now: float) -> None:
        self._speaker = None
        sound, stream, outlet = self._sound, self._stream, self._outlet
        if sound is not None and stream is not None:
            at = outlet.next(now)
            self._speaker = sound.speaker(stream, ssrc=self._ssrc(), outlet=outlet, now=at)
        self._fall_silent(now)
        if self._speaker is not None:
            self._wake(self.timer())

    def _fall_silent(self, now: float) -> None:
        """Say silence if nothing is said any more."""
        if self._speaker is not None and self._speaker.timer() < inf:
            return
        self._speaker = None
        if self._patience < inf and self._stream is not None:
            self._speaker = stillness.towards(
                self._stream,
                ssrc=self._ssrc(),
                outlet=self._outlet,
                now=now,
                patience=self._patience,
            )

    def press(self, keys: str, now: float, duration: float) -> None:
        """Press keys for so many seconds each, after those that are under way."""
        if not speaker.are_keys(keys):
            self._done(f"{keys!r} are no keys")
        elif (presser := self._taken()) is None:
            self._done(DEAF)
        else:
            self._asked += 1
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
        asked, self._asked = self._asked, 0
        for _ in range(asked):
            self._done(reason)

    def timer(self) -> float:
        """When `handle_timer` wants to be called, at the latest; infinity for never."""
        spoken = inf if self._speaker is None else self._speaker.timer()
        return spoken if self._presser is None else min(spoken, self._presser.timer())

    def handle_timer(self, now: float) -> None:
        """Say what is due by `now`."""
        if self._speaker is not None:
            self._speaker.handle_timer(now)
            self._fall_silent(now)
        if self._presser is not None:
            self._presser.handle_timer(now)
            if self._presser.timer() == inf:
                self._let_go("")


def _within_reason(duration: float) -> float:
    return min(max(duration, SHORTEST), LONGEST) if isfinite(duration) else SHORTEST


def _takes(stream: Stream) -> object:
    return stream.codecs[0].sent, stream.events, stream.ptime, stream.direction.sends
