"""A clock that does not jump while a process runs: what is remembered for a day must not be
forgotten, or kept for a year, because somebody set the clock.
"""

from collections.abc import Callable
from typing import Final

import structlog

_log = structlog.get_logger(__name__)
_JUMP: Final = 60.0  # seconds; what time servers correct is less


class SteadyClock:
    """Seconds since the epoch as they were at the start, and what has passed since."""

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """`clock` may jump, `monotonic` never does."""
        self._clock = clock
        self._monotonic = monotonic
        self._offset = clock() - monotonic()
        self._jumped = 0.0

    def now(self) -> float:
        """The time; a clock that was set is named in the log, once for each time."""
        now = self._monotonic() + self._offset
        jumped = self._clock() - now
        if abs(jumped - self._jumped) > _JUMP:
            self._jumped = jumped
            _log.warning(
                "the clock was set while this process runs",
                by_seconds=round(jumped, 1),
                what_to_do="set the clock right before the start; dedup keeps to the time it began"
                " with, and the next start forgets or keeps records by that much",
            )
        return now
