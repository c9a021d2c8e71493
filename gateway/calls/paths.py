"""Paths of browsers' media that are lost: what waits for another one, and what ends for want of it.

A browser whose network changed offers anew within seconds, and media go on; a page that is loaded
again takes its call up in the same way. One whose handshake failed does not come back.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.media.wire import PathLost

PATIENCE: Final = 30.0
"""Seconds for which a call stands without a path to one of its legs."""

_REFUSED: Final = "refused"


class Paths:
    """Those of one call; `end` ends a leg, and is told why."""

    def __init__(self, end: Callable[[str, str], None]) -> None:
        self._end = end
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def lost(self, event: PathLost) -> None:
        """There is no way to the media of a leg."""
        if event.cause == _REFUSED:
            self.found(event.leg)
            self._end(event.leg, event.reason)
        elif event.leg not in self._waiting:
            loop = asyncio.get_running_loop()
            self._waiting[event.leg] = loop.call_later(
                PATIENCE, self._on_late, event.leg, event.reason
            )

    def found(self, leg: str) -> None:
        """There is one again."""
        waiting = self._waiting.pop(leg, None)
        if waiting is not None:
            waiting.cancel()

    def close(self) -> None:
        """The call is over."""
        for leg in list(self._waiting):
            self.found(leg)

    def _on_late(self, leg: str, reason: str) -> None:
        self._waiting.pop(leg, None)
        self._end(leg, reason)
