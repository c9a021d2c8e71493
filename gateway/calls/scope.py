"""The tasks of a call, and what lets all of it be free at once when it is over."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any


class Scope:
    """The tasks of one call: begun here, gone when it is left; an error in one ends all.

    Errands go on when the call is over, and are waited for. Once it is `shut` nothing begins.
    """

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()
        self._errands: set[asyncio.Task[None]] = set()
        self._is_shut = False

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ends with the call."""
        return self._begin(work, self._tasks)

    def errand(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that the end of the call does not end."""
        return self._begin(work, self._errands)

    async def leave(self) -> None:
        """End what ends with the call, and wait for the errands."""
        for task in list(self._tasks):
            task.cancel()
        while self._errands:
            await asyncio.wait(self._errands)

    def shut(self) -> None:
        """Begin nothing any more: what is begun all the same ends before it starts."""
        self._is_shut = True

    def _begin(
        self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]
    ) -> asyncio.Task[None]:
        if self._is_shut:
            task = asyncio.get_running_loop().create_task(work)
            task.cancel()
            return task
        task = self._group.create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)
        task.add_done_callback(let_go)
        return task


def untie(*parts: object) -> None:
    """Take from parts of a call that is over what they hold, so that all of it is free at once.

    They tell each other, in a ring: otherwise each call would wait for the garbage collector,
    which stops everything for as long as it looks through what has gathered.
    """
    for part in parts:
        vars(part).clear()


def let_go(task: asyncio.Task[None]) -> None:
    """Take from a task that was cancelled what it keeps of that.

    Its error knows the frames that the task was in, and they may know who keeps the task.
    """
    if task.cancelled():
        with contextlib.suppress(asyncio.CancelledError):
            task.exception()
