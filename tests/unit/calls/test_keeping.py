"""What a call makes durable: in its order, jobs behind their rows, and not at any price."""

import asyncio
from typing import Any

import pytest

from gateway.calls.keeping import Keeping, NotKept
from gateway.core.runner import Job
from gateway.store.base import Fenced, StoreUnavailable

JOB = Job(
    id="JX1",
    kind="k",
    account_sid="AC1",
    endpoint="e",
    sequence="",
    sid="CA1",
    payload="",
    created_at=0.0,
    expire_at=1.0,
)


class Store:
    """Answers commits as it is told, the last one for good; `took` has the writes."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = list(answers) or [None]
        self.took: list[Any] = []
        self.tries = 0

    def commit(self, writes: Any, fence: Any) -> "asyncio.Future[None]":
        return asyncio.ensure_future(self._commit(writes))

    async def _commit(self, writes: Any) -> None:
        self.tries += 1
        await asyncio.sleep(0)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is not None:
            raise answer
        self.took.append(list(writes))


def keeping(store: Any, offered: list[Job]) -> Keeping:
    return Keeping(store, lambda: None, offered.append, "CA1")


async def test_what_comes_while_a_commit_runs_goes_together_behind_it() -> None:
    store, offered = Store(), list[Job]()
    kept = keeping(store, offered)
    kept.put([("a", ())])
    await asyncio.sleep(0)
    kept.put([("b", ())], [JOB])
    kept.put([("c", ())])
    assert offered == []
    await kept.durable()
    assert store.took == [[("a", ())], [("b", ()), ("c", ())]]
    assert offered == [JOB]


@pytest.mark.parametrize("error", [Fenced("passed on"), ValueError("of no store")])
async def test_jobs_whose_rows_cant_be_kept_do_not_begin(error: Exception) -> None:
    store, offered = Store(error), list[Job]()
    kept = keeping(store, offered)
    kept.put([("a", ())], [JOB])
    with pytest.raises(NotKept):
        await kept.durable()
    kept.put([("b", ())], [JOB])
    with pytest.raises(NotKept):
        await kept.durable()
    assert (store.tries, offered) == (1, [])


async def test_a_store_that_is_away_is_waited_for() -> None:
    store, offered = Store(StoreUnavailable("away"), None), list[Job]()
    kept = keeping(store, offered)
    kept.put([("a", ())], [JOB])
    await kept.durable()
    assert (store.took, offered) == ([[("a", ())]], [JOB])


async def test_but_not_by_a_process_that_ends() -> None:
    store = Store(StoreUnavailable("away"))
    kept = keeping(store, [])
    kept.put([("a", ())])
    await asyncio.sleep(0)
    kept.hurry()
    with pytest.raises(NotKept):
        await kept.durable()
