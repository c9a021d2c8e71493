"""One commit, then its effects: answers, window slots, jobs, messages that go out again.

The order is the promise: nothing that a peer can see leaves before the writes are durable.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from carriers.network import Network
from gateway.core.runner import JobRunner
from gateway.messages import records
from gateway.messages.changes import Changes
from gateway.messages.dispatch import Dispatcher
from gateway.messages.ownership import Owner
from gateway.store.base import Stale, Store, StoreUnavailable

_log = structlog.get_logger(__name__)
_RETRY_AFTER: Final = 0.5  # seconds, while the store is away


class Committer:
    """Makes `Changes` durable, however long that takes, and carries them out."""

    def __init__(
        self,
        *,
        store: Store,
        network: Network,
        runner: JobRunner,
        dispatcher: Dispatcher,
        owner: Owner,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._owner = owner
        self._network = network
        self._runner = runner
        self._dispatcher = dispatcher
        self._clock = clock

    async def commit(self, changes: Changes) -> None:
        """Return when `changes` are durable and carried out.

        Raises `Fenced` if others have taken over what this process owned: nothing is carried out.
        """
        if changes.writes:
            await self._make_durable(changes)
        if changes.settled:
            self._network.release(changes.settled)
        if changes.answers:
            now = self._clock()
            for delivery, command_status in changes.answers:
                self._network.answer(delivery, command_status, now)
            self._network.flush()
        for job in changes.jobs:
            self._runner.offer(job)
        for flight, due in changes.requeued:
            self._dispatcher.requeue(flight, due)
        for sid in changes.finished:
            self._dispatcher.finish(sid)
        self._dispatcher.wake()

    async def _make_durable(self, changes: Changes) -> None:
        while True:
            try:
                await self._store.commit(changes.writes, self._owner.lease())
                return
            except StoreUnavailable as error:
                _log.warning("the message path waits for the store", reason=str(error))
                await asyncio.sleep(_RETRY_AFTER)
            except Stale:
                changes.writes = await records.rebased(self._store, changes.writes)
