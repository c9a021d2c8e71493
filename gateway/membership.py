"""This process as a member of the gateway: the lease that it renews, and the dead that it buries.

The lease fences every write of an owner. Its life is judged by our own clock, from the moment
before it was asked for, so that we stop acting before others may begin to.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog

from gateway.store.base import Fenced, Lease, Store, StoreError, StoreUnavailable

_log = structlog.get_logger(__name__)

BEATS: Final = 4  # renewals in the life of a lease
SUBJECT: Final = "owners"  # of the hint that something is free, or somebody came


class Membership:
    """`lost` is set when the others have buried us: the process must end."""

    def __init__(
        self, store: Store, *, holder: str, ttl: float, monotonic: Callable[[], float]
    ) -> None:
        """`ttl` is how long the others wait for a sign of life, seconds; `monotonic` a clock."""
        self._store = store
        self._ttl = ttl
        self._monotonic = monotonic
        self._valid_until = 0.0
        self._steady_since = monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self.holder = holder
        self.lease: Lease | None = None
        self.lost = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether nobody can have taken over what we own, by our own clock."""
        return self._monotonic() < self._valid_until and not self.lost.is_set()

    async def join(self) -> None:
        """Become a member, and stay one in the background."""
        await self._renew()
        self._tasks = [
            asyncio.create_task(self._beat(), name="membership: beat"),
            asyncio.create_task(self._bury_others(), name="membership: bury"),
        ]
        self._store.hint(SUBJECT)

    async def leave(self) -> None:
        """What was owned is free, now that no work on it is under way."""
        await ended(self._tasks)
        try:
            await self._store.renew(self.holder, 0.0)
        except StoreError as error:
            _log.warning("the others wait for our lease to end", reason=str(error))
        self._store.hint(SUBJECT)

    async def _beat(self) -> None:
        while not self.lost.is_set():
            await asyncio.sleep(self._ttl / BEATS)
            try:
                await self._renew()
            except Fenced as error:
                _log.error(
                    "this process was silent for too long and others took over what it owned",
                    holder=self.holder,
                    reason=str(error),
                )
                self.lost.set()
            except StoreUnavailable as error:
                self._steady_since = self._monotonic()
                _log.warning("the lease can't be renewed", reason=str(error))
            except Exception:
                _log.exception("the lease can't be renewed")

    async def _renew(self) -> None:
        asked = self._monotonic()
        if asked > self._valid_until:
            self._steady_since = asked
        self.lease = await self._store.renew(self.holder, self._ttl)
        self._valid_until = asked + self._ttl

    async def _bury_others(self) -> None:
        while True:
            await asyncio.sleep(self._ttl / BEATS)
            # Not right after the store was away: all would bury each other.
            if not self.alive or self._monotonic() - self._steady_since < self._ttl:
                continue
            try:
                buried = await self._store.bury(by=self.holder)
            except StoreError as error:
                _log.warning("who is silent can't be read", reason=str(error))
                continue
            except Exception:
                _log.exception("who is silent can't be read")
                continue
            for holder in buried:
                _log.warning("a process is silent: what it owned is free", holder=holder)
            if buried:
                self._store.hint(SUBJECT)
                self._store.watch(SUBJECT).set()  # a hint reaches the others alone


async def ended(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel `tasks` and wait until they are gone."""
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
