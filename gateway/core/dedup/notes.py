"""Tells the store how far the clean topic has come, so that the forwarder knows what would have
to be sent again if a cluster were lost: the row `dedup:<topic>:<partition>` of table `meta`, with
the highest id of a fact copied. Seldom, and never in the way of the work.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from gateway.store.base import Fenced, Insert, Lease, Store, StoreError, Update

_log = structlog.get_logger(__name__)
_FIRST: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_NOTE: Final = Update(table="meta", key=("name",), columns=("value",))


def note_name(topic: str, partition: int) -> str:
    """The name of the row, which is also that of the lease under which it is written."""
    return f"dedup:{topic}:{partition}"


class Notes:
    """The row of one partition."""

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        fence: Callable[[], Lease | None],
        monotonic: Callable[[], float],
        every: float = 1.0,
    ) -> None:
        """`fence` gives the lease of this member; the row is written once in `every` seconds."""
        self._store = store
        self._name = name
        self._fence = fence
        self._monotonic = monotonic
        self._told = 0
        self._told_at = -every
        self._under_way: asyncio.Future[None] | None = None
        self._telling = 0
        self.every = every

    def tell(self, highest: int) -> None:
        """Note `highest`, if it is time to. Raises `Fenced` when the last note was refused."""
        if self._under_way is not None:
            if not self._under_way.done():
                return
            self._look()
        now = self._monotonic()
        if highest > self._told and now - self._told_at >= self.every:
            self._told_at = now
            self._write(highest)

    async def end(self, highest: int) -> None:
        """Note `highest` for the last time, and wait until that is durable or refused."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
            self._look()
        if highest > self._told:
            written = self._write(highest)
            with suppress(asyncio.CancelledError):
                await asyncio.wait([written])
            self._look()

    def _write(self, highest: int) -> "asyncio.Future[None]":
        row = (self._name, str(highest))
        self._telling = highest
        self._under_way = self._store.commit([(_FIRST, row), (_NOTE, row)], self._fence())
        return self._under_way

    def _look(self) -> None:
        """What became of the note under way."""
        under_way, self._under_way = self._under_way, None
        assert under_way is not None
        try:
            under_way.result()
        except Fenced:
            raise
        except StoreError as error:
            _log.warning("how far dedup came is not noted", name=self._name, reason=str(error))
        else:
            self._told = self._telling
