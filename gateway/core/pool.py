"""The slots that all endpoints share, and the turns for them: a few that hang starve nobody else.

Two rules, both looking only at what runs now. An endpoint never holds more slots than it leaves
free, so that k endpoints that hang together leave a part of 1 in k + 1 to others, before anybody
could know that they hang. And endpoints whose last try was slow take turns among themselves, for
at most half of the slots, however many they are.
"""

import sys
from collections import deque
from typing import Final, Generic

from gateway.core.queues import Endpoint, T

_SLOW: Final = 1.0  # seconds that a try may hold its slot before its endpoint counts as slow


class Pool(Generic[T]):
    """Counts the tries that run; without a number of `slots` everybody has room."""

    __slots__ = ("_crowded", "_free", "_prompt_ring", "_slow_free", "_slow_ring", "_slow_turn")

    def __init__(self, slots: int | None) -> None:
        self._free = sys.maxsize if slots is None else slots
        self._slow_free = max(1, self._free // 2)
        self._prompt_ring: deque[Endpoint[T]] = deque()
        self._slow_ring: deque[Endpoint[T]] = deque()
        self._slow_turn = False
        self._crowded: dict[str, Endpoint[T]] = {}  # out of the ring: they hold what is left free

    def enter(self, endpoint: Endpoint[T]) -> None:
        """A try of `endpoint` starts."""
        endpoint.running += 1
        self._free -= 1
        if endpoint.slow:
            self._slow_free -= 1

    def leave(self, endpoint: Endpoint[T], lasted: float | None) -> None:
        """A try of `endpoint` has ended after `lasted` seconds; None leaves it as it is known."""
        if lasted is not None and (lasted > _SLOW) is not endpoint.slow:
            endpoint.slow = not endpoint.slow
            self._slow_free -= endpoint.running if endpoint.slow else -endpoint.running
        endpoint.running -= 1
        self._free += 1
        if endpoint.slow:
            self._slow_free += 1

    def has_room(self, endpoint: Endpoint[T]) -> bool:
        """Whether `endpoint` may start a try; if not, `let_in` comes back to it."""
        if endpoint.running < self._free:
            return True
        self._crowded[endpoint.name] = endpoint
        return False

    def let_in(self) -> None:
        """Give those their turn again that were crowded out and now have room."""
        if self._crowded:
            for endpoint in list(self._crowded.values()):
                if endpoint.running < self._free:
                    del self._crowded[endpoint.name]
                    if not endpoint.in_ring:
                        self.ring_in(endpoint)

    def ring_in(self, endpoint: Endpoint[T]) -> None:
        """Let `endpoint`, which is in no ring, take turns."""
        endpoint.in_ring = True
        (self._slow_ring if endpoint.slow else self._prompt_ring).append(endpoint)

    def next_ring(self) -> deque[Endpoint[T]] | None:
        """The endpoints of which the first has its turn now, if any has."""
        slow, prompt = self._slow_ring, self._prompt_ring
        while slow and not slow[0].slow:
            prompt.append(slow.popleft())
        while prompt and prompt[0].slow:
            slow.append(prompt.popleft())
        if slow and self._slow_free > 0 and (self._slow_turn or not prompt):
            self._slow_turn = False
            return slow
        self._slow_turn = True
        return prompt or None
