"""How often a peer may ask for something in one call: a bucket of tokens, one for each request.

A phone that sends keys by INFO, refreshes and puts calls on hold stays far below it. One that asks
without end is told to wait; its call goes on, and so does everybody else's.
"""

import msgspec


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """So many requests `at_once`, and `per_second` from then on."""

    per_second: float = 10.0
    at_once: float = 100.0


class Pace:
    """One call's bucket; `now` is in seconds of a clock that never goes back."""

    __slots__ = ("_at", "_rate", "_tokens", "is_told")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.at_once
        self._at = now
        self.is_told = False
        """Whether its user knows that it was exceeded."""

    def admits(self, now: float, many: int = 1) -> bool:
        """Whether so many requests more are in order, all of them or none; they are counted.

        More than may be `at_once` are when that many are: those that come next wait for it.
        """
        rate = self._rate
        self._tokens = min(rate.at_once, self._tokens + (now - self._at) * rate.per_second)
        self._at = now
        if self._tokens < max(1.0, min(many, rate.at_once)):
            return False
        self._tokens -= many
        return True
