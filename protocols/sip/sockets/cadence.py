"""How often sockets are read: at once, or, while much comes, after a rest in which more comes.

What is done for many in one go costs less for each: code and data that one message brought into the
processor's caches are still there for the next one. At 300 calls a second a call takes a sixth less
CPU that way (docs/performance.md). A rest is what is left of a period when all that was read is
done: on a machine that is slow at the moment there is none, and nobody waits longer for it.
"""

from typing import Final

MUCH: Final = 1200
"""Messages a second from which on there are rests."""
PERIOD: Final = 0.007
"""Seconds from one reading to the next while there are rests: SIP's timers take half of one."""

_WINDOW: Final = 0.1  # seconds over which messages are counted


class Cadence:
    """See the module; times are in seconds of a clock that never goes back."""

    __slots__ = ("_came", "_is_much", "_since")

    def __init__(self, now: float) -> None:
        self._came = 0
        self._since = now
        self._is_much = False

    def rest(self, came: int, began: float, now: float) -> float:
        """How long not to read after what a reading at `began` brought is done; 0 is not at all."""
        self._came += came
        passed = now - self._since
        if passed >= _WINDOW:
            self._is_much = self._came >= MUCH * passed
            self._came, self._since = 0, now
        return max(0.0, began + PERIOD - now) if came and self._is_much else 0.0
