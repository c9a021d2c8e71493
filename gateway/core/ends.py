"""How tries ended, on the way to the store: together, a moment later, however long it is away."""

import asyncio
import math
from typing import Final

import structlog

from gateway.store.base import Fenced, Lease, Store, StoreError, StoreUnavailable, Write

_log = structlog.get_logger(__name__)

_FLUSH_AFTER: Final = 0.02  # seconds that an end may wait for others
_FLUSH_AT: Final = 256  # ends that do not wait for more
_MOST: Final = 8192  # ends in memory; then whoever makes them must wait
_SLOW: Final = 0.25  # seconds that a commit may take; then no further try may start
_STORE_AWAY: Final = 0.25  # seconds between tries to reach the store


class Ends:
    """Collects writes that may be lost in a crash, and makes the commits of their neighbours."""

    def __init__(self, store: Store, fence: Lease | None) -> None:
        self._store = store
        self._fence = fence
        self._waiting: list[tuple[str, Write]] = []
        self._leaving: list[tuple[str, Write]] = []
        self._committing: set[str] = set()
        self._began = math.inf  # when the commit that is under way did, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._due = asyncio.Event()
        self._left = asyncio.Event()
        self.fenced = asyncio.Event()  # the lease has passed to another holder

    def __len__(self) -> int:
        return len(self._waiting) + len(self._leaving)

    @property
    def keys(self) -> set[str]:
        """The jobs whose end is not stored yet."""
        return self._committing.union(key for key, _ in (*self._waiting, *self._leaving))

    def add(self, key: str, write: Write) -> None:
        """Store `write`, about the job `key`, soon."""
        self._waiting.append((key, write))
        if len(self._waiting) >= _FLUSH_AT:
            self._due.set()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_FLUSH_AFTER, self._due.set)

    @property
    def is_full(self) -> bool:
        """Whether there are so many, or the store is so slow, that no further one may be made.

        What was tried and is not stored is tried again after a crash.
        """
        if len(self._waiting) + len(self._leaving) >= _MOST:
            return True
        return asyncio.get_running_loop().time() - self._began > _SLOW

    async def room(self) -> None:
        """Wait while it is full."""
        while self.is_full:
            self._left.clear()
            await self._left.wait()

    async def stored(self) -> None:
        """Wait until nothing that was added before is left to be stored."""
        before = self.keys
        while not before.isdisjoint(self.keys):
            self._due.set()
            self._left.clear()
            await self._left.wait()

    async def run(self) -> None:
        """Store what comes, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            self._cancel_timer()
            self._leaving, self._waiting = self._waiting, []
            self._began = asyncio.get_running_loop().time()
            refusal = await self.commit([write for _, write in self._leaving])
            self._began = math.inf
            if refusal is not None:
                count = len(self._leaving)
                _log.error("ends of jobs could not be stored", count=count, reason=str(refusal))
            self._leaving = []
            self._left.set()

    async def commit(self, writes: list[Write], key: str = "") -> StoreError | None:
        """Commit, however long the store is away; why it refuses, if it does.

        `key` is the job whose end is among the writes, if it is in memory no more.
        """
        if not key:
            return await self._commit(writes)
        self._committing.add(key)
        try:
            return await self._commit(writes)
        finally:
            self._committing.discard(key)
            self._left.set()

    async def _commit(self, writes: list[Write]) -> StoreError | None:
        while True:
            try:
                await self._store.commit(writes, self._fence)
            except StoreUnavailable as error:
                _log.warning("jobs wait for the store", reason=str(error))
                await asyncio.sleep(_STORE_AWAY)
            except Fenced as error:
                self.fenced.set()
                return error
            except StoreError as error:
                return error
            except Exception as error:  # or nothing would be stored any more
                _log.exception("the store failed in a way nobody knows of")
                return StoreError(f"{type(error).__name__}: {error}")
            else:
                return None

    async def close(self) -> None:
        """One last try, after `run` was cancelled."""
        self._cancel_timer()
        writes = [write for _, write in (*self._leaving, *self._waiting)]
        if not writes:
            return
        try:
            await self._store.commit(writes, self._fence)
        except StoreError as error:
            _log.warning("jobs run again at the next start", count=len(writes), reason=str(error))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
