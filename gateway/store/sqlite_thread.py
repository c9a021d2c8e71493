"""The writer in a thread of this process: for whoever has a database open for a short while.

The thread and the event loop want the same interpreter: see `sqlite_apart` for a gateway's.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any, Protocol

import structlog

from gateway.store.base import Lease, Write
from gateway.store.sqlite_orders import LINGER, MAX_GROUP, Order, Outcome, work
from gateway.store.sqlite_writer import Commit, Writer
from gateway.store.turns import Turns

_log = structlog.get_logger(__name__)


class Hearer(Protocol):
    """Hears in the event loop what the writer did, in the order in which it was told."""

    def settle(self, commits: int, outcome: Outcome) -> None:
        """The oldest `commits` are done with."""

    def answer(self, answer: Any) -> None:
        """The oldest order was obeyed; or a `StoreError`."""

    def let_go(self) -> None:
        """The writer is about to end: close what else is open. Not in the event loop.

        Who closes a database last leaves one file of it, if that is one who may write.
        """

    def unlock(self) -> None:
        """The writer has ended: the file is nobody's."""

    def end(self) -> None:
        """All is closed."""


class WriterThread:
    """A `Place` for the writer: it takes all that waits, and tells the loop once for each group."""

    def __init__(self, writer: Writer, turns: Turns, hearer: Hearer) -> None:
        self._writer = writer
        self._turns = turns
        self._hearer = hearer
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Commit | Order | None] = SimpleQueue()
        self._come_together = False

    def start(self) -> None:
        """Begin to write."""
        threading.Thread(target=self._write, name="store-write", daemon=True).start()

    def commit(self, writes: Sequence[Write], fence: Lease | None) -> None:
        """Have it written; `Hearer.settle` tells."""
        self._turns.asked()
        self._queue.put((writes, fence, None))

    def ask(self, order: Order) -> None:
        """Have it done in its turn among the commits; `Hearer.answer` tells."""
        self._turns.asked()
        self._queue.put(order)

    def close(self) -> None:
        """End when all that waits is done; `Hearer.end` tells."""
        self._queue.put(None)

    def _write(self) -> None:
        """In the thread: it ends with the store, or with the event loop."""
        try:
            while self._write_waiting():
                pass
        except RuntimeError as error:  # the loop was closed under us
            _log.warning("the store's writer ends", reason=str(error))
        self._hearer.let_go()
        self._writer.close()
        self._hearer.unlock()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hearer.end)

    def _write_waiting(self) -> bool:
        """Wait for work and do all that is there; False when nothing will come any more."""
        queue = self._queue
        items = [queue.get()]
        if self._come_together:
            # A group costs as much as several commits in it do: on a fast disk, waiting for them
            # is cheaper than beginning at once. Who commits alone never waits.
            time.sleep(LINGER)
        while len(items) < MAX_GROUP and not queue.empty():
            items.append(queue.get())
        self._come_together = len(items) > 1
        tell = self._loop.call_soon_threadsafe
        for commits, came in work(self._writer, [each for each in items if each is not None]):
            if commits is None:
                tell(self._answer, came)
            else:
                tell(self._settle, commits, came)
        return items[-1] is not None

    def _settle(self, commits: int, outcome: Outcome) -> None:
        self._turns.answered(commits)
        self._hearer.settle(commits, outcome)

    def _answer(self, answer: Any) -> None:
        self._turns.answered()
        self._hearer.answer(answer)
