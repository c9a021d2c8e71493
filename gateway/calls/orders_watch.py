"""Takes the orders that REST left in the store for the calls of this process.

A hint tells of new ones, and as one may get lost there is a look from time to time. An order for a
call that another process has is left alone. No order is carried out twice: one whose row could not
be taken away yet is remembered.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from gateway.calls.orders import HINT, Orders, Waiting, done, waiting
from gateway.store.base import Store, StoreError, StoreUnavailable

_log = structlog.get_logger(__name__)
_LOOK: Final = 2.0  # seconds


class OrderWatcher:
    """One task beside the calls; `calls` carries the orders out."""

    def __init__(self, store: Store, calls: Orders) -> None:
        self._store = store
        self._calls = calls
        self._task: asyncio.Task[None] | None = None
        self._done: set[tuple[str, str]] = set()  # carried out, and in the store still

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="call-orders")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> int:
        """Carry out what waits for calls of this process; how many orders that were."""
        count, after = 0, None
        while page := await waiting(self._store, after):
            mine = [each for each in page if await self._carried_out(each)]
            if mine:
                await self._store.commit(done(mine))
            count += len(mine)
            after = page[-1]
        self._done.clear()
        return count

    async def _carried_out(self, order: Waiting) -> bool:
        key = (order.sid, order.id)
        if order.order is None or key in self._done:
            return order.order is not None
        try:
            call = await self._calls.order(order.account_sid, order.sid, order.order)
        except StoreUnavailable:
            raise  # it is asked for again
        except Exception:  # a defect in one call must not keep the orders of others waiting
            _log.exception("an order was not carried out", call=order.sid)
        else:
            if call is None:
                return False
        self._done.add(key)
        return True

    async def _watch(self) -> None:
        hinted = self._store.watch(HINT)
        while True:
            hinted.clear()
            try:
                await self.look()
            except StoreError as error:
                _log.warning("orders for calls wait for the store", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await hinted.wait()
