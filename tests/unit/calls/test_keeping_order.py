"""How a call's changes become durable: in their order, together, again when it is back."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.calls import keeping
from gateway.calls.keeping import Keeping, NotKept
from gateway.store.base import Fenced, Insert, Lease, Stale, StoreUnavailable, Update, Write

TABLE = Insert(table="facts", columns=("type",))
MADE = Insert(table="calls", columns=("sid", "status"))
MOVED = Update(table="calls", key=("sid",), columns=("version", "status"), guard="version")
PATIENCE = 60.0


def write(name: str) -> Write:
    return TABLE, (name,)


def made(name: str) -> Write:
    return MADE, ("CA1", name)


def moved(name: str) -> Write:
    """What can't be written unless the call was `made`, or `moved` before."""
    return MOVED, ("CA1", 2, name)


def job(name: str) -> Any:
    """What stands for one: it is passed on, and not looked into."""
    return name


class Slow:
    """A store whose commits end when the test says so."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[str], asyncio.Future[None]]] = []
        self._more = asyncio.Event()

    def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.commits.append(([row[-1] for _, row in writes], future))
        self._more.set()
        return future

    async def asked(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.commits) < count:
                self._more.clear()
                await self._more.wait()

    @property
    def written(self) -> list[list[str]]:
        return [sids for sids, _ in self.commits]


def kept(store: Any, offered: list[Any]) -> Keeping:
    return Keeping(store, lambda: None, offered.append, "CA1")


async def test_what_a_turn_puts_goes_together_and_what_follows_waits_for_it() -> None:
    store, offered = Slow(), []
    call = kept(store, offered)
    call.put([write("a")], [job("job of a")])
    call.put([write("b")])
    await store.asked(1)
    call.put([write("c")], [job("job of c")])
    call.put([write("d")])
    await asyncio.sleep(0)
    assert (store.written, offered) == ([["a", "b"]], [])
    store.commits[0][1].set_result(None)
    await store.asked(2)
    assert store.written == [["a", "b"], ["c", "d"]]
    store.commits[1][1].set_result(None)
    await call.durable()
    assert offered == ["job of a", "job of c"]


async def test_durable_waits_for_all_that_was_put() -> None:
    store = Slow()
    call = kept(store, [])
    await call.durable()
    call.put([write("a")])
    waiting = asyncio.ensure_future(call.durable())
    gone = asyncio.ensure_future(call.durable())
    await store.asked(1)
    gone.cancel()
    call.put([write("b")])
    store.commits[0][1].set_result(None)
    await store.asked(2)
    assert not waiting.done()
    store.commits[1][1].set_result(None)
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_a_store_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_RETRY_AFTER", 0.0)
    store, offered = Slow(), []
    call = kept(store, offered)
    call.put([write("a")], [job("job")])
    await store.asked(1)
    store.commits[0][1].set_exception(StoreUnavailable("it is away"))
    call.put([write("b")])
    await store.asked(2)
    store.commits[1][1].set_result(None)
    await store.asked(3)
    store.commits[2][1].set_result(None)
    await call.durable()
    assert (store.written, offered) == ([["a"], ["a"], ["b"]], ["job"])


async def test_what_somebody_waits_for_goes_behind_what_it_goes_on_from() -> None:
    store, offered = Slow(), []
    call = kept(store, offered)
    call.put([made("a")])
    await store.asked(1)
    call.gather([moved("b")])
    waiting = asyncio.ensure_future(call.durable())
    await asyncio.sleep(0)
    call.put([write("c")], [job("job of c")])
    await store.asked(2)
    call.put([moved("d")])
    other = asyncio.ensure_future(call.durable())
    await turns()
    assert store.written == [["a"], ["b", "c"]]
    store.commits[0][1].set_result(None)
    await store.asked(3)
    assert (store.written[2], offered, waiting.done()) == (["d"], [], False)
    store.commits[1][1].set_result(None)
    await turns()
    assert (offered, waiting.done(), other.done()) == (["job of c"], False, False)
    store.commits[2][1].set_result(None)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(waiting, other)


async def test_what_could_be_written_without_it_waits_for_what_is_under_way() -> None:
    store = Slow()
    call = kept(store, [])
    call.put([made("a")])
    await store.asked(1)
    call.put([write("b")])
    waiting = asyncio.ensure_future(call.durable())
    await turns()
    assert store.written == [["a"]]
    store.commits[0][1].set_result(None)
    await store.asked(2)
    assert (store.written, waiting.done()) == ([["a"], ["b"]], False)
    store.commits[1][1].set_result(None)
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_what_nobody_waits_for_waits_for_what_is_under_way() -> None:
    store = Slow()
    call = kept(store, [])
    call.put([made("a")])
    await store.asked(1)
    call.put([moved("b")])
    await turns()
    assert store.written == [["a"]]


async def turns() -> None:
    """What was begun in the loop is done."""
    for _ in range(5):
        await asyncio.sleep(0)


AWAY = StoreUnavailable("it is away")


@pytest.mark.parametrize(
    "answers, again",
    [
        ((AWAY, AWAY), ["a", "b"]),
        ((AWAY, Stale("there is no such row")), ["a", "b"]),
        ((None, AWAY), ["b"]),
    ],
)
async def test_what_a_store_was_away_for_is_said_again_in_its_order(
    answers: tuple[Exception | None, ...], again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_RETRY_AFTER", 0.0)
    store, offered = Slow(), []
    call = kept(store, offered)
    waiting = await two_under_way(call, store)
    for (_, told), answer in zip(store.commits, answers, strict=True):
        if answer is None:
            told.set_result(None)
        else:
            told.set_exception(answer)
    await asyncio.sleep(0)
    call.put([moved("c")])
    await store.asked(3)
    assert store.written[2] == again
    store.commits[2][1].set_result(None)
    await store.asked(4)
    assert store.written[3] == ["c"]
    store.commits[3][1].set_result(None)
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert sorted(offered) == ["job of a", "job of b"]


async def two_under_way(call: Keeping, store: Slow) -> "asyncio.Future[None]":
    call.put([made("a")], [job("job of a")])
    await store.asked(1)
    call.put([moved("b")], [job("job of b")])
    waiting = asyncio.ensure_future(call.durable())
    await store.asked(2)
    return waiting


async def test_what_failed_for_good_is_not_said_again_for_what_followed_it() -> None:
    store, offered = Slow(), []
    call = kept(store, offered)
    waiting = await two_under_way(call, store)
    store.commits[1][1].set_exception(AWAY)
    await turns()
    store.commits[0][1].set_exception(Fenced("passed on"))
    with pytest.raises(NotKept, match="passed on"):
        await waiting
    assert (store.written, offered) == ([["a"], ["b"]], [])


async def test_what_the_store_does_not_even_take_follows_what_it_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "_RETRY_AFTER", 0.0)
    store = Slow()
    call = kept(store, [])
    call.put([made("a")])
    await store.asked(1)
    taken = store.commit

    def refuse(writes: Sequence[Write], fence: Lease | None = None) -> "asyncio.Future[None]":
        monkeypatch.setattr(store, "commit", taken)
        raise StoreUnavailable("the store is busy")

    monkeypatch.setattr(store, "commit", refuse)
    call.put([moved("b")])
    waiting = asyncio.ensure_future(call.durable())
    await turns()
    assert store.commit == taken
    assert store.written == [["a"]]
    store.commits[0][1].set_exception(AWAY)
    await store.asked(2)
    assert store.written[1] == ["a", "b"]
    store.commits[1][1].set_result(None)
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_what_others_have_changed_is_kept_no_more() -> None:
    store, offered = Slow(), []
    call = kept(store, offered)
    call.put([write("a")], [job("job")])
    await store.asked(1)
    store.commits[0][1].set_exception(Stale("read it again"))
    with pytest.raises(NotKept, match="read it again"):
        await call.durable()
    call.put([write("b")])
    with pytest.raises(NotKept):
        await call.durable()
    assert (store.written, offered) == ([["a"]], [])


async def test_what_can_wait_goes_with_what_is_put_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_MOMENT", 10 * PATIENCE)
    store = Slow()
    call = kept(store, [])
    call.gather([write("a")])
    await asyncio.sleep(0)
    assert store.written == []
    call.put([write("b")])
    await store.asked(1)
    assert store.written == [["a", "b"]]


async def test_what_can_wait_goes_alone_when_nothing_is_put_and_not_when_a_commit_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "_MOMENT", 1.0)  # a busy machine takes some of it
    store = Slow()
    call = kept(store, [])
    call.put([write("a")])
    await store.asked(1)
    call.gather([write("b")])
    store.commits[0][1].set_result(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert store.written == [["a"]]
    await store.asked(2)
    assert store.written == [["a"], ["b"]]


async def test_durable_has_what_can_wait_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_MOMENT", 10 * PATIENCE)
    store = Slow()
    call = kept(store, [])
    call.put([write("a")])
    await store.asked(1)
    waiting = asyncio.ensure_future(call.durable())
    await asyncio.sleep(0)
    call.gather([write("b")])
    store.commits[0][1].set_result(None)
    await store.asked(2)
    assert not waiting.done()
    store.commits[1][1].set_result(None)
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_what_can_wait_is_hastened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_MOMENT", 10 * PATIENCE)
    store = Slow()
    call = kept(store, [])
    call.hasten()
    call.gather([write("a")])
    call.hasten()
    await store.asked(1)
    assert store.written == [["a"]]
