"""How often somebody may guess a secret: failures per key in a window of time, in bounded memory.

REST auth and the binds of customers both ask here before they look at a secret. A key is what
the caller wants to keep apart, such as (client address, account). It knows no clock.
"""

from collections.abc import Hashable
from typing import Final

import msgspec

DEFAULT_TRIES: Final = 10
DEFAULT_WINDOW: Final = 60.0
DEFAULT_ENTRIES: Final = 10_000


class _Failures(msgspec.Struct):
    count: int
    until: float


class Tries:
    """At most `tries` failures of one key in `window` seconds; then it waits for the window's end.

    At most `entries` keys are remembered; over that the one that failed first is forgotten.
    """

    def __init__(
        self,
        *,
        tries: int = DEFAULT_TRIES,
        window: float = DEFAULT_WINDOW,
        entries: int = DEFAULT_ENTRIES,
    ) -> None:
        self._tries = tries
        self._window = window
        self._entries = entries
        self._failures: dict[Hashable, _Failures] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until `key` may try again; 0.0 when it may now."""
        if not self._failures:
            return 0.0
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        if failures.until <= now:
            del self._failures[key]
            return 0.0
        return failures.until - now if failures.count >= self._tries else 0.0

    def failed(self, key: Hashable, now: float) -> None:
        """Count a wrong secret for `key`; its window begins with its first failure."""
        failures = self._failures.get(key)
        if failures is None or failures.until <= now:
            self._failures.pop(key, None)
            while len(self._failures) >= self._entries:
                del self._failures[next(iter(self._failures))]
            self._failures[key] = _Failures(count=1, until=now + self._window)
        else:
            failures.count += 1

    def succeeded(self, key: Hashable) -> None:
        """Forget the failures of `key`: it knows the secret."""
        if self._failures:
            self._failures.pop(key, None)
