"""The requests of one side that wait for their response, oldest first.

One timeout holds for all of them, so they expire in the order in which they were sent and the
next deadline is always at the front. A request that timed out is remembered for a while, so that
a late response still finds it.
"""

from collections import deque

import msgspec

from protocols.smpp.constants import MAX_SEQUENCE_NUMBER


class Outstanding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request on its way; `deadline` is on the session's clock."""

    command_id: int
    sequence_number: int
    deadline: float
    octets: bytes


class Window:
    """At most `size` requests wait at a time; up to `late_memory` more are remembered."""

    def __init__(self, *, size: int, late_memory: int, first: int = 1) -> None:
        self.size = size
        self._late_memory = late_memory
        self._next = first
        self._waiting: dict[int, Outstanding] = {}
        # In the order of sending; what was answered is dropped when it reaches the front.
        self._queue: deque[tuple[float, int]] = deque()
        self._late: dict[int, Outstanding] = {}

    @property
    def free(self) -> int:
        """How many more requests may be sent now."""
        return self.size - len(self._waiting)

    @property
    def outstanding(self) -> tuple[int, ...]:
        """The sequence numbers that wait for a response, oldest first."""
        return tuple(self._waiting)

    def take_number(self) -> int:
        """The next sequence_number: 1 to 0x7FFFFFFF and round again, none that is in use."""
        number = self._next
        while number in self._waiting or number in self._late:
            number = number + 1 if number < MAX_SEQUENCE_NUMBER else 1
        self._next = number + 1 if number < MAX_SEQUENCE_NUMBER else 1
        return number

    def add(self, request: Outstanding) -> None:
        """Let a request wait; its deadline is not before that of the one added last."""
        self._waiting[request.sequence_number] = request
        self._queue.append((request.deadline, request.sequence_number))

    def waiting(self, sequence_number: int) -> Outstanding | None:
        """The request that waits under this number."""
        return self._waiting.get(sequence_number)

    def late(self, sequence_number: int) -> Outstanding | None:
        """The request that timed out under this number, while it is remembered."""
        return self._late.get(sequence_number)

    def settle(self, sequence_number: int) -> None:
        """Forget a request: it was answered, in time or late."""
        if self._waiting.pop(sequence_number, None) is None:
            self._late.pop(sequence_number, None)

    def deadline(self) -> float | None:
        """When the oldest waiting request times out."""
        queue = self._queue
        while queue:
            deadline, number = queue[0]
            request = self._waiting.get(number)
            if request is not None and request.deadline == deadline:
                return deadline
            queue.popleft()
        return None

    def expire(self, now: float) -> list[Outstanding]:
        """Time out what is due by `now`, oldest first."""
        expired = []
        while (deadline := self.deadline()) is not None and deadline <= now:
            _, number = self._queue.popleft()
            request = self._late[number] = self._waiting.pop(number)
            expired.append(request)
        while len(self._late) > self._late_memory:
            del self._late[next(iter(self._late))]
        return expired
