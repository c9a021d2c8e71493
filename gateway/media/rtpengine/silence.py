"""Who of those is silent whom no worker hears: what rtpengine counts is looked at now and then."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.media import wire
from gateway.media.plane import Happened
from gateway.media.rtpengine.tied import Tied

_OFTEN: Final = 4  # looks in the time that a leg may be silent
_SOONEST: Final = 1.0  # seconds between two looks at a leg


class _Heard(msgspec.Struct, kw_only=True):
    """What a leg had said, since when, when it was looked at, and whether its silence is told."""

    packets: int
    since: float
    looked: float
    is_silent: bool = False


class Silences:
    """`FellSilent` and `Resumed` of bridged legs go to `tell`."""

    def __init__(self, tell: Callable[[Happened], None]) -> None:
        self._tell = tell
        self._heard: dict[tuple[str, str], _Heard] = {}

    def forget(self, call: str) -> None:
        """A call is over."""
        for key in [each for each in self._heard if each[0] == call]:
            del self._heard[key]

    async def look(self, tied: Tied) -> None:
        """See to a call; raises `NgAway` and `NgRefused`."""
        now = asyncio.get_running_loop().time()
        for leg, front in list(tied.fronts.items()):
            key, bound = (tied.call, leg), tied.silences.get(leg, 0.0)
            is_asked = bool(bound) and leg in tied.bridged
            if not is_asked:
                self._drop(key)
            heard = self._heard.get(key)
            due = heard is None or now - heard.looked >= max(_SOONEST, bound / _OFTEN)
            if is_asked and due:
                seen = await front.look()
                if leg in tied.bridged:
                    self._take(key, bound, seen.peer.packets, now)

    def _take(self, key: tuple[str, str], bound: float, packets: int, now: float) -> None:
        call, leg = key
        heard = self._heard.get(key)
        if heard is None:
            self._heard[key] = _Heard(packets=packets, since=now, looked=now)
            return
        heard.looked = now
        if packets != heard.packets:
            if heard.is_silent:
                silence = now - heard.since
                self._tell(wire.Resumed(call=call, leg=leg, silence=silence))
            heard.packets, heard.since, heard.is_silent = packets, now, False
        elif now - heard.since >= bound and not heard.is_silent:
            heard.is_silent = True
            self._tell(wire.FellSilent(call=call, leg=leg))

    def _drop(self, key: tuple[str, str]) -> None:
        """The worker has it again, which counts anew."""
        heard = self._heard.pop(key, None)
        if heard is not None and heard.is_silent:
            self._tell(wire.Resumed(call=key[0], leg=key[1], silence=0.0))
