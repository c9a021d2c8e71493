"""Orders that wait in the store are carried out once, however often the store is away."""

import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.calls import orders
from gateway.calls.orders import Cancel, Complete, Order, Place, Redirect
from gateway.calls.orders_watch import OrderWatcher
from gateway.store.base import StoreUnavailable, Write
from gateway.store.sqlite import SqliteStore

ACCOUNT = "AC" + "1" * 32


class Away:
    """A store that can't write for a number of times."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.refuses = 0

    def commit(self, writes: Sequence[Write]) -> Any:
        if self.refuses:
            self.refuses -= 1
            raise StoreUnavailable("the disk is full")
        return self._store.commit(writes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Calls:
    """Carries out everything, with the faults that it has."""

    def __init__(self, *faults: Exception) -> None:
        self._faults = list(faults)
        self.took: list[tuple[str, Order]] = []

    async def order(self, account_sid: str, sid: str, order: Order) -> Any:
        self.took.append((sid, order))
        if self._faults:
            raise self._faults.pop()
        return object()

    async def place(self, *given: object) -> None:
        raise NotImplementedError


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Any]:
    opened = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=time.time)
    try:
        yield Away(opened)
    finally:
        await opened.close()


async def test_an_order_is_carried_out_once_while_the_store_is_away(store: Any) -> None:
    await orders.leave(store, ACCOUNT, "CA1", Complete(), 1.0)
    calls = Calls()
    watcher = OrderWatcher(store, calls)
    store.refuses = 2
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await watcher.look()
    await orders.leave(store, ACCOUNT, "CA2", Cancel(), 2.0)
    assert await watcher.look() == 2
    assert calls.took == [("CA1", Complete()), ("CA2", Cancel())]
    assert await orders.waiting(store) == []
    assert await watcher.look() == 0


async def test_an_order_that_waits_for_the_store_itself_is_asked_for_again(store: Any) -> None:
    place = Place(to="+1", caller="+2", runs=Redirect(twiml="<Response/>"))
    await orders.leave(store, ACCOUNT, "CA1", place, 1.0)
    calls = Calls(StoreUnavailable("the disk is full"))
    watcher = OrderWatcher(store, calls)
    with pytest.raises(StoreUnavailable):
        await watcher.look()
    assert await watcher.look() == 1
    assert calls.took == [("CA1", place)] * 2


async def test_an_order_that_can_not_be_carried_out_is_not_tried_for_ever(store: Any) -> None:
    await orders.leave(store, ACCOUNT, "CA1", Complete(), 1.0)
    watcher = OrderWatcher(store, Calls(KeyError("a defect")))
    assert (await watcher.look(), await watcher.look()) == (1, 0)
