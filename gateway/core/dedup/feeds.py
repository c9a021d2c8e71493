"""The raw topic of a partition in each cluster: read one batch ahead, or knocked at to see
whether it answers. What came of it are events, taken in turn by the one who copies.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from gateway.core.dedup.machine import Chunk
from gateway.core.dedup.ports import ClusterAway, Inputs


class Answering(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster that was knocked at answers."""

    cluster: str


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster does not answer; nothing comes from it until it is knocked at again."""

    cluster: str
    reason: str


Event = Chunk | Answering | Gone


class Feeds:
    """One task for each cluster, never more."""

    def __init__(self, inputs: Inputs, *, limit: int) -> None:
        """`limit` records are read at a time."""
        self._inputs = inputs
        self._limit = limit
        self._tasks: dict[asyncio.Task[Event | None], str] = {}
        self._offsets: dict[str, int] = {}

    def follows(self, cluster: str) -> bool:
        """Whether the cluster is being read."""
        return cluster in self._offsets

    def knock(self, cluster: str, pause: float = 0.0) -> None:
        """In `pause` seconds, tell whether the cluster answers."""
        self.drop(cluster)
        self._start(cluster, self._knock(cluster, pause))

    def follow(self, cluster: str, offset: int) -> None:
        """Read the raw topic in the cluster from `offset` on."""
        self.drop(cluster)
        self._offsets[cluster] = offset
        self._start(cluster, self._read(cluster, offset))

    def drop(self, cluster: str) -> None:
        """Neither read nor knock; what was read ahead is forgotten."""
        self._offsets.pop(cluster, None)
        for task, name in list(self._tasks.items()):
            if name == cluster:
                del self._tasks[task]
                task.cancel()

    async def wait(self, seconds: float) -> list[Event]:
        """What there is now, after `seconds` at the latest; maybe nothing."""
        if not self._tasks:
            await asyncio.sleep(seconds)
            return []
        done, _ = await asyncio.wait(
            self._tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        # In the order of their starts, so that no cluster waits for another.
        events = [self._ended(task) for task in list(self._tasks) if task in done]
        return [event for event in events if event is not None]

    async def close(self) -> None:
        """End all of it."""
        tasks = list(self._tasks)
        self._tasks.clear()
        await ended(tasks)
        for cluster in list(self._offsets):
            await self._inputs.rest(cluster)

    def _start(self, cluster: str, work: Coroutine[Any, Any, Event | None]) -> None:
        self._tasks[asyncio.get_running_loop().create_task(work)] = cluster

    def _ended(self, task: "asyncio.Task[Event | None]") -> Event | None:
        cluster = self._tasks.pop(task)
        event = task.result()
        if cluster in self._offsets:
            if isinstance(event, Gone):
                del self._offsets[cluster]
                return event
            if isinstance(event, Chunk):
                self._offsets[cluster] = event.records[-1].offset + 1
            self._start(cluster, self._read(cluster, self._offsets[cluster]))
        return event

    async def _read(self, cluster: str, offset: int) -> Event | None:
        try:
            records = await self._inputs.read(cluster, offset, self._limit)
        except ClusterAway as error:
            return Gone(cluster=cluster, reason=str(error))
        if records and records[0].offset < offset:
            return Gone(cluster=cluster, reason="its topic was made anew")
        return Chunk(cluster=cluster, records=records) if records else None

    async def _knock(self, cluster: str, pause: float) -> Event:
        await asyncio.sleep(pause)
        try:
            await self._inputs.kept(cluster)
        except ClusterAway as error:
            return Gone(cluster=cluster, reason=str(error))
        return Answering(cluster=cluster)


async def ended(tasks: Iterable["asyncio.Task[Event | None]"]) -> None:
    """Cancel the tasks and wait for their ends; what they failed of does not matter any more."""
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
