"""The bus port: facts to whoever builds from them what can be thrown away and built again.

A position says how far a reader has come. It is a text that only the backend understands; ""
is the beginning of what is kept. A reader that starts after a position gets what follows, in
batches, the facts of one SID in their order. Work never starts from the bus: that is what jobs
are for.
"""

from collections.abc import AsyncIterator
from typing import Final, Protocol

import msgspec

from gateway.store.base import Fact, Write

Position = str
BEGINNING: Final[Position] = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """At least one fact, and the position after them."""

    facts: list[Fact]
    position: Position


class BusStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many facts are kept, and how many of them each durable reader has still to read.

    At most: the embedded bus takes it from their ids, which have gaps after a restore.
    """

    kept: int
    behind: dict[str, int]


class Bus(Protocol):
    """What every backend does; `tests/contract/test_bus.py` is its definition."""

    @property
    def kind(self) -> str:
        """`embedded` or `kafka`: what people are told."""
        ...

    def subscribe(self, after: Position, limit: int = 500) -> AsyncIterator[Batch]:
        """Facts after the position `after`, in batches of 1 to `limit`; ends with the bus.

        A batch is given as it comes; while facts pour in they may be held for a moment so that
        batches are fuller. A fact that the backend may show twice is given once.
        """
        ...

    async def newest(self) -> Position:
        """The position after which only facts come that are not there yet."""
        ...

    async def position(self, reader: str) -> Position:
        """How far the named reader has come, durably: `BEGINNING` for a new one."""
        ...

    def moved(self, reader: str, position: Position) -> list[Write]:
        """The writes by which the named reader is done with everything up to `position`.

        In the commit of what the reader made of it: then each fact counts exactly once.
        """
        ...

    async def ack(self, reader: str, position: Position) -> None:
        """Commit `moved` alone. Never goes back."""
        ...

    async def stats(self) -> BusStats:
        """How much is kept, and for whom."""
        ...

    async def close(self) -> None:
        """End every subscription."""
        ...
