"""The bus port: facts to whoever builds from them what can be thrown away and built again.

A position is the id of a fact; a reader that starts after it gets what follows, in order, in
batches. Work never starts from the bus: that is what jobs are for.
"""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from gateway.store.base import Fact


class BusStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many facts are kept, and how many of them each durable reader has still to read."""

    kept: int
    behind: dict[str, int]


class Bus(Protocol):
    """What every backend does; `tests/contract/test_bus.py` is its definition."""

    def subscribe(self, after: int, limit: int = 500) -> AsyncIterator[list[Fact]]:
        """Facts after the position `after`, in batches of 1 to `limit`; ends with the bus.

        A batch is given as it comes; while facts pour in they may be held for a moment so that
        batches are fuller.
        """
        ...

    async def newest(self) -> int:
        """The position after which only facts come that are not there yet."""
        ...

    async def position(self, reader: str) -> int:
        """How far the named reader has come, durably: 0 for a new one."""
        ...

    async def ack(self, reader: str, position: int) -> None:
        """The named reader is done with everything up to `position`. Never goes back."""
        ...

    async def stats(self) -> BusStats:
        """How much is kept, and for whom."""
        ...

    async def close(self) -> None:
        """End every subscription."""
        ...
