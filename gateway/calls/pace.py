"""How fast an account's calls over REST begin: one after the other, and the rest wait.

A machine without I/O: who asks is told how long to wait, or that too many do.
"""

from typing import Final

_MOST_KNOWN: Final = 1000  # accounts, before those are forgotten that have nothing waiting


class Paces:
    """At most `per_second` begin for each account, 0 for no limit, and at most `most` wait."""

    def __init__(self, per_second: float, most: int) -> None:
        self._per_second = per_second
        self._most = most
        self._next: dict[str, float] = {}  # by account, when its next call may begin

    def take(self, account_sid: str, now: float) -> float | None:
        """Seconds until another call may begin, which has that turn; None if too many wait."""
        if not self._per_second:
            return 0.0
        begins = max(now, self._next.get(account_sid, 0.0))
        if (begins - now) * self._per_second > self._most:
            return None
        if len(self._next) > _MOST_KNOWN:
            self._next = {sid: at for sid, at in self._next.items() if at > now}
        self._next[account_sid] = begins + 1 / self._per_second
        return begins - now

    def waiting(self, now: float) -> int:
        """How many turns are given out that have not come."""
        return sum(max(0, round((at - now) * self._per_second) - 1) for at in self._next.values())
