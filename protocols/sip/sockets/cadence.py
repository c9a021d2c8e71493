"""How often sockets are read: at once, or, while much comes, after a rest in which more comes.

What is done for many in one go costs less for each: code and data that one message brought into the
processor's caches are still there for the next one. At 300 calls a second a call takes a sixth less
CPU that way (docs/performance.md).
"""

from typing import Final

MUCH: Final = 1200
"""Messages a second from which on there are rests."""
TOGETHER: Final = 12
"""Messages that are to come in a rest, which so lasts 10 ms at most: SIP's timers take 500."""

_WINDOW: Final = 0.1  # seconds over which messages are counted


class Cadence:
    """See the module; `now` is in seconds of a clock that never goes back."""

    __slots__ = ("_came", "_rest", "_since")

    def __init__(self, now: float) -> None:
        self._came = 0
        self._since = now
        self._rest = 0.0

    def rest(self, came: int, now: float) -> float:
        """How long not to read after a reading that brought `came` messages; 0 is not at all."""
        self._came += came
        passed = now - self._since
        if passed >= _WINDOW:
            rate = self._came / passed
            self._rest = TOGETHER / rate if rate >= MUCH else 0.0
            self._came, self._since = 0, now
        return self._rest if came else 0.0
