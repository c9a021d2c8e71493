"""What a simulated carrier has to do later, in order of time; the clock is held by its owner."""

from heapq import heappop, heappush
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Agenda(Generic[Thing]):
    """Things by when they are due; those due at the same moment come out as they went in."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Thing]] = []
        self._count = 0

    def add(self, due: float, thing: Thing) -> None:
        """`thing` is due at `due`."""
        self._count += 1
        heappush(self._heap, (due, self._count, thing))

    def take(self, now: float) -> list[Thing]:
        """Remove what is due by `now`, the earliest first."""
        due: list[Thing] = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            due.append(heappop(heap)[2])
        return due

    def next(self) -> float | None:
        """When the next thing is due; None if there is none."""
        return self._heap[0][0] if self._heap else None
