"""The commits that wait for PostgreSQL, and the task that hands them over in groups.

What queued while the last group was on its way goes into the next. While the server is away
commits are refused at once; the task goes on trying to reach it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from gateway.store.base import Lease, StoreError, StoreStats, StoreUnavailable, Write
from gateway.store.postgres_writer import Applied, Writer

_log = structlog.get_logger(__name__)

_MAX_GROUP: Final = 2000  # commits in one transaction
_LINGER: Final = 0.002  # seconds that a group waits for more, while commits come together
_PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds between attempts to reconnect
_CLOSE_WITHIN: Final = 10.0  # seconds

_Queued = tuple[Sequence[Write], Lease | None, "asyncio.Future[None]"]


class CommitQueue:
    """Takes commits, and gives them to one writer."""

    def __init__(self, max_queued: int, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since the epoch."""
        self._max_queued = max_queued
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Queued] = []
        self._under_way = 0
        self._wake: asyncio.Future[None] | None = None
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._writer: Writer
        self._appended: Callable[[], None]
        self._groups = self._commits = self._rows = 0
        self._last_seconds = self._last_at = 0.0
        self._trouble = ""

    def start(self, writer: Writer, appended: Callable[[], None]) -> None:
        """Begin to hand commits over to `writer`; `appended` is called after groups with facts."""
        self._writer = writer
        self._appended = appended
        self._task = self._loop.create_task(self._work(), name="store-write")

    def put(self, writes: Sequence[Write], fence: Lease | None) -> "asyncio.Future[None]":
        """`Store.commit`."""
        future: asyncio.Future[None] = self._loop.create_future()
        refusal = self._refusal()
        if refusal:
            future.set_exception(StoreUnavailable(refusal))
            return future
        self._waiting.append((writes, fence, future))
        self._awake()
        return future

    def note_away(self, trouble: str) -> None:
        """The server can't be reached: refuse what waits, and what comes, until it can."""
        self._note(trouble)
        refused, self._waiting = self._waiting, []
        for _, _, future in refused:
            if not future.done():
                future.set_exception(StoreUnavailable(trouble))

    def note_lost(self) -> None:
        """A connection went away while nothing was asked: look after it."""
        self._awake()

    async def close(self) -> None:
        """Hand over what waits, as long as the server is there for it, then end."""
        self._closing = True
        self._awake()
        if self._task is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_WITHIN):
                await asyncio.shield(self._task)
        except TimeoutError:
            _log.warning("PostgreSQL does not let the store finish", reason=self._trouble)
        await self._writer.close()
        await self._task

    @property
    def is_closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._closing

    def stats(self, newest_fact: int) -> StoreStats:
        """How it does."""
        return StoreStats(
            queued=len(self._waiting) + self._under_way,
            groups=self._groups,
            commits=self._commits,
            rows=self._rows,
            last_commit_seconds=self._last_seconds,
            last_commit_at=self._last_at,
            newest_fact=newest_fact,
            trouble=self._trouble,
        )

    def _refusal(self) -> str:
        if self._closing:
            return "the store is closed"
        if self._trouble and not self._writer.is_connected:
            return self._trouble
        queued = len(self._waiting) + self._under_way
        if queued >= self._max_queued:
            return f"the store is busy: {queued} commits wait, try again in a moment"
        return ""

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _work(self) -> None:
        come_together = False
        while True:
            if not self._writer.is_connected and not self._closing:
                await self._reach()
            if not self._waiting:
                if self._closing:
                    return
                self._wake = self._loop.create_future()
                await self._wake
                continue
            if come_together and len(self._waiting) < _MAX_GROUP:
                # A group costs as much as several commits in it do; who commits alone never waits.
                await asyncio.sleep(_LINGER)
            group = self._waiting[:_MAX_GROUP]
            del self._waiting[:_MAX_GROUP]
            come_together = len(group) > 1
            self._under_way = len(group)
            await self._apply(group)
            self._under_way = 0

    async def _reach(self) -> None:
        """Have a connection; meanwhile the commits that come are refused."""
        tries = 0
        while not self._closing:
            try:
                await self._writer.connect()
            except StoreError as error:
                self.note_away(str(error))
                self._wake = self._loop.create_future()
                timer = self._loop.call_later(_PAUSES[min(tries, len(_PAUSES) - 1)], self._awake)
                await self._wake
                timer.cancel()
                tries += 1
            else:
                self._note("")
                return

    async def _apply(self, group: Sequence[_Queued]) -> None:
        started = time.perf_counter()
        trouble = ""
        try:
            applied = await self._writer.apply(group)
        except StoreError as error:
            trouble = str(error) if isinstance(error, StoreUnavailable) else ""
            applied = Applied(errors={at: type(error)(*error.args) for at in range(len(group))})
        except Exception as error:  # the task must outlive whatever a commit does to it
            _log.exception("a group of commits failed in a way that was not foreseen")
            failure = f"{type(error).__name__}: {error}"
            applied = Applied(errors={at: StoreError(failure) for at in range(len(group))})
        self._last_seconds = time.perf_counter() - started
        self._settle(group, applied, trouble)

    def _settle(self, group: Sequence[_Queued], applied: Applied, trouble: str) -> None:
        """Tell the callers of a group what became of it."""
        errors = applied.errors
        self._groups += 1
        self._commits += len(group) - len(errors)
        self._rows += applied.rows
        for at, (_, _, future) in enumerate(group):
            if future.done():
                continue
            error = errors.get(at) if errors else None
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        self._note(trouble)
        if applied.facts:
            self._appended()

    def _note(self, trouble: str) -> None:
        if trouble and not self._trouble:
            _log.error("the store can't write", reason=trouble)
        elif self._trouble and not trouble:
            _log.warning("the store writes again")
        self._trouble = trouble
        if not trouble:
            self._last_at = self._clock()
